"""Scores of pairs some of which are wrong: a mixture of true pairs and mismatches, whose scores are known."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from canonsim.calibration import PairScores, sigmoid

Vector = npt.NDArray[np.float64]

_STEPS = 1000
_TOLERANCE = 1e-6
_RATE_TOLERANCE = 5e-4

# Scores are taken together in so many groups of neighbours: a density changes less between them than is known of it.
_GROUPS = 1000

# Half the 95 % quantile of chi squared with one degree of freedom.
_HALF_CHI_SQUARED = 1.9207


@dataclass(frozen=True)
class Mixture:
    """Pairs of which a share is wrong: what their scores say.

    Attributes
    ----------
    noise_rate : float
        Share of wrong pairs, in [0, 1].
    intercept, slope : float
        Calibrated log odds of a score s are ``intercept + slope * s``.
    """

    noise_rate: float
    intercept: float
    slope: float

    def log_odds(self, scores: Vector) -> Vector:
        """Log-likelihood ratio of "a true pair" to "a mismatch", in nats: (n,)."""
        return self.intercept + self.slope * scores

    def probability(self, scores: Vector) -> Vector:
        """Probability that pairs of these scores are true, with the noise rate as prior: (n,)."""
        if self.noise_rate in (0.0, 1.0):
            return np.full(len(scores), 1 - self.noise_rate)
        return sigmoid(self.log_odds(scores) + math.log((1 - self.noise_rate) / self.noise_rate))


def fit_mixture(scores: PairScores) -> Mixture:
    """The most likely mixture.

    Scores of pairs have the density ``(1 - e) f1 + e f0``. Of f0, that of mismatches, there is a sample; f1 is tilted
    from it, ``log(f1 / f0) = intercept + slope * score``, as it must be for scores that are log-likelihood ratios up to
    calibration. No other form is assumed. Maximum likelihood by expectation and maximisation (Dempster, Laird, Rubin
    1977): given the probability of each pair to be true, intercept and slope are a logistic regression of pairs against
    mismatches (Qin and Zhang 1997), and the noise rate is the mean probability to be wrong. Mismatches count as many as
    pairs, since they are made of the same rows.

    Scores that do not tell pairs from mismatches leave the noise rate open: it is 0 then, with all log odds 0.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> true, wrong, others = (rng.normal(mean, 4, size) for mean, size in ((8, 700), (-8, 300), (-8, 10_000)))
    >>> scores = PairScores(np.concatenate([true, wrong]), others)
    >>> mixture = fit_mixture(scores)
    >>> round(mixture.noise_rate, 2)
    0.31
    >>> low, high = noise_rate_interval(scores, mixture)
    >>> low < 0.3 < high
    True
    """
    likelihood = _Likelihood(scores)
    mixture, _ = likelihood.maximise(likelihood.start(0.2))
    return mixture if mixture.slope > 0 else Mixture(0.0, 0.0, 0.0)


def noise_rate_interval(scores: PairScores, mixture: Mixture) -> tuple[float, float]:
    """The 95 % interval of the noise rate of the most likely mixture, by its profile likelihood.

    It takes the scores as given: how far off the space is that made them is not in it. (0, 1) where scores do not tell
    pairs from mismatches.
    """
    if mixture.slope == 0:
        return 0.0, 1.0
    likelihood = _Likelihood(scores)
    best, most = likelihood.maximise(mixture)
    least = most - _HALF_CHI_SQUARED
    return likelihood.bound(best, 0.0, least), likelihood.bound(best, 1.0, least)


class _Likelihood:
    """The empirical likelihood of a mixture (Qin 1999), with pairs and mismatches of equal total weight."""

    def __init__(self, scores: PairScores) -> None:
        n, m = len(scores.pairs), len(scores.mismatches)
        scored = np.concatenate([scores.pairs, scores.mismatches])
        order = np.argsort(scored, kind="stable")
        starts = np.unique(np.linspace(0, n + m, min(_GROUPS, n + m), endpoint=False).astype(np.int64))
        weights = np.stack([scored, np.repeat([1.0, 0.0], [n, m]), np.repeat([0.0, n / m], [n, m])])
        sums = np.add.reduceat(weights[:, order], starts, axis=1)
        self._n = n
        self._scores = sums[0] / np.diff(starts, append=n + m)
        self._pairs, self._weights = sums[1], sums[1] + sums[2]

    def start(self, rate: float) -> Mixture:
        """The mixture in which every pair is wrong with this probability, whatever its score."""
        return Mixture(rate, *self._tilt((1 - rate) * self._pairs, Mixture(rate, 0.0, 0.0)))

    def maximise(self, mixture: Mixture, *, fixed_rate: bool = False) -> tuple[Mixture, float]:
        """The most likely mixture, reached from this one, and its log-likelihood."""
        true = self._pairs * mixture.probability(self._scores)
        for _ in range(_STEPS):
            before = mixture
            rate = before.noise_rate if fixed_rate else min(max(float(1 - true.sum() / self._n), 0.0), 1.0)
            mixture = Mixture(rate, *self._tilt(true, before))
            true = self._pairs * mixture.probability(self._scores)
            change = abs(rate - before.noise_rate) + abs(mixture.slope - before.slope) / (before.slope or 1.0)
            if change < _TOLERANCE or mixture.slope == 0:
                break
        return mixture, self._value(mixture, float(true.sum()))

    def bound(self, best: Mixture, end: float, least: float) -> float:
        """The noise rate farthest from the best, towards this end, whose profile likelihood is not below the least."""

        def likely(rate: float) -> bool:
            start = Mixture(rate, best.intercept, best.slope)
            value = self._value(start, 0.0) if rate == 1 else self.maximise(start, fixed_rate=True)[1]
            return value >= least

        if likely(end):
            return end
        inside, outside = best.noise_rate, end
        while abs(outside - inside) > _RATE_TOLERANCE:
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if likely(middle) else (inside, middle)
        return inside

    def _value(self, mixture: Mixture, true: float) -> float:
        """Log-likelihood, where so many pairs are true.

        By the logistic regression an observation has the probability ``1 / (n0 + n1 exp(log odds))`` under f0.
        """
        tilt = mixture.log_odds(self._scores)
        with np.errstate(divide="ignore"):
            density = np.logaddexp(np.log1p(-mixture.noise_rate) + tilt, np.log(mixture.noise_rate))
            support = np.logaddexp(np.log(2 * self._n - true), np.log(true) + tilt)
        return float(self._pairs @ density - self._weights @ support)

    def _tilt(self, true: Vector, start: Mixture) -> tuple[float, float]:
        """Intercept and slope, for so many true pairs in each group: logistic regression by Newton's method.

        Slopes below 0 are no calibration: intercept and slope are 0 then.
        """
        # As of Platt (1999): no pair is true for certain, so the slope is finite where scores do not overlap.
        ones = true * (self._n + 1) / (self._n + 2)
        centre = self._weights @ self._scores / self._weights.sum()
        scale = math.sqrt(self._weights @ (self._scores - centre) ** 2 / self._weights.sum())
        if scale == 0 or ones.sum() == 0:
            return 0.0, 0.0
        log_ratio = math.log(ones.sum() / (self._weights.sum() - ones.sum()))
        s = (self._scores - centre) / scale
        basis = np.stack([np.ones_like(s), s])
        parameters = np.array([start.intercept + start.slope * centre + log_ratio, start.slope * scale])

        def loss(parameters: Vector) -> float:
            logits = parameters @ basis
            return float(self._weights @ np.logaddexp(0, logits) - ones @ logits)

        value = loss(parameters)
        for _ in range(_STEPS):
            p = sigmoid(parameters @ basis)
            gradient = basis @ (self._weights * p - ones)
            curvature = (basis * (self._weights * p * (1 - p))) @ basis.T
            # So little keeps the matrix regular and does not move the solution.
            step = np.linalg.solve(curvature + 1e-9 * self._n * np.eye(2), gradient)
            while (following := loss(parameters - step)) > value and np.abs(step).max() > _TOLERANCE:
                step /= 2
            if value - following <= 1e-10:
                break
            parameters, value = parameters - step, following
        slope = float(parameters[1] / scale)
        return (float(parameters[0] - log_ratio - slope * centre), slope) if slope > 0 else (0.0, 0.0)
