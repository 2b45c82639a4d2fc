"""Pairs listed in a table: two columns of paths or text."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, cast

from canonsim.data.pairs import Kind, Pair, PairDataset

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

_KINDS = ("image", "audio", "text", "points", "series")


class TablePairs(PairDataset):
    r"""Pairs listed in a table, one a row.

    Whether all files exist is checked when the data set is made; they are read later, by the encoders. The columns of
    a Parquet file stay in Arrow's form; other columns of the table are not read.

    Parameters
    ----------
    path : str or Path
        ``.csv`` (UTF-8, a header, commas), ``.jsonl`` (one object a line), ``.json`` (one array of objects) or
        ``.parquet``.
    x, y : str
        "kind:column". The kind is "text", or "image", "audio", "points" or "series" for a column of paths.
    root : str or Path, optional
        Where relative paths start. Default: the table's folder.

    Raises
    ------
    FileNotFoundError
        If there is no such table, or a file is missing: the message names the first, its row, and how many are missing.
    ValueError
        For a column that is not there, an empty cell, a malformed line, or no rows; the message names the row, counted
        from 0 without the header.
    TypeError
        If a cell is no text.
    ImportError
        Without pyarrow, for Parquet (``pip install canonsim[tables]``).

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from canonsim.data import TablePairs
    >>> table = pathlib.Path(tempfile.mkdtemp(), "words.csv")
    >>> _ = table.write_text("english,french\none,un\ntwo,deux\n")
    >>> TablePairs(table, x="text:english", y="text:french")[1]
    {'x': 'two', 'y': 'deux', 'index': 1}
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        x: str = "image:path",
        y: str = "text:caption",
        root: str | os.PathLike[str] | None = None,
    ) -> None:
        table = Path(path)
        self.x_kind, x_column = _parse(x, "x")
        self.y_kind, y_column = _parse(y, "y")
        if not table.is_file():
            raise FileNotFoundError(f"{table}: no such table")
        reader = {".csv": _read_csv, ".jsonl": _read_json_lines, ".json": _read_json, ".parquet": _read_parquet}
        suffix = table.suffix.lower()
        if suffix not in reader:
            raise ValueError(f"{table} is no table: its suffix is {suffix!r}, not one of {', '.join(reader)}")
        self._root = table.parent if root is None else Path(root)
        self._x, self._y = reader[suffix](table, (x_column, y_column))
        if not len(self._x):
            raise ValueError(f"{table} has no rows")
        for kind, column, cells in ((self.x_kind, x_column, self._x), (self.y_kind, y_column, self._y)):
            if kind != "text":
                check_files((self._root / str(cell) for cell in cells), f"{table}, column {column!r}")

    def __len__(self) -> int:
        return len(self._x)

    def __getitem__(self, row: SupportsIndex) -> Pair:
        """Paths (`pathlib.Path`) or texts of a row."""
        row = self.check_row(row)
        return {
            "x": self._item(self.x_kind, self._x[row]),
            "y": self._item(self.y_kind, self._y[row]),
            "index": row,
        }

    def _item(self, kind: Kind, cell: Any) -> str | Path:
        return str(cell) if kind == "text" else self._root / str(cell)


def check_files(paths: Iterable[Path], origin: str) -> None:
    """Refuse paths that lead to no file.

    Raises
    ------
    FileNotFoundError
        Naming the first missing file, its row, and how many are missing.
    """
    missing = [(row, path) for row, path in enumerate(paths) if not path.is_file()]
    if missing:
        row, path = missing[0]
        count = "1 file is" if len(missing) == 1 else f"{len(missing)} files are"
        raise FileNotFoundError(f"{origin}: row {row} names {path}, which is no file; {count} missing")


def _parse(spec: str, side: str) -> tuple[Kind, str]:
    kind, _, column = spec.partition(":")
    if kind not in _KINDS or not column:
        raise ValueError(f"{side} must be 'kind:column' with a kind of {', '.join(_KINDS)}, got {spec!r}")
    return cast("Kind", kind), column


