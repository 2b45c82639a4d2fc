"""Feature maps: kernels beside their exact matrices, numpy beside torch, and spaces that map rows themselves."""

import copy
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import canonsim
from canonsim import CanonicalSpace
from canonsim.maps import FeatureMap, Nystroem, RandomFourier, UnitLength, from_saved
from synthetic import related

ROWS = np.random.default_rng(0).standard_normal((60, 6)) * 3 + 50
MAPS = {
    "unit-length": lambda: UnitLength(6),
    "random-fourier": lambda: RandomFourier.draw(ROWS, features=20),
    "random-fourier-alone": lambda: RandomFourier.draw(ROWS, features=20, linear=False),
    "nystroem": lambda: Nystroem.of_rows(ROWS, landmarks=30),
}
each_map = pytest.mark.parametrize("feature_map", [pytest.param(make(), id=name) for name, make in MAPS.items()])


def exact_kernel(a, b, center, gamma=1.0):
    """The kernel from its definition, one pair of rows at a time."""
    found = np.empty((len(a), len(b)))
    for i, u in enumerate(a - center):
        for j, v in enumerate(b - center):
            found[i, j] = np.exp(gamma * (u @ v / np.sqrt(u @ u) / np.sqrt(v @ v) - 1))
    return found


finite = st.floats(-1e6, 1e6, allow_subnormal=False)


@given(arrays(np.float64, (4, 3), elements=finite), st.floats(1e-3, 1e3))
def test_unit_rows_have_length_one_and_do_not_depend_on_the_scale(rows, scale):
    unit = UnitLength(3)
    found = unit(rows)
    zero = ~rows.any(axis=1)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), np.where(zero, 0.0, 1.0), atol=1e-14)
    np.testing.assert_allclose(unit(found), found, atol=1e-14)
    np.testing.assert_allclose(unit(-scale * rows), -found, atol=1e-9 if scale != 1 else 0)


@pytest.mark.parametrize("size", [1e-300, 1e-160, 1e160, 1e300])
def test_rows_of_any_magnitude_have_a_direction(size):
    np.testing.assert_allclose(UnitLength(2)(np.array([[3.0, 4.0]]) * size), [[0.6, 0.8]], rtol=1e-14)
    assert UnitLength(2)(np.array([[3e4, 4e4]], np.float16)).tolist() == [[np.float32(0.6), np.float32(0.8)]]


def test_random_features_approach_the_kernel():
    few, many = (RandomFourier.draw(ROWS, features, gamma=2.0, linear=False)(ROWS) for features in (200, 20_000))
    kernel = exact_kernel(ROWS, ROWS, ROWS.mean(0), gamma=2.0)
    errors = [np.abs(features @ features.T - kernel).max() for features in (few, many)]
    assert errors[1] < 0.05
    assert errors[1] < errors[0] / 3
    np.testing.assert_allclose(np.linalg.norm(few, axis=1), 1.0)


