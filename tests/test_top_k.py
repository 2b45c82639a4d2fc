"""The k best against a full sort, whatever the blocks, with ties where they hurt."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import canonsim
from canonsim import top_k as home
from canonsim.top_k import top_k
from synthetic import related


def full_sort(queries, gallery, k, dtype):
    """Every inner product in f64, all of them sorted."""
    scores = (queries.astype(np.float64)[:, None] * gallery.astype(np.float64)).sum(-1).astype(dtype)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), order


@st.composite
def searches(draw):
    """Queries, a gallery with few distinct rows, and k: one, all, or such that ties stand at the k-th place."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, m, s = draw(st.integers(1, 30)), draw(st.integers(1, 80)), draw(st.integers(1, 70))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    distinct = rng.standard_normal((draw(st.integers(1, m)), s))
    queries = rng.standard_normal((n, s))
    if draw(st.booleans()):
        queries, distinct = np.round(queries), np.round(distinct)
    queries[draw(st.integers(0, n)) :] = 0
    gallery = distinct[rng.integers(0, len(distinct), m)]
    scale = 10.0 ** draw(st.integers(-3, 3))
    k = draw(st.one_of(st.just(1), st.just(m), st.integers(1, m)))
    return (scale * queries).astype(dtype), gallery.astype(dtype), k


@given(searches(), st.integers(1, 90), st.integers(1, 2000), st.integers(1, 50), st.booleans(), st.booleans())
def test_top_k_is_the_head_of_a_full_sort(search, columns, held, pairs, tensors, narrow):
    queries, gallery, k = search
    dtype = np.float32 if narrow else queries.dtype
    expected, order = full_sort(queries, gallery, k, dtype)
    with pytest.MonkeyPatch.context() as patch:
        for name, size in (("_GALLERY", columns), ("_SCORES", held), ("_PAIRS", pairs)):
            patch.setattr(home, name, size)
        if tensors:
            kind = torch.float32 if dtype == np.float32 else torch.float64
            scores, indices = top_k(torch.from_numpy(queries), torch.from_numpy(gallery), k, kind)
            # torch adds the terms of a sum in another order than numpy.
            np.testing.assert_allclose(scores, expected, rtol=1e-6 if dtype == np.float32 else 1e-12, atol=1e-12)
            assert (scores.dtype, indices.dtype) == (kind, torch.int64)
            scores, indices = scores.numpy(), indices.numpy()
        else:
            scores, indices = top_k(queries, gallery, k, dtype)
            np.testing.assert_array_equal(scores, expected)
            np.testing.assert_array_equal(indices, order)
            assert (scores.dtype, indices.dtype) == (dtype, np.int64)
    assert all(len(set(row)) == k for row in indices.tolist())
    equal = scores[:, 1:] == scores[:, :-1]
    assert (scores[:, 1:] <= scores[:, :-1]).all()
    assert (indices[:, 1:] > indices[:, :-1])[equal].all()


def test_torch_may_multiply_in_low_precision(monkeypatch):
    rng = np.random.default_rng(0)
    queries, gallery = (rng.standard_normal((n, 64)).astype(np.float32) for n in (200, 2000))
    expected, order = full_sort(queries, gallery, 10, np.float32)

    def rounded(x, y):
        return (x.bfloat16().double() @ y.bfloat16().double().T).float()

    monkeypatch.setattr(home, "inner_products", rounded)
    scores, indices = top_k(torch.from_numpy(queries), torch.from_numpy(gallery), 10)
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_equal_rows_far_apart_score_alike():
    # A product of matrices gives them scores that differ in the last bit.
    rng = np.random.default_rng(0)
    gallery = np.tile(rng.standard_normal(128), (5001, 1))
    scores, indices = top_k(rng.standard_normal((33, 128)), gallery, 5001)
    assert (scores == scores[:, :1]).all()
    np.testing.assert_array_equal(indices, np.tile(np.arange(5001), (33, 1)))


