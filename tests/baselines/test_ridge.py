"""Ridge maps against refits without a row, the normal equations, and a relation they must find."""

from __future__ import annotations

import numpy as np
import pytest

from canonsim import metrics
from canonsim.baselines import RidgeMap
from synthetic import related


def direct_map(x, y, ridge):
    """The map of centred rows, by the normal equations with a ridge in absolute terms."""
    return np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ y)


@pytest.mark.parametrize("n", [9, 40])
def test_the_leave_one_out_error_is_that_of_refits(n):
    x, y = related(n=n)
    ridges = (0.01, 1.0, 100.0)
    found = RidgeMap(ridges=ridges).fit(x, y)
    centred = x - x.mean(axis=0)
    scale = (centred**2).sum() / x.shape[1]
    expected = []
    for ridge in ridges:
        errors = []
        for i in range(n):
            kept = np.arange(n) != i
            mx, my = x[kept].mean(axis=0), y[kept].mean(axis=0)
            weights = direct_map(x[kept] - mx, y[kept] - my, ridge * scale)
            errors.append(((y[i] - my - (x[i] - mx) @ weights) ** 2).sum())
        expected.append(np.mean(errors))
    np.testing.assert_allclose(found.x_errors_, expected, rtol=1e-8)
    assert found.x_ridge_ == ridges[int(np.argmin(expected))]


def test_the_maps_solve_the_normal_equations():
    x, y = related(n=50)
    found = RidgeMap(ridges=(0.3,)).fit(x, y)
    u, v = x - x.mean(axis=0), y - y.mean(axis=0)
    np.testing.assert_allclose(found.x_map_, direct_map(u, v, 0.3 * (u**2).sum() / 12), atol=1e-10)
    np.testing.assert_allclose(found.y_map_, direct_map(v, u, 0.3 * (v**2).sum() / 8), atol=1e-10)


def test_a_linear_relation_is_found_and_both_ways_is_the_mean_of_the_cosines():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((150, 8)) + 3
    y = x @ rng.standard_normal((8, 8))
    scores = {}
    for direction in ("x_to_y", "y_to_x", "both"):
        found = RidgeMap(direction).fit(x[:100], y[:100])
        scores[direction] = found.score(x[100:], y[100:])
        assert metrics.retrieval_summary(found.score, x[100:], y[100:])["mean"]["R@1"] == 1.0
    np.testing.assert_allclose(scores["both"], (scores["x_to_y"] + scores["y_to_x"]) / 2, atol=1e-12)
    np.testing.assert_allclose(np.diag(scores["x_to_y"]), 1.0, atol=1e-4)


def test_scale_does_not_matter():
    x, y = related(n=60)
    expected = RidgeMap().fit(x, y).score(x, y)
    np.testing.assert_allclose(RidgeMap().fit(1e3 * x, y / 7).score(1e3 * x, y / 7), expected, atol=1e-8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RidgeMap("z"), "direction must be .* not 'z'"),
        (lambda: RidgeMap(ridges=(1.0, 0.0)), r"ridges must be positive .* not \(1.0, 0.0\)"),
        (lambda: RidgeMap(ridges=()), "at least one"),
        (lambda: RidgeMap().fit(np.ones((1, 2)), np.ones((1, 2))), "at least 2 training pairs, got 1"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
