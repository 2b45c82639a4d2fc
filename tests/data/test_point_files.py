"""Point clouds come with their intensity; a truncated or damaged file is refused by name and size."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonsim.data import read_points
from canonsim.data.points import Points, lzf
from canonsim.data.points import read_points as same_reader

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


@pytest.mark.parametrize("columns", [3, 4, 5, 6])
def test_declared_columns_are_read(tmp_path, columns):
    rows = np.random.default_rng(0).uniform(0, 1, (60, columns)).astype(np.float32)
    for name in ("a.bin", "a.pcd.bin"):
        rows.tofile(tmp_path / name)
        np.testing.assert_array_equal(read_points(tmp_path / name, columns=columns), rows[:, :4])
    CLOUD[:49].tofile(tmp_path / "b.bin")
    with pytest.raises(ValueError, match=r"no rows of 5 float32: 20 does not divide"):
        read_points(tmp_path / "b.bin", columns=5)


def test_columns_hold_coordinates():
    with pytest.raises(ValueError, match=r"columns must be at least 3 \(x, y, z\), got 2"):
        read_points(CLOUD, columns=2)
    for columns in (4.0, True, "5"):
        with pytest.raises(TypeError, match="columns must be an int"):
            read_points(CLOUD, columns=columns)


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


def test_the_package_has_one_reader():
    assert same_reader is read_points
    assert Points.__args__[1].__args__ == (np.float32,)


def test_npz_of_open3d_keeps_its_intensity(open3d, tmp_path):
    np.testing.assert_array_equal(read_points(write_cloud(open3d, tmp_path / "a.npz")), CLOUD)
    assert read_points(write_cloud(open3d, tmp_path / "b.npz", CLOUD[:, :3])).shape == (50, 3)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("key", ["positions", "points", "xyz"])
def test_npz_of_numpy_is_read_by_its_names(tmp_path, save, key):
    path = tmp_path / "a.npz"
    save(path, **{key: CLOUD[:, :3], "labels": np.arange(50)})
    np.testing.assert_array_equal(read_points(path), CLOUD[:, :3])
    save(path, **{key: CLOUD[:, :3].astype(np.float64), "intensity": np.arange(50, dtype=np.uint8)})
    np.testing.assert_array_equal(read_points(path), np.hstack([CLOUD[:, :3], np.arange(50)[:, None]]))
    save(path, **{key: CLOUD})
    np.testing.assert_array_equal(read_points(path), CLOUD)


def test_npz_that_holds_no_cloud_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, features=CLOUD)
    with pytest.raises(ValueError, match=r"a.npz \(\d+ bytes\) has no array positions or points or xyz, but features"):
        read_points(path)
    np.savez(path, points=CLOUD[:, :3], intensity=CLOUD[:7, 3])
    with pytest.raises(ValueError, match=r"must hold \(n, 3\) and n intensities, it has \(50, 3\) and \(7,\)"):
        read_points(path)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", ">f8"])
def test_npy_of_any_float_is_read(tmp_path, dtype):
    np.save(tmp_path / "a.npy", CLOUD.astype(dtype))
    np.testing.assert_array_equal(read_points(tmp_path / "a.npy"), CLOUD.astype(dtype).astype(np.float32))


@pytest.mark.parametrize(("columns", "kept"), [(3, 3), (4, 4), (5, 4), (6, 3), (7, 3)])
def test_the_fourth_of_four_or_five_columns_is_intensity(tmp_path, columns, kept):
    table = np.random.default_rng(0).uniform(0, 1, (20, columns)).astype(np.float32)
    np.save(tmp_path / "a.npy", table)
    np.testing.assert_array_equal(read_points(tmp_path / "a.npy"), table[:, :kept])
    for suffix, delimiter in ((".xyz", " "), (".txt", ","), (".txt", ", "), (".xyz", "\t")):
        np.savetxt(tmp_path / f"a{suffix}", table, fmt="%.9g", delimiter=delimiter)
        np.testing.assert_array_equal(read_points(tmp_path / f"a{suffix}"), table[:, :kept])


def test_lines_of_open3d_and_comments_are_read(open3d, tmp_path):
    points = open3d.t.geometry.PointCloud(open3d.core.Tensor(np.ascontiguousarray(CLOUD[:, :3])))
    assert open3d.t.io.write_point_cloud(str(tmp_path / "a.xyz"), points, write_ascii=True)
    np.testing.assert_allclose(read_points(tmp_path / "a.xyz"), CLOUD[:, :3], atol=1e-7)
    (tmp_path / "a.txt").write_bytes(b"// X Y Z\r\n1 2 3\r\n\r\n# half\r\n  4 5e0 -6\r\n")
    np.testing.assert_array_equal(read_points(tmp_path / "a.txt"), [[1, 2, 3], [4, 5, -6]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no points"),
        (b"# nothing\n", "holds no points"),
        (b"1 2\n", r"it has the shape \(1, 2\)"),
        (b"1 2 3\n4 5\n", "is damaged or truncated"),
        (b"1 2 3\n4 5 6", "is truncated: its last line has no end"),
        (b"1,5 2,5 3,5\n", "is damaged or truncated"),
        (b"x y z\n1 2 3\n", "is damaged or truncated"),
        (b"1 2 3\n4 nan 6\n", "1 points hold NaN or Inf, the first is 1"),
        (b"1 2 1e300\n", "1 points hold NaN or Inf, the first is 0"),
    ],
)
def test_lines_that_are_no_points_are_refused(tmp_path, content, message):
    (tmp_path / "a.xyz").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a.xyz \({len(content)} bytes\):? .*{message}|a.xyz.* {message}"):
        read_points(tmp_path / "a.xyz")


def test_pcd_of_the_point_cloud_library(tmp_path):
    """Padding of one name, several values in a field, doubles, names in capitals, more fields than are read."""
    record = np.dtype(
        [("X", "<f8"), ("Y", "<f8"), ("Z", "<f8"), ("pad", "V4"), ("n", "<f4", 3), ("i", "<u2"), ("r", "V2")]
    )
    rows = np.zeros(50, dtype=record)
    for axis, name in enumerate("XYZ"):
        rows[name] = CLOUD[:, axis]
    rows["i"] = np.arange(50)
    header = (
        "VERSION .7\nFIELDS X Y Z _ n Intensity _\nSIZE 8 8 8 1 4 2 1\nTYPE F F F U F U U\nCOUNT 1 1 1 4 3 1 2\n"
        "WIDTH 10\nHEIGHT 5\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 50\nDATA binary\n"
    )
    (tmp_path / "a.pcd").write_bytes(header.encode() + rows.tobytes())
    np.testing.assert_array_equal(read_points(tmp_path / "a.pcd"), np.hstack([CLOUD[:, :3], np.arange(50)[:, None]]))


@pytest.mark.parametrize("order", ["little", "big"])
def test_ply_of_either_byte_order_with_faces_after_its_points(tmp_path, order):
    sign = {"little": "<", "big": ">"}[order]
    names = ["x", "y", "z", "red", "scalar_Intensity"]
    rows = np.zeros(50, dtype=list(zip(names, [f"{sign}f4"] * 3 + ["u1", f"{sign}f8"], strict=True)))
    for column, name in enumerate(["x", "y", "z", "scalar_Intensity"]):
        rows[name] = CLOUD[:, column]
    header = (
        f"ply\r\nformat binary_{order}_endian 1.0\r\nobj_info end_header\r\nelement vertex 50\r\nproperty float x\r\n"
        "property float32 y\r\nproperty float z\r\nproperty uchar red\r\nproperty double scalar_Intensity\r\n"
        "element face 1\r\nproperty list uchar int vertex_indices\r\nend_header\r\n"
    )
    (tmp_path / "a.ply").write_bytes(header.encode() + rows.tobytes() + b"\x03" + bytes(12))
    np.testing.assert_array_equal(read_points(tmp_path / "a.ply"), CLOUD)


@pytest.mark.parametrize("points", ["repeated", "sorted", "few", "noise"])
def test_compressed_pcd_of_open3d_is_decompressed(open3d, tmp_path, points):
    """LZF that refers back: once, over itself, far and for long."""
    rng = np.random.default_rng(0)
    cloud = {
        "repeated": np.tile(CLOUD[:1], (3000, 1)),
        "sorted": np.sort(rng.integers(0, 50, (3000, 4)), axis=0),
        "few": rng.integers(0, 9, (3000, 4)),
        "noise": rng.normal(size=(3000, 4)),
    }[points].astype(np.float32)
    path = write_cloud(open3d, tmp_path / "a.pcd", cloud, compressed=True)
    assert (path.stat().st_size < cloud.nbytes / 2) == (points != "noise")
    np.testing.assert_array_equal(read_points(path), cloud)


@given(content=st.binary(max_size=60), size=st.integers(0, 3000))
def test_lzf_gives_the_size_asked_for_or_an_error(content, size):
    try:
        assert len(lzf.decompress(content, size)) == size
    except ValueError as error:
        assert f"in place of {size}" in str(error) or "before its start" in str(error)  # noqa: PT017


@pytest.mark.parametrize("point_format", [0, 3, 6, 7])
@pytest.mark.parametrize("suffix", [".las", ".laz"])
def test_las_and_laz_keep_their_intensity(tmp_path, point_format, suffix):
    laspy = pytest.importorskip("laspy")
    data = laspy.LasData(laspy.LasHeader(point_format=point_format, version="1.4"))
    data.header.scales, data.header.offsets = [1e-3, 1e-3, 1e-4], [0.5, -3.0, 0.0]
    data.add_extra_dim(laspy.ExtraBytesParams("ring", "uint8"))
    data.x, data.y, data.z = CLOUD[:, :3].T.astype(np.float64)
    data.intensity = np.arange(50) * 1000
    data.write(tmp_path / f"a{suffix}")
    points = read_points(tmp_path / f"a{suffix}")
    np.testing.assert_allclose(points[:, :3], CLOUD[:, :3], atol=6e-4)
    np.testing.assert_array_equal(points[:, 3], np.arange(50) * 1000)


def test_las_without_points_or_finite_scales_is_refused(tmp_path):
    laspy = pytest.importorskip("laspy")
    data = laspy.LasData(laspy.LasHeader(point_format=3, version="1.2"))
    data.write(tmp_path / "a.las")
    with pytest.raises(ValueError, match=r"a.las \(\d+ bytes\) holds no points"):
        read_points(tmp_path / "a.las")
    data.x, data.y, data.z = CLOUD[:, :3].T.astype(np.float64)
    data.write(tmp_path / "a.las")
    content = bytearray((tmp_path / "a.las").read_bytes())
    content[131:139] = np.float64(np.inf).tobytes()
    (tmp_path / "a.las").write_bytes(content)
    with pytest.raises(ValueError, match=r"a.las \(\d+ bytes\): 50 points hold NaN or Inf"):
        read_points(tmp_path / "a.las")


def test_las_without_laspy_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.laz").touch()
    monkeypatch.setitem(sys.modules, "laspy", None)
    with pytest.raises(ImportError, match=r"pip install canonsim\[las\]"):
        read_points(tmp_path / "a.laz")


def test_a_cloud_of_empty_beams_alone_is_refused(tmp_path):
    empty = np.full((50, 4), np.nan, dtype=np.float32)
    header = "FIELDS x y z intensity\nSIZE 4 4 4 4\nTYPE F F F F\nWIDTH 50\nHEIGHT 1\nPOINTS 50\nDATA binary\n"
    (tmp_path / "a.pcd").write_bytes(header.encode() + empty.tobytes())
    with pytest.raises(ValueError, match=r"a.pcd \(\d+ bytes\): none of its 50 points has finite coordinates"):
        read_points(tmp_path / "a.pcd")
    empty[:, :3] = 0
    (tmp_path / "a.pcd").write_bytes(header.encode() + empty.tobytes())
    with pytest.raises(ValueError, match="50 points hold NaN or Inf"):
        read_points(tmp_path / "a.pcd")


def test_map_coordinates_that_float32_blurs_are_refused(tmp_path):
    street = CLOUD[:, :3].astype(np.float64) * 100 + [691_000.123, 5_335_000.456, 510.0]
    np.save(tmp_path / "a.npy", street)
    for item in (street, tmp_path / "a.npy"):
        with pytest.raises(ValueError, match=r"too far from its origin for float32: 53350\d\d.* steps of 0.5"):
            read_points(item)
    np.testing.assert_allclose(read_points(street - street[0]), street - street[0], atol=1e-4)
    # What float32 holds exactly is not blurred, and one place has nothing to blur.
    np.testing.assert_array_equal(read_points(np.round(street / 4) * 4), np.round(street / 4) * 4)
    assert read_points(street[:1]).shape == (1, 3)
