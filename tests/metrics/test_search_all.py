"""One pass over all scores: the same numbers as the functions that score by themselves, whatever the order of rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonsim import metrics


def dot(x, y):
    return x @ y.T


def whole_numbers(rows, seed):
    # Few values: ties.
    return np.random.default_rng(seed).integers(-2, 3, (2, rows, 3)).astype(float)


@given(st.integers(2, 30), st.integers(0, 2**32 - 1), st.integers(1, 7), st.data())
def test_numbers_are_those_of_retrieval_and_hubness(rows, seed, block, data):
    x, y = whole_numbers(rows, seed)
    k = data.draw(st.integers(1, rows))
    found = metrics.search_all(dot, x, y, k, block=block)
    assert found.retrieval() == metrics.retrieval_summary(dot, x, y)
    assert found.hubness() == metrics.hubness_summary(dot, x, y, k)
    np.testing.assert_array_equal(found.pairs, (x * y).sum(axis=1))


@given(st.integers(2, 20), st.integers(0, 2**32 - 1), st.integers(1, 7))
def test_the_auc_is_over_all_pairs_and_all_mismatches(rows, seed, block):
    x, y = whole_numbers(rows, seed)
    rng = np.random.default_rng(seed)
    x_ids, y_ids = rng.integers(0, rows, (2, rows))
    x_ids[:2], y_ids[:2] = [0, 1], [0, 1]
    found = metrics.search_all(dot, x, y, 1, x_ids=x_ids, y_ids=y_ids, block=block)
    differ = (x_ids[:, None] != x_ids) & (y_ids[:, None] != y_ids)
    mismatches = (x @ y.T)[differ]
    pairs = (x * y).sum(axis=1)[:, None]
    assert found.auc == pytest.approx(((pairs > mismatches) + (pairs == mismatches) / 2).mean())
    assert sorted(found.mismatches) == sorted(mismatches)


def test_the_order_of_the_rows_does_not_matter():
    x, y = np.random.default_rng(0).standard_normal((2, 300, 5))
    order = np.random.default_rng(1).permutation(300)
    one = metrics.search_all(dot, x, x + y, block=128)
    other = metrics.search_all(dot, x[order], (x + y)[order], block=128)
    assert other.retrieval() == one.retrieval()
    for direction, numbers in one.hubness().items():
        assert other.hubness()[direction] == pytest.approx(numbers)
    assert other.auc == pytest.approx(one.auc, abs=1e-9)
    # The next row of data sorted by what it shows is a hard mismatch; all rows are a fair sample of mismatches.
    by_size = np.argsort(x[:, 0])
    assert metrics.search_all(dot, x[by_size], (x + y)[by_size]).auc == pytest.approx(one.auc, abs=1e-9)


def test_unrelated_sides_are_at_chance():
    x, y = np.random.default_rng(0).standard_normal((2, 1500, 8))
    found = metrics.search_all(dot, x, y)
    assert found.auc == pytest.approx(0.5, abs=0.02)
    assert found.retrieval()["mean"]["R@10"] == pytest.approx(10 / 1500, abs=0.005)


def test_kept_mismatches_are_distributed_as_all():
    x, y = np.random.default_rng(0).standard_normal((2, 1200, 4))
    found = metrics.search_all(dot, x, y, block=1000)
    assert len(found.mismatches) == pytest.approx(1.2 * 4096, abs=2)
    scores = (x @ y.T)[~np.eye(1200, dtype=bool)]
    shares = [0.01, 0.1, 0.5, 0.9, 0.99]
    np.testing.assert_allclose(np.quantile(found.mismatches, shares), np.quantile(scores, shares), atol=0.03)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: metrics.search_all(dot, np.eye(3), np.eye(3), 4), ValueError, "1 and the 3 rows, got 4"),
        (lambda: metrics.search_all(dot, np.eye(3), np.eye(4)), ValueError, r"\(3, 3\) and \(4, 4\)"),
        (lambda: metrics.search_all(dot, np.eye(3), np.eye(3), 1, x_ids=[0, 0, 0]), ValueError, "no mismatch"),
        (lambda: metrics.search_all(dot, np.eye(3), np.eye(3), 1, y_ids=[0, 1]), ValueError, "y_ids must be"),
        (
            lambda: metrics.search_all(dot, np.eye(3), np.eye(3), 1, x_ids=[0.5] * 3),
            TypeError,
            "x_ids must be integers",
        ),
        (lambda: metrics.search_all(dot, np.full((3, 1), np.nan), np.eye(3)[:, :1], 1), ValueError, "NaN"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
