"""From moments to a canonical space: ridge, rank and weights."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from canonsim import _native
from canonsim.moments import PairedMoments
from canonsim.scoring import Weights
from canonsim.space import CanonicalSpace

_NO_FOLDS = (
    "needs at least two folds that hold rows: accumulate with PairedMoments(..., folds=5) and more pairs, or pass {}"
)


def fit(
    moments: PairedMoments,
    n_components: int | Literal["auto"] | None = "auto",
    ridge: float | tuple[float, float] | Literal["auto", "oas"] = "auto",
    weights: Weights = "held-out",
) -> CanonicalSpace:
    """Fit the canonical space of paired moments (canonical correlation analysis, Hotelling 1936).

    With covariances ``Cx = Sxx / (n - 1) + ridge * mean variance * I``, likewise ``Cy``, and the thin singular value
    decomposition ``Cx^(-1/2) Cxy Cy^(-1/2) = U diag(rho) V^T``, the projections are ``A = Cx^(-1/2) U`` and
    ``B = Cy^(-1/2) V``. Held-out correlations come from fitting on all folds but one and measuring on that one, from
    the fold moments alone.

    Parameters
    ----------
    moments : PairedMoments
        Of at least 2 pairs.
    n_components : int, "auto" or None
        Directions to keep, at most as many as there are: a number; ``"auto"``, those whose held-out correlation is
        above chance, ``1 / sqrt(n)`` (all, where nothing is held out); None, all.
    ridge : float, (float, float), "auto" or "oas"
        What is added to the variances, relative to the mean variance of the side: one number, one for each side,
        ``"auto"``, those of 0.01, 0.03, 0.1, 0.3, 1, 3, 10 with the most held-out information, or ``"oas"``, oracle
        approximating shrinkage (Chen, Wiesel, Eldar, Hero 2010).
    weights : "held-out", "training" or "equal"
        What the similarity weights directions by: held-out correlations, training correlations (the paper), or nothing.

    Returns
    -------
    CanonicalSpace

    Raises
    ------
    TypeError
        For arguments of another type.
    ValueError
        For values out of range, fewer than 2 pairs, or held-out numbers asked of moments with fewer than two folds that
        hold rows.

    Notes
    -----
    Held-out information is the Gaussian mutual information of the held-out correlations, ``-sum log(1 - r^2) / 2``.
    It rises and falls once with a ridge, unless by chance: so the same ridge for both sides is climbed from 0.3 (or all
    are tried, where pairs are fewer than columns), and with fewer than ten pairs for each column the ridge of one side
    and of the other from there.

    A side whose covariance stands clear of rounding is whitened by its Cholesky factor; any other (fewer pairs than
    columns, class prompts, constant columns) by eigenvectors, without the directions that rounding could have made.
    Singular vectors are those of a Gram matrix, which takes half the time of a bidiagonalisation. What that loses is
    bounded by taking small values in rounds of their own: correlations are exact to rounding, and projections whiten
    to 1e-12 with f64 rows, to the rounding of the products (about 1e-7) with shorter ones.

    Examples
    --------
    >>> import numpy as np
    >>> import canonsim
    >>> rng = np.random.default_rng(0)
    >>> z = rng.standard_normal((500, 3))
    >>> moments = canonsim.PairedMoments(6, 5)
    >>> moments.update(z @ rng.standard_normal((3, 6)), z @ rng.standard_normal((3, 5)))
    >>> space = canonsim.fit(moments, ridge=0.0)
    >>> space.correlations.round(3)
    array([1., 1., 1.])
    """
    if not isinstance(moments, PairedMoments):
        raise TypeError(f"moments must be PairedMoments, got {type(moments).__name__}")
    rank = checked_rank(n_components, min(moments.x_dim, moments.y_dim))
    ridges = checked_ridge(ridge)
    if weights not in ("held-out", "training", "equal"):
        raise ValueError(f"weights must be 'held-out', 'training' or 'equal', got {weights!r}")
    if moments.count < 2:
        raise ValueError(f"a fit needs at least 2 pairs, the moments hold {moments.count}")
    filled = sum(moments.fold_counts > 0)
    if filled < 2 and ridges == "auto":
        raise ValueError("ridge='auto' " + _NO_FOLDS.format("a number, such as ridge=1.0"))
    if filled < 2 and weights == "held-out":
        raise ValueError("weights='held-out' " + _NO_FOLDS.format("weights='training'"))
    found = _native.fit(moments.native, ridges, rank)
    if weights == "held-out":
        if found.held_out_correlations is None:
            raise ValueError("weights='held-out' " + _NO_FOLDS.format("weights='training'"))
        chosen = found.held_out_correlations
    else:
        chosen = found.correlations if weights == "training" else np.ones_like(found.correlations)
    return CanonicalSpace(
        x_mean=found.x_mean,
        y_mean=found.y_mean,
        x_projection=found.x_projection,
        y_projection=found.y_projection,
        x_std=found.x_std,
        y_std=found.y_std,
        correlations=found.correlations,
        held_out_correlations=found.held_out_correlations,
        weights=chosen,
        weighting=weights,
        ridge=found.ridge,
        count=found.count,
    )


def checked_rank(n_components: Any, most: int) -> int | Literal["auto"] | None:
    """Give ``n_components`` of `fit` back, or refuse it; ``most`` is the smaller width."""
    if n_components is None:
        return None
    if isinstance(n_components, str) and n_components == "auto":
        return "auto"
    if isinstance(n_components, bool) or not isinstance(n_components, (int, np.integer)):
        raise TypeError(f"n_components must be an integer, 'auto' or None, got {n_components!r}")
    if not 1 <= n_components <= most:
        raise ValueError(f"n_components must lie between 1 and the smaller width, {most}, got {n_components}")
    return int(n_components)


def checked_ridge(ridge: Any) -> tuple[float, float] | str:
    """Give ``ridge`` of `fit` back, a number as a pair, or refuse it."""
    if isinstance(ridge, str):
        if ridge not in ("auto", "oas"):
            raise ValueError(f"ridge must be a number, a pair of numbers, 'auto' or 'oas', got {ridge!r}")
        return ridge
    values = tuple(ridge) if isinstance(ridge, (tuple, list)) else (ridge, ridge)
    numbers = (int, float, np.integer, np.floating)
    if len(values) != 2 or any(isinstance(value, bool) or not isinstance(value, numbers) for value in values):
        raise TypeError(f"ridge must be a number, a pair of numbers, 'auto' or 'oas', got {ridge!r}")
    if any(not math.isfinite(value) or value < 0 for value in values):
        raise ValueError(f"ridge must be finite and at least 0, got {ridge!r}")
    return float(values[0]), float(values[1])