def test_the_unit_row_stands_before_random_features():
    alone, both = (RandomFourier.draw(ROWS, 20, linear=linear) for linear in (False, True))
    centred = ROWS - ROWS.mean(0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    np.testing.assert_allclose(both(ROWS), np.hstack([unit, alone(ROWS)]), atol=1e-12)
    assert (alone.out_dim, both.out_dim) == (20, 26)


def test_random_features_are_those_of_their_seed():
    first, again, other = (RandomFourier.draw(ROWS, 20, seed=seed) for seed in (3, 3, 4))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    # Of numpy's Philox, on every machine.
    np.testing.assert_allclose(first.frequencies[0, :2], np.random.Generator(np.random.Philox(3)).standard_normal(2))


def test_nystroem_is_exact_where_all_rows_are_landmarks():
    feature_map = Nystroem.of_rows(ROWS[:20], gamma=0.7)
    assert feature_map.out_dim == 20
    found = feature_map(ROWS)
    kernel = exact_kernel(ROWS, ROWS, ROWS[:20].mean(0), gamma=0.7)
    np.testing.assert_allclose(found[:20] @ found.T, kernel[:20], atol=1e-10)
    # Elsewhere features are a projection: never longer than they should be.
    assert (np.linalg.norm(found, axis=1) <= 1 + 1e-12).all()


def test_landmarks_of_low_rank_are_cut_not_inverted():
    twice = Nystroem.of_landmarks(np.vstack([ROWS[:20], ROWS[:20]]))
    once = Nystroem.of_landmarks(ROWS[:20])
    assert twice.out_dim == 20
    np.testing.assert_allclose(twice(ROWS) @ twice(ROWS).T, once(ROWS) @ once(ROWS).T, atol=1e-10)
    # A circle: the kernel's eigenvalues fall faster than those of any features in f32.
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    circle = Nystroem.of_rows(np.column_stack([np.cos(angles), np.sin(angles)]))
    assert circle.out_dim < 12
    assert np.abs(circle.whitening).max() < 100
    single = Nystroem.of_landmarks(ROWS[:1])
    assert np.isfinite(single(ROWS)).all()


def test_landmarks_do_not_depend_on_the_order_of_rows_and_are_of_different_ids():
    ids = np.arange(60) * 7
    order = np.random.default_rng(1).permutation(60)
    first = Nystroem.of_rows(ROWS, landmarks=10, ids=ids)
    again = Nystroem.of_rows(ROWS[order], landmarks=10, ids=ids[order])
    np.testing.assert_allclose(first.landmarks, again.landmarks, atol=1e-12)
    doubled = Nystroem.of_rows(np.repeat(ROWS, 2, axis=0), landmarks=10, ids=np.repeat(ids, 2))
    np.testing.assert_allclose(first.landmarks, doubled.landmarks, atol=1e-12)


@each_map
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_tensors_give_what_arrays_give(feature_map, dtype):
    rows = torch.from_numpy(ROWS).to(dtype)
    found = feature_map(rows)
    expected = feature_map(rows.double().numpy())
    assert found.dtype == (torch.float64 if dtype is torch.float64 else torch.float32)
    assert found.shape == expected.shape == (60, feature_map.out_dim)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12 if dtype is torch.float64 else 1e-6)


@each_map
def test_rows_are_mapped_one_by_one(feature_map):
    many = np.tile(ROWS, (40, 1))
    np.testing.assert_allclose(feature_map(many), np.tile(feature_map(ROWS), (40, 1)), atol=1e-12)
    assert feature_map(ROWS.astype(np.float16)).dtype == np.float32
    assert feature_map(ROWS[:0]).shape == (0, feature_map.out_dim)
    gradient = torch.tensor(ROWS[:3], requires_grad=True)
    feature_map(gradient).sum().backward()
    assert torch.isfinite(gradient.grad).all()


@each_map
def test_maps_do_not_change(feature_map):
    for array in feature_map.arrays.values():
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0
    with pytest.raises(AttributeError):
        feature_map.kind = "other"
    np.testing.assert_array_equal(copy.deepcopy(feature_map)(ROWS), feature_map(ROWS))
    assert repr(feature_map) == f"{type(feature_map).__name__}(in_dim=6, out_dim={feature_map.out_dim})"