def _read_csv(table: Path, columns: tuple[str, str]) -> tuple[Sequence[Any], Sequence[Any]]:
    with table.open(encoding="utf-8-sig", newline="") as file:
        try:
            header, *lines = csv.reader(file, strict=True)
        except ValueError as error:
            raise ValueError(f"{table} has no header, or is not UTF-8: {error}") from error
        except csv.Error as error:
            raise ValueError(f"{table} is no CSV file: {error}") from error
    lines = [line for line in lines if line]
    for row, line in enumerate(lines):
        if len(line) != len(header):
            raise ValueError(f"{table}: row {row} has {len(line)} cells, the header {len(header)}")
    return _columns(table, [dict(zip(header, line, strict=True)) for line in lines], columns, header)


def _read_json_lines(table: Path, columns: tuple[str, str]) -> tuple[Sequence[Any], Sequence[Any]]:
    rows = []
    with table.open("rb") as file:
        for line in file:
            if line.strip():
                try:
                    rows.append(json.loads(line))
                except ValueError as error:
                    raise ValueError(f"{table}: row {len(rows)} is no JSON: {error}") from error
    return _columns(table, rows, columns)


def _read_json(table: Path, columns: tuple[str, str]) -> tuple[Sequence[Any], Sequence[Any]]:
    try:
        rows = json.loads(table.read_bytes())
    except ValueError as error:
        raise ValueError(f"{table} is no JSON: {error}") from error
    if not isinstance(rows, list):
        raise ValueError(f"{table} must hold one array of objects, got {type(rows).__name__}")  # noqa: TRY004
    return _columns(table, rows, columns)


def _columns(
    table: Path, rows: list[Any], columns: tuple[str, str], header: Sequence[str] | None = None
) -> tuple[Sequence[Any], Sequence[Any]]:
    return _column(table, rows, columns[0], header), _column(table, rows, columns[1], header)


def _column(table: Path, rows: list[Any], column: str, header: Sequence[str] | None) -> list[str]:
    if header is not None and column not in header:
        raise _missing_column(table, column, header)
    cells = []
    for row, entries in enumerate(rows):
        if not isinstance(entries, dict):
            raise ValueError(f"{table}: row {row} is no object: {entries!r}")  # noqa: TRY004
        if column not in entries:
            raise _missing_column(f"{table}: row {row}", column, list(entries))
        cell = entries[column]
        if cell is None or cell == "":
            raise ValueError(f"{table}: row {row} is empty in column {column!r}")
        if not isinstance(cell, str):
            raise TypeError(f"{table}: row {row} holds no text in column {column!r}, but {cell!r}")
        cells.append(cell)
    return cells


def _missing_column(place: object, column: str, there: Sequence[str]) -> ValueError:
    return ValueError(f"{place} has no column {column!r}; it has {', '.join(there) or 'none'}")


def _read_parquet(table: Path, columns: tuple[str, str]) -> tuple[Sequence[Any], Sequence[Any]]:
    try:
        import pyarrow as pa
        from pyarrow import compute, parquet
    except ImportError as error:
        raise ImportError("Parquet files need pyarrow: pip install canonsim[tables]") from error
    try:
        with parquet.ParquetFile(table, memory_map=True) as file:
            there = file.schema_arrow.names
            for column in columns:
                if column not in there:
                    raise _missing_column(table, column, there)
            content = file.read(columns=sorted(set(columns)))
    except pa.ArrowInvalid as error:
        raise ValueError(f"{table} is truncated, or no Parquet file: {error}") from error
    for column in columns:
        cells = content[column]
        if not (pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)):
            raise TypeError(f"{table}: column {column!r} must hold text, got {cells.type}")
        empty = compute.fill_null(compute.equal(cells, ""), True)
        row = compute.index(empty, True).as_py()
        if row >= 0:
            raise ValueError(f"{table}: row {row} is empty in column {column!r}")
    return content[columns[0]], content[columns[1]]
