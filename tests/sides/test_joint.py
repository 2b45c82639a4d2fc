"""fit_joint and JointSpace: against float64 references on the rows, with missing sides, and their refusals."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import block_diag, eigh
from scipy.optimize import isotonic_regression

import canonsim
from canonsim import JointSpace, MultiMoments
from synthetic import related

DIMS = {"image": 12, "text": 9, "audio": 7}
PAIRS = list(itertools.combinations(DIMS, 2))


def views(seed=0, n=600, shared=5, noise=0.7, dims=DIMS):
    """Rows of every side with `shared` latent variables in common."""
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((n, shared))
    return {
        name: latent @ rng.standard_normal((shared, d)) + noise * rng.standard_normal((n, d)) + 2
        for name, d in dims.items()
    }


def moments_of(rows, present=None, ids=None, folds=5):
    moments = MultiMoments({name: side.shape[1] for name, side in rows.items()}, folds=folds)
    moments.update(rows, ids=ids, present=present)
    return moments


def some_missing(n=600, seed=1):
    """A mask for each side; every row has a side, and there is every pattern."""
    masks = np.random.default_rng(seed).random((3, n)) < 0.7
    masks[0] |= ~masks.any(axis=0)
    return dict(zip(DIMS, masks, strict=True))


def reference(rows, present, ridge):
    """MAXVAR (Kettenring 1971) from the generalised eigenproblem of the blocks as they are."""
    diagonal, most = {}, max((present[a] & present[b]).sum() for a, b in itertools.combinations(rows, 2))
    for name, side in rows.items():
        own = np.cov(side[present[name]].T)
        diagonal[name] = own + ridge * np.trace(own) / len(own) * np.eye(len(own))
    blocks = {(a, a): 0 * diagonal[a] for a in rows}
    for a, b in itertools.permutations(rows, 2):
        both = present[a] & present[b]
        p = rows[a].shape[1]
        blocks[a, b] = np.cov(np.hstack([rows[a][both], rows[b][both]]).T)[:p, p:] * both.sum() / most
    off_diagonal = np.block([[blocks[a, b] for b in rows] for a in rows])
    values, vectors = eigh(off_diagonal, block_diag(*diagonal.values()))
    values = values / max(1, -values[0])
    ends = np.cumsum([0, *(side.shape[1] for side in rows.values())])
    order = np.flatnonzero(values > 1e-10)[::-1]
    parts = {name: vectors[ends[i] : ends[i + 1], order] * len(rows) ** 0.5 for i, name in enumerate(rows)}
    return parts, values[order] / (len(rows) - 1)


@pytest.mark.parametrize("ridge", [0.0, 0.3])
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("dims", [DIMS, {**DIMS, "text": 25}], ids=["narrow", "one wide side"])
def test_directions_are_those_of_the_eigenproblem(ridge, missing, dims):
    rows = views(dims=dims)
    present = some_missing() if missing else {name: np.ones(600, bool) for name in DIMS}
    space = canonsim.fit_joint(moments_of(rows, present), n_components=None, ridge=ridge)
    projections, correlations = reference(rows, present, ridge)
    np.testing.assert_allclose(space.correlations, correlations, atol=1e-10)
    signs = np.sign((projections["image"] * space.projections["image"]).sum(axis=0))
    for name in DIMS:
        np.testing.assert_allclose(space.projections[name], projections[name] * signs, atol=1e-8)
        np.testing.assert_allclose(space.means[name], rows[name][present[name]].mean(axis=0))
    assert space.ridge == dict.fromkeys(DIMS, ridge)


# The two-sided fit warns where there is no signal.
@pytest.mark.filterwarnings("ignore::canonsim.significance.NoSignalWarning")
@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**16),
    n=st.integers(40, 200),
    p=st.integers(1, 15),
    q=st.integers(1, 15),
    ridge=st.sampled_from([0.0, 0.1, 3.0]),
)
def test_two_sides_are_the_two_sided_fit(seed, n, p, q, ridge):
    x, y = related(seed, n=n, p=p, q=q, shared=3)
    moments = moments_of({"x": x, "y": y})
    joint, space = (
        canonsim.fit_joint(moments, None, ridge),
        canonsim.fit(moments.pair("x", "y"), n_components=None, ridge=ridge),
    )
    pair = joint.pair("x", "y")
    np.testing.assert_allclose(joint.correlations, space.correlations, atol=1e-8)
    np.testing.assert_allclose(joint.weights, space.held_out_correlations, atol=1e-8)
    np.testing.assert_allclose(joint.held_out_correlations("x", "y"), space.held_out_correlations, atol=1e-8)
    np.testing.assert_allclose(pair.correlations, space.correlations, atol=1e-8)
    np.testing.assert_allclose(joint.similarity("x", x, "y", y), space.similarity(x, y), atol=1e-6)
    np.testing.assert_allclose(joint.log_odds("x", x, "y", y), space.log_odds(x, y), atol=1e-6)


def test_two_sides_choose_as_the_two_sided_fit():
    x, y = related()
    moments = moments_of({"x": x, "y": y})
    joint, space = canonsim.fit_joint(moments), canonsim.fit(moments.pair("x", "y"))
    assert tuple(joint.ridge.values()) == space.ridge
    assert joint.n_components == joint.pair("x", "y").n_components == space.n_components
    np.testing.assert_allclose(joint.projections["x"], space.x_projection, atol=1e-8)


@pytest.mark.parametrize("missing", [False, True])
def test_held_out_numbers_are_those_of_fits_without_the_fold(missing):
    rows = views(n=150)
    present = some_missing(150) if missing else {name: np.ones(150, bool) for name in DIMS}
    fold = canonsim._native.folds_of(np.arange(150), 5)
    space = canonsim.fit_joint(moments_of(rows, present), n_components=None, ridge=0.1)
    variates = {name: np.full((150, space.n_components), np.nan) for name in DIMS}
    own = {pair: [np.full((150, len(space.held_out_correlations(*pair))), np.nan) for _ in pair] for pair in PAIRS}
    for k in range(5):
        rest, left_out = np.flatnonzero(fold != k), fold == k
        training = canonsim.fit_joint(
            moments_of({name: rows[name][rest] for name in DIMS}, {name: present[name][rest] for name in DIMS}, rest),
            n_components=None,
            ridge=0.1,
        )
        for name in DIMS:
            variates[name][left_out] = training.project(name, rows[name][left_out])[:, : space.n_components]
        for a, b in PAIRS:
            pair = training.pair(a, b)
            own[a, b][0][left_out] = pair.project_x(rows[a][left_out])[:, : own[a, b][0].shape[1]]
            own[a, b][1][left_out] = pair.project_y(rows[b][left_out])[:, : own[a, b][1].shape[1]]

    def correlation(u, v):
        return (u * v).sum(axis=0) / np.sqrt((u * u).sum(axis=0) * (v * v).sum(axis=0))

    def isotonic(values):
        return np.clip(isotonic_regression(values, increasing=False).x, 0, 1 - 1e-6)

    both = {(a, b): present[a] & present[b] for a, b in PAIRS}
    means = [correlation(variates[a][both[a, b]], variates[b][both[a, b]]) for a, b in PAIRS]
    mean = np.average(means, axis=0, weights=[both[pair].sum() for pair in PAIRS])
    np.testing.assert_allclose(space.weights, isotonic(mean), atol=1e-9)
    for name in DIMS:
        squares = (variates[name][present[name]] ** 2).mean(axis=0)
        np.testing.assert_allclose(space.stds[name], np.sqrt(squares), atol=1e-9)
    for pair in PAIRS:
        u, v = (side[both[pair]] for side in own[pair])
        np.testing.assert_allclose(space.held_out_correlations(*pair), isotonic(correlation(u, v)), atol=1e-9)
        np.testing.assert_allclose(space.pair(*pair).x_std, np.sqrt((u * u).mean(axis=0)), atol=1e-9)
        assert space.pair(*pair).count == both[pair].sum()


def test_no_step_from_the_automatic_ridges_tells_more():
    rows, present = views(n=120), some_missing(120)
    moments = moments_of(rows, present)
    grid = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0]

    def information(ridge):
        space = canonsim.fit_joint(moments, n_components=None, ridge=ridge)
        return sum(space.pair(*pair).count * space.pair(*pair).held_out_information for pair in PAIRS)

    chosen = canonsim.fit_joint(moments).ridge
    best = information(chosen)
    for name in DIMS:
        at = grid.index(chosen[name])
        for other in grid[max(at - 1, 0) : at + 2]:
            assert information({**chosen, name: other}) <= best


def test_automatic_rank_keeps_what_is_above_chance():
    moments = moments_of(views(n=300, shared=2), some_missing(300))
    full = canonsim.fit_joint(moments, n_components=None)
    auto = canonsim.fit_joint(moments)
    pairs = sum(moments.counts[pair] for pair in PAIRS)
    assert auto.n_components == (full.weights > pairs**-0.5).sum()
    for pair in PAIRS:
        kept = (full.held_out_correlations(*pair) > moments.counts[pair] ** -0.5).sum()
        assert len(auto.held_out_correlations(*pair)) == kept
    few = canonsim.fit_joint(moments, n_components=2)
    assert few.n_components == 2
    np.testing.assert_array_equal(few.projections["text"], full.projections["text"][:, :2])


def test_order_and_sharding_do_not_change_the_choice():
    rows, present = views(n=150), some_missing(150)
    whole = canonsim.fit_joint(moments_of(rows, present))
    sharded = MultiMoments(DIMS)
    for shard in np.array_split(np.random.default_rng(1).permutation(150), 4):
        part = moments_of({a: rows[a][shard] for a in DIMS}, {a: present[a][shard] for a in DIMS}, shard)
        sharded.merge(part)
    found = canonsim.fit_joint(sharded)
    assert found.ridge == whole.ridge
    np.testing.assert_allclose(found.correlations, whole.correlations, atol=1e-9)
    np.testing.assert_allclose(found.weights, whole.weights, atol=1e-9)


def test_unrelated_sides_share_nothing():
    rng = np.random.default_rng(0)
    rows = {name: rng.standard_normal((300, d)) for name, d in DIMS.items()}
    space = canonsim.fit_joint(moments_of(rows), n_components=None, ridge=0.0)
    assert space.correlations[0] > 0.2
    assert space.weights[0] < 0.1
    assert np.abs(canonsim.fit_joint(moments_of(rows)).log_odds("text", rows["text"], "audio", rows["audio"])).max() < 2


def found_first(scores):
    return (scores.argmax(axis=1) == np.arange(len(scores))).mean()


@pytest.mark.parametrize(("a", "b"), list(itertools.permutations(DIMS, 2)))
def test_any_two_sides_find_each_other(a, b):
    rows = views(n=800)
    space = canonsim.fit_joint(moments_of({name: side[:600] for name, side in rows.items()}), ridge=0.1)
    queries, gallery = rows[a][600:], rows[b][600:]
    # Chance is 1 in 200.
    assert found_first(space.similarity(a, queries, b, gallery)) > 0.25
    scores = space.log_odds(a, queries, b, gallery)
    assert found_first(scores) > 0.25
    assert (np.diag(scores) > 0).mean() > 0.9
    assert (scores < 0).mean() > 0.9


@pytest.mark.parametrize("seed", [0, 1])
def test_sides_that_were_rarely_seen_together_meet_by_way_of_a_third(seed):
    wide = {"image": 40, "text": 30, "audio": 20}
    rows = views(seed, n=1020, shared=10, noise=1.5, dims=wide)
    row = np.arange(1020)
    present = {"image": row < 420, "text": (row >= 400) & (row < 820), "audio": (row < 400) | (row >= 420)}
    moments = MultiMoments(wide)
    moments.update({a: side[:820] for a, side in rows.items()}, present={a: mask[:820] for a, mask in present.items()})
    assert [moments.counts[pair] for pair in itertools.combinations(wide, 2)] == [20, 400, 400]
    image, text = rows["image"][820:], rows["text"][820:]
    joint, pairwise = canonsim.fit_joint(moments), canonsim.fit(moments.pair("image", "text"))
    for bridged, direct in (
        (joint.similarity("image", image, "text", text), pairwise.similarity(image, text)),
        (joint.log_odds("image", image, "text", text), pairwise.log_odds(image, text)),
    ):
        assert found_first(bridged) > 0.8
        assert found_first(bridged) > found_first(direct) + 0.1


def test_sides_never_seen_together_have_similarities_but_no_log_odds():
    rows = views(n=800)
    moments = MultiMoments(DIMS)
    moments.update({"image": rows["image"][:300], "audio": rows["audio"][:300]})
    moments.update({"text": rows["text"][300:600], "audio": rows["audio"][300:600]})
    space = canonsim.fit_joint(moments)
    assert found_first(space.similarity("image", rows["image"][600:], "text", rows["text"][600:])) > 0.2
    for refused in (
        lambda: space.log_odds("text", rows["text"], "image", rows["image"]),
        lambda: space.held_out_correlations("image", "text"),
    ):
        with pytest.raises(ValueError, match="fewer than two rows had both"):
            refused()


def test_vectors_of_all_sides_share_one_index():
    rows = views(n=300)
    space = canonsim.fit_joint(moments_of(rows))
    vectors = {name: space.embed(name, side) for name, side in rows.items()}
    for a, b in itertools.product(DIMS, DIMS):
        np.testing.assert_allclose(vectors[a] @ vectors[b].T, space.similarity(a, rows[a], b, rows[b]), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(vectors["text"], axis=1), 1.0)
    standard = space.project("text", rows["text"]) / space.stds["text"] * np.sqrt(space.weights)
    np.testing.assert_allclose(vectors["text"], standard / np.linalg.norm(standard, axis=1, keepdims=True), atol=1e-12)


def test_a_pair_is_a_space_either_way_round():
    rows = views(n=300)
    space = canonsim.fit_joint(moments_of(rows, some_missing(300)))
    forward, backward = space.pair("image", "audio"), space.pair("audio", "image")
    np.testing.assert_allclose(
        forward.log_odds(rows["image"], rows["audio"]), backward.log_odds(rows["audio"], rows["image"]).T, atol=1e-9
    )
    expected = space.log_odds("audio", rows["audio"], "image", rows["image"])
    np.testing.assert_array_equal(backward.log_odds(rows["audio"], rows["image"]), expected)
    np.testing.assert_array_equal(space.held_out_correlations("audio", "image"), forward.held_out_correlations)
    vectors = forward.embed_x(rows["image"], "log_odds") @ forward.embed_y(rows["audio"], "log_odds").T
    np.testing.assert_allclose(vectors, expected.T, atol=1e-9)
    # In the pair's directions the ridged variates of each side are uncorrelated.
    whole = canonsim.fit_joint(moments_of(rows), ridge=0.0, n_components=None).pair("image", "audio")
    np.testing.assert_allclose(np.cov(whole.project_x(rows["image"]).T), np.eye(whole.n_components), atol=1e-9)


def test_tensors_give_tensors():
    rows = views(n=100)
    space = canonsim.fit_joint(moments_of(rows))
    tensors = {name: torch.from_numpy(side).float() for name, side in rows.items()}
    found = space.similarity("image", tensors["image"], "text", tensors["text"])
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), space.similarity("image", rows["image"], "text", rows["text"]), atol=1e-5)
    assert space.embed("audio", tensors["audio"]).shape == (100, space.n_components)
    assert space.project("audio", rows["audio"].astype(np.float16)).dtype == np.float32
    with pytest.raises(TypeError, match="rows_a and rows_b must both be"):
        space.similarity("image", tensors["image"], "text", rows["text"])


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**16),
    n=st.integers(12, 50),
    kind=st.sampled_from(["few rows", "duplicated", "constant column", "constant", "identical", "one-hot", "scales"]),
    dtype=st.sampled_from([np.float32, np.float64]),
    ridge=st.sampled_from([0.0, 1.0, "auto"]),
)
def test_degenerate_data_is_answered(seed, n, kind, dtype, ridge):
    rows = views(seed, n=n, dims={"image": 30, "text": 20, "audio": 5} if kind == "few rows" else DIMS)
    if kind == "duplicated":
        rows["text"] = np.hstack([rows["text"], rows["text"]])
    elif kind == "constant column":
        rows["text"][:, 0] = 0.1
    elif kind == "constant":
        rows["audio"][:] = 0.1
    elif kind == "identical":
        rows["text"] = rows["image"]
    elif kind == "one-hot":
        rows["audio"] = np.eye(4)[np.random.default_rng(seed).integers(0, 4, n)]
    elif kind == "scales":
        rows["image"] = rows["image"] * 10.0 ** np.arange(-6, 6)
    rows = {name: side.astype(dtype) for name, side in rows.items()}
    # Whichever fold is left out leaves rows of every side.
    present = {name: (np.arange(n) + i) % 4 > 0 for i, name in enumerate(rows)}
    space = canonsim.fit_joint(moments_of(rows, present, folds=3), ridge=ridge)
    for values in (space.correlations, space.weights):
        assert ((values >= 0) & (values <= 1)).all()
        assert (np.diff(values) <= 0).all()
    for a, b in PAIRS:
        held_out = space.held_out_correlations(a, b)
        assert ((held_out >= 0) & (held_out < 1)).all()
        assert (np.diff(held_out) <= 0).all()
        assert (np.abs(space.similarity(a, rows[a], b, rows[b])) <= 1 + 1e-6).all()
        assert np.isfinite(space.log_odds(a, rows[a], b, rows[b])).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_components": 0}, ValueError, "between 1 and"),
        ({"n_components": 17}, ValueError, "the widths of all sides but the widest, 16, got 17"),
        ({"n_components": "all"}, TypeError, "n_components"),
        ({"ridge": -1.0}, ValueError, "at least 0"),
        ({"ridge": "oas"}, ValueError, "'oas'"),
        ({"ridge": None}, TypeError, "ridge"),
        ({"ridge": {"image": 1.0}}, ValueError, "a number for each of"),
        ({"ridge": {"image": 1.0, "text": float("nan"), "audio": 1.0}}, ValueError, "finite"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        canonsim.fit_joint(moments_of(views(n=50)), **arguments)


def test_too_little_data():
    rows = views(n=60)
    with pytest.raises(TypeError, match="moments must be MultiMoments"):
        canonsim.fit_joint(rows)
    apart = MultiMoments(DIMS)
    apart.update({"image": rows["image"], "text": rows["text"]})
    apart.update({"audio": rows["audio"]})
    with pytest.raises(ValueError, match=r"one of \['image', 'text'\] together with one of \['audio'\]"):
        canonsim.fit_joint(apart)
    with pytest.raises(ValueError, match="two rows of every side whichever fold is left out"):
        canonsim.fit_joint(moments_of(rows, folds=1))
    with pytest.raises(ValueError, match="'image' has 0 of its 60 rows"):
        canonsim.fit_joint(moments_of(rows, ids=np.zeros(60, int)))


def test_sides_are_checked():
    rows = views(n=60)
    space = canonsim.fit_joint(moments_of(rows))
    assert space.sides == tuple(DIMS)
    with pytest.raises(ValueError, match="no side 'video'"):
        space.embed("video", rows["text"])
    with pytest.raises(ValueError, match="no side 'video'"):
        space.pair("text", "video")
    with pytest.raises(ValueError, match="'text' twice"):
        space.pair("text", "text")
    with pytest.raises(ValueError, match="text has 12 columns, expected 9"):
        space.project("text", rows["image"])
    with pytest.raises(ValueError, match="text holds NaN or infinite values"):
        space.embed("text", rows["text"] * np.nan)


def test_a_saved_space_is_the_same(tmp_path):
    rows = views(n=100)
    space = canonsim.fit_joint(moments_of(rows, some_missing(100)))
    space.save_pretrained(tmp_path / "joint", metadata={"encoders": ["a", "b"]})
    loaded = JointSpace.from_pretrained(tmp_path / "joint")
    assert repr(loaded) == repr(space)
    assert loaded.metadata == {"encoders": ["a", "b"]}
    for a, b in PAIRS:
        for score in ("similarity", "log_odds"):
            found, expected = (getattr(each, score)(a, rows[a], b, rows[b]) for each in (loaded, space))
            np.testing.assert_array_equal(found, expected)
    card = (tmp_path / "joint" / "README.md").read_text()
    assert f"| image, text | {space.pair('image', 'text').count} |" in card


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_truncated_file_is_refused(name, tmp_path):
    space = canonsim.fit_joint(moments_of(views(n=60)), ridge=1.0)
    space.save_pretrained(tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=name):
        JointSpace.from_pretrained(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        JointSpace.from_pretrained(tmp_path)


def test_a_space_of_another_kind_is_refused(tmp_path, pairs):
    moments = canonsim.PairedMoments(12, 8)
    moments.update(*pairs)
    canonsim.fit(moments).save_pretrained(tmp_path / "two")
    with pytest.raises(ValueError, match=r"not a canonsim\.joint_space file"):
        JointSpace.from_pretrained(tmp_path / "two")
    canonsim.fit_joint(moments_of(views(n=60)), ridge=1.0).save_pretrained(tmp_path / "three")
    with pytest.raises(ValueError, match=r"not a canonsim\.space file"):
        canonsim.CanonicalSpace.from_pretrained(tmp_path / "three")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda arrays: arrays["weights"].__setitem__(0, 1.5),
        lambda arrays: arrays["correlations"].__setitem__(0, np.nan),
        lambda arrays: arrays["stds"].update(text=-arrays["stds"]["text"]),
        lambda arrays: arrays["means"].update(text=arrays["means"]["text"][1:]),
        lambda arrays: arrays["ridge"].update(text=-1.0),
    ],
)
def test_arrays_that_no_fit_gives_are_refused(spoil):
    space = canonsim.fit_joint(moments_of(views(n=60)), ridge=1.0)
    names = ("means", "projections", "stds", "correlations", "weights", "ridge", "count")
    arrays = {name: getattr(space, name) for name in names}
    JointSpace(**arrays, pairs={})
    spoil(arrays)
    with pytest.raises(ValueError, match=r"must|not finite"):
        JointSpace(**arrays, pairs={})
