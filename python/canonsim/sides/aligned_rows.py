"""Rows of several sides, row i of each belonging together, some without some of the sides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from canonsim.rows import Rows, check_rows, is_tensor

Mask: TypeAlias = "npt.NDArray[np.bool_]"

# As in the core: squares of larger values overflow.
_LARGEST = 1e145


class AlignedRows:
    """A batch that is fit to be added to moments.

    Parameters
    ----------
    rows : mapping of str to (n, d) array or tensor
        At least one side.
    present : mapping of str to (n,) bool, or None
        Which rows have the side; all, for a side it does not name.
    dims : mapping of str to int
        The sides there are, and their widths.

    Raises
    ------
    TypeError
        For anything but a mapping, values that are no floats, or masks that are not bool.
    ValueError
        For sides that there are not, other widths, different numbers of rows, NaN or infinite values in a row that has
        the side, or a row without any side.
    """

    def __init__(self, rows: Mapping[str, Rows], present: Mapping[str, Any] | None, dims: Mapping[str, int]) -> None:
        for argument, value in (("rows", rows), ("present", present or {})):
            if not isinstance(value, Mapping):
                raise TypeError(f"{argument} must be a mapping by sides, got {type(value).__name__}")
        if not rows:
            raise ValueError(f"rows must hold at least one of the sides {list(dims)}, got none")
        self._rows = rows
        self.count = self._check_shapes(dims)
        self._masks = self._checked_masks(present or {})
        lone = np.flatnonzero(~np.logical_or.reduce(list(self._masks.values())))
        if lone.size:
            raise ValueError(f"present leaves row {lone[0]} without any side")
        for name in rows:
            self._check_values(name)

    def _check_shapes(self, dims: Mapping[str, int]) -> int:
        first = next(iter(self._rows))
        for name, side in self._rows.items():
            if name not in dims:
                raise ValueError(f"there is no side {name!r}; the sides are {list(dims)}")
            check_rows(side, name, dims[name])
            if len(side) != len(self._rows[first]):
                raise ValueError(f"{name} has {len(side)} rows, but {first} has {len(self._rows[first])}")
        return len(self._rows[first])

    def _checked_masks(self, present: Mapping[str, Any]) -> dict[str, Mask]:
        masks = {name: np.ones(self.count, dtype=bool) for name in self._rows}
        for name, given in present.items():
            if name not in masks:
                raise ValueError(f"present names {name!r}, of which there are no rows; there are {list(masks)}")
            mask = np.asarray(given.detach().cpu().numpy() if is_tensor(given) else given)
            if mask.dtype != np.bool_:
                raise TypeError(f"present[{name!r}] must be bool, got {mask.dtype}")
            if mask.shape != (self.count,):
                raise ValueError(f"present[{name!r}] must have shape ({self.count},), got {mask.shape}")
            masks[name] = mask
        return masks

    def _check_values(self, name: str) -> None:
        """Refuse what the core would refuse, before any of several objects changes."""
        rows: Any = self._rows[name]
        if is_tensor(rows):
            rows = rows.detach()
            good = _fits(rows).all(dim=1).cpu().numpy()
        else:
            good = _fits(rows).all(axis=1)
        bad = np.flatnonzero(~good & self._masks[name])
        if bad.size:
            value = next(float(value) for value in rows[int(bad[0])] if not _fits(value))
            raise ValueError(
                f"{name} holds {value} in row {bad[0]}; every value must be finite, of magnitude {_LARGEST:g} at most"
            )

    def has(self, name: str) -> Mask:
        """Which rows have the side, (n,); none where the batch lacks it."""
        return self._masks.get(name, np.zeros(self.count, dtype=bool))

    def of(self, name: str, mask: Mask) -> Any:
        """The rows of a side in the places of the mask; without a copy where these are all."""
        rows: Any = self._rows[name]
        if mask.all():
            return rows
        if is_tensor(rows):
            import torch

            return rows[torch.from_numpy(mask).to(rows.device)]
        return rows[mask]


def _fits(values: Any) -> Any:
    """Whether values, an array or a tensor, are such as the core takes."""
    if values.dtype.itemsize == 8:
        return abs(values) <= _LARGEST
    if is_tensor(values):
        return values.isfinite()
    return np.isfinite(values)