@pytest.mark.parametrize(
    ("queries", "gallery", "k", "error", "message"),
    [
        (np.zeros((2, 3)), np.zeros((4, 3)), 5, ValueError, "k must lie between 1 and the 4 rows .* got 5"),
        (np.zeros((2, 3)), np.zeros((4, 3)), 0, ValueError, "got 0"),
        (np.zeros((2, 3)), np.zeros((0, 3)), 1, ValueError, "the 0 rows"),
        (np.zeros((2, 3)), np.zeros((4, 2)), 1, ValueError, "gallery has 2 columns, expected 3"),
        (np.zeros((2, 3)), np.zeros((4, 3), np.float32), 1, TypeError, "float64, .* float32"),
        (np.zeros((2, 3), np.float16), np.zeros((4, 3), np.float16), 1, TypeError, "float16"),
        (np.zeros((2, 3)), torch.zeros(4, 3).double(), 1, TypeError, "ndarray of float64, Tensor of torch.float64"),
        ([[1.0]], np.zeros((4, 1)), 1, TypeError, "queries must be"),
    ],
)
def test_bad_arguments(queries, gallery, k, error, message):
    with pytest.raises(error, match=message):
        top_k(queries, gallery, k)


@pytest.fixture(scope="module")
def space():
    x, y = related()
    moments = canonsim.PairedMoments(12, 8)
    moments.update(x, y)
    return canonsim.fit(moments, ridge=0.1)


@pytest.mark.parametrize("score", ["similarity", "log_odds"])
@pytest.mark.parametrize("queries", ["x", "y"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("tensors", [False, True])
def test_the_best_of_a_space(space, score, queries, dtype, tensors):
    x, y = (np.repeat(side, 2, axis=0).astype(dtype) for side in related(seed=1, n=90))
    scores = getattr(space, score)(x.astype(np.float64), y.astype(np.float64))
    scores = scores if queries == "x" else scores.T
    # The order of what is nearer than the rounding of the vectors is open.
    close = {"rtol": 1e-6, "atol": 1e-6} if dtype != np.float64 else {"rtol": 1e-12, "atol": 1e-12}
    sides = (torch.from_numpy(x), torch.from_numpy(y)) if tensors else (x, y)
    best, found = space.top_k(*sides, 12, score, queries=queries)
    assert best.dtype == (getattr(torch if tensors else np, "float64" if dtype == np.float64 else "float32"))
    assert best.shape == found.shape == (180, 12)
    best, found = np.asarray(best), np.asarray(found)
    np.testing.assert_allclose(best, np.sort(scores, axis=1)[:, :-13:-1], **close)
    np.testing.assert_allclose(best, np.take_along_axis(scores, found, axis=1), **close)
    if dtype != np.float64:
        # Vectors of equal rows differ in the last bits of f64, which f32 drops.
        np.testing.assert_array_equal(found[:, 1::2], found[:, ::2] + 1)
        assert (found[:, ::2] % 2 == 0).all()


def test_edges_of_a_space(space):
    x, y = related(seed=1, n=50)
    assert [part.shape for part in space.top_k(x[:0], y, 3)] == [(0, 3), (0, 3)]
    assert [tuple(part.shape) for part in space.top_k(torch.zeros(0, 12), torch.zeros(4, 8), 3)] == [(0, 3), (0, 3)]
    scores, indices = space.top_k(torch.from_numpy(x).requires_grad_(), torch.from_numpy(y), 1)
    assert not scores.requires_grad
    np.testing.assert_array_equal(indices[:, 0], space.similarity(x, y).argmax(axis=1))
    with pytest.raises(ValueError, match="50 rows of the gallery, got 51"):
        space.top_k(x, y, 51)
    with pytest.raises(ValueError, match="'x' or 'y', got 'z'"):
        space.top_k(x, y, 1, queries="z")
    with pytest.raises(ValueError, match="score must be"):
        space.top_k(x, y, 1, "cosine")
    y[7, 0] = np.nan
    with pytest.raises(ValueError, match=r"y holds NaN .* in row 7"):
        space.top_k(x, y, 1)


def test_no_matrix_of_all_scores_is_held(space):
    x, y = related(seed=1, n=30_000)
    x, y = x[:3000].astype(np.float32), y.astype(np.float32)
    for score in ("similarity", "log_odds"):
        tracemalloc.start()
        space.top_k(x, y, 10, score)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # 360 MB in f32.
        assert peak < 40e6
