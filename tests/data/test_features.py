"""Features come from arrays and files as they are, row by row; anything else is refused by name."""

import pickle

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from safetensors.torch import save_file

from canonsim.data import FeaturePairs

ROWS = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)


def write_parquet(path, kind=None, rows=ROWS, **more):
    kind = kind or pa.list_(pa.float32())
    columns = {"embedding": pa.array([None if row is None else list(row) for row in rows], type=kind), **more}
    parquet.write_table(pa.table(columns), path, row_group_size=4)
    return path


@pytest.fixture
def files(tmp_path):
    np.save(tmp_path / "rows.npy", ROWS)
    np.save(tmp_path / "fortran.npy", np.asfortranarray(ROWS))
    save_file({"a": torch.from_numpy(ROWS), "b": torch.from_numpy(-ROWS)}, tmp_path / "two.safetensors")
    save_file({"a": torch.from_numpy(ROWS)}, tmp_path / "one.safetensors")
    write_parquet(tmp_path / "one.parquet")
    write_parquet(tmp_path / "more.parquet", id=pa.array(range(6)))
    write_parquet(tmp_path / "fixed.parquet", pa.list_(pa.float32(), 4))
    return tmp_path


@pytest.mark.parametrize(
    "source",
    [
        "rows.npy",
        "fortran.npy",
        "one.safetensors",
        "two.safetensors:a",
        "one.parquet",
        "more.parquet:embedding",
        "fixed.parquet",
    ],
)
def test_every_file_gives_the_same_rows(files, source):
    pairs = FeaturePairs(f"{files}/{source}", ROWS)
    assert len(pairs) == 6
    np.testing.assert_array_equal(np.stack([np.asarray(pair["x"]) for pair in pairs]), ROWS)
    reopened = pickle.loads(pickle.dumps(pairs))
    np.testing.assert_array_equal(np.asarray(reopened[5]["x"]), ROWS[5])


def test_npy_is_memory_mapped_and_reopened_in_a_worker(tmp_path):
    np.save(tmp_path / "large.npy", np.zeros((10_000, 64), dtype=np.float32))
    pairs = FeaturePairs(tmp_path / "large.npy", tmp_path / "large.npy")
    assert isinstance(pairs[0]["x"], np.memmap)
    assert len(pickle.dumps(pairs)) < 2_000


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_keep_their_precision(tmp_path, dtype):
    rows = torch.from_numpy(ROWS).to(dtype)
    save_file({"rows": rows}, tmp_path / "rows.safetensors")
    assert FeaturePairs(rows, rows)[0]["x"].dtype == dtype
    assert FeaturePairs(tmp_path / "rows.safetensors", rows)[0]["x"].dtype == dtype


def test_different_row_counts_are_refused_with_both_counts(files):
    with pytest.raises(ValueError, match=r"x \(.*rows.npy\) has 6 rows, but y has 5"):
        FeaturePairs(files / "rows.npy", ROWS[:5])


@pytest.mark.parametrize("rows", [ROWS.astype(int), np.array([["a"]]), ROWS.astype(object), torch.ones(2, 2).int()])
def test_values_that_are_no_floats_are_refused(rows):
    with pytest.raises(TypeError, match="y must hold f16, bf16, f32 or f64 values"):
        FeaturePairs(np.ones((len(rows), 2)), rows)


def test_integer_files_are_refused(tmp_path):
    np.save(tmp_path / "counts.npy", ROWS.astype(np.int32))
    write_parquet(tmp_path / "counts.parquet", pa.list_(pa.int32()), ROWS.astype(np.int32))
    for name in ("counts.npy", "counts.parquet"):
        with pytest.raises(TypeError, match=rf"{name}.* must hold .*int32"):
            FeaturePairs(tmp_path / name, ROWS)


def test_other_dimensions_empty_features_and_other_byte_orders_are_refused():
    with pytest.raises(ValueError, match=r"x must have two dimensions .*\(4,\)"):
        FeaturePairs(ROWS[0], ROWS)
    with pytest.raises(ValueError, match="x and y have no rows"):
        FeaturePairs(ROWS[:0], ROWS[:0])
    with pytest.raises(TypeError, match="byte order"):
        FeaturePairs(ROWS.astype(">f4"), ROWS)


def test_a_pickled_npy_is_refused(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"x \(.*objects.npy\) is truncated, pickled, or no .npy file"):
        FeaturePairs(tmp_path / "objects.npy", ROWS)


@pytest.mark.parametrize("name", ["rows.npy", "one.safetensors", "one.parquet"])
@settings(deadline=None)
@given(share=st.floats(0, 0.999))
def test_a_truncated_file_is_refused_by_name(tmp_path_factory, name, share):
    folder = tmp_path_factory.mktemp("truncated")
    {"npy": lambda p: np.save(p, ROWS), "safetensors": lambda p: save_file({"a": torch.from_numpy(ROWS)}, p)}.get(
        name.split(".")[1], write_parquet
    )(folder / name)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=rf"x \(.*{name}\) is truncated"):
        FeaturePairs(folder / name, ROWS)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"y \(.*gone.npy\): no such file"):
        FeaturePairs(ROWS, tmp_path / "gone.npy")
    with pytest.raises(ValueError, match=r"is no file of features .*'\.txt'"):
        FeaturePairs(ROWS, tmp_path / "rows.txt")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("two.safetensors:c", "no tensor 'c'; it holds a, b"),
        ("two.safetensors", "several tensors; name one after a colon; it holds a, b"),
        ("more.parquet:c", "no column 'c'; it holds embedding, id"),
        ("more.parquet", "several columns"),
    ],
)
def test_a_name_that_is_not_in_the_file_is_refused_with_those_that_are(files, source, message):
    with pytest.raises(ValueError, match=message):
        FeaturePairs(f"{files}/{source}", ROWS)


def test_a_parquet_column_must_hold_whole_rows(tmp_path):
    ragged = [list(row) for row in ROWS]
    ragged[3] = ragged[3][:2]
    write_parquet(tmp_path / "ragged.parquet", rows=ragged)
    write_parquet(tmp_path / "null.parquet", rows=[*ROWS[:5], None])
    write_parquet(tmp_path / "hole.parquet", rows=[*ROWS[:5], [1.0, None, 2.0, 3.0]])
    parquet.write_table(pa.table({"text": ["a"]}), tmp_path / "text.parquet")
    messages = {"ragged": "row 3 holds 2 values, row 0 4", "null": "row 5 is null", "hole": "row 5 holds a null"}
    for name, message in messages.items():
        with pytest.raises(ValueError, match=message):
            FeaturePairs(tmp_path / f"{name}.parquet", ROWS)
    with pytest.raises(TypeError, match="must be a column of lists of floats, got string"):
        FeaturePairs(tmp_path / "text.parquet", ROWS)
