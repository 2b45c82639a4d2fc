"""Whatever a file of points holds: its points or a ValueError, without a crash, a hang or much memory."""

import io
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonsim.data import read_points

CLOUD = np.random.default_rng(0).uniform(-1, 1, (20, 4)).astype(np.float32)
CLOUD[:, 3] = np.random.default_rng(1).integers(0, 65_536, 20)
FEW_LINES = "\n".join(" ".join(f"{value:.9g}" for value in point) for point in CLOUD) + "\n"

# Reads every file of a folder, with a gibibyte to do it in; says what came of each.
READ_ALL = """
import resource, sys
from pathlib import Path
from canonsim.data import read_points
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30),) * 2)
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        print(path.name, len(read_points(path)))
    except ValueError as error:
        print(path.name, "refused")
        assert path.name in str(error), error
"""


def pcd(encoding, body):
    header = (
        "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z intensity\nSIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 1\nWIDTH 20\n"
        f"HEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 20\nDATA {encoding}\n"
    )
    return header.encode() + body


def ply(encoding, body):
    names = "".join(f"property float {name}\n" for name in ("x", "y", "z", "intensity"))
    return f"ply\nformat {encoding} 1.0\ncomment a\nelement vertex 20\n{names}end_header\n".encode() + body


def literals(content):
    """LZF without any reference back."""
    pieces = [content[start : start + 32] for start in range(0, len(content), 32)]
    return b"".join(bytes([len(piece) - 1]) + piece for piece in pieces)


def compressed(content):
    packed = literals(content)
    return struct.pack("<II", len(packed), len(content)) + packed


def saved(save, *arrays, **named):
    stream = io.BytesIO()
    save(stream, *arrays, **named)
    return stream.getvalue()


def las(point_format, compress):
    laspy = pytest.importorskip("laspy")
    header = laspy.LasHeader(point_format=point_format, version="1.4" if point_format > 5 else "1.2")
    header.scales, header.offsets = [1e-6] * 3, [0.5, 0.0, -0.5]
    data = laspy.LasData(header)
    data.x, data.y, data.z = CLOUD[:, :3].T.astype(np.float64)
    data.intensity = CLOUD[:, 3].astype(np.uint16)
    stream = io.BytesIO()
    data.write(stream, do_compress=compress, laz_backend=laspy.LazBackend.Lazrs if compress else None)
    return stream.getvalue()


FILES = {
    "rows.bin": CLOUD.tobytes(),
    "ascii.pcd": pcd("ascii", FEW_LINES.encode()),
    "binary.pcd": pcd("binary", CLOUD.tobytes()),
    "compressed.pcd": pcd("binary_compressed", compressed(CLOUD.T.tobytes())),
    "ascii.ply": ply("ascii", FEW_LINES.encode()),
    "little.ply": ply("binary_little_endian", CLOUD.tobytes()),
    "big.ply": ply("binary_big_endian", CLOUD.astype(">f4").tobytes()),
    "lines.xyz": FEW_LINES.encode(),
    "array.npy": saved(np.save, CLOUD),
    "by_columns.npy": saved(np.save, np.asfortranarray(CLOUD.astype(np.float64))),
    "stored.npz": saved(np.savez, positions=CLOUD[:, :3], intensity=CLOUD[:, 3:]),
    "deflated.npz": saved(np.savez_compressed, xyz=CLOUD[:, :3], intensity=CLOUD[:, 3]),
}
# Their number of points stands nowhere: what ends after whole points is a smaller cloud.
UNCOUNTED = ("rows.bin", "lines.xyz")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("clouds")


def read(folder, name, content):
    path = folder / name
    path.write_bytes(content)
    return read_points(path)


