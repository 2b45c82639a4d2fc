"""Whether log odds mean what they say: reliability, expected calibration error, log loss."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from canonsim.calibration import sigmoid


@dataclass(frozen=True)
class Reliability:
    """Predicted probability against observed frequency, bin by bin; bins without scores are left out.

    Attributes
    ----------
    predicted : (b,) f64
        Mean predicted probability of the scores of the bin.
    observed : (b,) f64
        Frequency of pairs among them.
    counts : (b,) int64
        Scores in the bin.
    share : (b,) f64
        Probability of the bin, where pairs are as frequent as ``prior`` says. Sums to 1.
    """

    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]
    counts: NDArray[np.int64]
    share: NDArray[np.float64]


@dataclass(frozen=True)
class CalibrationSummary:
    """All of this module about one set of scores.

    Attributes
    ----------
    reliability : Reliability
    expected_calibration_error : float
        In [0, 1].
    log_loss : float
        In nats.
    chance_log_loss : float
        That of a score that says nothing.
    """

    reliability: Reliability
    expected_calibration_error: float
    log_loss: float
    chance_log_loss: float


def reliability(positive: ArrayLike, negative: ArrayLike, bins: int = 15, prior: float = 0.5) -> Reliability:
    """Predicted probabilities of log odds in bins of equal width, and how often they came true (Guo et al. 2017).

    The predicted probability of a score s is ``1 / (1 + exp(-s - log(prior / (1 - prior))))``: log odds are likelihood
    ratios. Pairs and mismatches are weighted so that pairs have the share ``prior``, however many scores there are of
    each.

    Parameters
    ----------
    positive, negative : array_like (n,), (m,)
        Log odds of pairs and of mismatches, in nats.
    bins : int
        At least 1.
    prior : float
        Between 0 and 1.

    Returns
    -------
    Reliability

    Raises
    ------
    ValueError
        If a side is empty or holds values that are not finite, or for bins or a prior out of range.

    Examples
    --------
    >>> found = reliability([2.0, 2.0, -2.0], [-2.0, -2.0, 2.0], bins=2)
    >>> found.predicted.round(2), found.observed.round(2), found.counts
    (array([0.12, 0.88]), array([0.33, 0.67]), array([3, 3]))
    """
    positive, negative = _checked(positive, negative, prior)
    if isinstance(bins, bool) or not isinstance(bins, (int, np.integer)) or bins < 1:
        raise ValueError(f"bins must be an integer, at least 1, got {bins!r}")
    predicted = sigmoid(np.concatenate([positive, negative]) + _logit(prior))
    true = np.repeat([prior / positive.size, 0.0], [positive.size, negative.size])
    false = np.repeat([0.0, (1 - prior) / negative.size], [positive.size, negative.size])
    place = np.minimum((predicted * bins).astype(np.int64), bins - 1)
    counts = np.bincount(place, minlength=bins).astype(np.int64)
    kept = counts > 0
    share, mass, hits = (
        np.asarray(np.bincount(place, values, bins), dtype=np.float64)[kept]
        for values in (true + false, (true + false) * predicted, true)
    )
    return Reliability(mass / share, hits / share, counts[kept], share)


def expected_calibration_error(positive: ArrayLike, negative: ArrayLike, bins: int = 15, prior: float = 0.5) -> float:
    """Mean distance of predicted probability and observed frequency over the bins of `reliability`: in [0, 1].

    Naeini, Cooper, Hauskrecht (2015). 0 is perfect, and says nothing of whether the score tells pairs from others: a
    score of 0 everywhere has it. Parameters and errors as of `reliability`.

    Examples
    --------
    >>> round(expected_calibration_error([2.0, 2.0, -2.0], [-2.0, -2.0, 2.0], bins=2), 3)
    0.214
    """
    return _error(reliability(positive, negative, bins, prior))


def log_loss(positive: ArrayLike, negative: ArrayLike, prior: float = 0.5) -> float:
    """Mean of minus the log of the probability given to what is true, in nats: 0 is perfect.

    A score that says nothing, 0 everywhere, has the entropy of the prior: log 2 = 0.693 for 0.5. Parameters and errors
    as of `reliability`.

    Examples
    --------
    >>> round(log_loss([0.0], [0.0]), 3)
    0.693
    """
    positive, negative = _checked(positive, negative, prior)
    shift = _logit(prior)
    missed, fooled = np.logaddexp(0, -positive - shift).mean(), np.logaddexp(0, negative + shift).mean()
    return float(prior * missed + (1 - prior) * fooled)


def calibration_summary(
    positive: ArrayLike, negative: ArrayLike, bins: int = 15, prior: float = 0.5
) -> CalibrationSummary:
    """Reliability, expected calibration error and log loss. Parameters and errors as of `reliability`.

    Examples
    --------
    >>> summary = calibration_summary([3.0, 1.0], [-2.0, -4.0])
    >>> summary.log_loss < summary.chance_log_loss
    True
    """
    found = reliability(positive, negative, bins, prior)
    return CalibrationSummary(found, _error(found), log_loss(positive, negative, prior), log_loss([0.0], [0.0], prior))


def _error(found: Reliability) -> float:
    return float(found.share @ np.abs(found.predicted - found.observed))


def _checked(positive: ArrayLike, negative: ArrayLike, prior: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    sides = np.ravel(positive).astype(np.float64), np.ravel(negative).astype(np.float64)
    for name, side in zip(("positive", "negative"), sides, strict=True):
        if side.size == 0 or not np.isfinite(side).all():
            raise ValueError(f"{name} must hold at least one score, all of them finite; got {side.size} scores")
    if not 0 < prior < 1:
        raise ValueError(f"prior must lie between 0 and 1, got {prior}")
    return sides


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))
