"""MisleadingCaptions: one scale for both scores, the rules on constructed cases, and what is refused."""

import numpy as np
import pytest
import torch

import canonsim
from canonsim import metrics
from canonsim.tasks import MisleadingCaptions
from synthetic import related


def first_column(x, y):
    """A score of rows that is written in y."""
    return y[:, 0] + 0 * x[:, 0]


def second_column(first, second):
    return second[:, 1] + 0 * first[:, 0]


@pytest.fixture(scope="module")
def constructed():
    """A judge whose scores, those of an image and of a text, stand in the two columns of the second caption."""
    rng = np.random.default_rng(0)
    y = np.column_stack([rng.standard_normal(500), 1000 * rng.random(500)])
    return MisleadingCaptions(first_column, second_column).fit(rng.standard_normal((500, 3)), y), y


def captions(*rows):
    second = np.array(rows, dtype=float)
    return np.zeros((len(rows), 3)), np.zeros_like(second), second


def test_a_score_is_the_log_odds_of_its_rank_among_mismatches(constructed):
    judge, y = constructed
    asked = captions([0.5, 300], [-1, 900], [1.5, 20])
    image, text = judge.evidence(*asked)
    for found, column in ((image, 0), (text, 1)):
        share = (y[:, column] < asked[2][:, column][:, None]).mean(axis=1)
        np.testing.assert_allclose(found, np.log(share / (1 - share)), atol=0.01)


def test_the_rules_on_constructed_captions(constructed):
    judge, _ = constructed
    fits_both, picture_only, text_only, neither = range(4)
    asked = captions([2, 990], [2, 10], [-2, 990], [-2, 10])
    scores = {rule: judge.scores(*asked, rule) for rule in ("bilevel", "mean", "image", "text")}
    below = {rule: set(np.flatnonzero(found < 0)) for rule, found in scores.items()}
    assert below["bilevel"] == {neither}
    assert below["image"] == {text_only, neither}
    assert below["text"] == {picture_only, neither}
    np.testing.assert_allclose(scores["bilevel"], np.maximum(scores["image"], scores["text"]))
    np.testing.assert_allclose(scores["mean"], (scores["image"] + scores["text"]) / 2)
    assert scores["mean"].argmax() == fits_both
    assert scores["mean"].argmin() == neither


def test_both_scores_are_on_one_scale_whatever_their_units():
    x, y = related(n=400)
    plain = MisleadingCaptions(lambda x, y: x[:, 0] * y[:, 0]).fit(x, y)
    # Ranks are the same; tails are too, up to the factor.
    scaled = MisleadingCaptions(lambda x, y: 1000 * x[:, 0] * y[:, 0] - 7).fit(x, y)
    asked = x[:50], y[:50], np.roll(y, 1, axis=0)[:50]
    np.testing.assert_allclose(scaled.scores(*asked), plain.scores(*asked), rtol=1e-6)


def test_scores_beyond_all_mismatches_are_still_told_apart(constructed):
    judge, y = constructed
    steps = np.concatenate([np.linspace(-50, -5, 20), np.linspace(-3, 3, 200), np.linspace(5, 50, 20)])
    image, _ = judge.evidence(*captions(*np.column_stack([steps, np.zeros_like(steps)])))
    assert np.all(np.diff(image) >= 0)
    assert np.all(np.diff(image)[:19] > 0)
    assert np.all(np.diff(image)[-19:] > 0)
    # An exponential tail: 5 mean excesses beyond the largest 1 % have e^-5 of their odds.
    start = np.sort(y[:, 0])[-6:]
    excess = (start - start[0])[1:].mean()
    found = judge.evidence(*captions([start[0] + 5 * excess, 0]))[0]
    assert found == pytest.approx(np.log(99) + 5, abs=0.3)


def test_mismatches_score_as_many_below_a_threshold_as_it_says(constructed):
    judge, _ = constructed
    fresh = np.random.default_rng(1)
    asked = captions(*np.column_stack([fresh.standard_normal(4000), 1000 * fresh.random(4000)]))
    for rule in ("bilevel", "mean", "image", "text"):
        for missed in (0.05, 0.2):
            passed = judge.scores(*asked, rule) >= judge.threshold(missed, rule)
            assert passed.mean() == pytest.approx(missed, abs=0.04)


