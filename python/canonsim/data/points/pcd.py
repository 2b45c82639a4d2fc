"""PCD files of the Point Cloud Library: ASCII, binary, and compressed field by field."""

from __future__ import annotations

import struct

import numpy as np

from canonsim.data.points import lzf
from canonsim.data.points.cloud import Column, Points, check_expansion, check_length, from_columns
from canonsim.data.points.records import Field, choose_fields, packed_columns, text_columns

_LONGEST_HEADER = 1 << 16
_DTYPES = {
    (kind, str(size)): np.dtype(f"<{kind.lower()}{size}")
    for kind, sizes in (("F", (4, 8)), ("I", (1, 2, 4, 8)), ("U", (1, 2, 4, 8)))
    for size in sizes
}


def read_pcd(content: bytes, name: str) -> Points:
    """Points of a PCD file (version 0.7, Rusu and Cousins, 3D is here: Point Cloud Library, 2011)."""
    header, start = _read_header(content, name)
    try:
        fields = [
            Field(field, _DTYPES[kind, size], int(count))
            for field, size, kind, count in zip(
                header["FIELDS"],
                header["SIZE"],
                header["TYPE"],
                header.get("COUNT", ["1"] * len(header["FIELDS"])),
                strict=True,
            )
        ]
        count = int(header["POINTS"][0])
        width, height = int(header["WIDTH"][0]), int(header["HEIGHT"][0])
        encoding = header["DATA"][0]
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"{name} has no readable .pcd header: {error!r}") from None
    if min(count, width, height) < 0 or count != width * height or any(field.count < 1 for field in fields):
        raise ValueError(
            f"{name} has a wrong .pcd header: POINTS {count}, WIDTH {width}, HEIGHT {height}, "
            f"COUNT {' '.join(str(field.count) for field in fields)}"
        )
    if encoding == "ascii":
        columns = text_columns(content[start:], fields, count, name)
    elif encoding == "binary":
        columns = packed_columns(memoryview(content)[start:], fields, count, name)
    elif encoding == "binary_compressed":
        columns = _compressed_columns(content[start:], fields, count, name)
    else:
        raise ValueError(f"{name} has a wrong .pcd header: DATA is {encoding!r}")
    return from_columns(columns, name, drop_empty=True)


def _read_header(content: bytes, name: str) -> tuple[dict[str, list[str]], int]:
    """Entries of the header, and where the data start."""
    entries: dict[str, list[str]] = {}
    start = 0
    while "DATA" not in entries:
        end = content.find(b"\n", start, _LONGEST_HEADER)
        if end < 0:
            raise ValueError(f"{name} has no .pcd header, or is truncated in it")
        words = content[start:end].decode("ascii", "replace").split()
        start = end + 1
        if words and not words[0].startswith("#"):
            if words[0] in entries:
                raise ValueError(f"{name} has a wrong .pcd header: {words[0]} is there twice")
            entries[words[0]] = words[1:]
    return entries, start


def _compressed_columns(body: bytes, fields: list[Field], count: int, name: str) -> list[Column]:
    """Columns of fields that follow each other, each with the values of all points."""
    chosen = choose_fields(fields, name)
    check_length(len(body), 8, "bytes before its compressed points", name)
    stored, expanded = struct.unpack("<II", body[:8])
    check_length(len(body) - 8, stored, "bytes of its compressed points", name)
    declared = count * sum(field.width for field in fields)
    if expanded != declared:
        raise ValueError(f"{name} is damaged: its {count} points have {declared} bytes, {expanded} are compressed")
    check_expansion(stored, expanded, name)
    try:
        content = lzf.decompress(body[8 : 8 + stored], expanded)
    except ValueError as error:
        raise ValueError(f"{name} is damaged: {error}") from None
    widths = [field.width for field in fields]
    return [
        np.frombuffer(content, dtype=fields[number].dtype, count=count, offset=count * sum(widths[:number]))
        for number in chosen
    ]
