"""Series come as (channels, length); what is damaged, empty, too short or not finite is refused by file and shape."""

import re

import numpy as np
import pytest

from canonsim.data import TablePairs, read_series

SERIES = np.random.default_rng(0).normal(size=(3, 40))


@pytest.mark.parametrize("shape", [(3, 40), (1, 40), (40,)])
def test_files_hold_the_array(tmp_path, shape):
    series = SERIES.ravel()[: np.prod(shape)].reshape(shape)
    np.save(tmp_path / "a.npy", series)
    np.savetxt(tmp_path / "a.csv", series, delimiter=",", fmt="%.17g")
    for item in (series, tmp_path / "a.npy", str(tmp_path / "a.npy"), tmp_path / "a.csv"):
        found = read_series(item)
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, np.atleast_2d(series))


def test_integers_and_float32_are_converted():
    for kind in (np.int16, np.uint8, np.float32):
        np.testing.assert_array_equal(read_series(np.arange(6, dtype=kind)), [np.arange(6.0)])


@pytest.mark.parametrize("suffix", [".npy", ".csv"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -1e39])
def test_what_is_not_finite_is_named_with_its_place(tmp_path, suffix, value):
    broken = SERIES.copy()
    broken[[1, 2], [7, 3]] = value
    path = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, broken)
    else:
        np.savetxt(path, broken, delimiter=",")
    message = rf"a\{suffix}: 2 values of shape \(3, 40\) are NaN or out of .*, the first is sample 7 of channel 1"
    with pytest.raises(ValueError, match=message):
        read_series(path)


@pytest.mark.parametrize(
    ("series", "message"),
    [
        (np.zeros(0), r"a.npy is empty: shape \(0,\)"),
        (np.zeros((2, 0)), r"a.npy is empty: shape \(2, 0\)"),
        (np.zeros((2, 4)), r"a.npy is too short: shape \(2, 4\), 4 samples a channel, at least 5 are needed"),
        (np.zeros((2, 3, 4)), r"a.npy must be a \(length,\) or .* shape \(2, 3, 4\), float64"),
        (np.float64(3.0), r"a.npy must be a .* shape \(\), float64"),
        (np.zeros(9, dtype=complex), r"a.npy must be .* of numbers, got shape \(9,\), complex128"),
        (np.array(["a", "b"]), r"a.npy must be .* of numbers, got shape \(2,\), <U1"),
    ],
)
def test_shapes_that_are_no_series_are_refused(tmp_path, series, message):
    np.save(tmp_path / "a.npy", series)
    with pytest.raises(ValueError, match=message):
        read_series(tmp_path / "a.npy", least=5)
    with pytest.raises(ValueError, match=message.replace("a.npy", "the series")):
        read_series(np.asarray(series), least=5)


def test_damaged_files_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", SERIES)
    content = (tmp_path / "a.npy").read_bytes()
    for size in (0, 5, 60, len(content) - 8):
        (tmp_path / "a.npy").write_bytes(content[:size])
        with pytest.raises(ValueError, match=rf"a.npy \({size} bytes\) is no readable .npy file"):
            read_series(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"a.npy .* is no readable .npy file"):
        read_series(tmp_path / "a.npy")


@pytest.mark.parametrize("text", ["time,value\n0,1\n", "1,2,3\n4,5\n", "1;2;3\n", "1,,3\n"])
def test_tables_that_hold_other_than_numbers_are_refused(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=r"a.csv is no table of numbers, one channel a line"):
        read_series(tmp_path / "a.csv")


def test_an_empty_table_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("\n")
    with pytest.raises(ValueError, match=r"a.csv is empty"):
        read_series(tmp_path / "a.csv")


def test_other_items_are_refused(tmp_path):
    with pytest.raises(TypeError, match="got list"):
        read_series([1.0, 2.0])
    with pytest.raises(FileNotFoundError, match=r"gone.npy: no such series"):
        read_series(tmp_path / "gone.npy")
    (tmp_path / "a.txt").touch()
    with pytest.raises(ValueError, match=r"a.txt is no series: its suffix is '.txt'"):
        read_series(tmp_path / "a.txt")


def test_tables_of_pairs_may_hold_series(tmp_path):
    np.save(tmp_path / "a.npy", SERIES)
    (tmp_path / "table.csv").write_text("file,text\na.npy,a wave\n")
    pairs = TablePairs(tmp_path / "table.csv", x="series:file", y="text:text")
    assert pairs.x_kind == "series"
    assert pairs[0]["x"] == tmp_path / "a.npy"
    (tmp_path / "table.csv").write_text("file,text\nb.npy,a wave\n")
    with pytest.raises(FileNotFoundError, match=re.escape("b.npy")):
        TablePairs(tmp_path / "table.csv", x="series:file", y="text:text")