def read_in_a_process(files, folder):
    """What `READ_ALL` says of files: the number of points, or -1 where it refused them."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    environment = {**os.environ, "RUST_BACKTRACE": "0"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", READ_ALL, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line.split() for line in done.stdout.splitlines()]
    assert {name for name, _ in lines} == set(files)
    return {name: -1 if count == "refused" else int(count) for name, count in lines}


@pytest.mark.parametrize("name", FILES)
def test_whole_files_are_read_exactly(folder, name):
    np.testing.assert_array_equal(read(folder, name, FILES[name]), CLOUD)


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_at_any_byte_is_refused_or_gives_what_is_whole(folder, name):
    content = FILES[name]
    for length in range(len(content)):
        try:
            points = read(folder, name, content[:length])
        except ValueError as error:
            assert f"{name} ({length} bytes)" in str(error)  # noqa: PT017
            continue
        assert name in UNCOUNTED
        assert len(points) >= 1
        np.testing.assert_array_equal(points, CLOUD[: len(points), : points.shape[1]])


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
def test_changed_bytes_give_finite_points_or_a_refusal(folder, name, data):
    content = bytearray(FILES[name])
    anywhere = st.integers(0, len(content) - 1) | st.integers(0, min(300, len(content) - 1))
    for place in data.draw(st.lists(anywhere, min_size=1, max_size=6)):
        content[place] = data.draw(st.integers(0, 255) | st.sampled_from(b"0 -\n9e,\xff"))
    try:
        points = read(folder, name, bytes(content))
    except ValueError as error:
        assert name in str(error)  # noqa: PT017
        return
    assert (points.dtype, points.ndim) == (np.float32, 2)
    assert points.shape[1] in (3, 4)
    assert 1 <= len(points) <= len(content)
    assert np.isfinite(points).all()
    if name.endswith(".npz"):  # these have checksums
        np.testing.assert_array_equal(points[:, :3], CLOUD[:, :3])


@given(content=st.binary(max_size=200), head=st.integers(0, 400), name=st.sampled_from(sorted(FILES)))
def test_any_bytes_after_any_beginning_are_survived(folder, name, head, content):
    try:
        points = read(folder, name, FILES[name][:head] + content)
    except ValueError:
        return
    assert len(points) >= 1
    assert np.isfinite(points).all()


@pytest.mark.parametrize("name", ["ascii.ply", "little.ply"])
def test_a_long_name_of_a_property_is_any_other_name(folder, name):
    points = read(folder, name, FILES[name].replace(b"intensity", b"i" * 5000))
    np.testing.assert_array_equal(points, CLOUD[:, :3])


HUGE = str(10**12)
HEADERS = [
    ("WIDTH 20", "WIDTH -20"),
    ("WIDTH 20", "WIDTH 21"),
    ("WIDTH 20", "WIDTH"),
    ("HEIGHT 1", "HEIGHT 1 \nHEIGHT 1"),
    ("POINTS 20", "POINTS -20"),
    ("POINTS 20", "POINTS 19"),
    ("POINTS 20", "POINTS 0"),
    ("POINTS 20", "POINTS 20\nPOINTS 5000000"),
    ("WIDTH 20\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 20", f"WIDTH {HUGE}\nHEIGHT 1\nPOINTS {HUGE}"),
    ("WIDTH 20\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 20", "WIDTH 0\nHEIGHT 1\nPOINTS 0"),
    ("WIDTH 20\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 20", f"WIDTH {2**63}\nHEIGHT 2\nPOINTS {2**64}"),
    ("POINTS 20", "POINTS " + "9" * 5000),
    ("COUNT 1 1 1 1", f"COUNT 1 1 1 {HUGE}"),
    ("COUNT 1 1 1 1", "COUNT 1 1 1 -1"),
    ("COUNT 1 1 1 1", "COUNT 1 1 0 1"),
    ("COUNT 1 1 1 1", "COUNT 2 1 1 1"),
    ("COUNT 1 1 1 1", "COUNT 1 1 1"),
    ("SIZE 4 4 4 4", "SIZE 0 0 0 0"),
    ("SIZE 4 4 4 4", "SIZE 4 4 4 400000000"),
    ("SIZE 4 4 4 4", "SIZE -4 4 4 4"),
    ("TYPE F F F F", "TYPE F F F O"),
    ("FIELDS x y z intensity", "FIELDS x y z"),
    ("FIELDS x y z intensity", "FIELDS x y z intensity ring"),
    ("FIELDS x y z intensity", "FIELDS x y y intensity"),
    ("FIELDS x y z intensity", "FIELDS x y intensity intensity"),
    ("FIELDS x y z intensity\n", ""),
    ("DATA ", "DATA un"),
    ("vertex 20", "vertex -20"),
    ("vertex 20", "vertex 0"),
    ("vertex 20", f"vertex {HUGE}"),
    ("vertex 20", f"vertex {2**64}"),
    ("vertex 20", "vertex"),
    ("vertex 20", "face 20"),
    ("property float x", "property list uint float x"),
    ("property float x", "property float128 x"),
    ("property float x", "property float y"),
    ("property float z", "properties float z"),
    ("format ", "format un"),
    ("format ", "formats "),
    ("ply\n", "plyx\n"),
    ("end_header", "end_headers"),
]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does it")
def test_wrong_headers_are_refused_within_bounded_memory(tmp_path):
    wrong = {}
    for name, content in FILES.items():
        changed = [content.replace(old.encode(), new.encode(), 1) for old, new in HEADERS if old.encode() in content]
        wrong |= {f"{number}.{name}": change for number, change in enumerate(changed)}
    start = FILES["compressed.pcd"].index(b"binary_compressed\n") + 18
    packed, whole = struct.unpack_from("<II", FILES["compressed.pcd"], start)
    for number, sizes in enumerate([(packed, 0), (packed, 16), (packed, 2**32 - 1), (2**32 - 1, whole), (0, whole)]):
        wrong[f"sizes.{number}.pcd"] = (
            FILES["compressed.pcd"][:start] + struct.pack("<II", *sizes) + FILES["compressed.pcd"][start + 8 :]
        )
    many = FILES["compressed.pcd"].replace(b"WIDTH 20", b"WIDTH 200000000").replace(b"POINTS 20", b"POINTS 200000000")
    wrong["bomb.pcd"] = (
        many[: many.index(b"compressed\n") + 11] + struct.pack("<II", packed, 3_200_000_000) + bytes(packed)
    )
    for number, shape in enumerate(
        [f"({HUGE}, 4)", "(-20, 4)", f"({2**62}, 4)", "(20, 4, 1)", "(80,)", "()", "(20, 2)"]
    ):
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
        wrong[f"shape.{number}.npy"] = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + header.encode() + CLOUD.tobytes()
    wrong["objects.npy"] = saved(np.save, np.array([[1.0, None, 2.0]], dtype=object), allow_pickle=True)
    wrong["integers.npy"] = saved(np.save, np.ones((20, 4), dtype=np.int64))
    wrong["nested.npy"] = b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"(" * 8999 + b"\n"
    wrong["objects.npz"] = saved(np.savez, points=np.array([[1.0, None, 2.0]], dtype=object))
    # 400 MB of zeros in 400 kB.
    wrong["bomb.npz"] = saved(np.savez_compressed, points=np.zeros((25_000_000, 4), dtype=np.float32))
    assert len(wrong) > 100
    outcomes = read_in_a_process(wrong, tmp_path)
    assert {name for name, count in outcomes.items() if count != -1} == set()


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does it")
@pytest.mark.parametrize(("point_format", "compress"), [(3, False), (3, True), (7, True)])
def test_damaged_las_files_end_no_process(tmp_path, point_format, compress):
    """The decompressor allocates what the layers of a chunk declare, and ends the process where it cannot."""
    content = las(point_format, compress)
    suffix = ".laz" if compress else ".las"
    files = {f"cut.{length}{suffix}": content[:length] for length in range(0, len(content), 7)}
    rng = np.random.default_rng(0)
    for number in range(600):
        changed = np.frombuffer(content, dtype=np.uint8).copy()
        places = rng.integers(0, len(changed) if number % 2 else 800, rng.integers(1, 6)) % len(changed)
        changed[places] = rng.choice([0, 255, *rng.integers(0, 256, 4)], len(places))
        files[f"changed.{number}{suffix}"] = changed.tobytes()
    for place in (94, 96, 100, 104, 105, 107, 247, 227, len(content) - 8):
        for value in (b"\xff" * 8, bytes(8), (10**12).to_bytes(8, "little")):
            files[f"at.{place}.{value.hex()}{suffix}"] = content[:place] + value + content[place + 8 :]
    outcomes = read_in_a_process({f"whole{suffix}": content, **files}, tmp_path)
    assert outcomes[f"whole{suffix}"] == 20
    assert all(count in (-1, *range(1, 21)) for count in outcomes.values())
    # What was cut is refused, or lacks only what the points do not need.
    assert all(outcomes[name] in (-1, 20) for name in files if name.startswith("cut"))
    assert sum(outcomes[name] == -1 for name in files if name.startswith("cut")) > len(content) // 7 - 40
