"""ASIF: relative representations with respect to the training pairs."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from canonsim.baselines.baseline import Baseline
from canonsim.baselines.rows import paired_rows, rows, unit


class ASIF(Baseline):
    """Compare items by their similarities to the two halves of the training pairs (Norelli et al., ASIF, NeurIPS 2023).

    An item is represented by its cosine similarities to all training items of its own side; the k largest are kept and
    raised to the power p, the rest are zero, and the vector is scaled to unit length (their section 2, with their
    defaults k = 800, p = 8). Entry j of both sides refers to training pair j, so the vectors of the two sides are
    comparable by inner product.

    Parameters
    ----------
    k : int
        Training pairs kept in a representation (all of them if there are fewer).
    p : float
        Power of the kept similarities; negative similarities count as zero.

    Attributes
    ----------
    x_anchors_, y_anchors_ : ndarray (n, p), (n, q)
        The training pairs, rows of unit length.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 8))
    >>> y = x @ rng.normal(size=(8, 6))
    >>> asif = ASIF(k=50, p=4).fit(x[:150], y[:150])
    >>> asif.score(x[150:], y[150:]).shape
    (50, 50)
    """

    x_anchors_: NDArray[np.float64]
    y_anchors_: NDArray[np.float64]

    def __init__(self, k: int = 800, p: float = 8.0) -> None:
        if k < 1 or p <= 0:
            raise ValueError(f"k must be at least 1 and p positive, not {k} and {p}")
        self.k = k
        self.p = p

    def fit(self, X: ArrayLike, Y: ArrayLike) -> Self:
        """Keep the training pairs X (n, p), Y (n, q)."""
        x, y = paired_rows(X, Y)
        self.x_anchors_, self.y_anchors_ = unit(x), unit(y)
        return self

    def embed_x(self, X: ArrayLike) -> NDArray[np.float64]:
        """Represent items X (m, p) relative to the training pairs: (m, n), rows of unit length."""
        return self._relative(X, self.x_anchors_)

    def embed_y(self, Y: ArrayLike) -> NDArray[np.float64]:
        """Represent items Y (m, q) relative to the training pairs: (m, n), rows of unit length."""
        return self._relative(Y, self.y_anchors_)

    def _relative(self, items: ArrayLike, anchors: NDArray[np.float64]) -> NDArray[np.float64]:
        similarity: NDArray[Any] = np.clip(unit(rows(items, anchors.shape[1])) @ anchors.T, 0.0, None)
        if self.k < len(anchors):
            least = np.partition(similarity, -self.k, axis=1)[:, -self.k, None]
            similarity[similarity < least] = 0.0
        return unit(similarity**self.p)
