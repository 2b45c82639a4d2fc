"""Lidar ``.bin`` files: rows of float32 without a header."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from canonsim.data.points.cloud import Points


def check_columns(columns: int | None) -> None:
    """Refuse a declared number of columns that holds no coordinates."""
    if columns is None:
        return
    if not isinstance(columns, int) or isinstance(columns, bool):
        raise TypeError(f"columns must be an int, got {columns!r}")
    if columns < 3:
        raise ValueError(f"columns must be at least 3 (x, y, z), got {columns}")


def read_rows(path: Path, name: str, columns: int | None = None) -> Points:
    """Points of a ``.bin`` file; by default rows of 4, or of 5 in a ``.pcd.bin``."""
    if columns is None:
        columns = 5 if path.name.lower().endswith(".pcd.bin") else 4
    size = path.stat().st_size
    if size % (4 * columns):
        raise ValueError(
            f"{name} is truncated, or no rows of {columns} float32: {4 * columns} does not divide its size"
        )
    rows = np.fromfile(path, dtype="<f4").reshape(-1, columns)
    return np.ascontiguousarray(rows[:, :4], dtype=np.float32)
