"""MultiMoments: every pair and side as from its own rows, however rows come in; refusals leave it as it was."""

import copy
import itertools
import json
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import canonsim
from canonsim import MultiMoments, PairedMoments
from canonsim.files import pack, unpack

DIMS = {"image": 5, "text": 4, "audio": 3}
PATTERNS = [pattern for k in (1, 2, 3) for pattern in itertools.combinations(DIMS, k)]


def made_up(seed=0, n=120):
    """Rows of every side, and which rows have it: every row has one at least."""
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((n, 2))
    rows = {name: latent @ rng.standard_normal((2, d)) + rng.standard_normal((n, d)) + 3 for name, d in DIMS.items()}
    pattern = rng.integers(0, len(PATTERNS), n)
    present = {name: np.array([name in PATTERNS[i] for i in pattern]) for name in DIMS}
    return rows, present


def accumulated(rows, present, ids=None, folds=4):
    moments = MultiMoments(DIMS, folds=folds)
    moments.update(rows, ids=ids, present=present)
    return moments


def arrays(moments):
    return unpack(moments.to_bytes(), "canonsim.multi_moments", "")[0]


def assert_same(found, expected, rtol=1e-10):
    assert found.counts == expected.counts
    assert found.count == expected.count
    theirs = arrays(expected)
    for name, array in arrays(found).items():
        np.testing.assert_allclose(array, theirs[name], atol=rtol * max(1, np.abs(array).max()), err_msg=name)


def assert_same_pair(found, expected):
    theirs = expected.state()
    for name, array in found.state().items():
        np.testing.assert_allclose(array, theirs[name], atol=1e-10 * max(1, np.abs(array).max()), err_msg=name)


@pytest.mark.parametrize("names", list(itertools.permutations(DIMS, 2)))
def test_a_pair_has_the_rows_of_both_and_those_of_one_as_unpaired(names):
    rows, present = made_up()
    moments = accumulated(rows, present)
    a, b = names
    both = present[a] & present[b]
    expected = PairedMoments(DIMS[a], DIMS[b], folds=4)
    expected.update(rows[a][both], rows[b][both], ids=np.flatnonzero(both))
    expected.update_x(rows[a][present[a] & ~both])
    expected.update_y(rows[b][present[b] & ~both])
    assert_same_pair(moments.pair(a, b), expected)
    assert moments.counts[tuple(sorted(names, key=list(DIMS).index))] == both.sum()


def test_a_side_has_all_its_rows_by_fold():
    rows, present = made_up()
    moments = accumulated(rows, present)
    fold = canonsim._native.folds_of(np.arange(120), 4)
    for name in DIMS:
        for folds in (None, [1], [0, 2, 3], []):
            own = rows[name][present[name] & np.isin(fold, range(4) if folds is None else folds)]
            found = moments.side(name, folds)
            assert found.count == len(own)
            if len(own):
                np.testing.assert_allclose(found.mean, own.mean(axis=0))
                np.testing.assert_allclose(found.scatter, (own - own.mean(0)).T @ (own - own.mean(0)), atol=1e-10)
    assert moments.roundoff("text") == 2**-53
    moments.update({"text": rows["text"].astype(np.float32)})
    assert moments.roundoff("text") == 2**-24


@settings(max_examples=20)
@given(seed=st.integers(0, 2**16), parts=st.integers(1, 4), folds=st.integers(1, 4), by_pattern=st.booleans())
def test_order_sharding_and_patterns_do_not_matter(seed, parts, folds, by_pattern):
    rows, present = made_up(seed, n=60)
    shards = []
    for shard in np.array_split(np.random.default_rng(seed).permutation(60), parts):
        moments = MultiMoments(DIMS, folds=folds)
        if by_pattern:
            for pattern in PATTERNS:
                has = [i for i in shard if all(present[name][i] == (name in pattern) for name in DIMS)]
                moments.update({name: rows[name][has] for name in pattern}, ids=np.array(has, dtype=int))
        else:
            moments.update(
                {name: side[shard] for name, side in rows.items()},
                ids=shard,
                present={name: mask[shard] for name, mask in present.items()},
            )
        shards.append(moments)
    merged = shards[0].copy()
    for shard in shards[1:]:
        merged.merge(shard)
    assert_same(merged, accumulated(rows, present, folds=folds))


