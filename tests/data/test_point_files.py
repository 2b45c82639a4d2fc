"""Point clouds come with their intensity; a truncated or damaged file is refused by name and size."""

import numpy as np
import pytest

from canonsim.data import read_points

CLOUD = np.random.default_rng(0).uniform(0, 1, (50, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def open3d():
    return pytest.importorskip("open3d")


def write_cloud(open3d, path, cloud=CLOUD, **options):
    points = open3d.t.geometry.PointCloud(open3d.core.Tensor(np.ascontiguousarray(cloud[:, :3])))
    if cloud.shape[1] == 4:
        points.point["intensity"] = open3d.core.Tensor(np.ascontiguousarray(cloud[:, 3:]))
    assert open3d.t.io.write_point_cloud(str(path), points, **options)
    return path


def test_kitti_rows_are_read_as_they_are(tmp_path):
    CLOUD.tofile(tmp_path / "a.bin")
    np.testing.assert_array_equal(read_points(tmp_path / "a.bin"), CLOUD)
    np.testing.assert_array_equal(read_points(str(tmp_path / "a.bin")), CLOUD)


def test_the_ring_of_nuscenes_is_dropped(tmp_path):
    np.hstack([CLOUD, np.ones((50, 1), dtype=np.float32)]).tofile(tmp_path / "a.pcd.bin")
    np.testing.assert_array_equal(read_points(tmp_path / "a.pcd.bin"), CLOUD)


def test_a_size_that_no_rows_give_is_refused(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(CLOUD.tobytes()[:-5])
    with pytest.raises(ValueError, match=r"a.bin \(795 bytes\) is truncated, .*: 16 does not divide its size"):
        read_points(path)


def test_empty_and_nan_clouds_are_refused(tmp_path):
    path = tmp_path / "a.bin"
    path.touch()
    with pytest.raises(ValueError, match=r"a.bin \(0 bytes\) holds no points"):
        read_points(path)
    broken = CLOUD.copy()
    broken[[3, 9], [0, 3]] = np.nan, np.inf
    broken.tofile(path)
    with pytest.raises(ValueError, match=r"a.bin \(800 bytes\): 2 points hold NaN or Inf, the first is 3"):
        read_points(path)


@pytest.mark.parametrize("suffix", [".pcd", ".ply"])
@pytest.mark.parametrize("options", [{}, {"write_ascii": True}, {"compressed": True}])
def test_open3d_files_keep_their_intensity(open3d, tmp_path, suffix, options):
    path = write_cloud(open3d, tmp_path / f"a{suffix}", **options)
    np.testing.assert_allclose(read_points(path), CLOUD, atol=1e-5)
    assert read_points(write_cloud(open3d, tmp_path / f"b{suffix}", CLOUD[:, :3], **options)).shape == (50, 3)


@pytest.mark.parametrize("suffix", [".pcd", ".ply"])
@pytest.mark.parametrize("options", [{}, {"write_ascii": True}, {"compressed": True}])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.9, 0.99])
def test_a_truncated_open3d_file_is_refused(open3d, tmp_path, suffix, options, share):
    path = write_cloud(open3d, tmp_path / f"a{suffix}", **options)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=rf"a{suffix} \(\d+ bytes\)"):
        read_points(path)


def test_beams_that_came_back_empty_are_dropped(open3d, tmp_path):
    cloud = CLOUD.copy()
    cloud[::5, :3] = np.nan
    assert len(read_points(write_cloud(open3d, tmp_path / "a.pcd", cloud))) == 40


def test_arrays_pass_and_other_items_are_refused(tmp_path):
    np.testing.assert_array_equal(read_points(CLOUD.astype(np.float64)), CLOUD)
    with pytest.raises(ValueError, match=r"\(50, 2\) float32"):
        read_points(CLOUD[:, :2])
    with pytest.raises(TypeError, match="got int"):
        read_points(7)
    with pytest.raises(FileNotFoundError, match=r"gone.bin: no such point cloud"):
        read_points(tmp_path / "gone.bin")
    (tmp_path / "a.obj").touch()
    with pytest.raises(ValueError, match=r"its suffix is '.obj', not .bin, .las, "):
        read_points(tmp_path / "a.obj")
