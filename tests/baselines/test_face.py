"""What all baselines promise alike."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from canonsim import metrics
from canonsim.baselines import ASIF, PLS, ContrastiveHeads, Procrustes, RidgeMap, UnridgedCSA
from canonsim.baselines.rows import mean_and_std, set_aside
from synthetic import related

MAKE = {
    "ASIF": lambda: ASIF(k=100, p=4),
    "Procrustes": Procrustes,
    "ridge": RidgeMap,
    "PLS": lambda: PLS(r=4),
    "unridged": lambda: UnridgedCSA(s=4),
    "contrastive": lambda: ContrastiveHeads(dim=8, learning_rate=0.01, max_epochs=20),
}


@pytest.fixture(params=MAKE)
def method(request):
    return MAKE[request.param]()


def test_scores_are_products_of_vectors_and_find_partners(method):
    x, y = related(n=500, noise=0.3)
    assert method.fit(x[:400], y[:400]) is method
    x, y = x[400:], y[400:]
    scores = method.score(x, y[:30])
    assert scores.shape == (100, 30)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, method.embed_x(x) @ method.embed_y(y[:30]).T, atol=1e-12)
    np.testing.assert_allclose(method.score_pairwise(x, y), np.diag(method.score(x, y)), atol=1e-6)
    np.testing.assert_array_equal(method.similarity(x, y), method.score(x, y))
    np.testing.assert_array_equal(method.similarity_pairwise(x, y), method.score_pairwise(x, y))
    assert metrics.retrieval_summary(method.score, x, y)["mean"]["R@10"] > 0.5


def test_independent_sides_are_at_chance(method):
    x, y = np.random.default_rng(0).standard_normal((2, 1300, 6))
    method.fit(x[:300], y[:300])
    assert metrics.mismatch_auc(method.score_pairwise, x[300:], y[300:]) == pytest.approx(0.5, abs=0.05)


def test_bad_input_is_named(method):
    x, y = related(n=40)
    with pytest.raises(ValueError, match="got 40 and 39"):
        method.fit(x, y[:-1])
    with pytest.raises(ValueError, match="row 3 contains NaN"):
        method.fit(np.where(np.arange(40)[:, None] == 3, np.nan, x), y)
    method.fit(x, y)
    with pytest.raises(ValueError, match=r"\(n, 12\), got \(40, 8\)"):
        method.score(y, y)
    with pytest.raises(ValueError, match="got 5 and 4"):
        method.score_pairwise(x[:5], y[:4])


def test_constant_columns_and_constant_sides_give_numbers(method):
    x, y = related(n=60)
    x[:, 2] = 7.0
    assert np.isfinite(method.fit(x, y).score(x, y)).all()
    if not isinstance(method, UnridgedCSA):
        assert np.isfinite(method.fit(np.ones_like(x), y).score(x, y)).all()


def test_torch_waits_until_heads_are_trained():
    code = "import sys, canonsim.baselines as b; b.ContrastiveHeads(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_what_is_set_aside_keeps_groups_whole():
    ids = np.random.default_rng(0).integers(0, 300, size=1000)
    marked = set_aside(ids, 0.2, seed=1)
    assert 200 <= marked.sum() <= 210
    assert not set(ids[marked]) & set(ids[~marked])
    np.testing.assert_array_equal(marked, set_aside(ids, 0.2, seed=1))
    assert (marked != set_aside(ids, 0.2, seed=2)).any()


def test_columns_constant_to_rounding_are_not_blown_up():
    columns = np.column_stack([np.full(30, 0.1), np.arange(30.0), np.zeros(30)])
    mean, std = mean_and_std(columns)
    np.testing.assert_allclose(mean, columns.mean(axis=0))
    np.testing.assert_allclose(std, [1.0, columns[:, 1].std(), 1.0])
