"""A fit of pairs some of which are wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from canonsim.calibration import PairScores, fit_scale
from canonsim.canonical import Ridge, fit
from canonsim.cross_fitting import cross_fitted_scores
from canonsim.maps import FeatureMap
from canonsim.mixture import Mixture, fit_mixture, noise_rate_interval
from canonsim.moments import PairedMoments
from canonsim.rows import Ids, Rows, check_rows, to_ids
from canonsim.scoring import Weights
from canonsim.space import CanonicalSpace

_ROUNDS = 10
# Mean change of the probabilities in a round: the noise rate may stand still on its way.
_SETTLED = 0.005
# Weights of 0 would empty folds of few pairs.
_LEAST_WEIGHT = 1e-6


@dataclass(frozen=True)
class RobustFit:
    """What `fit_robust` found.

    Attributes
    ----------
    space : CanonicalSpace
        Fitted to the pairs, each weighted by its probability to be true. Its log odds are calibrated.
    noise_rate : float
        Estimated share of wrong pairs, in [0, 1].
    noise_rate_interval : (float, float)
        Its 95 % interval, given the scores. Where it reaches from 0 to 1 the sides show nothing of each other, and the
        noise rate says nothing.
    pair_probability : (n,) f64
        Of each pair to be true, with the noise rate as prior.
    log_odds : (n,) f64
        Calibrated log-likelihood ratio of "a true pair" to "a mismatch" of each pair, in nats, by a space fitted
        without the pair's fold.
    mixture : Mixture
        What log odds of the space say of a pair, given that some are wrong.
    scores : PairScores
        Log odds of the pairs and of mismatches by the fits without their fold, as of the space, before the mixture.
    moments : PairedMoments
        The weighted moments of the space.
    rounds : int
        Fits it took.
    """

    space: CanonicalSpace
    noise_rate: float
    noise_rate_interval: tuple[float, float]
    pair_probability: npt.NDArray[np.float64]
    log_odds: npt.NDArray[np.float64]
    mixture: Mixture
    scores: PairScores
    moments: PairedMoments
    rounds: int


def fit_robust(
    x: Rows,
    y: Rows,
    ids: Ids | None = None,
    *,
    folds: int = 5,
    n_components: int | Literal["auto"] | None = "auto",
    ridge: Ridge = "auto",
    weights: Weights = "held-out",
    x_map: FeatureMap | None = None,
    y_map: FeatureMap | None = None,
) -> RobustFit:
    """Fit pairs of which an unknown share is wrong: rows of y that belong to other rows of x.

    Rounds of three steps. Each pair gets its log odds by a fit of the folds it is not in. The scores of all pairs are a
    mixture of those of true pairs and of mismatches, which are known: see `canonsim.mixture.fit_mixture`. The pairs are
    fitted again, each weighted by its probability to be true. It ends when the probabilities change by less than 0.005
    in the mean, after 10 fits at most. If the first round finds next to no wrong pair, the result is the plain fit.

    Parameters
    ----------
    x, y : (n, p), (n, q)
        Row i of x is said to belong to row i of y.
    ids : (n,) int64, optional
        As of `PairedMoments.update`: rows of one id share a fold, and make no mismatch. By default the running row
        number.
    folds : int
        At least 2.
    n_components, ridge, weights, x_map, y_map
        As of `canonsim.fit`, but the rows are not yet mapped. A ridge that is chosen from held-out pairs is chosen
        twice: for the plain fit, and after the first weighting.

    Returns
    -------
    RobustFit

    Raises
    ------
    TypeError
        For values that are no floats, or ids that are no integers.
    ValueError
        For fewer than two folds, different numbers of rows, values that are not finite, what `canonsim.fit` refuses, or
        rows without a mismatch.

    Notes
    -----
    No pair is judged by a fit that it is part of. The weights of the other pairs come from fits of the round before,
    some of which it was part of: so much of itself a pair sees from the second round on.

    Mismatches are made by joining rows at random: wrong pairs of that kind are found. If wrong pairs resemble true
    ones (a caption of a similar picture), fewer are found, and the noise rate is too low.

    Examples
    --------
    >>> import numpy as np
    >>> import canonsim
    >>> rng = np.random.default_rng(0)
    >>> z = rng.standard_normal((500, 4))
    >>> x, y = (z @ rng.standard_normal((4, 8)) + 0.5 * rng.standard_normal((500, 8)) for _ in "xy")
    >>> y[:100] = y[:100][::-1].copy()  # 100 of 500 pairs are wrong
    >>> robust = canonsim.fit_robust(x, y)
    >>> round(robust.noise_rate, 2)
    0.2
    >>> robust.pair_probability[:100].mean() < 0.2 < 0.95 < robust.pair_probability[100:].mean()
    np.True_
    """
    for rows, argument in ((x, "x"), (y, "y")):
        check_rows(rows, argument)
    if isinstance(folds, bool) or not isinstance(folds, (int, np.integer)) or folds < 2:
        raise ValueError(f"folds must be an integer, at least 2, got {folds!r}")
    numbers = np.arange(len(x), dtype=np.int64) if ids is None else to_ids(ids, len(x))
    mapped_x, mapped_y = x if x_map is None else x_map(x), y if y_map is None else y_map(y, "y")
    true, chosen = np.ones(len(x)), ridge
    for rounds in range(1, _ROUNDS + 1):
        moments = PairedMoments(mapped_x.shape[1], mapped_y.shape[1], folds)
        moments.update(mapped_x, mapped_y, numbers, np.maximum(true, _LEAST_WEIGHT))
        space = fit(moments, n_components, chosen, weights, x_map=x_map, y_map=y_map)
        scores = cross_fitted_scores(space, moments, x, y, numbers)
        mixture = fit_mixture(scores)
        before, true = true, mixture.probability(scores.pairs)
        if np.abs(true - before).mean() < _SETTLED:
            break
        if rounds > 1:
            chosen = space.ridge
    interval = noise_rate_interval(scores, mixture)
    factor = fit_scale(scores, true)
    if factor == 0 or mixture.slope == 0:
        mixture, factor = Mixture(0.0, 0.0, 0.0), 0.0
    else:
        mixture = Mixture(mixture.noise_rate, mixture.intercept, mixture.slope / factor)
    scores = PairScores(factor * scores.pairs, factor * scores.mismatches)
    return RobustFit(
        space=space.replace(log_odds_scale=factor),
        noise_rate=mixture.noise_rate,
        noise_rate_interval=interval if factor > 0 else (0.0, 1.0),
        pair_probability=mixture.probability(scores.pairs),
        log_odds=mixture.log_odds(scores.pairs),
        mixture=mixture,
        scores=scores,
        moments=moments,
        rounds=rounds,
    )
