"""Log odds of the pairs of a fit by spaces that have seen neither them nor the rows of their group."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from canonsim import _native
from canonsim.calibration import PairScores, score_pairs
from canonsim.canonical import fit
from canonsim.moments import PairedMoments, merge
from canonsim.rows import Ids, Rows, check_rows, take, to_dtype, to_ids, widest_dtype
from canonsim.space import CanonicalSpace


def cross_fitted_scores(
    space: CanonicalSpace, moments: PairedMoments, x: Rows, y: Rows, ids: Ids | None = None
) -> PairScores:
    """Log odds of each pair, and of mismatches within its fold, by a fit of all other folds.

    The fold of a row is that of the moments. What was chosen once from all folds is taken from the space: ridge, rank,
    feature maps, held-out correlations and standard deviations, and the scale of log odds. So this costs one plain fit
    for each fold.

    Parameters
    ----------
    space : CanonicalSpace
        What `canonsim.fit` made of the moments, with held-out correlations.
    moments : PairedMoments
    x, y, ids
        The rows of the moments (of the space, where it has feature maps), and their ids: by default the running row
        number.

    Returns
    -------
    PairScores
        ``pairs`` (n,) in the order of the rows, and ``mismatches`` (m,): see `CanonicalSpace.pair_scores`.

    Raises
    ------
    TypeError
        For values that are no floats, or ids that are no integers.
    ValueError
        For other widths, different numbers of rows, values that are not finite, a space without held-out correlations,
        or where all rows of each fold belong together: there is no mismatch.
    """
    if space.held_out_correlations is None:
        raise ValueError("space has no held-out correlations: fit moments of at least two folds that hold rows")
    check_rows(x, "x", space.x_dim)
    check_rows(y, "y", space.y_dim)
    if len(x) != len(y):
        raise ValueError(f"y has {len(y)} rows, but x has {len(x)}")
    numbers = np.arange(len(x), dtype=np.int64) if ids is None else to_ids(ids, len(x))
    parts = (
        (rows, score_pairs(partial(_vectors, scorer), take(x, rows), take(y, rows), numbers[rows]))
        for rows, scorer in left_out_folds(space, moments, numbers)
    )
    return PairScores.joined(parts, len(x)).checked()


def left_out_folds(
    space: CanonicalSpace, moments: PairedMoments, ids: npt.NDArray[np.int64]
) -> Iterator[tuple[npt.NDArray[np.int64], CanonicalSpace]]:
    """For each fold that some of the ids are in: their places, and the space with the directions of all other folds.

    Parameters
    ----------
    space : CanonicalSpace
        The fit of the moments.
    moments : PairedMoments
    ids : (n,) int64
    """
    fold_of = _native.folds_of(ids, moments.folds)
    folds = [moments.fold(k) for k in range(moments.folds)]
    for k in np.unique(fold_of):
        yield np.flatnonzero(fold_of == k), _with_directions_of(space, merge(folds[:k] + folds[k + 1 :]))


def _with_directions_of(space: CanonicalSpace, moments: PairedMoments) -> CanonicalSpace:
    """The same space with the directions of other moments."""
    rank = max(1, space.n_components)
    found = fit(moments, rank, space.ridge, "training", 0.0, x_map=space.x_map, y_map=space.y_map)
    # The moments may have fewer directions.
    r = min(space.n_components, found.n_components)
    arrays = {name: getattr(found, name) for name in ("x_mean", "y_mean")}
    arrays |= {name: np.ascontiguousarray(getattr(found, name)[:, :r]) for name in ("x_projection", "y_projection")}
    kept = ("x_std", "y_std", "held_out_correlations", "weights")
    arrays |= {name: getattr(space, name)[:r] for name in kept}
    return space.replace(correlations=found.correlations[:r], **arrays)


def _vectors(space: CanonicalSpace, x: Rows, y: Rows) -> tuple[Any, Any]:
    """Vectors for log odds in the widest dtype: log odds are small differences of large numbers."""
    x, y = to_dtype(x, widest_dtype(x)), to_dtype(y, widest_dtype(y))
    return space.embed_x(x, "log_odds"), space.embed_y(y, "log_odds")