@each_map
def test_bad_rows_are_refused(feature_map):
    with pytest.raises(ValueError, match="rows has 5 columns, expected 6"):
        feature_map(ROWS[:, :5])
    with pytest.raises(TypeError, match="rows must hold"):
        feature_map(ROWS.astype(int))
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match=r"x holds NaN or infinite values.* row 2"):
            feature_map(np.where(np.arange(60)[:, None] == 2, bad, ROWS), "x")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: UnitLength(0), ValueError, "dim must be at least 1, got 0"),
        (lambda: UnitLength(2.0), TypeError, "dim must be an integer, got 2.0"),
        (lambda: RandomFourier.draw(ROWS, 7), ValueError, "features must be even.* got 7"),
        (lambda: RandomFourier.draw(ROWS, gamma=-1), ValueError, "gamma must be positive and finite, got -1"),
        (lambda: RandomFourier.draw(ROWS, gamma="1"), TypeError, "gamma must be a number, got '1'"),
        (lambda: RandomFourier.draw(ROWS, linear=1), TypeError, "linear must be True or False, got 1"),
        (lambda: RandomFourier.draw(ROWS[:0]), ValueError, "at least one row"),
        (lambda: RandomFourier.draw(ROWS * np.nan), ValueError, "rows holds NaN"),
        (lambda: RandomFourier(np.zeros(3), np.zeros((2, 4))), ValueError, r"frequencies must have shape \(3, any\)"),
        (lambda: Nystroem.of_rows(ROWS, 0), ValueError, "landmarks must be at least 1, got 0"),
        (lambda: Nystroem.of_rows(ROWS, ids=[1]), ValueError, "ids must be one integer for each row"),
        (lambda: Nystroem.of_landmarks(ROWS, center=np.zeros(5)), ValueError, r"center must have shape \(6,\)"),
        (lambda: Nystroem.of_landmarks(ROWS, center=np.full(6, np.nan)), ValueError, "center holds values that are"),
        (lambda: Nystroem(np.zeros(2), np.zeros((3, 2)), np.zeros((4, 1))), ValueError, "whitening must have shape"),
    ],
)
def test_what_makes_no_map_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@each_map
def test_saved_maps_are_the_maps(feature_map):
    config = json.loads(json.dumps(feature_map.config))
    again = from_saved(config, feature_map.arrays)
    assert type(again) is type(feature_map)
    assert again.fingerprint == feature_map.fingerprint
    with pytest.raises(ValueError, match=r"of the kinds nystroem, random-fourier, unit-length, got 'wavelet'"):
        from_saved({**config, "kind": "wavelet"}, feature_map.arrays)
    with pytest.raises(ValueError, match="not a feature map of kind"):
        from_saved({**config, "depth": 3}, feature_map.arrays)
    for bad in (None, [], {"kind": ["nystroem"]}):
        with pytest.raises(ValueError, match="feature maps are of the kinds"):
            from_saved(bad, feature_map.arrays)


def mapped_space(x_map, y_map, **settings):
    x, y = related()
    moments = canonsim.PairedMoments(x_map.out_dim, 8 if y_map is None else y_map.out_dim)
    moments.update(x_map(x[:500]), y[:500] if y_map is None else y_map(y[:500]))
    return canonsim.fit(moments, x_map=x_map, y_map=y_map, **{"ridge": 0.1, **settings}), x[500:], y[500:]


def both_sides():
    x, y = related()
    return [
        (UnitLength(12), None),
        (RandomFourier.draw(x, 16), RandomFourier.draw(y, 16)),
        (Nystroem.of_rows(x, 40), UnitLength(8)),
    ]


@pytest.mark.parametrize(("x_map", "y_map"), both_sides())
def test_a_space_maps_rows_itself(x_map, y_map):
    space, x, y = mapped_space(x_map, y_map)
    plain = copy.copy(space)
    plain.x_map = plain.y_map = None
    plain._sides = {None: plain._make_sides()}
    mapped_y = y if y_map is None else y_map(y)
    for verb in ("similarity", "log_odds", "similarity_pairwise", "log_odds_pairwise"):
        expected = getattr(plain, verb)(x_map(x), mapped_y)
        np.testing.assert_allclose(getattr(space, verb)(x, y), expected, atol=1e-10)
        tensors = getattr(space, verb)(torch.from_numpy(x), torch.from_numpy(y))
        np.testing.assert_allclose(tensors.numpy(), expected, atol=1e-10)
    np.testing.assert_allclose(space.project_x(x), plain.project_x(x_map(x)), atol=1e-10)
    assert (space.x_dim, space.y_dim) == (12, 8)
    np.testing.assert_array_equal(space.top_k(x, y, 3)[1], plain.top_k(x_map(x), mapped_y, 3)[1])
    np.testing.assert_allclose(space.truncate(2).project_x(x), space.project_x(x)[:, :2], atol=1e-10)
    with pytest.raises(ValueError, match="x has 8 columns, expected 12"):
        space.project_x(y)