def test_two_sides_are_paired_moments(pairs):
    x, y = pairs
    moments, expected = MultiMoments({"x": 12, "y": 8}), PairedMoments(12, 8)
    for rows in np.array_split(np.arange(600), 7):
        moments.update({"x": x[rows], "y": y[rows]})
        expected.update(x[rows], y[rows])
    moments.update({"y": y[:50]})
    expected.update_y(y[:50])
    found = moments.pair("x", "y").state()
    assert all(found[name].tobytes() == array.tobytes() for name, array in expected.state().items())
    assert (moments.count, moments.dims, moments.sides, moments.folds) == (650, {"x": 12, "y": 8}, ("x", "y"), 5)


def test_a_pair_is_a_copy():
    rows, present = made_up()
    moments = accumulated(rows, present)
    before = arrays(moments)
    moments.pair("image", "text").update(rows["image"], rows["text"])
    assert all((before[name] == array).all() for name, array in arrays(moments).items())


def test_what_stands_in_a_missing_place_is_not_looked_at():
    rows, present = made_up()
    spoilt = {name: np.where(present[name][:, None], side, np.nan) for name, side in rows.items()}
    assert_same(accumulated(spoilt, present), accumulated(rows, present))


def test_tensors_and_arrays_of_any_precision():
    rows, present = made_up()
    mixed = {
        "image": torch.from_numpy(rows["image"]).bfloat16(),
        "text": rows["text"].astype(np.float16),
        "audio": torch.from_numpy(rows["audio"]).float().requires_grad_(),
    }
    wide = {
        "image": mixed["image"].double().numpy(),
        "text": mixed["text"].astype(np.float64),
        "audio": mixed["audio"].detach().double().numpy(),
    }
    found = accumulated(mixed, {name: torch.from_numpy(mask) for name, mask in present.items()})
    expected = accumulated(wide, present)
    np.testing.assert_allclose(found.side("image").scatter, expected.side("image").scatter, rtol=1e-4, atol=1e-3)
    found, expected = (moments.pair("text", "audio") for moments in (found, expected))
    np.testing.assert_allclose(found.scatter_xy, expected.scatter_xy, rtol=1e-4, atol=1e-3)


BAD = {
    "no mapping": (lambda rows, present: {"rows": list(rows.values())}, TypeError, "rows must be a mapping by sides"),
    "no sides": (lambda rows, present: {"rows": {}}, ValueError, "at least one of the sides"),
    "another side": (lambda rows, present: {"rows": {"video": rows["text"]}}, ValueError, "no side 'video'"),
    "other width": (
        lambda rows, present: {"rows": {"text": rows["image"]}},
        ValueError,
        "text has 5 columns, expected 4",
    ),
    "other lengths": (
        lambda rows, present: {"rows": {**rows, "text": rows["text"][1:]}},
        ValueError,
        "text has 119 rows, but image has 120",
    ),
    "integers": (lambda rows, present: {"rows": {"text": rows["text"].astype(int)}}, TypeError, "text must hold f16"),
    "NaN": (
        lambda rows, present: {
            "rows": {**rows, "audio": np.where(np.arange(120)[:, None] == 7, np.nan, rows["audio"])}
        },
        ValueError,
        "audio holds nan in row 7",
    ),
    "infinite tensor": (
        lambda rows, present: {"rows": {"text": torch.full((3, 4), torch.inf, dtype=torch.float16)}},
        ValueError,
        "text holds inf in row 0",
    ),
    "overflow": (lambda rows, present: {"rows": {"text": rows["text"] * 1e200}}, ValueError, "magnitude 1e\\+145"),
    "row without side": (
        lambda rows, present: {"rows": {"text": rows["text"]}, "present": {"text": np.arange(120) != 5}},
        ValueError,
        "row 5 without any side",
    ),
    "mask of no side": (
        lambda rows, present: {"rows": {"text": rows["text"]}, "present": {"audio": np.ones(120, bool)}},
        ValueError,
        "present names 'audio'",
    ),
    "no bool": (lambda rows, present: {"rows": rows, "present": {"text": np.ones(120)}}, TypeError, "must be bool"),
    "short mask": (
        lambda rows, present: {"rows": rows, "present": {"text": np.ones(7, bool)}},
        ValueError,
        r"shape \(120,\), got \(7,\)",
    ),
    "masks of no mapping": (
        lambda rows, present: {"rows": rows, "present": [1]},
        TypeError,
        "present must be a mapping",
    ),
    "ids": (lambda rows, present: {"rows": rows, "ids": np.arange(3)}, ValueError, "ids"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_rows_are_named_and_change_nothing(case):
    spoil, error, message = BAD[case]
    rows, present = made_up()
    moments = accumulated(rows, present)
    before = arrays(moments)
    with pytest.raises(error, match=message):
        moments.update(**spoil(rows, present))
    assert moments.count == 120
    assert all((before[name] == array).all() for name, array in arrays(moments).items())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (({"a": 3},), ValueError, "at least two sides"),
        (({"a": 3, "": 2},), ValueError, "at least two sides"),
        (({"a": 3, "b": 0},), ValueError, "width of 'b' must be at least 1, got 0"),
        (({"a": 3, "b": 2.0},), TypeError, "width of 'b' must be an integer"),
        (({1: 3, 2: 3},), TypeError, "names"),
        (([3, 2],), TypeError, "mapping"),
        (({"a": 3, "b": 2}, 0), ValueError, "folds"),
    ],
)
def test_bad_dims(arguments, error, message):
    with pytest.raises(error, match=message):
        MultiMoments(*arguments)


