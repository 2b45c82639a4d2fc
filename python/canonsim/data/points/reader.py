"""One way to read them all: the suffix says which format a point cloud has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from canonsim.data.points.arrays import read_npy, read_npz
from canonsim.data.points.cloud import Points, check_points, from_table
from canonsim.data.points.las import read_las
from canonsim.data.points.pcd import read_pcd
from canonsim.data.points.ply import read_ply
from canonsim.data.points.rows import check_columns, read_rows
from canonsim.data.points.text import read_text

if TYPE_CHECKING:
    from collections.abc import Callable

_FORMATS: dict[str, Callable[[bytes, str], Points]] = {
    ".las": read_las,
    ".laz": read_las,
    ".npy": read_npy,
    ".npz": read_npz,
    ".pcd": read_pcd,
    ".ply": read_ply,
    ".txt": read_text,
    ".xyz": read_text,
    ".xyzi": read_text,
}

# What is a point cloud by its suffix alone: a .txt beside scans tells of them.
SUFFIXES = (".bin", *(suffix for suffix in _FORMATS if suffix != ".txt"))


def read_points(item: Any, columns: int | None = None) -> Points:
    """Read one point cloud: x, y, z and, where it is known, intensity.

    - ``.bin``: rows of float32 (x, y, z, intensity, ...), four of them (KITTI), in ``.pcd.bin`` five (nuScenes), or as
      ``columns`` declares: a size that 4 and 5 both divide does not tell.
    - ``.pcd``, ``.ply``: ASCII, binary or compressed. Points with NaN or infinite coordinates mark beams that came back
      empty, and are dropped. Intensity is the first there is of the fields intensity, scalar_intensity (CloudCompare),
      reflectance, reflectivity and remission.
    - ``.npz``: arrays "positions" (Open3D), "points" or "xyz", and perhaps "intensity" or "intensities".
    - ``.npy``, ``.xyz``, ``.xyzi``, ``.txt``: columns x, y, z; with four or five of them the fourth is intensity. With
      six or more nothing says so (they are mostly colours or normals), and the coordinates alone are read.
    - ``.las``, ``.laz``: by laspy.

    Parameters
    ----------
    item : str, Path or array
        A file, or an array (n, 3) or (n, 4) of floats.
    columns : int, optional
        Values in a row of a ``.bin`` file, at least 3; the fourth is intensity, later ones are dropped. Other formats
        say it themselves.

    Returns
    -------
    (n, 3) or (n, 4) float32
        Coordinates in the file's unit (metres in every common lidar format); intensity as the file has it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, damaged, empty, holds NaN or infinite values, is of another format, or lies so far
        from its origin that float32 blurs it (as in map coordinates); the message names the file and its size.
    TypeError
        For any other kind of item.
    ImportError
        Without laspy, for ``.las`` and ``.laz`` (``pip install canonsim[las]``).

    Examples
    --------
    >>> import numpy as np
    >>> from canonsim.data import read_points
    >>> read_points(np.zeros((5, 4))).dtype
    dtype('float32')
    """
    check_columns(columns)
    if isinstance(item, np.ndarray):
        if item.ndim != 2 or item.shape[1] not in (3, 4) or item.dtype.kind != "f":
            raise ValueError(f"a point cloud must be an (n, 3) or (n, 4) float array, got {item.shape} {item.dtype}")
        return check_points(from_table(item, "the point cloud"), "the point cloud")
    if not isinstance(item, (str, Path)):
        raise TypeError(f"a point cloud must be a path or an array, got {type(item).__name__}")
    path = Path(item)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such point cloud")
    name = f"{path} ({path.stat().st_size} bytes)"
    suffix = path.suffix.lower()
    if suffix == ".bin":
        return check_points(read_rows(path, name, columns), name)
    if suffix not in _FORMATS:
        raise ValueError(f"{name} is no point cloud: its suffix is {suffix!r}, not {', '.join(['.bin', *_FORMATS])}")
    return check_points(_FORMATS[suffix](path.read_bytes(), name), name)
