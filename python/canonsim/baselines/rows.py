"""What the baselines ask of their input, and rows of unit length."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def rows(items: ArrayLike, width: int | None = None) -> NDArray[np.float64]:
    """Return items as a float64 matrix (n, width); ValueError for other shapes, NaN or Inf."""
    matrix = np.asarray(items, dtype=np.float64)
    if matrix.ndim != 2 or len(matrix) == 0 or (width is not None and matrix.shape[1] != width):
        raise ValueError(f"expected rows of shape (n, {'p' if width is None else width}), got {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ValueError(f"row {int((~np.isfinite(matrix)).any(axis=1).argmax())} contains NaN or Inf")
    return matrix


def paired_rows(X: ArrayLike, Y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both sides of training pairs as float64 matrices; ValueError if their row counts differ."""
    x, y = rows(X), rows(Y)
    if len(x) != len(y):
        raise ValueError(f"X and Y must have the same number of rows, got {len(x)} and {len(y)}")
    return x, y


def unit(matrix: NDArray[Any]) -> NDArray[Any]:
    """Scale rows to unit length; rows of zeros stay zero."""
    length = np.linalg.norm(matrix, axis=1, keepdims=True)
    scaled: NDArray[Any] = np.divide(matrix, length, out=np.zeros_like(matrix), where=length > 0)
    return scaled
