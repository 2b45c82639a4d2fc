"""The bench of quality runs, in small, and reads folders as it says."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHES = Path(__file__).parents[2] / "benches"


@pytest.fixture
def feature_sets(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHES))
    import feature_sets

    return feature_sets


def test_the_smoke_run_prints_tables_and_writes_numbers_and_plot(tmp_path):
    plot, numbers = tmp_path / "quality.png", tmp_path / "quality.json"
    told = subprocess.run(
        [sys.executable, str(BENCHES / "quality.py"), "--smoke", "--plot", str(plot), "--json", str(numbers)],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert told.returncode == 0, told.stderr
    for pairs in (50, 120):
        assert f"| synthetic, {pairs} pairs | setting | R@1 | R@5 | R@10 | AUC | s |" in told.stdout
    assert plot.stat().st_size > 10_000
    results = json.loads(numbers.read_text())
    assert {result["pairs"] for result in results} == {50, 120}
    assert len({result["method"] for result in results}) == 10
    for result in results:
        for name, (low, high) in result["intervals"].items():
            assert 0 <= low <= result["values"][name] <= high <= 1
    best = next(result for result in results if result["method"] == "log odds" and result["pairs"] == 120)
    assert best["values"]["R@10"] > 0.9


def test_a_folder_with_captions_and_a_split(feature_sets, tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((10, 4)).astype(np.float16), rng.standard_normal((10, 5, 3)).astype(np.float16)
    parts = {"train": np.arange(6), "val": np.array([6, 7]), "test": np.array([9, 8])}
    for names in (("x.npy", "y.npy"), feature_sets.FLICKR8K):
        folder = tmp_path / names[0]
        folder.mkdir()
        np.save(folder / names[0], x)
        np.save(folder / names[1], y)
        np.savez(folder / "split.npz", **parts)
        pairs = feature_sets.from_folder(folder)
        assert pairs.x.dtype == pairs.y.dtype == np.float32
        np.testing.assert_array_equal(pairs.part(pairs.test)[0], x[[9, 8]])
        np.testing.assert_array_equal(pairs.part(pairs.test)[1], y[[9, 8], 0])
        np.testing.assert_array_equal(pairs.train, parts["train"])


def test_without_a_split_the_parts_are_fixed_and_share_no_row(feature_sets, tmp_path):
    for name in "xy":
        np.save(tmp_path / f"{name}.npy", np.ones((100, 2)))
    first, again = feature_sets.from_folder(tmp_path), feature_sets.from_folder(tmp_path)
    rows = np.concatenate([first.train, first.val, first.test])
    np.testing.assert_array_equal(np.sort(rows), np.arange(100))
    assert (len(first.train), len(first.val), len(first.test)) == (70, 10, 20)
    np.testing.assert_array_equal(first.test, again.test)


def test_data_sets_of_one_name_are_refused(feature_sets, tmp_path):
    for folder in ("a/same", "b/same"):
        (tmp_path / folder).mkdir(parents=True)
        for name in "xy":
            np.save(tmp_path / folder / f"{name}.npy", np.ones((20, 2)))
    assert [data.name for data in feature_sets.read([tmp_path / "a/same"])] == ["same"]
    with pytest.raises(SystemExit, match="different names, got same, same"):
        feature_sets.read([tmp_path / "a/same", tmp_path / "b/same"])


def test_bad_folders_are_named(feature_sets, tmp_path):
    with pytest.raises(SystemExit, match=r"neither x.npy and y.npy nor image_efflite0.npy"):
        feature_sets.from_folder(tmp_path)
    np.save(tmp_path / "x.npy", np.ones((4, 2)))
    np.save(tmp_path / "y.npy", np.ones((3, 2)))
    with pytest.raises(SystemExit, match=r"got \(4, 2\) and \(3, 2\)"):
        feature_sets.from_folder(tmp_path)
    np.save(tmp_path / "y.npy", np.ones((4, 2)))
    np.savez(tmp_path / "split.npz", train=[0, 1], test=[2])
    with pytest.raises(SystemExit, match="lacks val"):
        feature_sets.from_folder(tmp_path)
    np.savez(tmp_path / "split.npz", train=[0, 1], val=[1], test=[2])
    with pytest.raises(SystemExit, match="rows from 0 to 3, none of them twice"):
        feature_sets.from_folder(tmp_path)
