"""Unridged CSA against its formula in float64, with enough pairs and with fewer than columns."""

from __future__ import annotations

import numpy as np
import pytest

from canonsim.baselines import UnridgedCSA
from synthetic import related


def whitened(matrix):
    """Rows of unit covariance on the directions that hold variance, and the map that makes them."""
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    kept = s > 1e-9 * s[0]
    return u[:, kept] * np.sqrt(len(matrix) - 1), vt[kept].T / s[kept] * np.sqrt(len(matrix) - 1)


def formula(x, y, new_x, new_y, s):
    mx, my = x.mean(axis=0), y.mean(axis=0)
    (u, wx), (v, wy) = whitened(x - mx), whitened(y - my)
    left, rho, right = np.linalg.svd(u.T @ v / (len(x) - 1))
    a, b = (new_x - mx) @ wx @ left[:, :s], (new_y - my) @ wy @ right[:s].T
    a, b = a / np.linalg.norm(a, axis=1, keepdims=True), b / np.linalg.norm(b, axis=1, keepdims=True)
    return (a * rho[:s]) @ b.T


@pytest.mark.parametrize("s", [1, 3, 8])
def test_it_is_the_formula(s):
    x, y = related(n=220)
    found = UnridgedCSA(s).fit(x[:200], y[:200])
    np.testing.assert_allclose(found.score(x[200:], y[200:]), formula(x[:200], y[:200], x[200:], y[200:], s), atol=1e-8)


def test_fewer_pairs_than_columns_keep_what_they_determine():
    x, y = related(n=6)
    found = UnridgedCSA().fit(x, y)
    np.testing.assert_allclose(found.space_.correlations, np.ones(5), atol=1e-9)
    np.testing.assert_allclose(found.score(x, y), formula(x, y, x, y, 5), atol=1e-6)


def test_more_directions_than_there_are_keep_all():
    x, y = related(n=100)
    np.testing.assert_array_equal(UnridgedCSA(99).fit(x, y).score(x, y), UnridgedCSA().fit(x, y).score(x, y))


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="s must be at least 1 or None, not 0"):
        UnridgedCSA(0)
    with pytest.raises(ValueError, match="at least 2 training pairs, got 1"):
        UnridgedCSA().fit(np.ones((1, 2)), np.ones((1, 2)))
