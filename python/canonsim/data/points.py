"""Point clouds as (n, 3) or (n, 4) arrays: lidar ``.bin`` files directly, ``.pcd`` and ``.ply`` by Open3D."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float32]

_PLY_BYTES = {
    **dict.fromkeys(("char", "uchar", "int8", "uint8"), 1),
    **dict.fromkeys(("short", "ushort", "int16", "uint16"), 2),
    **dict.fromkeys(("int", "uint", "float", "int32", "uint32", "float32"), 4),
    **dict.fromkeys(("double", "float64"), 8),
}


def read_points(item: Any) -> Points:
    """Read one point cloud: x, y, z and, where it is known, intensity.

    ``.bin`` files are rows of four float32 (x, y, z, reflectance: KITTI), ``.pcd.bin`` files rows of five (nuScenes),
    of which the ring index is dropped. In ``.pcd`` and ``.ply`` files, points with NaN or infinite coordinates mark
    beams that came back empty, and are dropped.

    Parameters
    ----------
    item : str, Path or array
        A ``.bin``, ``.pcd.bin``, ``.pcd`` or ``.ply`` file, or an array (n, 3) or (n, 4) of floats.

    Returns
    -------
    (n, 3) or (n, 4) float32
        Coordinates in the file's unit (metres in every common lidar format); intensity as the file has it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, damaged, empty, holds NaN or infinite values, or is of another format; the message
        names the file and its size.
    TypeError
        For any other kind of item.
    ImportError
        Without Open3D, for ``.pcd`` and ``.ply`` (``pip install canonsim[lidar]``).

    Examples
    --------
    >>> import numpy as np
    >>> from canonsim.data import read_points
    >>> read_points(np.zeros((5, 4))).dtype
    dtype('float32')
    """
    if isinstance(item, np.ndarray):
        if item.ndim != 2 or item.shape[1] not in (3, 4) or item.dtype.kind != "f":
            raise ValueError(f"a point cloud must be an (n, 3) or (n, 4) float array, got {item.shape} {item.dtype}")
        return _checked(np.ascontiguousarray(item, dtype=np.float32), "the point cloud")
    if not isinstance(item, (str, Path)):
        raise TypeError(f"a point cloud must be a path or an array, got {type(item).__name__}")
    path = Path(item)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such point cloud")
    name = f"{path} ({path.stat().st_size} bytes)"
    suffix = path.suffix.lower()
    if suffix == ".bin":
        return _checked(_read_rows(path, name), name)
    if suffix in (".pcd", ".ply"):
        return _checked(_read_with_open3d(path, name), name)
    raise ValueError(f"{name} is no point cloud: its suffix is {suffix!r}, not .bin, .pcd or .ply")


def _checked(points: Points, name: str) -> Points:
    if not len(points):
        raise ValueError(f"{name} holds no points")
    finite = np.isfinite(points).all(axis=1)
    if not finite.all():
        raise ValueError(f"{name}: {int((~finite).sum())} points hold NaN or Inf, the first is {int(finite.argmin())}")
    return points


def _read_rows(path: Path, name: str) -> Points:
    columns = 5 if path.name.lower().endswith(".pcd.bin") else 4
    size = path.stat().st_size
    if size % (4 * columns):
        raise ValueError(
            f"{name} is truncated, or no rows of {columns} float32: {4 * columns} does not divide its size"
        )
    rows = np.fromfile(path, dtype="<f4").reshape(-1, columns)
    return np.ascontiguousarray(rows[:, :4], dtype=np.float32)


def _read_with_open3d(path: Path, name: str) -> Points:
    try:
        import open3d
    except ImportError as error:
        raise ImportError(f"{path.suffix} files need Open3D: pip install canonsim[lidar]") from error
    except OSError as error:
        raise ImportError(f"Open3D needs a system library (Debian: libusb-1.0-0, libgl1, libgomp1): {error}") from error
    _check_length(path, name)
    # Open3D prints a warning and returns an empty cloud; the error below says more.
    with open3d.utility.VerbosityContextManager(open3d.utility.VerbosityLevel.Error):
        cloud = open3d.t.io.read_point_cloud(path)
    if "positions" not in cloud.point:
        raise ValueError(f"{name} is truncated, or no {path.suffix} file that Open3D can read")
    points: Points = cloud.point.positions.numpy().astype(np.float32)
    if "intensity" in cloud.point:
        points = np.hstack([points, cloud.point["intensity"].numpy().reshape(-1, 1).astype(np.float32)])
    return np.ascontiguousarray(points[np.isfinite(points[:, :3]).all(axis=1)])


def _check_length(path: Path, name: str) -> None:
    """Refuse a file with less in it than its header declares: Open3D fills missing points with leftovers of memory."""
    content = path.read_bytes()
    end = b"DATA " if path.suffix.lower() == ".pcd" else b"end_header"
    start = content.find(b"\n", content.find(end)) + 1
    if end not in content or not start:
        raise ValueError(f"{name} has no {path.suffix} header")
    header = [line.split() for line in content[:start].decode("ascii", "replace").splitlines()]
    try:
        count, fields, width, encoding = (_pcd_layout if end == b"DATA " else _ply_layout)(header)
    except (KeyError, IndexError, ValueError):
        raise ValueError(f"{name} has no readable {path.suffix} header") from None
    if encoding == "ascii":
        found, declared, unit = len(content[start:].split()), count * fields, "values"
    elif encoding == "binary_compressed":
        return
    else:
        found, declared, unit = len(content) - start, count * width, "bytes"
    if found < declared:
        raise ValueError(f"{name} is truncated: {found} of {declared} {unit} of its {count} points are there")


def _pcd_layout(header: list[list[str]]) -> tuple[int, int, int, str]:
    entries = {line[0]: line[1:] for line in header if line}
    sizes = [int(size) for size in entries["SIZE"]]
    counts = [int(count) for count in entries.get("COUNT", ["1"] * len(sizes))]
    width = sum(size * count for size, count in zip(sizes, counts, strict=True))
    return int(entries["POINTS"][0]), sum(counts), width, entries["DATA"][0]


def _ply_layout(header: list[list[str]]) -> tuple[int, int, int, str]:
    encoding = next(line[1] for line in header if line[:1] == ["format"])
    elements = [i for i, line in enumerate(header) if line[:1] == ["element"]]
    first = elements[0]
    if header[first][1] != "vertex":
        raise ValueError("the points must come first")
    last = elements[1] if len(elements) > 1 else len(header)
    types = [line[1] for line in header[first:last] if line[:1] == ["property"]]
    return int(header[first][2]), len(types), sum(_PLY_BYTES[kind] for kind in types), encoding
