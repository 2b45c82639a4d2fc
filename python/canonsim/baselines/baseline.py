"""The face that all baselines share: vectors of both sides, whose inner products are the scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Baseline(ABC):
    """A method that turns rows of either side into vectors that are comparable by inner product.

    Subclasses fit on training pairs and give `embed_x` and `embed_y`; the scores follow. `similarity` and
    `similarity_pairwise` are the names that the same scores have in `canonsim.CanonicalSpace`.
    """

    @abstractmethod
    def fit(self, X: ArrayLike, Y: ArrayLike) -> Self:
        """Fit on training pairs, row i of X (n, p) with row i of Y (n, q)."""

    @abstractmethod
    def embed_x(self, X: ArrayLike) -> NDArray[np.float64]:
        """Vectors of items X (n, p)."""

    @abstractmethod
    def embed_y(self, Y: ArrayLike) -> NDArray[np.float64]:
        """Vectors of items Y (n, q), as long as those of `embed_x`."""

    def score(self, X: ArrayLike, Y: ArrayLike) -> NDArray[np.float64]:
        """Scores (n, m) of every row of X (n, p) with every row of Y (m, q); higher for a better match."""
        return self.embed_x(X) @ self.embed_y(Y).T

    def score_pairwise(self, X: ArrayLike, Y: ArrayLike) -> NDArray[np.float64]:
        """Scores (n,) of row i of X (n, p) with row i of Y (n, q)."""
        x, y = self.embed_x(X), self.embed_y(Y)
        if len(x) != len(y):
            raise ValueError(f"X and Y must have the same number of rows, got {len(x)} and {len(y)}")
        scores: NDArray[np.float64] = (x * y).sum(axis=1)
        return scores

    similarity = score
    similarity_pairwise = score_pairwise
