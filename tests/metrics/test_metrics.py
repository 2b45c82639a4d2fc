"""Retrieval and mismatch numbers against known answers, at chance, and with ties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from canonsim import metrics


def dot(x, y):
    return x @ y.T


def dot_pairs(x, y):
    return (x * y).sum(axis=1)


def test_recall_of_a_known_order():
    # Partners have rank 1, 2 and 3.
    scores = np.array([[9.0, 1.0, 2.0], [5.0, 4.0, 3.0], [7.0, 6.0, 5.0]])
    assert [metrics.retrieval_recall(scores, k) for k in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 1.0])


def test_a_constant_score_is_at_chance():
    for k in (1, 3, 10, 50):
        assert metrics.retrieval_recall(np.zeros((10, 10)), k) == pytest.approx(metrics.recall_chance(10, k))


def test_a_tie_counts_by_the_chance_of_its_place():
    # Behind one item, tied with two: place 2, 3 or 4.
    scores = np.array([[5.0, 9.0, 5.0, 5.0]])
    assert [metrics.retrieval_recall(scores, k) for k in (1, 2, 3, 4)] == pytest.approx([0.0, 1 / 3, 2 / 3, 1.0])


def test_items_without_a_query_count_as_rivals():
    assert metrics.retrieval_recall(np.array([[1.0, 0.0, 2.0]]), 1) == 0.0


@given(st.integers(2, 30), st.integers(0, 2**32 - 1), st.integers(1, 7))
def test_blocks_and_directions_do_not_change_the_summary(rows, seed, block):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(-2, 3, (rows, 3)).astype(float), rng.integers(-2, 3, (rows, 3)).astype(float)
    whole = metrics.retrieval_summary(dot, x, y)
    assert metrics.retrieval_summary(dot, x, y, block=block) == whole
    assert metrics.retrieval_summary(dot, y, x)["x_to_y"] == whole["y_to_x"]
    assert whole["y_to_x"]["R@5"] == pytest.approx(metrics.retrieval_recall((x @ y.T).T, 5))


@given(st.integers(2, 30), st.integers(0, 2**32 - 1))
def test_the_summary_is_the_mean_over_queries(rows, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(-2, 3, (rows, 3)).astype(float), rng.integers(-2, 3, (rows, 3)).astype(float)
    whole = metrics.retrieval_summary(dot, x, y)
    for direction, ranks in metrics.pair_ranks(dot, x, y, block=4).items():
        each = metrics.query_recall(*ranks, 5)
        assert each.shape == (rows,)
        assert each.mean() == pytest.approx(whole[direction]["R@5"])
        scores = x @ y.T if direction == "x_to_y" else y @ x.T
        for found, expected in zip(ranks, metrics.partner_ranks(scores), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_summary_of_perfect_and_of_random_scores():
    x = np.eye(200)
    perfect = metrics.retrieval_summary(dot, x, x)
    assert perfect["mean"] == {"R@1": 1.0, "R@5": 1.0, "R@10": 1.0, "median_rank": 1.0}
    assert perfect["chance"] == {"R@1": 1 / 200, "R@5": 5 / 200, "R@10": 10 / 200, "median_rank": 100.5}
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 2000, 8))
    unrelated = metrics.retrieval_summary(dot, x, y)
    assert unrelated["mean"]["R@10"] == pytest.approx(0.005, abs=0.004)
    assert unrelated["mean"]["median_rank"] == pytest.approx(1000, rel=0.1)


@given(
    st.lists(st.integers(-3, 3), min_size=1, max_size=30),
    st.lists(st.integers(-3, 3), min_size=1, max_size=30),
)
def test_auc_is_the_share_of_ordered_pairs_with_ties_by_half(positive, negative):
    p, n = np.array(positive), np.array(negative)
    expected = (p[:, None] > n).mean() + (p[:, None] == n).mean() / 2
    assert metrics.auc(p, n) == pytest.approx(expected, abs=1e-6)


def test_auc_of_large_scores_has_no_invented_ties():
    rng = np.random.default_rng(0)
    positive, negative = 1e4 + rng.standard_normal(500), 1e4 - 0.5 + rng.standard_normal(500)
    expected = roc_auc_score(np.repeat([1, 0], 500), np.concatenate([positive, negative]))
    assert metrics.auc(positive, negative) == pytest.approx(expected, abs=1e-6)
    assert metrics.auc([1.0, 1.0], [1.0]) == 0.5


def test_mismatches_are_the_next_rows():
    x = np.eye(5)
    assert metrics.mismatch_auc(dot_pairs, x, x) == 1.0
    assert metrics.mismatch_auc(dot_pairs, x, np.roll(x, 1, axis=0)) == 0.0


def test_mismatch_scores_are_what_the_auc_is_of():
    x, y = np.random.default_rng(0).standard_normal((2, 50, 4))
    own, other = metrics.mismatch_scores(dot_pairs, x, y)
    np.testing.assert_array_equal(own, dot_pairs(x, y))
    np.testing.assert_array_equal(other[:-1], dot_pairs(x[:-1], y[1:]))
    assert other[-1] == dot_pairs(x[-1:], y[:1])[0]
    assert metrics.mismatch_auc(dot_pairs, x, y) == metrics.auc(own, other)


def test_a_score_of_one_side_is_at_chance_for_mismatches():
    x, y = np.random.default_rng(0).standard_normal((2, 100, 4))
    assert metrics.mismatch_auc(lambda x, _: x[:, 0], x, y) == pytest.approx(0.5)
    assert metrics.mismatch_auc(lambda _, y: y[:, 0], x, y) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.retrieval_recall(np.zeros((3, 2)), 1), r"\(3, 2\)"),
        (lambda: metrics.retrieval_recall(np.zeros((0, 2)), 1), r"\(0, 2\)"),
        (lambda: metrics.retrieval_recall(np.array([[0.0, 1], [np.nan, 2]]), 1), "row 1"),
        (lambda: metrics.retrieval_recall(np.eye(2), 0), "not 0"),
        (lambda: metrics.query_recall([0], [0], 0), "k must be at least 1, not 0"),
        (lambda: metrics.recall_chance(0, 1), "not 0 and 1"),
        (lambda: metrics.auc([], [1.0]), "positive"),
        (lambda: metrics.auc([1.0], [np.nan]), "negative"),
        (lambda: metrics.mismatch_auc(dot_pairs, np.eye(3), np.eye(2)), r"\(3, 3\) and \(2, 2\)"),
        (lambda: metrics.retrieval_summary(dot, np.eye(1), np.eye(1)), "at least 2"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
