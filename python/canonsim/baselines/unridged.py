"""CSA as it was published: no ridge, training correlations as weights, a given number of directions."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from canonsim.baselines.baseline import Baseline
from canonsim.baselines.rows import paired_rows, rows
from canonsim.canonical import fit
from canonsim.moments import PairedMoments
from canonsim.space import CanonicalSpace


class UnridgedCSA(Baseline):
    """Canonical directions without a ridge, compared by the cosine that weights them by training correlations.

    The similarity is ``sum_i rho_i u_i v_i / (|u| |v|)`` over the first s directions (Li, Chinchali, Topcu, ICLR 2025,
    equation 4), with the directions of an unridged canonical correlation analysis. Directions whose variance is within
    rounding are dropped, not inverted, so fewer pairs than columns are no error: all training correlations are then 1.
    This is ``canonsim.fit(moments, n_components=s, ridge=0.0, weights="training")``.

    Parameters
    ----------
    s : int or None
        Number of directions; None keeps all, as do numbers above what there is.

    Attributes
    ----------
    space_ : CanonicalSpace
        The fitted space.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 8))
    >>> y = x @ rng.normal(size=(8, 6))
    >>> csa = UnridgedCSA(s=4).fit(x, y)
    >>> csa.space_.correlations.round(6)
    array([1., 1., 1., 1.])
    """

    space_: CanonicalSpace

    def __init__(self, s: int | None = None) -> None:
        if s is not None and s < 1:
            raise ValueError(f"s must be at least 1 or None, not {s}")
        self.s = s

    def fit(self, X: ArrayLike, Y: ArrayLike) -> Self:
        """Find the directions from training pairs X (n, p), Y (n, q), n >= 2."""
        x, y = paired_rows(X, Y, least=2)
        moments = PairedMoments(x.shape[1], y.shape[1], folds=1)
        moments.update(x, y)
        space = fit(moments, n_components=None, ridge=0.0, weights="training")
        self.space_ = space if self.s is None or self.s >= space.n_components else space.truncate(self.s)
        return self

    def embed_x(self, X: ArrayLike) -> NDArray[np.float64]:
        """Weighted unit variates of X (n, p): (n, s)."""
        vectors: NDArray[np.float64] = self.space_.embed_x(rows(X, self.space_.x_dim))
        return vectors

    def embed_y(self, Y: ArrayLike) -> NDArray[np.float64]:
        """Weighted unit variates of Y (n, q): (n, s)."""
        vectors: NDArray[np.float64] = self.space_.embed_y(rows(Y, self.space_.y_dim))
        return vectors
