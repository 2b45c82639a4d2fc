"""From moments to a canonical space: ridge, rank and weights."""

from __future__ import annotations

import math
import warnings
from typing import Any, Literal, TypeAlias

import numpy as np

from canonsim import _native
from canonsim.maps import FeatureMap
from canonsim.maps.feature_map import check_map
from canonsim.moments import PairedMoments
from canonsim.rows import Ids, Rows
from canonsim.scoring import Weights
from canonsim.significance import NoSignalWarning, Significance, significance
from canonsim.space import CanonicalSpace

Ridge: TypeAlias = float | tuple[float, float] | Literal["auto", "oas", "ledoit-wolf"]

# Fewer pairs than this show nothing either way.
_ENOUGH_TO_WARN = 20

_NO_FOLDS = (
    "needs at least two folds that hold rows: accumulate with PairedMoments(..., folds=5) and more pairs, or pass {}"
)


def fit(
    moments: PairedMoments,
    n_components: int | Literal["auto"] | None = "auto",
    ridge: Ridge = "auto",
    weights: Weights = "held-out",
    unpaired: float | tuple[float, float] | Literal["auto"] = "auto",
    *,
    x_map: FeatureMap | None = None,
    y_map: FeatureMap | None = None,
    calibrate: tuple[Rows, Rows] | tuple[Rows, Rows, Ids] | None = None,
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
        above its standard error by chance, ``1 / sqrt(n m)`` for m directions that isotonic regression pooled (all,
        where nothing is held out); None, all.
    ridge : float, (float, float), "auto", "oas" or "ledoit-wolf"
        What is added to the variances, relative to the mean variance of the side: one number, one for each side,
        ``"auto"``, those of 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100 with the most held-out information, or what an
        analytic shrinkage s of the covariance to a multiple of the identity amounts to, ``s / (1 - s)``:
        ``"oas"``, oracle approximating shrinkage (Chen, Wiesel, Eldar, Hero 2010, equation 23), or ``"ledoit-wolf"``
        (Ledoit and Wolf 2004). The analytic ones look at each side alone.
    weights : "held-out", "training" or "equal"
        What the similarity weights directions by: held-out correlations, training correlations (the paper), or nothing.
    unpaired : float, (float, float) or "auto"
        The share s of the unpaired rows (`PairedMoments.update_x`, `update_y`) in the covariance that whitens a side,
        ``(1 - s) C_paired + s C_unpaired``, each about its own mean: ``"auto"``, those of 0, 0.1, 0.3, 0.6, 0.9 with
        the most held-out information, 0 where nothing is held out. With a share above 0 the training correlations are
        no longer those of one sample and are clipped to [0, 1].
    x_map, y_map : FeatureMap, optional
        The maps of `canonsim.maps` that rows went through before they were added to the moments. The space takes rows
        as they are and maps them itself.
    calibrate : (x, y) or (x, y, ids), optional
        Pairs that are not among those of the moments: `CanonicalSpace.calibrate` calibrates the log odds with them.

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

    Warns
    -----
    NoSignalWarning
        Where 20 or more pairs show no direction beyond chance: see `canonsim.significance`.

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
    shares = _checked_shares(unpaired)
    if weights not in ("held-out", "training", "equal"):
        raise ValueError(f"weights must be 'held-out', 'training' or 'equal', got {weights!r}")
    check_map(x_map, "x_map", moments.x_dim)
    check_map(y_map, "y_map", moments.y_dim)
    if calibrate is not None and not (isinstance(calibrate, (tuple, list)) and len(calibrate) in (2, 3)):
        raise TypeError(f"calibrate must be (x, y) or (x, y, ids) of held-out pairs, got {type(calibrate).__name__}")
    if moments.count < 2:
        raise ValueError(f"a fit needs at least 2 pairs, the moments hold {moments.count}")
    filled = sum(moments.fold_counts > 0)
    if filled < 2 and ridges == "auto":
        raise ValueError("ridge='auto' " + _NO_FOLDS.format("a number, such as ridge=1.0"))
    if filled < 2 and weights == "held-out":
        raise ValueError("weights='held-out' " + _NO_FOLDS.format("weights='training'"))
    found = _native.fit(moments.native, ridges, shares, rank)
    if weights == "held-out":
        if found.held_out_correlations is None:
            raise ValueError("weights='held-out' " + _NO_FOLDS.format("weights='training'"))
        chosen = found.held_out_correlations
    else:
        chosen = found.correlations if weights == "training" else np.ones_like(found.correlations)
    space = CanonicalSpace(
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
        unpaired=found.unpaired,
        count=found.count,
        significance=_significance(found),
        x_map=x_map,
        y_map=y_map,
    )
    return space if calibrate is None else space.calibrate(*calibrate)


def _significance(found: _native.Fit) -> Significance | None:
    """What the left-out folds say, with a warning where they show nothing."""
    if found.fold_cross is None or found.fold_x is None or found.fold_y is None:
        return None
    measured = significance(found.fold_cross, found.fold_x, found.fold_y, found.effective_count)
    if measured.signal.low == 0 and found.effective_count >= _ENOUGH_TO_WARN:
        held_out = found.held_out_correlations
        first = "a side does not vary"
        if held_out is not None and len(held_out):
            first = f"the first held-out correlation is {held_out[0]:.3f}, and chance makes {measured.noise_floor:.3f}"
        warnings.warn(
            f"held-out pairs show no canonical direction beyond chance: {first}. Give more than these "
            f"{found.effective_count:.0f} pairs, or check that row i of x belongs to row i of y",
            NoSignalWarning,
            stacklevel=3,
        )
    return measured


def checked_rank(n_components: Any, most: int, bound: str = "the smaller width") -> int | Literal["auto"] | None:
    """Give ``n_components`` of a fit back, or refuse it; ``most`` is what the message calls ``bound``."""
    if n_components is None:
        return None
    if isinstance(n_components, str) and n_components == "auto":
        return "auto"
    if isinstance(n_components, bool) or not isinstance(n_components, (int, np.integer)):
        raise TypeError(f"n_components must be an integer, 'auto' or None, got {n_components!r}")
    if not 1 <= n_components <= most:
        raise ValueError(f"n_components must lie between 1 and {bound}, {most}, got {n_components}")
    return int(n_components)


def checked_ridge(ridge: Any) -> tuple[float, float] | str:
    """Give ``ridge`` of `fit` back, a number as a pair, or refuse it."""
    expected = "ridge must be a number, a pair of numbers, 'auto', 'oas' or 'ledoit-wolf'"
    if isinstance(ridge, str):
        if ridge not in ("auto", "oas", "ledoit-wolf"):
            raise ValueError(f"{expected}, got {ridge!r}")
        return ridge
    values = _pair(ridge, expected)
    if any(not math.isfinite(value) or value < 0 for value in values):
        raise ValueError(f"ridge must be finite and at least 0, got {ridge!r}")
    return values


def _checked_shares(unpaired: Any) -> tuple[float, float] | str:
    expected = "unpaired must be a number, a pair of numbers or 'auto'"
    if isinstance(unpaired, str):
        if unpaired != "auto":
            raise ValueError(f"{expected}, got {unpaired!r}")
        return unpaired
    values = _pair(unpaired, expected)
    if any(not 0 <= value <= 1 for value in values):
        raise ValueError(f"unpaired must lie between 0 and 1, got {unpaired!r}")
    return values


def _pair(value: Any, expected: str) -> tuple[float, float]:
    values = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    numbers = (int, float, np.integer, np.floating)
    if len(values) != 2 or any(isinstance(each, bool) or not isinstance(each, numbers) for each in values):
        raise TypeError(f"{expected}, got {value!r}")
    return float(values[0]), float(values[1])
