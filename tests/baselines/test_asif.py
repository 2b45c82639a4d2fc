"""ASIF against its formula, written out row by row, and on pairs it must and must not find."""

from __future__ import annotations

import numpy as np
import pytest

from canonsim import metrics
from canonsim.baselines import ASIF


def pairs(n, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, 6))
    return z @ rng.standard_normal((6, 12)), z @ rng.standard_normal((6, 9))


def represent(row, anchors, k, p):
    similarities = [row @ a / np.linalg.norm(row) / np.linalg.norm(a) for a in anchors]
    kept = set(np.argsort(similarities)[-k:])
    vector = np.array([max(s, 0.0) ** p if i in kept else 0.0 for i, s in enumerate(similarities)])
    return vector / np.linalg.norm(vector)


def test_it_is_the_formula():
    x, y = pairs(40)
    asif = ASIF(k=7, p=3).fit(x[:30], y[:30])
    left = np.array([represent(row, x[:30], 7, 3) for row in x[30:]])
    right = np.array([represent(row, y[:30], 7, 3) for row in y[30:]])
    np.testing.assert_allclose(asif.embed_x(x[30:]), left, atol=1e-12)
    np.testing.assert_allclose(asif.similarity(x[30:], y[30:]), left @ right.T, atol=1e-12)
    np.testing.assert_allclose(asif.similarity_pairwise(x[30:], y[30:]), (left * right).sum(axis=1), atol=1e-12)


def test_more_neighbours_than_pairs_keep_all():
    x, y = pairs(40)
    np.testing.assert_array_equal(ASIF(k=800).fit(x, y).similarity(x, y), ASIF(k=40).fit(x, y).similarity(x, y))


def test_related_sides_are_found_and_unrelated_ones_are_at_chance():
    x, y = pairs(600)
    found = ASIF(k=100, p=4).fit(x[:500], y[:500])
    assert metrics.retrieval_summary(found.similarity, x[500:], y[500:])["mean"]["R@10"] > 0.3
    _, other = pairs(600, seed=1)
    lost = ASIF(k=100, p=4).fit(x[:500], other[:500])
    assert metrics.retrieval_summary(lost.similarity, x[500:], other[500:])["mean"]["R@10"] < 0.2


def test_scale_does_not_matter():
    x, y = pairs(50)
    scaled = ASIF(k=10).fit(3 * x, y / 7).similarity(2 * x, 5 * y)
    np.testing.assert_allclose(scaled, ASIF(k=10).fit(x, y).similarity(x, y), atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, y: ASIF(k=0), "k must be at least 1"),
        (lambda x, y: ASIF(p=0), "p positive"),
        (lambda x, y: ASIF().fit(x[:4], y[:3]), "got 4 and 3"),
        (lambda x, y: ASIF().fit(x[0], y), r"\(12,\)"),
        (lambda x, y: ASIF().fit(np.where(x == x[2, 3], np.inf, x), y), "row 2"),
        (lambda x, y: ASIF().fit(x, y).embed_x(y), r"\(n, 12\), got \(5, 9\)"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(*pairs(5))
