"""Robust fits: the noise rate, what is lost to wrong pairs, and the mixture behind them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit

import canonsim
from canonsim import CSA, metrics
from canonsim.calibration import PairScores
from canonsim.mixture import Mixture, fit_mixture, noise_rate_interval
from synthetic import related


def shuffled(share, seed=0, **options):
    """Pairs of which a share was joined anew, and which these are."""
    x, y = related(seed, **options)
    wrong = np.zeros(len(x), bool)
    places = np.random.default_rng(seed).permutation(len(x))[: round(share * len(x))]
    wrong[places] = len(places) > 1
    y[places] = y[np.roll(places, 1)]
    return x, y, wrong


def mixed_scores(rate, n=1000, mean=2.0, seed=0):
    """Log odds of N(mean, 2 mean) to N(-mean, 2 mean), a share of which are those of mismatches."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(n) < rate
    pairs = rng.normal(np.where(wrong, -mean, mean), np.sqrt(2 * mean))
    return PairScores(pairs, rng.normal(-mean, np.sqrt(2 * mean), 10 * n)), wrong


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5])
def test_the_noise_rate_is_right(share):
    for seed in range(2):
        x, y, wrong = shuffled(share, seed, n=800, p=20, q=15, shared=5)
        found = canonsim.fit_robust(x, y)
        assert found.noise_rate == pytest.approx(share, abs=0.04)
        assert found.noise_rate_interval[0] <= found.noise_rate <= found.noise_rate_interval[1]
        if share:
            assert metrics.auc(found.pair_probability[~wrong], found.pair_probability[wrong]) > 0.95


def test_wrong_pairs_cost_at_most_half_as_much():
    losses = []
    for seed in range(3):
        options = {"n": 1200, "p": 60, "q": 40, "shared": 8, "noise": 1.5}
        clean_x, clean_y, _ = shuffled(0.0, seed, **options)
        x, y, _ = shuffled(0.3, seed, **options)
        moments, clean = (canonsim.PairedMoments(60, 40) for _ in range(2))
        moments.update(x[:400], y[:400])
        # The rows of the test part are true pairs in neither set's training.
        wrong = (y != clean_y).any(axis=1)
        clean.update(clean_x[:400], clean_y[:400])
        test = slice(400, None)
        tx, ty = clean_x[test], clean_y[test]
        assert wrong[:400].any()
        values = [
            (metrics.mismatch_auc(space.log_odds_pairwise, tx, ty), -space.calibration(tx, ty).log_loss)
            for space in (canonsim.fit(clean), canonsim.fit(moments), canonsim.fit_robust(x[:400], y[:400]).space)
        ]
        best, plain, robust = np.array(values)
        losses.append([best - plain, best - robust])
    plain, robust = np.mean(losses, axis=0)
    assert (plain > 0).all()
    assert (robust < 0.5 * plain).all()


def test_clean_pairs_give_the_plain_fit():
    x, y = related()
    moments = canonsim.PairedMoments(12, 8)
    moments.update(x, y)
    plain, found = canonsim.fit(moments), canonsim.fit_robust(x, y)
    assert found.noise_rate < 0.005
    assert found.rounds == 1
    assert found.space.ridge == plain.ridge
    np.testing.assert_allclose(found.space.correlations, plain.correlations, atol=1e-12)
    assert found.space.log_odds_scale == pytest.approx(1, abs=0.15)


def test_sides_that_share_nothing_leave_the_noise_rate_open():
    rng = np.random.default_rng(0)
    with pytest.warns(canonsim.NoSignalWarning):
        found = canonsim.fit_robust(rng.standard_normal((200, 6)), rng.standard_normal((200, 6)), ridge=1.0)
    low, high = found.noise_rate_interval
    assert low < 0.05
    assert high > 0.95
    assert np.isfinite(found.log_odds).all()


def test_log_odds_are_calibrated_and_say_what_probabilities_say():
    x, y, wrong = shuffled(0.3, n=2000)
    found = canonsim.fit_robust(x, y)
    summary = metrics.calibration_summary(found.log_odds[~wrong], found.log_odds[wrong])
    assert summary.expected_calibration_error < 0.03
    odds = np.exp(found.log_odds) * (1 - found.noise_rate) / found.noise_rate
    np.testing.assert_allclose(found.pair_probability, odds / (1 + odds), rtol=1e-9)
    np.testing.assert_allclose(found.mixture.log_odds(found.scores.pairs), found.log_odds)


def test_rows_of_one_id_share_a_fold_and_make_no_mismatch():
    x, y, wrong = shuffled(0.3, n=200)
    ids = np.arange(200) * 7
    once, fivefold = (
        canonsim.fit_robust(x, y, ids),
        canonsim.fit_robust(np.repeat(x, 5, axis=0), np.repeat(y, 5, axis=0), np.repeat(ids, 5)),
    )
    assert fivefold.noise_rate == pytest.approx(once.noise_rate, abs=0.03)
    assert metrics.auc(fivefold.log_odds[np.repeat(~wrong, 5)], fivefold.log_odds[np.repeat(wrong, 5)]) > 0.9


def test_tensors_of_any_precision_fit_as_arrays():
    x, y, _ = shuffled(0.3, n=300)
    expected = canonsim.fit_robust(x, y, ridge=0.1)
    found = canonsim.fit_robust(torch.from_numpy(x).float(), torch.from_numpy(y).float(), ridge=0.1)
    assert found.noise_rate == pytest.approx(expected.noise_rate, abs=1e-3)
    np.testing.assert_allclose(found.pair_probability, expected.pair_probability, atol=0.01)


