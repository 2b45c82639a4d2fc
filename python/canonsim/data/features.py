"""Pairs of ready features, from arrays or files."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias

import numpy as np

from canonsim.data.pairs import Pair, PairDataset
from canonsim.rows import Rows, check_rows

if TYPE_CHECKING:
    import torch

Source: TypeAlias = "Rows | str | os.PathLike[str]"

_IN_FILE = re.compile(r"(?P<path>.+\.(?:safetensors|parquet))(?::(?P<name>.+))?")


class FeaturePairs(PairDataset):
    """Pairs of ready features: row i of ``x`` belongs to row i of ``y``.

    ``.npy`` and ``.safetensors`` files are memory-mapped: only the rows in use are read. A Parquet column is decoded
    once and kept. In the workers of a data loader files are opened anew, not copied.

    Parameters
    ----------
    x, y : array, tensor or path
        (n, p) and (n, q) of f16, bf16, f32 or f64; or where they are: ``features.npy``, ``file.safetensors:tensor``,
        ``file.parquet:column`` (a column of lists of equal length). The name after the colon may be left out where the
        file holds one tensor or column.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError
        If the values are no floats (integers, objects).
    ValueError
        For other dimensions, different numbers of rows, no rows, a truncated or pickled file, or a tensor or column
        that is not there; the message names the file and what it holds.
    ImportError
        Without pyarrow, for Parquet (``pip install canonsim[tables]``).

    Examples
    --------
    >>> import numpy as np
    >>> from canonsim.data import FeaturePairs
    >>> pairs = FeaturePairs(np.zeros((10, 4)), np.zeros((10, 3)))
    >>> len(pairs), pairs[9]["x"].shape, pairs[9]["index"]
    (10, (4,), 9)
    """

    x_kind = y_kind = "features"

    def __init__(self, x: Source, y: Source) -> None:
        self._sources = x, y
        self.x, self.y = open_features(x, "x"), open_features(y, "y")
        if len(self.x) != len(self.y):
            raise ValueError(f"{_name(x, 'x')} has {len(self.x)} rows, but {_name(y, 'y')} has {len(self.y)}")
        if not len(self.x):
            raise ValueError(f"{_name(x, 'x')} and {_name(y, 'y')} have no rows")

    def __reduce__(self) -> tuple[Any, ...]:
        return FeaturePairs, self._sources

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, row: SupportsIndex) -> Pair:
        """Features (p,) and (q,) of a row, in the precision they are kept in."""
        row = self.check_row(row)
        return {"x": self.x[row], "y": self.y[row], "index": row}


def _name(source: Source, side: str) -> str:
    return f"{side} ({source})" if isinstance(source, (str, os.PathLike)) else side


def open_features(source: Source, side: str) -> Rows:
    """Features of one side (n, d); sources and errors as of `FeaturePairs`."""
    name = _name(source, side)
    rows = _read(os.fspath(source), name) if isinstance(source, (str, os.PathLike)) else source
    check_rows(rows, name)
    if isinstance(rows, np.ndarray) and not rows.dtype.isnative:
        raise TypeError(f"{name} holds {rows.dtype} values of the other byte order; convert them first")
    return rows


def _read(source: str, name: str) -> Rows:
    found = _IN_FILE.fullmatch(source)
    path = Path(found["path"] if found else source)
    if path.suffix not in (".npy", ".safetensors", ".parquet"):
        raise ValueError(f"{name} is no file of features (.npy, .safetensors, .parquet): its suffix is {path.suffix!r}")
    if not path.is_file():
        raise FileNotFoundError(f"{name}: no such file")
    if found is None:
        return _read_npy(path, name)
    if path.suffix == ".parquet":
        return _read_parquet(path, found["name"], name)
    return _read_safetensors(path, found["name"], name)


def _read_npy(path: Path, name: str) -> Rows:
    try:
        rows: Rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{name} is truncated, pickled, or no .npy file: {error}") from error
    return rows


def _choose(wanted: str | None, there: list[str], name: str, what: str) -> str:
    if wanted is None and len(there) == 1:
        return there[0]
    if wanted is None or wanted not in there:
        problem = f"no {what} {wanted!r}" if wanted else f"several {what}s; name one after a colon"
        raise ValueError(f"{name} has {problem}; it holds {', '.join(sorted(there)) or 'none'}")
    return wanted


def _read_safetensors(path: Path, tensor: str | None, name: str) -> Rows:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            rows: torch.Tensor = file.get_tensor(_choose(tensor, list(file.keys()), name, "tensor"))
    except SafetensorError as error:
        raise ValueError(f"{name} is truncated, or no safetensors file: {error}") from error
    return rows


def _read_parquet(path: Path, column: str | None, name: str) -> Rows:
    try:
        import pyarrow as pa
        from pyarrow import compute, parquet
    except ImportError as error:
        raise ImportError("Parquet files need pyarrow: pip install canonsim[tables]") from error
    try:
        with parquet.ParquetFile(path, memory_map=True) as file:
            chosen = _choose(column, file.schema_arrow.names, name, "column")
            lists = file.read(columns=[chosen])[chosen]
    except pa.ArrowInvalid as error:
        raise ValueError(f"{name} is truncated, or no Parquet file: {error}") from error
    of_lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if not any(is_type(lists.type) for is_type in of_lists):
        raise TypeError(f"{name} must be a column of lists of floats, got {lists.type}")
    if not pa.types.is_floating(lists.type.value_type):
        raise TypeError(f"{name} must hold f16, f32 or f64 values, got {lists.type.value_type}; convert it first")
    if not len(lists):
        raise ValueError(f"{name} has no rows")
    widths = np.asarray(compute.fill_null(compute.list_value_length(lists), -1))
    other = widths != widths[0]
    if widths[0] < 0 or other.any():
        row = 0 if widths[0] < 0 else int(other.argmax())
        held = "is null" if widths[row] < 0 else f"holds {widths[row]} values"
        raise ValueError(f"{name}: row {row} {held}, row 0 {max(widths[0], 0)}; all must hold the same number")
    values = compute.list_flatten(lists)
    if values.null_count:
        row = int(np.argmax(np.asarray(values.is_null()))) // int(widths[0])
        raise ValueError(f"{name}: row {row} holds a null value")
    rows: Rows = values.to_numpy().reshape(len(lists), int(widths[0]))
    return rows
