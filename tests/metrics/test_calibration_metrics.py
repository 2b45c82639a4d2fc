"""Reliability, calibration error and log loss against sums by hand and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss as reference_log_loss

from canonsim import metrics

scores = st.lists(st.floats(-50, 50), min_size=1, max_size=40)


def by_hand(positive, negative, bins, prior):
    """(predicted, observed, count, share) of each bin that holds scores."""
    weighted = [(s, 1, prior / len(positive)) for s in positive] + [
        (s, 0, (1 - prior) / len(negative)) for s in negative
    ]
    rows = [(1 / (1 + (1 - prior) / prior * np.exp(-s)), true, weight) for s, true, weight in weighted]
    for k in range(bins):
        held = [row for row in rows if k / bins <= row[0] < (k + 1) / bins or (row[0] == 1 and k == bins - 1)]
        if held:
            share = sum(weight for _, _, weight in held)
            predicted = sum(weight * p for p, _, weight in held) / share
            yield predicted, sum(weight * true for _, true, weight in held) / share, len(held), share


@given(scores, scores, st.sampled_from([1, 2, 8, 16]), st.floats(0.05, 0.95))
def test_reliability_is_the_sum_over_bins(positive, negative, bins, prior):
    found = metrics.reliability(positive, negative, bins, prior)
    expected = np.array(list(by_hand(positive, negative, bins, prior))).T
    if len(found.counts) != expected.shape[1] or (found.counts != expected[2]).any():
        return  # a probability on the border of two bins, to rounding
    for name, column in zip(("predicted", "observed", "counts", "share"), expected, strict=True):
        np.testing.assert_allclose(getattr(found, name), column, rtol=1e-9, atol=1e-15)
    error = (expected[3] * np.abs(expected[0] - expected[1])).sum()
    assert metrics.expected_calibration_error(positive, negative, bins, prior) == pytest.approx(error, abs=1e-12)
    assert found.counts.sum() == len(positive) + len(negative)
    assert found.share.sum() == pytest.approx(1)


@given(scores, scores, st.floats(0.05, 0.95))
def test_log_loss_is_that_of_scikit_learn(positive, negative, prior):
    positive, negative = np.clip(positive, -25, 25), np.clip(negative, -25, 25)
    p = 1 / (1 + (1 - prior) / prior * np.exp(-np.concatenate([positive, negative])))
    true = np.repeat([1, 0], [len(positive), len(negative)])
    weights = np.where(true == 1, prior / len(positive), (1 - prior) / len(negative))
    expected = reference_log_loss(true, np.stack([1 - p, p], axis=1), sample_weight=weights)
    assert metrics.log_loss(positive, negative, prior) == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_calibrated_scores_have_next_to_no_error():
    rng = np.random.default_rng(0)
    # log N(s; 2, 4) / N(s; -2, 4) = s
    positive, negative = rng.normal(2, 2, 50_000), rng.normal(-2, 2, 50_000)
    assert metrics.expected_calibration_error(positive, negative) < 0.01
    for factor in (0.3, 3.0):
        assert metrics.expected_calibration_error(factor * positive, factor * negative) > 0.05
        assert metrics.log_loss(factor * positive, factor * negative) > metrics.log_loss(positive, negative)


def test_calibration_does_not_depend_on_how_many_mismatches_there_are():
    positive, negative = [3.0, -1.0], [-2.0, 0.5]
    one, ten = metrics.calibration_summary(positive, negative), metrics.calibration_summary(positive, negative * 10)
    assert ten.log_loss == pytest.approx(one.log_loss)
    assert ten.expected_calibration_error == pytest.approx(one.expected_calibration_error)


def test_a_score_that_says_nothing_is_at_chance():
    summary = metrics.calibration_summary(np.zeros(5), np.zeros(9), prior=0.2)
    assert summary.log_loss == summary.chance_log_loss == pytest.approx(-0.2 * np.log(0.2) - 0.8 * np.log(0.8))
    assert summary.expected_calibration_error == pytest.approx(0)


def test_extreme_scores_are_counted():
    assert metrics.log_loss([1e300], [-1e300]) == 0
    assert metrics.log_loss([-1e5], [0.0]) == pytest.approx((1e5 + np.log(2)) / 2)
    np.testing.assert_array_equal(metrics.reliability([1e300], [-1e300]).observed, [0, 1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], [1.0]), "positive must hold at least one score"),
        (([1.0], [np.nan]), "negative must hold"),
        (([1.0], [np.inf]), "finite"),
        (([1.0], [1.0], 0), "bins"),
        (([1.0], [1.0], 2.5), "bins"),
        (([1.0], [1.0], 10, 1.0), "prior must lie between 0 and 1, got 1.0"),
    ],
)
def test_bad_scores_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        metrics.reliability(*arguments)
