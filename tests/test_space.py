"""CanonicalSpace: its scores against the formulas written out, numpy beside torch, and its files."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import canonsim
from canonsim import CanonicalSpace
from synthetic import related


def space_of(weights="held-out", folds=5, **arguments):
    x, y = related()
    moments = canonsim.PairedMoments(12, 8, folds=folds)
    moments.update(x[:500], y[:500])
    return canonsim.fit(moments, weights=weights, **{"ridge": 0.1, **arguments}), x[500:], y[500 : 70 + 500]


@pytest.mark.parametrize("weights", ["training", "equal"])
def test_the_papers_similarity(weights):
    space, x, y = space_of(weights, n_components=5)
    expected = np.zeros((len(x), len(y)))
    w = space.correlations if weights == "training" else np.ones(5)
    for i, row in enumerate(x):
        for j, other in enumerate(y):
            u = (row - space.x_mean) @ space.x_projection
            v = (other - space.y_mean) @ space.y_projection
            expected[i, j] = (w * u * v).sum() / (np.linalg.norm(u) * np.linalg.norm(v))
    np.testing.assert_allclose(space.similarity(x, y), expected, atol=1e-12)


def test_the_held_out_similarity_is_a_cosine():
    space, x, y = space_of()
    r = space.held_out_correlations
    u = space.project_x(x) / space.x_std * np.sqrt(r)
    v = space.project_y(y) / space.y_std * np.sqrt(r)
    expected = (u @ v.T) / np.linalg.norm(u, axis=1)[:, None] / np.linalg.norm(v, axis=1)
    np.testing.assert_allclose(space.similarity(x, y), expected, atol=1e-12)
    assert np.abs(expected).max() <= 1
    np.testing.assert_allclose(np.linalg.norm(space.embed_x(x), axis=1), 1.0)


def test_log_odds_are_the_gaussian_likelihood_ratio():
    from scipy.stats import multivariate_normal, norm

    space, x, y = space_of(n_components=3)
    u = space.project_x(x) / space.x_std
    v = space.project_y(y) / space.y_std
    expected = 0.0
    for i, r in enumerate(space.held_out_correlations):
        pair = np.column_stack([u[: len(y), i], v[:, i]])
        joint = multivariate_normal(cov=[[1, r], [r, 1]]).logpdf(pair)
        expected = expected + joint - norm.logpdf(pair).sum(axis=1)
    np.testing.assert_allclose(space.log_odds_pairwise(x[: len(y)], y), expected, atol=1e-9)


@pytest.mark.parametrize("weights", ["held-out", "training", "equal"])
@pytest.mark.parametrize("score", ["similarity", "log_odds"])
def test_index_vectors_give_the_scores(weights, score):
    space, x, y = space_of(weights)
    inner = space.embed_x(x, score=score) @ space.embed_y(y, score=score).T
    scores = getattr(space, score)(x, y)
    np.testing.assert_allclose(inner, scores, atol=1e-10)
    pairwise = getattr(space, f"{score}_pairwise")(x[: len(y)], y)
    np.testing.assert_allclose(pairwise, np.diag(scores), atol=1e-10)
    assert space.embed_x(x, score=score).shape[1] == space.n_components + (2 if score == "log_odds" else 0)


def test_true_pairs_score_higher():
    space, x, y = space_of()
    x = x[: len(y)]
    for score in (space.similarity, space.log_odds):
        scores = score(x, y)
        assert (scores.argmax(axis=1) == np.arange(len(y))).mean() > 0.3
    assert space.log_odds_pairwise(x, y).mean() > 1
    assert space.log_odds_pairwise(x, np.roll(y, 1, axis=0)).mean() < -1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_tensors_give_tensors(dtype):
    space, x, y = space_of()
    tx, ty = torch.from_numpy(x).to(dtype), torch.from_numpy(y).to(dtype)
    expected = space.similarity(tx.double().numpy(), ty.double().numpy())
    found = space.similarity(tx, ty)
    assert found.dtype == (torch.float64 if dtype is torch.float64 else torch.float32)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12 if dtype is torch.float64 else 1e-6)
    leaf = tx.clone().requires_grad_()
    space.log_odds_pairwise(leaf[: len(y)], ty).sum().backward()
    assert torch.isfinite(leaf.grad).all()


def test_single_precision_in_single_precision_out():
    space, x, y = space_of()
    found = space.log_odds((x + 1e4).astype(np.float32), y.astype(np.float16))
    assert found.dtype == np.float32


def test_a_mean_far_from_zero_costs_no_precision():
    x, y = related()
    far = (x + 1e4).astype(np.float32)
    moments = canonsim.PairedMoments(12, 8)
    moments.update(far, y)
    space = canonsim.fit(moments, ridge=0.0)
    exact = (far.astype(np.float64) - space.x_mean) @ space.x_projection
    np.testing.assert_allclose(space.project_x(far), exact, atol=1e-6)


def test_many_rows_go_in_blocks():
    space, x, y = space_of()
    many = np.tile(x, (200, 1))
    np.testing.assert_array_equal(space.embed_x(many), np.tile(space.embed_x(x), (200, 1)))
    many[19_000, 3] = np.nan
    with pytest.raises(ValueError, match="row 19000"):
        space.embed_x(many)
    assert space.similarity(x[:0], y).shape == (0, len(y))
    assert space.similarity(torch.zeros(0, 12), torch.from_numpy(y)).shape == (0, len(y))
    assert space.similarity(torch.from_numpy(x), torch.from_numpy(y).half()).dtype == torch.float64


def test_module_has_the_same_verbs():
    space, x, y = space_of()
    module = space.module(dtype=torch.float64)
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)
    for verb in ("project_x", "embed_x"):
        np.testing.assert_allclose(getattr(module, verb)(tx), getattr(space, verb)(x), atol=1e-12)
    for verb in ("similarity", "log_odds"):
        np.testing.assert_allclose(getattr(module, verb)(tx, ty), getattr(space, verb)(x, y), atol=1e-10)
        pairwise = getattr(module, f"{verb}_pairwise")(tx[: len(y)], ty)
        np.testing.assert_allclose(pairwise, getattr(space, f"{verb}_pairwise")(x[: len(y)], y), atol=1e-10)
    assert {buffer.dtype for buffer in space.module().buffers()} == {torch.float32}
    assert list(module.parameters()) == []
    for name in ("x_mean", "y_mean", "x_projection", "y_projection", "correlations", "weights"):
        np.testing.assert_array_equal(module.get_buffer(name), getattr(space, name))
    assert module(tx, ty).shape == (len(x), len(y))
    exported = torch.export.export(space.module(), (tx.float(), ty.float()))
    np.testing.assert_allclose(exported.module()(tx.float(), ty.float()), space.similarity(x, y), atol=1e-4)


def test_truncate():
    space, x, y = space_of(n_components=None)
    short = space.truncate(3)
    assert short.n_components == 3
    np.testing.assert_allclose(short.project_x(x), space.project_x(x)[:, :3], atol=1e-12)
    assert short.log_odds(x, y).shape == (len(x), len(y))
    for s in (0, space.n_components + 1):
        with pytest.raises(ValueError, match="s must lie between"):
            space.truncate(s)


def test_without_folds_log_odds_warn():
    space, x, y = space_of("training", folds=1)
    with pytest.warns(UserWarning, match="overstate"):
        scores = space.log_odds(x, y)
    assert np.isfinite(scores).all()


def test_bad_rows():
    space, x, y = space_of()
    with pytest.raises(ValueError, match="x has 8 columns, expected 12"):
        space.similarity(y, y)
    with pytest.raises(TypeError, match="y must hold"):
        space.similarity(x, y.astype(int))
    with pytest.raises(TypeError, match="both"):
        space.similarity(x, torch.from_numpy(y))
    with pytest.raises(ValueError, match="rows"):
        space.similarity_pairwise(x, y[:3])
    with pytest.raises(ValueError, match="score"):
        space.embed_x(x, score="cosine")
    with pytest.raises(ValueError, match="row 2"):
        space.embed_x(np.where(np.arange(len(x))[:, None] == 2, np.inf, x))


@pytest.mark.parametrize("folds", [1, 5])
def test_a_saved_model_is_the_model(tmp_path, folds):
    space, x, y = space_of("training", folds=folds)
    space.metadata["data"] = "made up"
    space.save_pretrained(tmp_path / "model", metadata={"x_encoder": {"name": "eyes"}})
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    loaded = CanonicalSpace.from_pretrained(tmp_path / "model")
    np.testing.assert_array_equal(loaded.similarity(x, y), space.similarity(x, y))
    assert loaded.metadata == {"data": "made up", "x_encoder": {"name": "eyes"}}
    assert (loaded.ridge, loaded.count, loaded.weighting) == (space.ridge, space.count, "training")
    assert (loaded.held_out_correlations is None) == (folds == 1)
    card = (tmp_path / "model" / "README.md").read_text()
    assert "500 pairs" in card
    assert "eyes" in card
    space.save_pretrained(tmp_path / "model")


def test_spaces_share_no_memory():
    space, x, y = space_of()
    before = space.similarity(x, y)
    short = space.truncate(2)
    short.x_mean += 1
    space.weights[:] = 0
    assert space.held_out_correlations[0] > 0
    np.testing.assert_array_equal(space.similarity(x, y), before)


def test_scores_that_overflow_are_refused():
    space, x, y = space_of()
    x[2] = 1e200
    with pytest.raises(ValueError, match="row 2"):
        space.log_odds(x, y)


def spoil_bytes(path, change):
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("model.safetensors", lambda b: b[:-1], "truncated"),
        ("model.safetensors", lambda b: b[:20], "truncated"),
        ("model.safetensors", lambda b: b"", "truncated"),
        ("model.safetensors", lambda b: b[:-3] + bytes([b[-3] ^ 1]) + b[-2:], "altered"),
        ("config.json", lambda b: b[:-2], "truncated"),
        ("config.json", lambda b: b.replace(b"500", b"501"), "altered"),
        ("config.json", lambda b: b"{}", "altered"),
    ],
)
def test_spoiled_files_are_refused(tmp_path, name, change, message):
    space, _, _ = space_of()
    space.save_pretrained(tmp_path)
    spoil_bytes(tmp_path / name, change)
    with pytest.raises(ValueError, match=message):
        CanonicalSpace.from_pretrained(tmp_path)


def test_foreign_and_missing_files_are_refused(tmp_path):
    space, _, _ = space_of()
    space.save_pretrained(tmp_path)
    save_file(load_file(tmp_path / "model.safetensors"), tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"not a canonsim\.space file"):
        CanonicalSpace.from_pretrained(tmp_path)
    moments = canonsim.PairedMoments(2, 2)
    moments.save(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"not a canonsim\.space file"):
        CanonicalSpace.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors is missing"):
        CanonicalSpace.from_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError):
        CanonicalSpace.from_pretrained(tmp_path / "nowhere")


def test_metadata_that_is_no_json_leaves_no_file(tmp_path):
    space, _, _ = space_of()
    with pytest.raises(TypeError):
        space.save_pretrained(tmp_path / "model", metadata={"encoder": object()})
    assert not (tmp_path / "model").exists()
    assert json.dumps(space.metadata) == "{}"
