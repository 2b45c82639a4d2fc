"""Calibration: the scale of log odds against references and known answers, mismatches, and cross-fitted scores."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

import canonsim
from canonsim import CSA, CanonicalSpace
from canonsim._native import folds_of
from canonsim.calibration import PairScores, fit_scale, score_pairs
from canonsim.cross_fitting import cross_fitted_scores
from synthetic import related


def moments_of(x, y, folds=5, ids=None):
    moments = canonsim.PairedMoments(x.shape[1], y.shape[1], folds=folds)
    moments.update(x, y, ids=ids)
    return moments


def normal_scores(seed, n=2000, mean=2.0):
    """Log odds of N(mean, 2 mean) to N(-mean, 2 mean): calibrated as they are."""
    rng = np.random.default_rng(seed)
    pairs, mismatches = (rng.normal(sign * mean, np.sqrt(2 * mean), n) for sign in (1, -1))
    return PairScores(pairs, mismatches)


def loss(factor, scores):
    return np.logaddexp(0, -factor * scores.pairs).mean() + np.logaddexp(0, factor * scores.mismatches).mean()


@pytest.fixture(scope="module")
def heldout():
    x, y = related(n=3000)
    return canonsim.fit(moments_of(x[:1000], y[:1000])), x[1000:], y[1000:]


def test_log_odds_of_gaussian_pairs_are_calibrated(heldout):
    space, x, y = heldout
    assert space.calibrate(x, y).log_odds_scale == pytest.approx(1, abs=0.1)
    report = space.calibration(x, y)
    assert report.expected_calibration_error < 0.02
    assert report.log_loss < 0.5 * report.chance_log_loss


def test_the_scale_has_the_least_log_loss():
    scores = normal_scores(0)
    for factor in (0.01, 1.0, 40.0):
        scaled = PairScores(factor * scores.pairs, factor * scores.mismatches)
        best = minimize_scalar(loss, bounds=(0, 4 / factor), args=(scaled,), options={"xatol": 1e-9 / factor}).x
        assert fit_scale(scaled) == pytest.approx(best, rel=0.01)


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100))
def test_scores_times_a_factor_have_the_scale_over_it(seed, factor):
    scores = normal_scores(seed, n=50)
    scaled = PairScores(factor * scores.pairs, factor * scores.mismatches)
    assert fit_scale(scaled) * factor == pytest.approx(fit_scale(scores), rel=1e-6)


def test_weights_of_pairs_are_how_often_they_count():
    scores = normal_scores(1, n=400)
    times = np.random.default_rng(0).integers(0, 3, 400)
    repeated = PairScores(np.repeat(scores.pairs, times), scores.mismatches)
    assert fit_scale(scores, times.astype(float)) == pytest.approx(fit_scale(repeated), rel=1e-2)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_a_scale_is_finite_and_not_negative(pairs, mismatches):
    assert 0 <= fit_scale(PairScores(np.array(pairs), np.array(mismatches))) < np.inf


def test_useless_scores_have_scale_0():
    assert fit_scale(PairScores(np.array([-1.0, -2.0]), np.array([1.0, 3.0]))) == 0
    assert fit_scale(PairScores(np.zeros(3), np.zeros(3))) == 1


def test_scores_without_overlap_stay_finite():
    factor = fit_scale(PairScores(np.full(100, 5.0), np.full(100, -5.0)))
    # The probability of a pair is the target of its regression, or next to it.
    assert 0.97 < 1 / (1 + np.exp(-5 * factor)) < 0.999


def test_log_odds_are_multiplied_and_nothing_else_changes(heldout, tmp_path):
    space, x, y = heldout
    x, y = x[:40], y[:30]
    warm = space.replace(log_odds_scale=0.4)
    np.testing.assert_allclose(warm.log_odds(x, y), 0.4 * space.log_odds(x, y), atol=1e-9)
    np.testing.assert_allclose(warm.log_odds_pairwise(x[:30], y), 0.4 * space.log_odds_pairwise(x[:30], y), atol=1e-9)
    vectors = warm.embed_x(x, score="log_odds") @ warm.embed_y(y, score="log_odds").T
    np.testing.assert_allclose(vectors, warm.log_odds(x, y), atol=1e-9)
    np.testing.assert_array_equal(warm.similarity(x, y), space.similarity(x, y))
    module = warm.module(dtype=torch.float64)
    np.testing.assert_allclose(module.log_odds(torch.from_numpy(x), torch.from_numpy(y)), vectors, atol=1e-9)
    assert warm.truncate(2).log_odds_scale == 0.4
    warm.save_pretrained(tmp_path)
    assert "multiplied by 0.4" in (tmp_path / "README.md").read_text()
    np.testing.assert_array_equal(CanonicalSpace.from_pretrained(tmp_path).log_odds(x, y), warm.log_odds(x, y))
    np.testing.assert_allclose(space.replace(log_odds_scale=0.0).log_odds(x, y), 0, atol=1e-12)


def test_calibrating_again_changes_nothing(heldout):
    space, x, y = heldout
    once = space.replace(log_odds_scale=7.0).calibrate(x, y)
    assert once.log_odds_scale == space.calibrate(x, y).log_odds_scale
    assert once.calibrate(x, y).log_odds_scale == once.log_odds_scale


def test_a_fit_calibrates_with_held_out_pairs(heldout):
    _, x, y = heldout
    moments = moments_of(x[:500], y[:500])
    held_out = x[500:1000], y[500:1000]
    assert (
        canonsim.fit(moments, calibrate=held_out).log_odds_scale
        == canonsim.fit(moments).calibrate(*held_out).log_odds_scale
    )
    ids = np.arange(500)
    assert canonsim.fit(moments, calibrate=(*held_out, ids)).log_odds_scale > 0
    with pytest.raises(TypeError, match="calibrate must be"):
        canonsim.fit(moments, calibrate=x)


def test_without_folds_calibrated_log_odds_do_not_warn():
    x, y = related(n=900)
    space = canonsim.fit(moments_of(x[:300], y[:300], folds=1), ridge=0.1, weights="training")
    assert np.isfinite(space.calibrate(x[300:], y[300:]).log_odds(x, y)).all()


def test_tensors_calibrate_as_arrays(heldout):
    space, x, y = heldout
    x, y = x[:300], y[:300]
    scale = space.calibrate(torch.from_numpy(x), torch.from_numpy(y)).log_odds_scale
    assert scale == pytest.approx(space.calibrate(x, y).log_odds_scale)


def test_pairs_without_mismatches_are_refused(heldout):
    space, x, y = heldout
    with pytest.raises(ValueError, match="make no mismatch"):
        space.calibrate(x[:50], y[:50], ids=np.zeros(50, int))
    with pytest.raises(ValueError, match="make no mismatch"):
        space.pair_scores(x[:1], y[:1])
    with pytest.raises(ValueError, match="y has 4 rows, but x has 5"):
        space.calibration(x[:5], y[:4])
    with pytest.raises(ValueError, match="log_odds_scale"):
        space.replace(log_odds_scale=-1.0)


def told_apart(x, y):
    """Vectors whose inner product is 10,000 times the number of x plus that of y."""
    return np.hstack([1e4 * x[:, :1], np.ones((len(x), 1))]), np.hstack([np.ones((len(y), 1)), y[:, :1]])


@given(st.lists(st.integers(0, 6), min_size=2, max_size=60), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_mismatches_differ_in_id_and_in_both_rows(ids, labels, seed):
    rng = np.random.default_rng(seed)
    ids = np.array(ids)
    x, y = rng.integers(0, 30, (len(ids), 1)).astype(float), rng.integers(0, labels, (len(ids), 1)).astype(float)
    scores = score_pairs(told_apart, x, y, ids)
    np.testing.assert_array_equal(scores.pairs, 1e4 * x[:, 0] + y[:, 0])
    for a, b in zip(scores.mismatches // 1e4, scores.mismatches % 1e4, strict=True):
        rows_of_a, rows_of_b = np.flatnonzero(x[:, 0] == a), np.flatnonzero(y[:, 0] == b)
        assert any(ids[i] != ids[j] and x[i] != x[j] and y[i] != y[j] for i in rows_of_a for j in rows_of_b)
    assert len(scores.mismatches) <= 10 * len(ids)


def test_mismatches_do_not_depend_on_the_order_of_rows():
    ids = np.arange(500)
    rows = ids[:, None].astype(float)
    order = np.random.default_rng(0).permutation(500)
    one, other = (score_pairs(told_apart, rows[i], rows[i], ids[i]) for i in (ids, order))
    np.testing.assert_array_equal(np.sort(one.mismatches), np.sort(other.mismatches))
    np.testing.assert_array_equal(one.pairs[order], other.pairs)
    assert len(np.unique(one.mismatches)) == 5000


def test_large_sets_are_scored_in_blocks():
    rows = np.arange(9000.0)[:, None]
    scores = score_pairs(told_apart, rows, rows, None)
    assert scores.pairs.shape == (9000,)
    assert scores.mismatches.shape == (18_000,)
    assert not np.isin(scores.mismatches, scores.pairs).any()


def test_cross_fitted_scores_are_those_of_fits_without_the_fold():
    x, y = related(n=200)
    ids = np.repeat(np.arange(100), 2)
    moments = moments_of(x, y, ids=ids)
    space = canonsim.fit(moments)
    scores = cross_fitted_scores(space, moments, x, y, ids)
    folds = folds_of(ids, 5)
    r, s = space.held_out_correlations, space.n_components
    for k in range(5):
        left_out = folds == k
        other = canonsim.fit(
            moments_of(x[~left_out], y[~left_out], folds=1), n_components=s, ridge=space.ridge, weights="training"
        )
        u, v = other.project_x(x[left_out]) / space.x_std, other.project_y(y[left_out]) / space.y_std
        bilinear, quadratic = r * u * v / (1 - r**2), r**2 * (u**2 + v**2) / (2 * (1 - r**2))
        expected = (bilinear - quadratic - np.log(1 - r**2) / 2).sum(axis=1)
        np.testing.assert_allclose(scores.pairs[left_out], expected, atol=1e-8)


def test_cross_fitted_scores_are_not_too_high():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((300, 30)), rng.standard_normal((300, 30))
    with pytest.warns(canonsim.NoSignalWarning):
        space = canonsim.fit(moments := moments_of(x, y), ridge=0.01, n_components=None)
    scores = cross_fitted_scores(space, moments, x, y)
    assert abs(scores.pairs.mean() - scores.mismatches.mean()) < 0.02
    # The fit itself has seen its pairs.
    assert space.log_odds_pairwise(x, y).mean() > scores.pairs.mean() + 0.05


def test_cross_fitting_needs_held_out_correlations():
    x, y = related(n=100)
    moments = moments_of(x, y, folds=1)
    with pytest.raises(ValueError, match="space has no held-out correlations"):
        cross_fitted_scores(canonsim.fit(moments, ridge=1.0, weights="training"), moments, x, y)


def test_the_estimator_calibrates_on_its_own_rows():
    x, y = related(n=600)
    # Rows of different lengths are not Gaussian: log odds are too large.
    lengths = np.exp(0.8 * np.random.default_rng(0).standard_normal((2, 600, 1)))
    x, y = x * lengths[0], y * lengths[1]
    csa = CSA(calibrate=True).fit(x[:300], y[:300])
    plain = CSA().fit(x[:300], y[:300]).space_
    assert csa.space_.log_odds_scale < 0.8
    before, after = (space.calibration(x[300:], y[300:]) for space in (plain, csa.space_))
    assert after.log_loss < before.log_loss
    with pytest.raises(ValueError, match="all rows at once"):
        CSA(calibrate=True).partial_fit(x, y)
    mapped = CSA(calibrate=True, maps="auto", ridge=1.0).fit(x[:300], y[:300])
    assert 0 < mapped.space_.log_odds_scale < 1
