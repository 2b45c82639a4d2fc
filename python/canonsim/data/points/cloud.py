"""What every format comes to: columns x, y, z and perhaps intensity, checked, as one float32 array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float32]
Column = npt.NDArray[Any]

# Names of the intensity, the most telling first.
INTENSITY = ("intensity", "scalar_intensity", "reflectance", "reflectivity", "remission")

# How far from the origin a cloud may lie, in its own extents: float32 then has 2^13 steps left across it.
_FARTHEST = 1024.0
# Compressed scans are a tenth to a half of their size; below the floor any cloud may be as regular as it likes.
_EXPANSION, _FLOOR = 100, 1 << 26


def from_columns(columns: Sequence[Column], name: str, *, drop_empty: bool = False) -> Points:
    """Join three or four columns to (n, 3) or (n, 4) float32.

    Parameters
    ----------
    columns : sequence of (n,) arrays
        x, y, z and perhaps intensity, of any numeric dtype.
    name : str
        What messages call the cloud.
    drop_empty : bool
        Drop points with NaN or infinite coordinates.

    Raises
    ------
    ValueError
        If all points would be dropped, or float32 blurs the cloud.
    """
    if drop_empty:
        finite = np.logical_and.reduce([np.isfinite(column) for column in columns[:3]])
        if len(finite) and not finite.any():
            raise ValueError(f"{name}: none of its {len(finite)} points has finite coordinates")
        if not finite.all():
            columns = [column[finite] for column in columns]
    points = np.empty((len(columns[0]), len(columns)), dtype=np.float32)
    # Too large for float32 is Inf there, and NaN may be signalling: `check_points` refuses both.
    with np.errstate(over="ignore", invalid="ignore"):
        for number, column in enumerate(columns):
            points[:, number] = column
        _check_resolution(columns[:3], points, name)
    return points


def from_table(table: Column, name: str) -> Points:
    """Points of (n, 3 or more) values without names: the fourth of four or five columns is intensity."""
    if table.ndim != 2 or table.shape[1] < 3:
        raise ValueError(f"{name} must hold (n, 3) or more columns, it has the shape {table.shape}")
    kept = table[:, : 4 if table.shape[1] in (4, 5) else 3]
    if kept.dtype == np.float32:
        return np.ascontiguousarray(kept, dtype=np.float32)
    return from_columns(list(kept.T), name)


def check_points(points: Points, name: str) -> Points:
    """Refuse a cloud without points, or with values that are not finite."""
    if not len(points):
        raise ValueError(f"{name} holds no points")
    if not np.isfinite(points).all():
        finite = np.isfinite(points).all(axis=1)
        raise ValueError(f"{name}: {int((~finite).sum())} points hold NaN or Inf, the first is {int(finite.argmin())}")
    return points


def check_expansion(stored: int, expanded: int, name: str) -> None:
    """Refuse content that claims to grow more than any scan does when it is decompressed."""
    if expanded > max(_FLOOR, _EXPANSION * stored):
        raise ValueError(f"{name} is damaged: {stored} bytes are to become {expanded}, no scan compresses so well")


def check_length(found: int, declared: int, unit: str, name: str) -> None:
    """Refuse a file with less in it than its header declares."""
    if found < declared:
        raise ValueError(f"{name} is truncated: {found} of {declared} {unit} are there")


def _check_resolution(coordinates: Sequence[Column], points: Points, name: str) -> None:
    """Refuse a cloud whose points float32 would push together, such as a street in map coordinates."""
    if not len(points) or all(column.dtype.kind == "f" and column.dtype.itemsize <= 4 for column in coordinates):
        return
    least = np.array([column.min() for column in coordinates], dtype=np.float64)
    greatest = np.array([column.max() for column in coordinates], dtype=np.float64)
    extent, farthest = (greatest - least).max(), np.maximum(np.abs(least), np.abs(greatest)).max()
    blurred = 0 < _FARTHEST * extent < farthest
    if blurred and any((column != points[:, axis]).any() for axis, column in enumerate(coordinates)):
        raise ValueError(
            f"{name} lies too far from its origin for float32: {farthest:.9g} away, {extent:.3g} across, steps of "
            f"{np.spacing(np.float32(farthest)):.2g}; subtract an origin near it and give the array"
        )
