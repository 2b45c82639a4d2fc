"""Rows of features as users hold them: numpy or torch, any float precision, any strides."""

from __future__ import annotations

import sys
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Array: TypeAlias = "npt.NDArray[Any]"
Rows: TypeAlias = "npt.NDArray[Any] | torch.Tensor"
Ids: TypeAlias = "npt.NDArray[np.integer[Any]] | torch.Tensor | list[int]"
RowWeights: TypeAlias = "npt.NDArray[np.floating[Any]] | torch.Tensor | list[float]"

_NATIVE_FLOATS = (np.float16, np.float32, np.float64)


def is_tensor(value: object) -> TypeGuard[torch.Tensor]:
    """Whether the value is a torch tensor, without importing torch to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def check_rows(rows: Rows, argument: str, width: int | None = None) -> None:
    """Refuse what is no (n, width) array of floats.

    Raises
    ------
    TypeError
        For anything but a numpy array or torch tensor of floats.
    ValueError
        For another number of dimensions or columns.
    """
    if not (isinstance(rows, np.ndarray) or is_tensor(rows)) or isinstance(rows, np.ma.MaskedArray):
        raise TypeError(f"{argument} must be a numpy array or torch tensor of floats, got {type(rows).__name__}")
    if not _is_floating(rows):
        raise TypeError(f"{argument} must hold f16, bf16, f32 or f64 values, got {rows.dtype}; convert it first")
    if rows.ndim != 2:
        raise ValueError(f"{argument} must have two dimensions (rows, columns), got shape {tuple(rows.shape)}")
    if width is not None and rows.shape[1] != width:
        raise ValueError(f"{argument} has {rows.shape[1]} columns, expected {width}")


def _is_floating(rows: Rows) -> bool:
    if is_tensor(rows):
        import torch

        return rows.dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    return np.asarray(rows).dtype.type in _NATIVE_FLOATS


def result_dtype(*rows: Rows) -> Any:
    """What scores of rows are given in: f64 where some of the rows are, else f32; torch's dtype for tensors."""
    dtypes: list[Any] = [side.dtype for side in rows]
    if is_tensor(rows[0]):
        import torch

        return reduce(torch.promote_types, dtypes, torch.float32)
    return np.result_type(np.float32, *dtypes)


def widest_dtype(values: Any) -> Any:
    """What sums over such values are taken in: f64, but for tensors on MPS, which has none."""
    if is_tensor(values):
        import torch

        return torch.float32 if values.device.type == "mps" else torch.float64
    return np.float64


def library(values: Any) -> Any:
    """The module whose functions take the values: numpy or torch."""
    if is_tensor(values):
        import torch

        return torch
    return np


def to_dtype(values: Any, dtype: Any) -> Any:
    """Values in the dtype, copied only where they have another."""
    return values.to(dtype) if is_tensor(values) else values.astype(dtype, copy=False)


def take(rows: Rows, places: npt.NDArray[np.int64]) -> Rows:
    """The rows at these places."""
    if is_tensor(rows):
        import torch

        return rows[torch.from_numpy(places).to(rows.device)]
    return np.asarray(rows)[places]


def to_numpy(values: Any) -> Array:
    """An array or tensor as an array."""
    array: Array = values.detach().cpu().numpy() if is_tensor(values) else values
    return array


def to_native(rows: Rows) -> Array:
    """Rows as the native module takes them, copied only where numpy cannot show them as they are.

    numpy has no bfloat16: its bits travel as unsigned 16-bit integers.
    """
    if is_tensor(rows):
        import torch

        rows = rows.detach().cpu().resolve_conj().resolve_neg()
        if rows.dtype == torch.bfloat16:
            return rows.view(torch.uint16).numpy()
        return rows.numpy()
    array = np.asarray(rows)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    whole = all(stride % array.itemsize == 0 for stride in array.strides)
    return array if whole and array.flags.aligned else array.copy()


def to_ids(ids: Ids, count: int, argument: str = "ids") -> npt.NDArray[np.int64]:
    """Row ids as (n,) int64.

    Raises
    ------
    TypeError
        For anything but integers.
    ValueError
        For another shape than (n,).
    """
    array = np.asarray(ids.detach().cpu().numpy() if is_tensor(ids) else ids)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{argument} must be integers, got {array.dtype}")
    if array.shape != (count,):
        raise ValueError(f"{argument} must be one integer for each row, shape ({count},), got shape {array.shape}")
    if array.dtype.kind == "u" and array.size and array.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{argument} must be below 2^63, got {array.max()}")
    return np.ascontiguousarray(array, dtype=np.int64)


def to_weights(weights: RowWeights, count: int) -> npt.NDArray[np.float64]:
    """Row weights as (n,) f64; whether they are in range the core checks.

    Raises
    ------
    TypeError
        For anything but numbers.
    ValueError
        For another shape than (n,).
    """
    array = np.asarray(weights.detach().cpu().double().numpy() if is_tensor(weights) else weights)
    if array.size == 0:
        array = array.astype(np.float64)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"weights must be floats, got {array.dtype}")
    if array.shape != (count,):
        raise ValueError(f"weights must be one number for each row, shape ({count},), got shape {array.shape}")
    return np.ascontiguousarray(array, dtype=np.float64)