def test_names_of_sides_are_checked():
    moments = MultiMoments(DIMS)
    with pytest.raises(ValueError, match="no side 'video'"):
        moments.pair("image", "video")
    with pytest.raises(ValueError, match="'text' twice"):
        moments.pair("text", "text")
    with pytest.raises(ValueError, match="no side 'video'"):
        moments.side("video")
    with pytest.raises(IndexError, match="fold 9"):
        moments.side("text", [9])


def test_merging_needs_the_same_sides():
    moments = accumulated(*made_up())
    reordered = dict(reversed(DIMS.items()))
    for other in (MultiMoments(DIMS, folds=2), MultiMoments({**DIMS, "text": 9}, 4), MultiMoments(reordered, 4)):
        with pytest.raises(ValueError, match="cannot merge"):
            moments.merge(other)
    with pytest.raises(TypeError, match="other must be MultiMoments"):
        moments.merge(PairedMoments(5, 4))


def test_files_and_copies(tmp_path):
    moments = accumulated(*made_up())
    moments.save(tmp_path / "sides.moments")
    copies = [
        MultiMoments.load(tmp_path / "sides.moments"),
        moments.copy(),
        copy.deepcopy(moments),
        pickle.loads(pickle.dumps(moments)),
    ]
    expected = arrays(moments)
    for found in copies:
        assert found.counts == moments.counts
        assert all(array.tobytes() == expected[name].tobytes() for name, array in arrays(found).items())
    copies[1].update({"text": np.zeros((1, 4))})
    assert moments.count == 120
    with pytest.raises(FileNotFoundError):
        MultiMoments.load(tmp_path / "none.moments")


@settings(max_examples=30)
@given(data=st.data())
def test_truncated_or_altered_bytes_are_refused(data):
    content = bytearray(accumulated(*made_up(n=20), folds=2).to_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match="bytes"):
        MultiMoments.from_bytes(bytes(content))


def test_files_of_another_kind_are_refused(tmp_path):
    moments = accumulated(*made_up())
    with pytest.raises(ValueError, match=r"not a canonsim\.multi_moments file"):
        MultiMoments.from_bytes(PairedMoments(2, 2).to_bytes())
    with pytest.raises(ValueError, match=r"not a canonsim\.moments file"):
        PairedMoments.from_bytes(moments.to_bytes())
    tensors, metadata = unpack(moments.to_bytes(), "canonsim.multi_moments", "")
    spoilt = [
        {"dims": json.dumps([["image", 5], ["text", 4]])},
        {"dims": json.dumps([["image", 4], ["text", 5], ["audio", 3]])},
        {"dims": "{"},
        {"folds": "3"},
        {"count": "1"},
    ]
    for change in spoilt:
        with pytest.raises(ValueError, match="moments of several sides"):
            MultiMoments.from_bytes(pack(tensors, "canonsim.multi_moments", metadata | change))
    without = {name: array for name, array in tensors.items() if name != "2.means"}
    with pytest.raises(ValueError, match="'means' is missing"):
        MultiMoments.from_bytes(pack(without, "canonsim.multi_moments", metadata))
