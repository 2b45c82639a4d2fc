"""The methods of a comparison, the choice of their settings, and intervals of results."""

import numpy as np
import pytest

import canonsim
from canonsim import metrics
from canonsim.protocols.bootstrap import Measured
from canonsim.protocols.methods import CSLS, METHODS, Fitted, by_csls, moments_of
from canonsim.protocols.selection import choose
from synthetic import related

WITHOUT_TRAINING = [method for method in (*METHODS, CSLS) if "contrastive" not in method.name]


@pytest.fixture(scope="module")
def split():
    x, y = related(n=300, noise=0.4)
    return (x[:200], y[:200], np.arange(200)), (x[200:], y[200:])


@pytest.mark.parametrize("method", WITHOUT_TRAINING, ids=lambda method: method.name)
def test_a_method_finds_pairs_and_scores_row_by_row_as_all_with_all(method, split):
    train, (x, y) = split
    fitted = list(method.fits(train))
    assert fitted
    assert len({each.setting for each in fitted}) == len(fitted)
    best = max(metrics.retrieval_summary(each.score, x, y)["mean"]["R@10"] for each in fitted)
    assert best > 0.5
    for each in fitted:
        assert each.score(x[:7], y[:5]).shape == (7, 5)
        np.testing.assert_allclose(each.score_pairwise(x, y), np.diag(each.score(x, y)), atol=1e-6)


def test_names_differ_and_ours_come_first():
    assert len({method.name for method in METHODS}) == len(METHODS)
    assert [method.ours for method in METHODS] == sorted((method.ours for method in METHODS), reverse=True)


def test_csls_takes_off_the_nearest_training_rows_of_both_sides(split):
    train, (x, y) = split
    space = canonsim.fit(moments_of(train))
    plain = space.log_odds(x, y)

    def nearest(scores):
        return np.sort(scores, axis=1)[:, -10:].mean(axis=1)

    expected = plain - nearest(space.log_odds(x, train[1]))[:, None] / 2
    expected -= nearest(space.log_odds(train[0], y).T) / 2
    np.testing.assert_allclose(by_csls(space, train).score(x, y), expected, rtol=1e-9)


def test_the_best_setting_is_chosen_and_the_first_of_equals():
    def settings():
        for name in ("low", "high", "as high"):
            yield Fitted(name, np.matmul, np.matmul)

    values = {"low": 0.0, "high": 1.0, "as high": 1.0}
    fitted, seconds = choose(settings(), lambda each: values[each.setting])
    assert fitted.setting == "high"
    assert 0 <= seconds < 1
    with pytest.raises(ValueError, match="settings must hold at least one"):
        choose([], lambda each: 0.0)


def test_intervals_hold_what_the_normal_approximation_says():
    hits = np.random.default_rng(0).random(400) < 0.3
    measured = Measured.of(lambda rows: {"hits": float(hits[rows].mean())}, 400, resamples=2000)
    assert measured.values == {"hits": hits.mean()}
    half = 1.96 * hits.std() / 20
    np.testing.assert_allclose(measured.intervals["hits"], (hits.mean() - half, hits.mean() + half), atol=0.006)


def test_differences_are_of_the_same_rows():
    values = np.random.default_rng(0).random(50)
    low, high = (
        Measured.of(lambda rows, by=by: {"mean": float(values[rows].mean() + by)}, 50, resamples=30) for by in (0, 1)
    )
    gains, intervals = high.gains(low)
    assert gains["mean"] == pytest.approx(1)
    assert intervals["mean"] == pytest.approx((1, 1))


def test_without_resamples_there_are_no_intervals():
    assert Measured.of(lambda rows: {"count": float(len(rows))}, 3, resamples=0).intervals == {}
    with pytest.raises(ValueError, match="got 0 rows and resamples=5"):
        Measured.of(lambda rows: {}, 0, resamples=5)
