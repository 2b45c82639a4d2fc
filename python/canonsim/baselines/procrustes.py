"""Orthogonal Procrustes: one rotation between the two feature spaces."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from canonsim.baselines.baseline import Baseline
from canonsim.baselines.rows import paired_rows, rows, unit


class Procrustes(Baseline):
    """Rotate both sides into a common space by the singular vectors of their cross-covariance, then compare by cosine.

    With rows of unit length, centred on their training means, and X^T Y = U diag(s) V^T, the pair (U, V) maximises the
    summed inner product tr(U^T X^T Y V) over matrices with r = min(p, q) orthonormal columns (Schönemann, Psychometrika
    31, 1966, for p = q). With n <= r pairs only n - 1 columns are determined, and only these are kept. Embeddings are
    scaled to unit length.

    Attributes
    ----------
    x_mean_, y_mean_ : ndarray (p,), (q,)
        Means of the training rows of unit length.
    x_rotation_, y_rotation_ : ndarray (p, r), (q, r)
        Orthonormal columns.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 8))
    >>> turn = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    >>> scores = Procrustes().fit(x, x @ turn).score(x, x @ turn)
    >>> bool((scores.argmax(axis=1) == np.arange(200)).all())
    True
    """

    x_mean_: NDArray[np.float64]
    y_mean_: NDArray[np.float64]
    x_rotation_: NDArray[np.float64]
    y_rotation_: NDArray[np.float64]

    def fit(self, X: ArrayLike, Y: ArrayLike) -> Self:
        """Find the rotations from training pairs X (n, p), Y (n, q)."""
        x, y = (unit(side) for side in paired_rows(X, Y))
        self.x_mean_, self.y_mean_ = x.mean(axis=0), y.mean(axis=0)
        u, _, vt = np.linalg.svd((x - self.x_mean_).T @ (y - self.y_mean_), full_matrices=False)
        r = min(u.shape[1], max(1, len(x) - 1))
        self.x_rotation_, self.y_rotation_ = u[:, :r], vt[:r].T
        return self

    def embed_x(self, X: ArrayLike) -> NDArray[np.float64]:
        """Rotate items X (n, p) into the common space: (n, r), rows of unit length."""
        return unit((unit(rows(X, len(self.x_mean_))) - self.x_mean_) @ self.x_rotation_)

    def embed_y(self, Y: ArrayLike) -> NDArray[np.float64]:
        """Rotate items Y (n, q) into the common space: (n, r), rows of unit length."""
        return unit((unit(rows(Y, len(self.y_mean_))) - self.y_mean_) @ self.y_rotation_)
