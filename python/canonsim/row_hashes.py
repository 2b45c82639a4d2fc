"""Hashes of row ids: an order and a sample of rows that do not depend on how the rows came."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from canonsim import _native
from canonsim.rows import Ids, to_ids


def row_hashes(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Hash each row id (n,) to an integer from 0 to 2^62, by the function that folds come from."""
    return _native.folds_of(ids, 1 << 62)


def in_hash_order(ids: Ids | None, count: int) -> npt.NDArray[np.int64]:
    """The place of the first row of each id, in the order of the ids' hashes.

    Parameters
    ----------
    ids : (count,) int64, optional
        The running row number by default.
    count : int

    Examples
    --------
    >>> in_hash_order([30, 10, 20, 10], 4)
    array([1, 0, 2])
    """
    numbers = np.arange(count, dtype=np.int64) if ids is None else to_ids(ids, count)
    unique, first = np.unique(numbers, return_index=True)
    return np.asarray(first[np.argsort(row_hashes(unique))], dtype=np.int64)
