"""What the baselines ask of their input, how they scale it, and how they set a part of it aside."""

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


def paired_rows(X: ArrayLike, Y: ArrayLike, least: int = 1) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both sides of training pairs as float64 matrices; ValueError for unequal or too few rows."""
    x, y = rows(X), rows(Y)
    if len(x) != len(y):
        raise ValueError(f"X and Y must have the same number of rows, got {len(x)} and {len(y)}")
    if len(x) < least:
        raise ValueError(f"a fit needs at least {least} training pairs, got {len(x)}")
    return x, y


def unit(matrix: NDArray[Any]) -> NDArray[Any]:
    """Scale rows to unit length; rows of zeros stay zero."""
    length = np.linalg.norm(matrix, axis=1, keepdims=True)
    scaled: NDArray[Any] = np.divide(matrix, length, out=np.zeros_like(matrix), where=length > 0)
    return scaled


def mean_and_std(matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means and standard deviations of the columns; 1 for columns that are constant to rounding."""
    mean, std = matrix.mean(axis=0), matrix.std(axis=0)
    return mean, np.where(std > 1e-12 * np.abs(matrix).max(axis=0), std, 1.0)


def set_aside(ids: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """Mark about this share of the rows (n,), by chance; rows with the same id stay together.

    Whole groups are marked until the share is reached, so it is never less; the seed fixes which.
    """
    _, group = np.unique(ids, return_inverse=True)
    order = np.random.default_rng(seed).permutation(group.max() + 1)
    before = np.cumsum(np.bincount(group)[order]) - np.bincount(group)[order]
    marked: NDArray[np.bool_] = np.isin(group, order[before < share * len(ids)])
    return marked
