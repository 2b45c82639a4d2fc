"""MismatchDetector: finds wrong pairs, knows how many, and keeps what its thresholds promise."""

import numpy as np
import pytest
import torch

import canonsim
from canonsim import metrics
from canonsim.tasks import MismatchDetector
from synthetic import related


def shuffled(share, seed=0, n=800, **options):
    x, y = related(seed, n=n, **options)
    wrong = np.zeros(n, bool)
    places = np.random.default_rng(seed).permutation(n)[: round(share * n)]
    wrong[places] = len(places) > 1
    y[places] = y[np.roll(places, 1)]
    return x, y, wrong


@pytest.fixture(scope="module")
def found():
    x, y, wrong = shuffled(0.2, n=1500)
    return MismatchDetector(ridge=0.1).fit(x, y), x, y, wrong


def test_wrong_pairs_score_low_and_are_counted(found):
    detector, _, _, wrong = found
    assert metrics.auc(detector.scores_[~wrong], detector.scores_[wrong]) > 0.95
    assert detector.noise_rate_ == pytest.approx(0.2, abs=0.03)
    low, high = detector.noise_rate_interval_
    assert low < 0.2 < high < low + 0.1


@pytest.mark.parametrize("precision", [0.5, 0.8, 0.95])
def test_a_threshold_has_the_precision_it_promises(found, precision):
    detector, _, _, wrong = found
    flagged = detector.scores_ < detector.threshold(precision)
    assert wrong[flagged].mean() > precision - 0.05
    # It is not kept by flagging next to nothing.
    assert flagged.sum() > 100


def test_a_higher_precision_flags_fewer(found):
    detector, *_ = found
    thresholds = [detector.threshold(p) for p in (0.01, 0.2, 0.5, 0.8, 0.9, 0.99)]
    assert thresholds == sorted(thresholds, reverse=True)
    assert detector.threshold(0.01) == np.inf


def test_other_pairs_are_judged(found):
    detector, x, y, _ = found
    pairs, others = x[:700], np.roll(y[:700], 1, axis=0)
    true = MismatchDetector(detector.space_).fit(*related(5, n=50)).space_
    assert true is detector.space_
    scores = detector.score(pairs, others)
    assert np.mean(scores < detector.threshold(0.9)) > 0.7
    probabilities = detector.predict_proba(pairs, others)
    odds = np.exp(scores) * (1 - detector.noise_rate_) / detector.noise_rate_
    np.testing.assert_allclose(probabilities, odds / (1 + odds), rtol=1e-9)
    even = detector.predict_proba(pairs, others, noise_rate=0.5)
    np.testing.assert_allclose(even, 1 / (1 + np.exp(-scores)), rtol=1e-9)
    np.testing.assert_array_equal(detector.predict_proba(pairs, others, noise_rate=0), 1)
    np.testing.assert_array_equal(detector.predict_proba(pairs, others, noise_rate=1), 0)
    tensors = torch.from_numpy(pairs).float(), torch.from_numpy(others).float()
    assert detector.score(*tensors).dtype == torch.float32
    np.testing.assert_allclose(detector.predict_proba(*tensors), probabilities, atol=1e-3)


def test_a_space_fitted_on_other_pairs_judges():
    clean_x, clean_y = related(n=2000)
    moments = canonsim.PairedMoments(12, 8)
    moments.update(clean_x[1000:], clean_y[1000:])
    x, y = clean_x[:1000].copy(), clean_y[:1000].copy()
    y[:300] = np.roll(y[:300], 1, axis=0)
    detector = MismatchDetector(canonsim.fit(moments)).fit(x, y)
    assert detector.noise_rate_ == pytest.approx(0.3, abs=0.04)
    assert (detector.most_suspicious(200) < 300).mean() > 0.95


def test_wrong_labels_are_found_where_many_rows_share_one():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 1500)
    x = rng.standard_normal((10, 20))[labels] + 0.7 * rng.standard_normal((1500, 20))
    texts = rng.standard_normal((10, 16))
    given = labels.copy()
    wrong = rng.random(1500) < 0.2
    given[wrong] = (labels[wrong] + rng.integers(1, 10, wrong.sum())) % 10
    detector = MismatchDetector(ridge=0.1).fit(x, texts[given])
    assert metrics.auc(detector.scores_[~wrong], detector.scores_[wrong]) > 0.95
    assert detector.noise_rate_ == pytest.approx(wrong.mean(), abs=0.04)


def test_clean_pairs_are_left_alone():
    detector = MismatchDetector(ridge=0.1).fit(*related())
    assert detector.noise_rate_ < 0.01
    assert (detector.scores_ < detector.threshold(0.9)).sum() < 5


def test_the_most_suspicious_come_lowest_first(found):
    detector, *_ = found
    worst = detector.most_suspicious(10)
    assert worst.dtype == np.int64
    np.testing.assert_array_equal(worst, np.argsort(detector.scores_, kind="stable")[:10])


def test_bad_arguments_are_named(found):
    detector, x, y, _ = found
    fresh = MismatchDetector()
    for verb in (lambda: fresh.score(x, y), lambda: fresh.threshold(0.9), lambda: fresh.most_suspicious(1)):
        with pytest.raises(ValueError, match="not fitted yet"):
            verb()
    with pytest.raises(TypeError, match="space must be"):
        MismatchDetector(x)
    for k in (0, len(x) + 1):
        with pytest.raises(ValueError, match="k must lie between"):
            detector.most_suspicious(k)
    for precision in (0.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="precision"):
            detector.threshold(precision)
    with pytest.raises(ValueError, match="noise_rate must lie"):
        detector.predict_proba(x, y, noise_rate=2.0)
    before = detector.scores_
    with pytest.raises(ValueError, match="y has 3 rows"):
        detector.fit(x, y[:3])
    assert detector.scores_ is before
