"""Held-out numbers of a joint fit from fold moments: fit on all folds but one, measure on that one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np

from canonsim import _native
from canonsim.moments import PairedMoments, merge
from canonsim.scoring import LARGEST_CORRELATION, information
from canonsim.sides.maxvar import Array, Covariance, JointDirections, Names, Training
from canonsim.sides.moments import MultiMoments

Ridges: TypeAlias = dict[str, float]


@dataclass(frozen=True)
class HeldOut:
    """What left-out folds say.

    Attributes
    ----------
    correlations : (r,)
        Of the joint directions, the mean over the pairs by their rows: nonincreasing, in [0, 1).
    stds : {side: (r,)}
        Of the joint variates.
    pairs : {(side, side): HeldOutPair}
        Of each two sides that at least two rows have.
    """

    correlations: Array
    stds: dict[str, Array]
    pairs: dict[Names, HeldOutPair]


@dataclass(frozen=True)
class HeldOutPair:
    """What they say of the own directions of two sides: nonincreasing correlations in [0, 1), and deviations, (s,)."""

    count: int
    correlations: Array
    x_std: Array
    y_std: Array


class CrossFit:
    """All rows, and the folds to be left out in turn.

    Raises
    ------
    ValueError
        If leaving a fold out leaves fewer than two rows of a side.
    """

    def __init__(self, moments: MultiMoments) -> None:
        folds = range(moments.folds)
        self._counts = moments.counts
        self._sides = {name: [moments.side(name, [k]) for k in folds] for name in moments.sides}
        self._roundoffs = {name: moments.roundoff(name) for name in moments.sides}
        pairs = {names: moments.pair(*names) for names in combinations(moments.sides, 2)}
        self._pairs = {names: [pair.fold(k) for k in folds] for names, pair in pairs.items()}
        filled = [k for k in folds if any(side[k].count for side in self._sides.values())]
        self._left_out = {k: self._training(moments, [j for j in folds if j != k]) for k in filled}
        self.whole = self._training(moments, folds)

    def _training(self, moments: MultiMoments, folds: Sequence[int]) -> Training:
        sides = {}
        for name in self._sides:
            side = moments.side(name, folds)
            if side.count < 2:
                raise ValueError(
                    f"{name!r} has {side.count} of its {self._counts[name]} rows in folds {list(folds)}: a joint fit "
                    "needs two rows of every side whichever fold is left out; give more rows, in 5 folds"
                )
            sides[name] = Covariance(side, self._roundoffs[name])
        dims = moments.dims
        none = {(a, b): PairedMoments(dims[a], dims[b], 1) for a, b in self._pairs}
        return Training(
            sides, {names: merge([none[names], *(pair[k] for k in folds)]) for names, pair in self._pairs.items()}
        )

    def information(self, ridges: Ridges) -> float:
        """Held-out information of all rows of all pairs with these ridges, in nats."""
        pairs = self._of_pairs({k: training.maxvar(ridges) for k, training in self._left_out.items()})
        return sum(pair.count * information(pair.correlations) for pair in pairs.values())

    def held_out(self, ridges: Ridges) -> HeldOut:
        """Held-out numbers with these ridges: second moments of left-out folds about the training mean, summed.

        True correlations do not increase: those of a pair in its own directions, and those of the joint directions on
        the mean over the pairs. Isotonic regression makes them so.
        """
        fits = {k: training.maxvar(ridges) for k, training in self._left_out.items()}
        pairs = self._of_pairs(fits)
        # A direction counts where every fold has it.
        r = min(len(fit.correlations) for fit in fits.values())
        projections = {k: {a: own[:, :r] for a, own in fit.projections.items()} for k, fit in fits.items()}
        correlations = []
        for a, b in pairs:
            tests = self._pairs[a, b]
            moments = [_second_moments(tests[k], fits[k], (a, b), own[a], own[b]) for k, own in projections.items()]
            correlations.append(_correlations(sum(moments, np.zeros((3, r)))))
        mean = np.average(correlations, axis=0, weights=[pair.count for pair in pairs.values()])
        stds = {}
        for name, side in self._sides.items():
            squares = np.zeros(r)
            for k, own in projections.items():
                off = side[k].mean - fits[k].means[name]
                squares += _about(side[k].scatter, side[k].count, own[name], own[name], off, off)
            stds[name] = _deviations(squares, self._counts[name])
        return HeldOut(_isotonic(mean), stds, pairs)

    def _of_pairs(self, fits: Mapping[int, JointDirections]) -> dict[Names, HeldOutPair]:
        """What left-out folds say of each pair's own directions."""
        pairs = {}
        for names, tests in self._pairs.items():
            if (count := self._counts[names]) < 2:
                continue
            s = min(len(fit.pairs[names].correlations) for fit in fits.values())
            sums = np.zeros((3, s))
            for k, fit in fits.items():
                own = fit.pairs[names]
                sums += _second_moments(tests[k], fit, names, own.x[:, :s], own.y[:, :s])
            x_std, y_std = _deviations(sums[1], count), _deviations(sums[2], count)
            pairs[names] = HeldOutPair(count, _isotonic(_correlations(sums)), x_std, y_std)
        return pairs


def _second_moments(test: PairedMoments, fit: JointDirections, names: Names, a: Array, b: Array) -> Array:
    """Those of x with y, x and y of the variates along a (p, s) and b (q, s) about the training mean, (3, s)."""
    x, y = test.x_mean - fit.means[names[0]], test.y_mean - fit.means[names[1]]
    return np.stack(
        [
            _about(test.scatter_xy, test.count, a, b, x, y),
            _about(test.scatter_xx, test.count, a, a, x, x),
            _about(test.scatter_yy, test.count, b, b, y, y),
        ]
    )


def _about(scatter: Array, count: int, a: Array, b: Array, x: Array, y: Array) -> Array:
    """``a_i^T S b_i`` with the scatter S about points that lie x (p,) and y (q,) below the means."""
    moments: Array = (a * (scatter @ b)).sum(axis=0) + count * (x @ a) * (y @ b)
    return moments


def _correlations(sums: Array) -> Array:
    scale = np.sqrt(np.maximum(sums[1] * sums[2], 0.0))
    correlations: Array = np.divide(sums[0], scale, out=np.zeros_like(scale), where=scale > 0)
    return correlations


def _deviations(squares: Array, count: int) -> Array:
    return np.sqrt(np.maximum(squares, 0.0) / count)


def _isotonic(correlations: Array) -> Array:
    return np.clip(_native.nonincreasing(correlations), 0.0, LARGEST_CORRELATION)
