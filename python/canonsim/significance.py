"""What held-out correlations could be by chance, how far they may be off, and how many directions carry signal."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from canonsim import _native

Vector = npt.NDArray[np.float64]

# Probability with which unrelated sides stay below the noise floor at one ridge. Where the best of several ridges is
# taken, it is about 0.95.
_FLOOR = 0.99
# Standard errors to either side of 95 % of a normal distribution.
_TWO_SIDED = 1.96
# Draws of the distributions under chance: their tails at 2.5 % are then known to 7 % of themselves.
_DRAWS = 8000


class NoSignalWarning(UserWarning):
    """Held-out pairs show no canonical direction beyond chance."""


class Signal(NamedTuple):
    """How many canonical directions carry signal, of the whole fit, also where fewer directions are kept.

    ``directions`` is a median-unbiased estimate. There are at least ``low``, with 97.5 % confidence. Beyond ``high``,
    with the same confidence, directions have correlations below the noise of a single one: whether there are any cannot
    be told.
    """

    directions: int
    low: int
    high: int


@dataclass(frozen=True)
class Significance:
    """What the folds say of held-out correlations.

    Attributes
    ----------
    noise_floor : float
        What the largest held-out correlation of unrelated sides stays below in about 95 of 100 fits.
    standard_errors : (R,) f64
        Of each held-out correlation before it is made nonincreasing, by the jackknife over folds.
    signal : Signal
    """

    noise_floor: float
    standard_errors: Vector
    signal: Signal

    def check(self, directions: int) -> None:
        """Refuse what no folds say of at least so many directions: what comes from a file is not trusted."""
        errors = self.standard_errors
        if errors.dtype != np.float64 or errors.ndim != 1 or not (np.isfinite(errors) & (errors >= 0)).all():
            raise ValueError("standard_errors must be (R,) f64, finite and not negative")
        if not 0 <= self.noise_floor <= 1:
            raise ValueError(f"noise_floor must lie in [0, 1], got {self.noise_floor}")
        if not 0 <= self.signal.low <= self.signal.directions <= self.signal.high <= max(len(errors), directions):
            raise ValueError(f"signal must be ordered counts of at most {len(errors)} directions, got {self.signal}")


def significance(cross: Vector, x: Vector, y: Vector, effective_count: float) -> Significance:
    """Standard errors, noise floor and number of signal directions from the sums of the left-out folds.

    A held-out correlation of unrelated sides is a mean of products of independent variates, about normal. With a given
    direction its variance would be ``1 / n``. But a fold's direction is made of the other folds, and theirs of it: each
    product of the cross moments of two folds counts twice, as in a degenerate U-statistic, so the variance is
    ``2 / n``. Where pairs depend on each other (the captions of one image) or have heavy tails it is larger, by a
    factor that the folds tell: the mean of n times the squared standard errors, at least 1. Directions k + 1 to R
    carry no signal if the largest partial sum of their standardised correlations, ``max_m sum_{j <= m} z_{k + j} /
    sqrt(m)``, is one of chance. The number of signal directions is the smallest k that such a test does not reject, at
    a level of 50 %, and there are at least as many as at a level of 2.5 % (test inversion). The upper end counts the
    directions whose isotonic mean lies less than 1.96 of its standard errors below the chance level of one direction.

    Parameters
    ----------
    cross, x, y : (K, R)
        Sums over the pairs of each of K >= 2 folds of ``u v``, ``u^2`` and ``v^2`` of the variates of R directions.
    effective_count : float
        Number of pairs n, or of pairs of one weight that tell as much.

    Returns
    -------
    Significance
    """
    raw = _correlations(cross.sum(axis=0), x.sum(axis=0), y.sum(axis=0))
    errors = _jackknife(cross, x, y)
    directions = len(raw)
    if directions == 0:
        return Significance(0.0, errors, Signal(0, 0, 0))
    # The variance of a correlation r is (1 - r^2)^2 / n.
    spread = effective_count * (errors / np.maximum(1 - raw**2, 0.1)) ** 2
    unit = float(np.sqrt(2 * max(1.0, float(spread.mean())) / effective_count))
    median, surely, floor = _chance(_padded(directions))[:, :directions]
    tails = _tail_statistics(raw / unit)
    estimate, low = (_first_at_chance(tails, limits) for limits in (median, surely))
    high = max(estimate, _not_below_noise(raw / unit))
    return Significance(min(float(floor[-1]) * unit, 1.0), errors, Signal(estimate, low, high))


def _correlations(cross: Vector, x: Vector, y: Vector) -> Vector:
    scale = np.sqrt(x * y)
    return np.divide(cross, scale, out=np.zeros_like(scale), where=scale > 0)


def _jackknife(cross: Vector, x: Vector, y: Vector) -> Vector:
    """Standard errors (R,) by leaving out one fold after the other (Efron and Stein 1981)."""
    folds = len(cross)
    without = _correlations(*(sums.sum(axis=0) - sums for sums in (cross, x, y)))
    errors: Vector = np.sqrt((folds - 1) / folds * ((without - without.mean(axis=0)) ** 2).sum(axis=0))
    return errors


def _tail_statistics(z: Vector) -> Vector:
    """For each k < R the largest of ``sum_{j <= m} z_{k + j} / sqrt(m)``, (R,)."""
    root = np.sqrt(np.arange(1, len(z) + 1))
    return np.array([(np.cumsum(z[k:]) / root[: len(z) - k]).max() for k in range(len(z))])


def _first_at_chance(tails: Vector, limits: Vector) -> int:
    """The smallest k whose tail, of R - k directions, is within the limit for so many."""
    at_chance = np.flatnonzero(tails <= limits[::-1])
    return int(at_chance[0]) if len(at_chance) else len(tails)


def _not_below_noise(z: Vector) -> int:
    """How many directions may have a mean of 1 or more, each pool of the isotonic regression taken by its own mean."""
    means, pool = np.unique(-_native.nonincreasing(z), return_inverse=True)
    sizes = np.bincount(pool)
    may_be = -means + _TWO_SIDED / np.sqrt(sizes) >= 1
    return int(sizes[: len(sizes) if may_be.all() else int(may_be.argmin())].sum())


def _padded(directions: int) -> int:
    return 1 << (directions - 1).bit_length()


@lru_cache(maxsize=8)
def _chance(directions: int) -> Vector:
    """What statistics of 1, 2, ... directions without signal stay below, (3, directions).

    The tail statistic with probabilities of 0.5 and of 0.975; the first value of the isotonic regression, which is the
    largest mean of a prefix, with that of the noise floor. The draws come one direction after the other: all at once
    they would take hundreds of megabytes.
    """
    rng = np.random.default_rng(0)
    sums = np.zeros(_DRAWS)
    tails, means = np.full((2, _DRAWS), -np.inf)
    limits = np.empty((3, directions))
    for m in range(1, directions + 1):
        sums += rng.standard_normal(_DRAWS)
        np.maximum(tails, sums / np.sqrt(m), out=tails)
        np.maximum(means, sums / m, out=means)
        limits[:2, m - 1] = np.quantile(tails, (0.5, 0.975))
        limits[2, m - 1] = np.quantile(means, _FLOOR)
    return limits
