"""Pairs as equal rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def check_pairs(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Check that x and y are matrices with the same number of rows, at least two."""
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or len(x) < 2:
        raise ValueError(
            f"x and y must be matrices with the same number of rows, at least 2; got {x.shape} and {y.shape}"
        )
    return x, y
