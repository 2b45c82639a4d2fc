"""Points as records of named fields, which PCD and PLY files both are: packed, or one a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from canonsim.data.points.cloud import INTENSITY, Column, check_length
from canonsim.data.points.text import parse_lines


@dataclass(frozen=True)
class Field:
    """A field of each record: ``count`` values of one dtype."""

    name: str
    dtype: np.dtype[Any]
    count: int = 1

    @property
    def width(self) -> int:
        """Bytes in a record."""
        return self.dtype.itemsize * self.count


def choose_fields(fields: Sequence[Field], name: str) -> list[int]:
    """Which fields are x, y, z and, where there is one, intensity.

    Raises
    ------
    ValueError
        If a coordinate is not there, or one of them is there twice or is several values.
    """
    names = [field.name.lower() for field in fields]
    wanted = ["x", "y", "z", *[known for known in INTENSITY if known in names][:1]]
    for field in wanted:
        if names.count(field) != 1 or fields[names.index(field)].count != 1:
            raise ValueError(f"{name} must have one field {field!r} of one value, it has {', '.join(names) or 'none'}")
    return [names.index(field) for field in wanted]


def packed_columns(body: memoryview, fields: Sequence[Field], count: int, name: str) -> list[Column]:
    """Columns x, y, z and perhaps intensity of records that follow each other."""
    chosen = choose_fields(fields, name)
    widths = [field.width for field in fields]
    check_length(len(body), count * sum(widths), f"bytes of its {count} points", name)
    if not count:
        return [np.empty(0, dtype=np.float32) for _ in chosen]
    record = np.dtype(
        {
            "names": [str(number) for number in chosen],
            "formats": [fields[number].dtype for number in chosen],
            "offsets": [sum(widths[:number]) for number in chosen],
            "itemsize": sum(widths),
        }
    )
    rows = np.frombuffer(body, dtype=record, count=count)
    return [rows[str(number)] for number in chosen]


def text_columns(body: bytes, fields: Sequence[Field], count: int, name: str) -> list[Column]:
    """Columns x, y, z and perhaps intensity of records that are lines of numbers."""
    chosen = choose_fields(fields, name)
    # A number at the end without the end of its line may have lost digits.
    lines = [line for line in body[: body.rfind(b"\n") + 1].splitlines() if line.strip()]
    check_length(len(lines), count, "points", name)
    if not count:
        return [np.empty(0, dtype=np.float32) for _ in chosen]
    table = parse_lines(lines[:count], name)
    declared = sum(field.count for field in fields)
    if table.shape[1] != declared:
        raise ValueError(f"{name} is damaged: its points have {table.shape[1]} values, its header declares {declared}")
    return [table[:, sum(field.count for field in fields[:number])] for number in chosen]
