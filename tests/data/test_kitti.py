"""Frames of KITTI-like folders are paired by name, and every frame must have both sides."""

import json

import numpy as np
import pytest

from canonsim.data import KittiPairs


@pytest.fixture
def root(tmp_path):
    for folder in ("velodyne", "image_2"):
        (tmp_path / folder).mkdir()
    for frame in ("000002", "000000", "000001"):
        np.ones((5, 4), dtype=np.float32).tofile(tmp_path / "velodyne" / f"{frame}.bin")
        (tmp_path / "image_2" / f"{frame}.png").touch()
    (tmp_path / "velodyne" / "000000.label").touch()
    return tmp_path


def test_scans_are_paired_with_pictures_by_name(root):
    pairs = KittiPairs(root)
    assert (pairs.x_kind, pairs.y_kind) == ("points", "image")
    assert pairs.frames == ["000000", "000001", "000002"]
    assert pairs[1] == {
        "x": root / "velodyne" / "000001.bin",
        "y": root / "image_2" / "000001.png",
        "index": 1,
    }


def test_other_folders_hold_raw_drives(root):
    (root / "velodyne_points").mkdir()
    (root / "velodyne").rename(root / "velodyne_points" / "data")
    assert len(KittiPairs(root, points="velodyne_points/data")) == 3


@pytest.mark.parametrize("form", ["mapping", "object", "array"])
def test_captions_come_as_mapping_or_file(root, form):
    captions = {f"00000{i}": f"street {i}" for i in range(3)}
    if form != "mapping":
        content = captions
        if form == "array":
            content = [{"scan": f"velodyne/{frame}.bin", "caption": text} for frame, text in captions.items()]
        (root / "captions.json").write_text(json.dumps(content))
    pairs = KittiPairs(root, captions if form == "mapping" else root / "captions.json")
    assert pairs.y_kind == "text"
    assert [pair["y"] for pair in pairs] == ["street 0", "street 1", "street 2"]


def test_sweeps_of_nuscenes_are_frames_too(tmp_path):
    (tmp_path / "velodyne").mkdir()
    (tmp_path / "velodyne" / "sweep.1.pcd.bin").touch()
    assert KittiPairs(tmp_path, {"sweep.1": "a street"}).frames == ["sweep.1"]


def test_a_frame_that_lacks_a_side_is_named(root):
    (root / "image_2" / "000001.png").unlink()
    with pytest.raises(FileNotFoundError, match="image_2 has no picture of frame '000001'; 1 frame like this"):
        KittiPairs(root)
    (root / "velodyne" / "000000.bin").unlink()
    (root / "velodyne" / "000001.bin").unlink()
    with pytest.raises(FileNotFoundError, match="velodyne has no scan of frame '000000'; 1 frame like this"):
        KittiPairs(root)
    with pytest.raises(ValueError, match="there is no caption of frame '000002'"):
        KittiPairs(root, {})
    with pytest.raises(ValueError, match="there is an empty caption of frame '000002'"):
        KittiPairs(root, {"000002": ""})


def test_two_files_of_a_frame_are_refused(root):
    (root / "image_2" / "000001.jpg").touch()
    with pytest.raises(ValueError, match=r"two files of frame '000001': 000001.jpg and 000001.png"):
        KittiPairs(root)


def test_folders_must_be_there_and_hold_scans(tmp_path):
    with pytest.raises(FileNotFoundError, match="velodyne: no such folder"):
        KittiPairs(tmp_path)
    (tmp_path / "velodyne").mkdir()
    with pytest.raises(FileNotFoundError, match=r"captions.json: no such file of captions"):
        KittiPairs(tmp_path, tmp_path / "captions.json")
    with pytest.raises(ValueError, match="velodyne holds no scans"):
        KittiPairs(tmp_path, {})


@pytest.mark.parametrize("content", ["[", "[1]", '[{"scan": "a"}]', '"text"', '{"000000": 5}'])
def test_a_malformed_file_of_captions_is_refused(root, content):
    (root / "captions.json").write_text(content)
    with pytest.raises(ValueError, match=r"captions.json (holds no captions|must hold)"):
        KittiPairs(root, root / "captions.json")