@pytest.mark.parametrize(("x_map", "y_map"), both_sides())
def test_the_module_maps_rows_too(x_map, y_map):
    space, x, y = mapped_space(x_map, y_map)
    module = space.module(dtype=torch.float64)
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)
    np.testing.assert_allclose(module(tx, ty), space.similarity(x, y), atol=1e-12)
    np.testing.assert_allclose(module.log_odds(tx, ty), space.log_odds(x, y), atol=1e-9)
    single = space.module()
    assert {buffer.dtype for buffer in single.buffers()} == {torch.float32}
    assert any(name.startswith("x_map_") for name, _ in single.named_buffers()) == bool(x_map.arrays)
    exported = torch.export.export(single, (tx.float(), ty.float()))
    np.testing.assert_allclose(exported.module()(tx.float(), ty.float()), space.similarity(x, y), atol=1e-4)
    other = space.module()
    for buffer in other.buffers():
        buffer.zero_()
    other.load_state_dict(single.state_dict())
    np.testing.assert_array_equal(other(tx.float(), ty.float()), single(tx.float(), ty.float()))


@pytest.mark.parametrize(("x_map", "y_map"), both_sides())
def test_a_saved_space_has_its_maps(tmp_path, x_map, y_map):
    space, x, y = mapped_space(x_map, y_map)
    space.save_pretrained(tmp_path)
    loaded = CanonicalSpace.from_pretrained(tmp_path)
    np.testing.assert_array_equal(loaded.log_odds(x, y), space.log_odds(x, y))
    assert loaded.x_map.fingerprint == x_map.fingerprint
    assert (loaded.y_map is None) == (y_map is None)
    assert f"Rows of x pass through the feature map `{x_map.kind}` first." in (tmp_path / "README.md").read_text()


def save_spoiled(space, folder, spoil):
    """A space's folder with other arrays or another configuration under a checksum that fits."""
    save = canonsim.model_files.save
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canonsim.model_files, "save", lambda directory, *parts: save(directory, *spoil(*parts)))
        space.save_pretrained(folder)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda a, c: (a, c | {"x_map": {"kind": "wavelet"}}), "feature maps are of the kinds .* got 'wavelet'"),
        (lambda a, c: (a, c | {"x_map": {"kind": None}}), "feature maps are of the kinds .* got None"),
        (lambda a, c: (a, {k: v for k, v in c.items() if k != "y_map"} | {"x_map": c["y_map"]}), "not a feature map"),
        (lambda a, c: ({k: v for k, v in a.items() if k != "x_map.center"}, c), "not a feature map of kind 'nystroem'"),
        (lambda a, c: (a | {"x_map.center": np.zeros(11)}, c), r"landmarks must have shape \(any, 11\)"),
        (lambda a, c: (a | {"x_map.landmarks": np.full((40, 12), np.inf)}, c), "landmarks holds values that are not"),
        (lambda a, c: (a | {"x_map.whitening": np.zeros((40, 2))}, c), "x_map gives rows of width 2, but the moments"),
        (lambda a, c: (a, c | {"y_map": {"kind": "unit-length", "dim": 10**12}}), "y_map gives rows of width 1000000"),
        (lambda a, c: (a, c | {"x_map": {"kind": "nystroem", "gamma": "1"}}), "gamma must be a number"),
    ],
)
def test_hostile_maps_are_refused(tmp_path, spoil, message):
    x, _ = related()
    space, _, _ = mapped_space(Nystroem.of_rows(x, 40), UnitLength(8))
    save_spoiled(space, tmp_path, spoil)
    with pytest.raises(ValueError, match=message):
        CanonicalSpace.from_pretrained(tmp_path)


def test_maps_that_do_not_fit_the_moments_are_refused():
    x, y = related()
    moments = canonsim.PairedMoments(12, 8)
    moments.update(x, y)
    with pytest.raises(ValueError, match="y_map gives rows of width 9, but the moments are of width 8"):
        canonsim.fit(moments, y_map=UnitLength(9))
    with pytest.raises(TypeError, match=r"x_map must be a feature map of canonsim\.maps, got <function"):
        canonsim.fit(moments, x_map=lambda rows: rows)
    assert issubclass(UnitLength, FeatureMap)
    assert canonsim.fit(moments).held_out_information == pytest.approx(
        -0.5 * np.log(1 - canonsim.fit(moments).held_out_correlations ** 2).sum()
    )
