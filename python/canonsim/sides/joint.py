"""From moments of several sides to a joint space: ridges, rank and weights from held-out folds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any, Literal

import numpy as np

from canonsim import _native
from canonsim.canonical import checked_rank
from canonsim.sides.cross_fit import CrossFit, HeldOut, Ridges
from canonsim.sides.maxvar import Array, JointDirections
from canonsim.sides.moments import MultiMoments
from canonsim.sides.space import JointSpace
from canonsim.space import CanonicalSpace

_GRID = _native.RIDGES
_START = _GRID.index(_native.FIRST_RIDGE)


def fit_joint(
    moments: MultiMoments,
    n_components: int | Literal["auto"] | None = "auto",
    ridge: float | Mapping[str, float] | Literal["auto"] = "auto",
) -> JointSpace:
    """Fit one space for all sides: generalised canonical correlation analysis (MAXVAR; Kettenring 1971, Carroll 1968).

    Each side is whitened by its covariance over all rows that have it, with a ridge as in `canonsim.fit`. The joint
    directions are the eigenvectors of the block matrix of the whitened sides' correlations, each block from the rows
    that have both sides and counted by their number. So two sides that are rarely seen together meet by way of a third.
    With two sides, all rows paired, it is `canonsim.fit`.

    Parameters
    ----------
    moments : MultiMoments
        Every two sides must be joined, directly or by way of others, by rows that have both.
    n_components : int, "auto" or None
        Directions to keep, at most as many as there are: a number; ``"auto"``, those whose held-out correlation, the
        mean over the pairs of sides, is above chance, as in `canonsim.fit`; None, all. For each pair's own directions
        likewise.
    ridge : float, mapping of str to float, or "auto"
        What is added to the variances, relative to the mean variance of the side: one number, one for each side, or
        ``"auto"``, those of 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100 with the most held-out information.

    Returns
    -------
    JointSpace

    Raises
    ------
    TypeError
        For arguments of another type.
    ValueError
        For values out of range, a side with rows in fewer than two folds, or sides that no rows join.

    Notes
    -----
    Held-out correlations come from fitting on all folds but one and measuring second moments in that one. Held-out
    information is the Gaussian mutual information of each pair's held-out correlations, ``-sum log(1 - r^2) / 2``,
    times its rows, summed over the pairs. The same ridge for all sides is climbed from 0.3, then each side's from
    there, in turns, until no step is for the better. One step takes as many eigenproblems as there are folds, of the
    size of all sides together.

    Examples
    --------
    >>> import numpy as np
    >>> import canonsim
    >>> rng = np.random.default_rng(0)
    >>> z = rng.standard_normal((700, 3))
    >>> image, text, audio = (z @ rng.standard_normal((3, d)) + 0.5 * rng.standard_normal((700, d)) for d in (9, 8, 7))
    >>> moments = canonsim.MultiMoments({"image": 9, "text": 8, "audio": 7})
    >>> moments.update({"image": image[:300], "text": text[:300]})
    >>> moments.update({"text": text[300:600], "audio": audio[300:600]})  # no image was ever heard
    >>> space = canonsim.fit_joint(moments)
    >>> scores = space.similarity("image", image[600:], "audio", audio[600:])
    >>> bool((scores.argmax(axis=1) == np.arange(100)).mean() > 0.3)
    True
    """
    if not isinstance(moments, MultiMoments):
        raise TypeError(f"moments must be MultiMoments, got {type(moments).__name__}")
    widths = moments.dims.values()
    rank = checked_rank(n_components, sum(widths) - max(widths), "the widths of all sides but the widest")
    ridges = _checked_ridges(ridge, moments.sides)
    _check_joined(moments)
    cross_fit = CrossFit(moments)
    if ridges is None:
        ridges = _most_informative(moments.sides, cross_fit.information)
    held_out = cross_fit.held_out(ridges)
    return _space(moments, cross_fit.whole.maxvar(ridges), held_out, ridges, rank)


def _most_informative(sides: Sequence[str], measure: Callable[[Ridges], float]) -> Ridges:
    """Ridges of the grid from which no step of all sides, nor of one, is for the better."""
    known: dict[tuple[int, ...], float] = {}

    def informed(at: tuple[int, ...]) -> float:
        if at not in known:
            known[at] = measure({name: _GRID[i] for name, i in zip(sides, at, strict=True)})
        return known[at]

    def climbed(at: tuple[int, ...], moved: Sequence[bool]) -> tuple[int, ...]:
        for step in (-1, 1):
            while True:
                after = tuple(i + step * move for i, move in zip(at, moved, strict=True))
                if not all(0 <= i < len(_GRID) for i in after) or informed(after) <= informed(at):
                    break
                at = after
        return at

    best = climbed((_START,) * len(sides), [True] * len(sides))
    before = None
    while best != before:
        before = best
        for name in sides:
            best = climbed(best, [other == name for other in sides])
    return {name: _GRID[i] for name, i in zip(sides, best, strict=True)}


def _space(
    moments: MultiMoments,
    fit: JointDirections,
    held_out: HeldOut,
    ridges: Ridges,
    n_components: int | Literal["auto"] | None,
) -> JointSpace:
    def rank(training: Array, correlations: Array, count: int) -> int:
        """How many directions are kept, of those that the whole and every fold have."""
        most = min(len(training), len(correlations))
        if n_components == "auto":
            return _native.above_chance(correlations[:most], count)
        return most if n_components is None else min(n_components, most)

    pairs = {}
    for (a, b), measured in held_out.pairs.items():
        directions = fit.pairs[a, b]
        s = rank(directions.correlations, measured.correlations, measured.count)
        pairs[a, b] = CanonicalSpace(
            x_mean=fit.means[a],
            y_mean=fit.means[b],
            x_projection=np.ascontiguousarray(directions.x[:, :s]),
            y_projection=np.ascontiguousarray(directions.y[:, :s]),
            x_std=measured.x_std[:s],
            y_std=measured.y_std[:s],
            correlations=directions.correlations[:s],
            held_out_correlations=measured.correlations[:s],
            weights=measured.correlations[:s],
            weighting="held-out",
            ridge=(ridges[a], ridges[b]),
            count=measured.count,
        )
    r = rank(fit.correlations, held_out.correlations, sum(pair.count for pair in held_out.pairs.values()))
    return JointSpace(
        means=fit.means,
        projections={name: np.ascontiguousarray(directions[:, :r]) for name, directions in fit.projections.items()},
        stds={name: std[:r] for name, std in held_out.stds.items()},
        correlations=fit.correlations[:r],
        weights=held_out.correlations[:r],
        ridge=ridges,
        count=moments.count,
        pairs=pairs,
    )


def _checked_ridges(ridge: Any, sides: Sequence[str]) -> Ridges | None:
    """The ridge of each side; None for "auto"."""
    if isinstance(ridge, str):
        if ridge != "auto":
            raise ValueError(f"ridge must be a number, one for each side, or 'auto', got {ridge!r}")
        return None
    given = dict(ridge) if isinstance(ridge, Mapping) else dict.fromkeys(sides, ridge)
    if set(given) != set(sides):
        raise ValueError(f"ridge must have a number for each of {list(sides)}, got {ridge!r}")
    for value in given.values():
        if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
            raise TypeError(f"ridge must be a number, one for each side, or 'auto', got {ridge!r}")
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"ridge must be finite and at least 0, got {ridge!r}")
    return {name: float(given[name]) for name in sides}


def _check_joined(moments: MultiMoments) -> None:
    counts = moments.counts
    joined = {moments.sides[0]}
    for _ in moments.sides:
        joined |= {
            name for pair in combinations(moments.sides, 2) if counts[pair] > 1 and joined & set(pair) for name in pair
        }
    apart = [name for name in moments.sides if name not in joined]
    if apart:
        raise ValueError(
            f"no two rows have one of {sorted(joined)} together with one of {apart}: nothing joins these sides"
        )
