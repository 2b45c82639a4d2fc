"""Partial least squares: the directions of largest covariance between the standardised sides."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from canonsim.baselines.baseline import Baseline
from canonsim.baselines.rows import mean_and_std, paired_rows, rows, unit


class PLS(Baseline):
    """Project both sides on the leading singular vectors of their cross-covariance, then compare by cosine.

    The columns are standardised by the training rows; with X^T Y = U diag(s) V^T, the first r columns of U and V are
    the directions of largest covariance (PLS-SVD; Wegelin, A survey of partial least squares methods, 2000, section
    3.2; `PLSSVD` of scikit-learn). Embeddings are scaled to unit length.

    Parameters
    ----------
    r : int
        Number of components; at most p, q and n - 1 are there.

    Attributes
    ----------
    x_mean_, y_mean_, x_std_, y_std_ : ndarray (p,), (q,), (p,), (q,)
        What standardises; the standard deviation of a constant column counts as 1.
    x_projection_, y_projection_ : ndarray (p, r), (q, r)
        Orthonormal columns, by decreasing covariance.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=(200, 3))
    >>> x, y = z @ rng.normal(size=(3, 8)), z @ rng.normal(size=(3, 6))
    >>> scores = PLS(r=3).fit(x[:150], y[:150]).score_pairwise(x[150:], y[150:])
    >>> bool(scores.mean() > 0.9)
    True
    """

    x_mean_: NDArray[np.float64]
    y_mean_: NDArray[np.float64]
    x_std_: NDArray[np.float64]
    y_std_: NDArray[np.float64]
    x_projection_: NDArray[np.float64]
    y_projection_: NDArray[np.float64]

    def __init__(self, r: int = 50) -> None:
        if r < 1:
            raise ValueError(f"r must be at least 1, not {r}")
        self.r = r

    def fit(self, X: ArrayLike, Y: ArrayLike) -> Self:
        """Find the directions from training pairs X (n, p), Y (n, q), n >= 2."""
        x, y = paired_rows(X, Y, least=2)
        self.x_mean_, self.x_std_ = mean_and_std(x)
        self.y_mean_, self.y_std_ = mean_and_std(y)
        x, y = (x - self.x_mean_) / self.x_std_, (y - self.y_mean_) / self.y_std_
        u, _, vt = np.linalg.svd(x.T @ y, full_matrices=False)
        r = min(self.r, len(x) - 1)
        self.x_projection_, self.y_projection_ = u[:, :r], vt[:r].T
        return self

    def embed_x(self, X: ArrayLike) -> NDArray[np.float64]:
        """Project items X (n, p): (n, r), rows of unit length."""
        return unit((rows(X, len(self.x_mean_)) - self.x_mean_) / self.x_std_ @ self.x_projection_)

    def embed_y(self, Y: ArrayLike) -> NDArray[np.float64]:
        """Project items Y (n, q): (n, r), rows of unit length."""
        return unit((rows(Y, len(self.y_mean_)) - self.y_mean_) / self.y_std_ @ self.y_projection_)
