"""Labels of rows: ids of items, names of classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from canonsim.rows import is_tensor


def labels(values: Any, count: int, argument: str) -> npt.NDArray[Any]:
    """One label for each of ``count`` rows: (count,) int64 where all are integers, else the values as objects.

    Raises
    ------
    TypeError
        If they are no iterable, or not all hashable.
    ValueError
        If there are more or fewer than rows.
    """
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise TypeError(f"{argument} must hold one label for each row, got {type(values).__name__}")
    items = values.tolist() if isinstance(values, np.ndarray) or is_tensor(values) else list(values)
    if len(items) != count:
        raise ValueError(f"{argument} must hold one label for each row, {count}, got {len(items)}")
    if all(_is_int64(item) for item in items):
        return np.array(items, dtype=np.int64)
    for place, item in enumerate(items):
        if not _is_hashable(item):
            raise TypeError(f"{argument} must be hashable, got a {type(item).__name__} in row {place}")
    return np.fromiter(items, dtype=object, count=count)


class ItemIds:
    """Ids of the items of a gallery, in the order in which they were added."""

    def __init__(self) -> None:
        self._parts: list[npt.NDArray[Any]] = []

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def of_next(self, ids: Any, count: int) -> npt.NDArray[Any]:
        """Checked ids of ``count`` items to add, by default the number of items before each; errors as of `labels`."""
        first = len(self)
        return np.arange(first, first + count) if ids is None else labels(ids, count, "ids")

    def add(self, ids: npt.NDArray[Any]) -> None:
        """Add what `of_next` gave."""
        self._parts.append(ids)

    @property
    def all(self) -> npt.NDArray[Any]:
        """All of them: (m,), int64 or objects."""
        if len(self._parts) > 1:
            self._parts = [np.concatenate(self._parts)]
        return self._parts[0] if self._parts else np.empty(0, np.int64)


def _is_int64(item: object) -> bool:
    return isinstance(item, (int, np.integer)) and not isinstance(item, bool) and -(2**63) <= int(item) < 2**63


def _is_hashable(item: object) -> bool:
    # A tuple of lists has __hash__ and still is not hashable.
    try:
        hash(item)
    except TypeError:
        return False
    return True
