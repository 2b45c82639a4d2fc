"""Procrustes on rotations it must undo, its optimality, and pairs it must not find."""

from __future__ import annotations

import numpy as np
import pytest

from canonsim import metrics
from canonsim.baselines import Procrustes


def rotation(rng, size):
    return np.linalg.qr(rng.standard_normal((size, size)))[0]


def test_a_rotation_is_undone():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((100, 8))
    y = x @ rotation(rng, 8)
    found = Procrustes().fit(x[:60], y[:60])
    np.testing.assert_allclose(found.similarity_pairwise(x[60:], y[60:]), 1.0, atol=1e-9)
    assert metrics.retrieval_summary(found.similarity, x[60:], y[60:])["mean"]["R@1"] == 1.0


def test_sides_of_different_width_share_the_smaller_one():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((50, 8)), rng.standard_normal((50, 5))
    found = Procrustes().fit(x, y)
    assert found.embed_x(x).shape == found.embed_y(y).shape == (50, 5)
    np.testing.assert_allclose(found.x_rotation_.T @ found.x_rotation_, np.eye(5), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(found.embed_y(y), axis=1), 1.0)


def test_what_few_pairs_do_not_determine_is_left_out():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((100, 8))
    y = x @ rotation(rng, 8)
    found = Procrustes().fit(x[:5], y[:5])
    assert found.embed_x(x).shape == (100, 4)
    np.testing.assert_allclose(found.score_pairwise(x[:5], y[:5]), 1.0, atol=1e-9)


def test_no_other_rotation_agrees_better():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((80, 6))
    y = x @ rotation(rng, 6) + 0.5 * rng.standard_normal((80, 6))
    found = Procrustes().fit(x, y)
    u, v = (s / np.linalg.norm(s, axis=1, keepdims=True) for s in (x, y))
    cross = (u - found.x_mean_).T @ (v - found.y_mean_)
    best = np.trace(found.x_rotation_.T @ cross @ found.y_rotation_)
    assert all(best >= np.trace(rotation(rng, 6).T @ cross @ rotation(rng, 6)) for _ in range(100))


def test_unrelated_sides_are_at_chance():
    x, y = np.random.default_rng(0).standard_normal((2, 1500, 8))
    found = Procrustes().fit(x[:500], y[:500])
    assert metrics.mismatch_auc(found.similarity_pairwise, x[500:], y[500:]) == pytest.approx(0.5, abs=0.04)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="got 4 and 3"):
        Procrustes().fit(np.ones((4, 2)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="row 0"):
        Procrustes().fit(np.full((4, 2), np.nan), np.ones((4, 2)))
