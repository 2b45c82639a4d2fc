"""PLY files (Turk, The PLY polygon file format, 1994): their vertices, ASCII or binary of either byte order."""

from __future__ import annotations

import numpy as np

from canonsim.data.points.cloud import Points, from_columns
from canonsim.data.points.records import Field, packed_columns, text_columns

_LONGEST_HEADER = 1 << 16
_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1",
    "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
_ORDERS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}


def read_ply(content: bytes, name: str) -> Points:
    """Points of a PLY file whose first element are its vertices; faces and other elements are not looked at."""
    lines, start = _read_header(content, name)
    try:
        (encoding,) = (line[1] for line in lines if line[0] == "format")
        order = _ORDERS[encoding]
        elements = [number for number, line in enumerate(lines) if line[0] == "element"]
        first, *others = elements
        _, element, number = lines[first]
        count = int(number)
        properties = lines[first + 1 : others[0] if others else None]
        if {line[0] for line in properties} - {"property"}:
            raise ValueError(f"among the properties of {element!r} are other lines")  # noqa: TRY301
        # A property that is a list has more words.
        fields = [Field(field, np.dtype(order + _TYPES[kind])) for _, kind, field in properties]
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"{name} has no readable .ply header: {error!r}") from None
    if element != "vertex" or count < 0:
        raise ValueError(f"{name} must begin with its points, its first element is {element!r}, {count} of them")
    if encoding == "ascii":
        columns = text_columns(content[start:], fields, count, name)
    else:
        columns = packed_columns(memoryview(content)[start:], fields, count, name)
    return from_columns(columns, name, drop_empty=True)


def _read_header(content: bytes, name: str) -> tuple[list[list[str]], int]:
    """Lines of the header as words, without comments, and where the data start."""
    lines: list[list[str]] = []
    start = 0
    while ["end_header"] not in lines[-1:]:
        end = content.find(b"\n", start, _LONGEST_HEADER)
        if end < 0:
            raise ValueError(f"{name} has no .ply header, or is truncated in it")
        words = content[start:end].decode("ascii", "replace").split()
        start = end + 1
        if words and words[0] not in ("comment", "obj_info"):
            lines.append(words)
    if lines[0] != ["ply"]:
        raise ValueError(f"{name} has no .ply header: it begins with {lines[0][0][:20]!r}")
    return lines[:-1], start
