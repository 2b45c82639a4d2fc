"""Hubness against known answers, at chance, and whatever the blocks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from canonsim import metrics


def dot(x, y):
    return x @ y.T


def random_lists(rng, queries, items, k):
    return np.argsort(rng.random((queries, items)), axis=1)[:, :k]


def test_k_occurrence_counts_the_lists_that_hold_an_item():
    indices = np.array([[0, 2], [2, 1], [2, 0]])
    assert metrics.k_occurrence(indices, 5).tolist() == [2, 1, 3, 0, 0]
    assert metrics.k_occurrence(torch.from_numpy(indices), 5).tolist() == [2, 1, 3, 0, 0]


def test_one_hub_takes_everything():
    numbers = metrics.hubness(np.full((40, 1), 7), 50)
    assert numbers["anti_hubs"] == pytest.approx(49 / 50)
    assert numbers["top_share"] == 1.0
    # One of 50 differs: (m - 2) / sqrt(m - 1).
    assert numbers["skewness"] == pytest.approx(48 / 7)


def test_the_top_share_is_that_of_one_per_cent_of_the_items():
    # 200 items: two of them, found 30 and 20 times of 100.
    indices = np.repeat([3, 5, 9, 11], [30, 20, 19, 31])[:, None]
    assert metrics.hubness(indices, 200)["top_share"] == pytest.approx(0.61)
    assert metrics.hubness(indices, 201)["top_share"] == pytest.approx(0.81)


def test_items_found_alike_have_no_hubness():
    assert metrics.hubness(np.arange(10)[:, None], 10) == {"skewness": 0.0, "anti_hubs": 0.0, "top_share": 0.1}


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.data())
def test_the_skewness_is_scipys(seed, queries, items, data):
    k = data.draw(st.integers(1, items))
    indices = random_lists(np.random.default_rng(seed), queries, items, k)
    occurrence = metrics.k_occurrence(indices, items)
    assert occurrence.sum() == queries * k
    expected = stats.skew(occurrence) if np.ptp(occurrence) else 0.0
    assert metrics.hubness(indices, items)["skewness"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("queries", "items", "k"), [(50, 30, 3), (20, 300, 4), (300, 250, 1), (5, 12, 11)])
def test_random_lists_are_at_chance(queries, items, k):
    rng = np.random.default_rng(0)
    found = [metrics.hubness(random_lists(rng, queries, items, k), items) for _ in range(400)]
    chance = metrics.hubness_chance(queries, items, k)
    for name in ("anti_hubs", "top_share"):
        values = np.array([numbers[name] for numbers in found])
        # Items are not quite independent: what that does to the top share is far below 1 %.
        error = 4 * values.std() / 20 + (0.01 * chance[name] if name == "top_share" else 1e-5)
        assert values.mean() == pytest.approx(chance[name], abs=error)


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_chance_is_that_of_the_binomial_distribution(queries, items, data):
    k = data.draw(st.integers(1, items))
    chance = metrics.hubness_chance(queries, items, k)
    binomial = stats.binom(queries, k / items)
    assert chance["anti_hubs"] == pytest.approx(binomial.pmf(0), abs=1e-12)
    skewness = float(binomial.stats("s")) if k < items else 0.0
    assert chance["skewness"] == pytest.approx(skewness, rel=1e-9, abs=1e-12)
    # The mean of the largest of independent counts: the sum over c of P(largest > c).
    largest = sum(1 - binomial.cdf(np.arange(queries)) ** items)
    assert chance["top_share"] == pytest.approx(largest / (queries * k), rel=1e-9)


def test_chance_of_many_items_is_that_of_the_upper_tail():
    # The top 1 % of infinitely many items: the mean of the distribution above its quantile.
    queries, k, items = 2000, 10, 10**6
    counts = np.arange(queries + 1)
    pmf = stats.binom.pmf(counts, queries, k / items * 1000)
    chance = metrics.hubness_chance(queries, items, 1000 * k)["top_share"]
    above = np.clip(0.01 - stats.binom.sf(counts, queries, k / items * 1000), 0, pmf)
    assert chance == pytest.approx((counts * above).sum() / (queries * k * 1000 / items), rel=1e-4)


def test_numbers_of_large_searches_are_finite():
    for queries, items, k in [(10**6, 10**6, 10), (10**5, 20, 19), (1, 1, 1), (1, 10**6, 1)]:
        chance = metrics.hubness_chance(queries, items, k)
        assert all(np.isfinite(value) for value in chance.values())
        assert 0 <= chance["anti_hubs"] <= 1
        assert 0 < chance["top_share"] <= 1


@given(st.integers(2, 30), st.integers(0, 2**32 - 1), st.integers(1, 7), st.data())
def test_the_summary_is_that_of_the_first_k_of_a_stable_sort(rows, seed, block, data):
    rng = np.random.default_rng(seed)
    # Few values: ties at the k-th place.
    x, y = rng.integers(-2, 3, (2, rows, 3)).astype(float)
    k = data.draw(st.integers(1, rows))
    summary = metrics.hubness_summary(dot, x, y, k, block)
    for direction, scores in (("x_to_y", x @ y.T), ("y_to_x", y @ x.T)):
        indices = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        assert summary[direction] == metrics.hubness(indices, rows)
    assert summary["chance"] == metrics.hubness_chance(rows, rows, k)


def test_points_of_high_dimension_have_hubs():
    # Radovanović et al. 2010: the skewness of nearest neighbours grows with the dimension.
    rng = np.random.default_rng(0)

    def skewness(dimension):
        points = rng.standard_normal((1000, dimension))
        summary = metrics.hubness_summary(lambda x, y: 2 * x @ y.T - (y**2).sum(1), points, points)
        return summary["x_to_y"]["skewness"]

    assert skewness(3) < 1 < skewness(100)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: metrics.hubness([[0, 4]], 4), ValueError, "between 0 and 3, got 0 to 4"),
        (lambda: metrics.hubness([[-1, 0]], 4), ValueError, "got -1 to 0"),
        (lambda: metrics.hubness([0, 1], 4), ValueError, r"\(2,\)"),
        (lambda: metrics.hubness(np.zeros((0, 3), int), 4), ValueError, r"\(0, 3\)"),
        (lambda: metrics.k_occurrence([[0.5]], 4), TypeError, "float64"),
        (lambda: metrics.hubness_chance(0, 4, 1), ValueError, "got 0, k = 1 of 4 items"),
        (lambda: metrics.hubness_chance(3, 4, 5), ValueError, "k = 5 of 4 items"),
        (lambda: metrics.hubness_summary(dot, np.eye(3), np.eye(3), 4), ValueError, "1 and the 3 rows, got 4"),
        (lambda: metrics.hubness_summary(dot, np.eye(3), np.eye(4)), ValueError, r"\(3, 3\) and \(4, 4\)"),
        (lambda: metrics.hubness_summary(dot, np.full((3, 1), np.nan), np.eye(3)[:, :1], 1), ValueError, "NaN"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