def test_captions_of_other_pictures_are_found():
    x, y = related(n=1500, noise=0.4)
    # Two captions of each of 750 pictures.
    first, second = y, y + 0.3 * np.random.default_rng(0).standard_normal(y.shape)
    moments = canonsim.PairedMoments(12, 8)
    moments.update(x[:800], first[:800])
    texts = canonsim.PairedMoments(8, 8)
    texts.update(first[:800], second[:800])
    space, text_space = canonsim.fit(moments), canonsim.fit(texts)
    wrong = np.arange(400) % 2 == 1
    asked = x[1100:], first[1100:], np.where(wrong[:, None], np.roll(second[1100:], 1, axis=0), second[1100:])
    for text in (None, text_space):
        judge = MisleadingCaptions(space, text).fit(x[800:1100], first[800:1100])
        areas = {}
        for rule in ("bilevel", "mean", "image", "text"):
            scores = judge.scores(*asked, rule)
            areas[rule] = metrics.auc(scores[~wrong], scores[wrong])
        assert min(areas.values()) > 0.9
        assert areas["mean"] > max(areas["image"], areas["text"]) - 0.01
        labels = np.random.default_rng(0).permutation(wrong)
        scores = judge.scores(*asked)
        assert metrics.auc(scores[~labels], scores[labels]) == pytest.approx(0.5, abs=0.1)


def test_captions_of_one_picture_make_no_mismatch():
    # Captions of a picture are equal, those of others orthogonal: the cosine of mismatches is 0.
    ids = np.random.default_rng(0).permutation(np.repeat(np.arange(12), 5))
    judge = MisleadingCaptions(lambda x, y: (x * y).sum(axis=1)).fit(np.eye(12)[ids], np.eye(12)[ids], ids=ids)
    image, text = judge.evidence(np.eye(12)[:2], np.eye(12)[:2], np.eye(12)[[0, 0]])
    assert image[0] > 4
    assert image[1] == 0
    np.testing.assert_array_equal(image, text)


def test_tensors_in_tensors_out():
    x, y = related(n=300)
    moments = canonsim.PairedMoments(12, 8)
    moments.update(x, y)
    judge = MisleadingCaptions(canonsim.fit(moments)).fit(x, y)
    asked = x[:20], y[:20], y[1:21]
    tensors = [torch.from_numpy(side).float() for side in asked]
    found = judge.scores(*tensors)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, judge.scores(*asked), atol=1e-3)
    bfloat = MisleadingCaptions(canonsim.fit(moments)).fit(torch.from_numpy(x).bfloat16(), torch.from_numpy(y).float())
    assert torch.isfinite(bfloat.scores(*tensors)).all()


def test_what_is_refused():
    x, y = related(n=60)
    judge = MisleadingCaptions(lambda x, y: x[:, 0] * y[:, 0])
    with pytest.raises(ValueError, match="not fitted yet"):
        judge.scores(x, y, y)
    with pytest.raises(ValueError, match="Y has 59 rows, but X has 60"):
        judge.fit(x, y[1:])
    with pytest.raises(ValueError, match="got 1 different of 60 rows"):
        judge.fit(x, y, ids=np.zeros(60, int))
    bad = x.copy()
    bad[7, 0] = np.nan
    with pytest.raises(ValueError, match="X contains NaN or Inf"):
        judge.fit(bad, y)
    judge.fit(x, y)
    with pytest.raises(ValueError, match="second has 7 columns, expected 8"):
        judge.scores(x, y, y[:, 1:])
    with pytest.raises(ValueError, match="first has 59 rows, but x has 60"):
        judge.scores(x, y[1:], y)
    with pytest.raises(ValueError, match="x contains NaN or Inf in row 7"):
        judge.scores(bad, y, y)
    with pytest.raises(ValueError, match=r"rule must be one of .* got 'best'"):
        judge.scores(x, y, y, rule="best")
    with pytest.raises(ValueError, match="missed must lie between 0 and 1, got 1"):
        judge.threshold(1)
    with pytest.raises(TypeError, match="space must be a CanonicalSpace or a function of rows, got str"):
        MisleadingCaptions("a space")
    with pytest.raises(TypeError, match="second must hold f16, bf16, f32 or f64 values"):
        judge.scores(x, y, y.astype(int))
    with pytest.raises(ValueError, match="one for each row"):
        MisleadingCaptions(lambda x, y: 1.0).fit(x, y)