def test_feature_maps_stand_in_front():
    x, y, _ = shuffled(0.3, n=400)
    maps = canonsim.maps.UnitLength(12), canonsim.maps.UnitLength(8)
    found = canonsim.fit_robust(x, y, ridge=0.1, x_map=maps[0], y_map=maps[1])
    assert found.space.x_map is maps[0]
    lengths = np.exp(np.random.default_rng(0).standard_normal((400, 1)))
    longer = canonsim.fit_robust(x * lengths, y / lengths, ridge=0.1, x_map=maps[0], y_map=maps[1])
    np.testing.assert_allclose(longer.pair_probability, found.pair_probability, atol=1e-6)


def test_the_estimator_fits_robustly():
    x, y, _ = shuffled(0.3, n=400)
    csa, found = CSA(robust=True, ridge=0.1).fit(x, y), canonsim.fit_robust(x, y, ridge=0.1)
    np.testing.assert_array_equal(csa.robust_.pair_probability, found.pair_probability)
    np.testing.assert_array_equal(csa.correlations_, found.space.correlations)
    assert csa.space_.log_odds_scale == found.space.log_odds_scale
    with pytest.raises(ValueError, match="all rows at once"):
        CSA(robust=True).partial_fit(x, y)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"folds": 1}, ValueError, "folds must be an integer, at least 2, got 1"),
        ({"y": np.zeros((7, 3))}, ValueError, "y has 7 rows, but x has 40"),
        ({"x": np.full((40, 3), np.nan)}, ValueError, "x holds NaN"),
        ({"x": np.zeros((40, 3), int)}, TypeError, "x must hold"),
        ({"ids": np.zeros(40)}, TypeError, "ids must be integers"),
        ({"ids": np.arange(39)}, ValueError, "ids must be one integer for each row"),
    ],
)
def test_bad_arguments_are_named(change, error, message):
    x, y = related(n=40, p=3, q=3)
    with pytest.raises(error, match=message):
        canonsim.fit_robust(**({"x": x, "y": y, "ridge": 1.0} | change))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_a_mixture_of_known_components_is_found(rate):
    scores, wrong = mixed_scores(rate, n=4000)
    mixture = fit_mixture(scores)
    assert mixture.noise_rate == pytest.approx(wrong.mean(), abs=0.03)
    assert mixture.intercept == pytest.approx(0, abs=0.15)
    assert mixture.slope == pytest.approx(1, abs=0.1)


def test_a_mixture_is_the_most_likely_one():
    scores, _ = mixed_scores(0.3, n=2000)
    pairs, others = scores.pairs, scores.mismatches

    def minus_log_likelihood(parameters):
        # Of the sample a score is from, given the score, with classes of equal weight: the profile of the empirical
        # likelihood at its maximum (Qin 1999).
        rate, intercept, slope = expit(parameters[0]), parameters[1], parameters[2]
        ratio = [np.log((1 - rate) * np.exp(intercept + slope * s) + rate) for s in (pairs, others)]
        return np.logaddexp(0, -ratio[0]).mean() + np.logaddexp(0, ratio[1]).mean()

    best = minimize(
        minus_log_likelihood, [0.0, 0.0, 1.0], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-12}
    )
    mixture = fit_mixture(scores)
    assert mixture.noise_rate == pytest.approx(expit(best.x[0]), abs=0.005)
    assert mixture.slope == pytest.approx(best.x[2], rel=0.02)


def test_the_interval_of_the_noise_rate_holds_it():
    held = 0
    for seed in range(25):
        scores, _ = mixed_scores(0.2, n=300, seed=seed)
        low, high = noise_rate_interval(scores, fit_mixture(scores))
        held += low <= 0.2 <= high
    assert held >= 21


@settings(max_examples=25)
@given(st.floats(0.01, 100), st.floats(-20, 20))
def test_a_mixture_follows_the_scale_of_its_scores(factor, shift):
    scores, _ = mixed_scores(0.3, n=100)
    moved = PairScores(factor * scores.pairs + shift, factor * scores.mismatches + shift)
    one, other = fit_mixture(scores), fit_mixture(moved)
    assert other.noise_rate == pytest.approx(one.noise_rate, abs=1e-3)
    np.testing.assert_allclose(other.log_odds(moved.pairs), one.log_odds(scores.pairs), rtol=0.02, atol=0.02)


@settings(max_examples=50)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_any_scores_give_a_mixture(pairs, mismatches):
    scores = PairScores(np.array(pairs), np.array(mismatches))
    mixture = fit_mixture(scores)
    low, high = noise_rate_interval(scores, mixture)
    assert 0 <= low <= high <= 1
    assert 0 <= mixture.noise_rate <= 1
    assert mixture.slope >= 0
    probabilities = mixture.probability(scores.pairs)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    assert np.isfinite(mixture.log_odds(scores.pairs)).all()


def test_a_prior_without_doubt_decides():
    scores = np.array([-1e6, 0.0, 1e6])
    np.testing.assert_array_equal(Mixture(0.0, 0.0, 1.0).probability(scores), 1)
    np.testing.assert_array_equal(Mixture(1.0, 0.0, 1.0).probability(scores), 0)
    np.testing.assert_allclose(Mixture(0.5, 0.0, 1.0).probability(scores), [0, 0.5, 1])
