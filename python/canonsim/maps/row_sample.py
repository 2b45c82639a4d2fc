"""A sample of the pairs that went by, for what moments cannot tell."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from canonsim.row_hashes import row_hashes
from canonsim.rows import Ids, Rows, result_dtype, take, to_dtype, to_ids, to_numpy


class RowSample:
    """The pairs whose ids have the smallest hashes, up to a number.

    Samples of the same rows with the same ids are the same for any order, batching or sharding, as are the moments
    beside which they are kept (bottom-k sampling; Cohen and Kaplan 2007). Rows are kept in numpy, f64 or else f32.

    Parameters
    ----------
    size : int
        How many pairs are kept.

    Attributes
    ----------
    x, y : (k, p), (k, q)
    ids : (k,) int64
    """

    def __init__(self, size: int, x_dim: int, y_dim: int) -> None:
        self.size = size
        self.x: npt.NDArray[Any] = np.empty((0, x_dim), np.float32)
        self.y: npt.NDArray[Any] = np.empty((0, y_dim), np.float32)
        self.ids = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, x: Rows, y: Rows, ids: Ids) -> None:
        """Take what belongs into the sample of pairs x (n, p), y (n, q) with row ids (n,)."""
        numbers = to_ids(ids, len(x))
        hashes = np.concatenate([row_hashes(self.ids), row_hashes(numbers)])
        kept = np.argsort(hashes, kind="stable")[: self.size]
        is_new = kept >= len(self)
        if is_new.any():
            old, new = kept[~is_new], kept[is_new] - len(self)
            order = np.argsort(np.argsort(is_new, kind="stable"))
            self.x = np.concatenate([self.x[old], _kept(x, new)])[order]
            self.y = np.concatenate([self.y[old], _kept(y, new)])[order]
            self.ids = np.concatenate([self.ids[old], numbers[new]])[order]

    def merge(self, other: RowSample) -> None:
        """Add the rows of another sample."""
        self.add(other.x, other.y, other.ids)

    def copy(self) -> Self:
        """A sample of its own with the same rows."""
        other = type(self)(self.size, 0, 0)
        # Arrays are replaced, never changed.
        other.x, other.y, other.ids = self.x, self.y, self.ids
        return other


def _kept(rows: Rows, places: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    return np.array(to_numpy(to_dtype(take(rows, places), result_dtype(rows))))
