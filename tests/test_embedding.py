"""Scores made in blocks: as close to f64 as they should be, without a second matrix of their size."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import canonsim
from canonsim import embedding
from synthetic import related


def space_of(x, y, **arguments):
    moments = canonsim.PairedMoments(x.shape[1], y.shape[1])
    moments.update(x, y)
    return canonsim.fit(moments, **arguments)


def cosines(space, x, y):
    """The held-out similarity, written out in f64."""
    root = np.sqrt(space.weights)
    u = (x.astype(np.float64) - space.x_mean) @ space.x_projection / space.x_std * root
    v = (y.astype(np.float64) - space.y_mean) @ space.y_projection / space.y_std * root
    return (u @ v.T) / np.linalg.norm(u, axis=1)[:, None] / np.linalg.norm(v, axis=1)


@pytest.mark.parametrize("kind", ["plain", "far from zero", "badly conditioned"])
@pytest.mark.parametrize("tensors", [False, True])
def test_similarity_of_f32_rows_is_that_of_f64(kind, tensors):
    x, y = related(n=1500, p=24, q=20)
    if kind == "far from zero":
        x, y = x + 1000 * x.std(axis=0), y - 1000 * y.std(axis=0)
    if kind == "badly conditioned":
        # Standard deviations from 1 to 10^-4, none of them along a column.
        rng = np.random.default_rng(1)
        for side in (x, y):
            d = side.shape[1]
            mixing = np.linalg.qr(rng.standard_normal((d, d)))[0]
            side[:] = side * np.logspace(0, -4, d) @ mixing
    x, y = x.astype(np.float32), y.astype(np.float32)
    space = space_of(x, y, ridge=0.0, n_components=None)
    found = space.similarity(torch.from_numpy(x), torch.from_numpy(y)) if tensors else space.similarity(x, y)
    assert str(found.dtype).endswith("float32")
    np.testing.assert_allclose(found, cosines(space, x, y), atol=1e-6)


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from(["similarity", "log_odds"]), st.booleans())
def test_blocks_change_nothing(rows, tile, score, tensors):
    x, y = related(n=50)
    space = space_of(*related(), ridge=0.1)
    x, y = (side.astype(np.float32) for side in (x, y))
    expected = getattr(space, score)(x.astype(np.float64), y.astype(np.float64))
    if tensors:
        x, y = torch.from_numpy(x), torch.from_numpy(y)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "_ROWS", rows)
        patch.setattr(embedding, "_TILE", tile)
        np.testing.assert_allclose(getattr(space, score)(x, y), expected, rtol=1e-6, atol=1e-6)
        pairwise = getattr(space, f"{score}_pairwise")(x, y)
        np.testing.assert_allclose(pairwise, np.diag(expected), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("score", ["similarity", "log_odds"])
def test_gradients_flow_through_blocks(score, monkeypatch):
    monkeypatch.setattr(embedding, "_ROWS", 7)
    monkeypatch.setattr(embedding, "_TILE", 5)
    x, y = (torch.from_numpy(side) for side in related(n=50))
    space = space_of(*related(), ridge=0.1)
    module = space.module(dtype=torch.float64)
    gradients = []
    for scores, dtype in ((getattr(module, score), torch.float64), (getattr(space, score), torch.float32)):
        leaf = x.to(dtype, copy=True).requires_grad_()
        (scores(leaf, y.to(dtype)) ** 2).sum().backward()
        gradients.append(leaf.grad)
    size = gradients[0].abs().max().item()
    np.testing.assert_allclose(gradients[1], gradients[0], atol=1e-5 * size)


def test_autocast_does_not_reach_the_scores():
    x, y = (torch.from_numpy(side).float() for side in related(n=50))
    space = space_of(*related(), ridge=0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = space.similarity(x, y)
        best, _ = space.top_k(x, y, 1)
    np.testing.assert_allclose(found, cosines(space, x.numpy(), y.numpy()), atol=1e-6)
    np.testing.assert_allclose(best[:, 0], found.amax(dim=1), atol=1e-6)


@pytest.mark.parametrize("score", ["similarity", "log_odds"])
def test_one_matrix_of_scores_is_held(score):
    x, y = (side.astype(np.float32) for side in related(n=4000))
    space = space_of(*related(), ridge=0.1)
    tracemalloc.start()
    scores = getattr(space, score)(x, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < scores.nbytes + 12e6


def test_vectors_are_written_once():
    x = related(n=100_000)[0].astype(np.float16)
    space = space_of(*related(), ridge=0.1)
    for make in (space.embed_x, space.project_x):
        tracemalloc.start()
        vectors = make(x)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < vectors.nbytes + 2e6


def test_rows_whose_vectors_overflow_f32_are_refused():
    x, y = related()
    space = space_of(x, y, ridge=0.1)
    far = x.astype(np.float32)
    far[5] = 1e30
    with pytest.raises(ValueError, match="row 5"):
        space.embed_x(far, "log_odds")


def test_vectors_are_of_a_score():
    x, y = related()
    with pytest.raises(ValueError, match=r"score must be .* got None"):
        space_of(x, y, ridge=0.1).embed_x(x, None)
