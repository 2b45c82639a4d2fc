"""LAS and LAZ files (ASPRS LAS 1.0 to 1.4), by laspy."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from canonsim.data.points.cloud import Points, check_expansion, check_length, from_columns

if TYPE_CHECKING:
    import laspy

_SHORTEST_HEADER, _HEADER_1_4 = 227, 375
_RECORD_HEADER = 54
_COMPRESSED = 0x80  # in the number of the point format
_VARIABLE = 0xFFFFFFFF  # chunks of different numbers of points
# Layers of each kind of item in a chunk of LAZ 1.4; of extra bytes (14) each is one.
_LAYERS = {10: 9, 11: 1, 12: 2, 13: 1}


def read_las(content: bytes, name: str) -> Points:
    """Points of a LAS or LAZ file; its intensity is 0 to 65,535."""
    try:
        import laspy
    except ImportError as error:
        raise ImportError("LAS and LAZ files need laspy: pip install canonsim[las]") from error
    _check_header(content, name)
    try:
        header, records = _read_records(laspy, content)
    except (KeyboardInterrupt, SystemExit):
        raise
    # The decompressor, which is written in Rust, panics with what is no Exception.
    except BaseException as error:  # noqa: BLE001
        raise ValueError(f"{name} is truncated, or no LAS file: {error}") from None
    check_length(len(records), header.point_count, "points", name)
    with np.errstate(over="ignore", invalid="ignore"):  # damaged scales: the sums are refused as Inf or NaN
        coordinates = [
            records[axis] * float(scale) + float(offset)
            for axis, scale, offset in zip("XYZ", header.scales, header.offsets, strict=True)
        ]
    return from_columns([*coordinates, records["intensity"]], name)


def _read_records(laspy: Any, content: bytes) -> tuple[laspy.LasHeader, laspy.ScaleAwarePointRecord]:
    # One thread: a pool of threads that was there before a fork hangs in the workers of a data loader.
    backend = laspy.LazBackend.Lazrs
    with laspy.open(io.BytesIO(content), laz_backend=backend, read_evlrs=False) as reader:
        if reader.header.are_points_compressed:
            _check_chunks(content, reader.header)
        return reader.header, reader.read_points(-1)


def _check_header(content: bytes, name: str) -> None:
    """Refuse what laspy would take at its word: it loops over declared records and allocates declared points."""
    check_length(len(content), _SHORTEST_HEADER, "bytes of its header", name)
    if content[:4] != b"LASF":
        raise ValueError(f"{name} has no LAS header")
    size, start, records, layout, width, count = struct.unpack_from("<HIIBHI", content, 94)
    if content[25] >= 4:
        check_length(len(content), _HEADER_1_4, "bytes of its header", name)
        (count,) = struct.unpack_from("<Q", content, 247)
    check_length(len(content), start, "bytes before its points", name)
    if size + _RECORD_HEADER * records > start:
        raise ValueError(f"{name} has a wrong LAS header: {records} records between its bytes {size} and {start}")
    if layout & _COMPRESSED:
        check_expansion(len(content) - start, count * width, name)
    else:
        check_length(len(content) - start, count * width, f"bytes of its {count} points", name)


def _check_chunks(content: bytes, header: laspy.LasHeader) -> None:
    """Refuse chunks that the file does not hold: the decompressor allocates what they declare, or ends the process.

    A file of compressed points is the place of its table of chunks, the chunks, and the table: its version and the
    number of chunks. A chunk of layers is its first point, the number of points, the sizes of the layers, and these.
    """
    record = header.vlrs.get("LasZipVlr")[0].record_data
    (chunk_size,) = struct.unpack_from("<I", record, 12)
    (number,) = struct.unpack_from("<H", record, 32)
    items = [struct.unpack_from("<HHH", record, 34 + 6 * item) for item in range(number)]
    width = sum(size for _, size, _ in items)
    start = header.offset_to_point_data
    (table,) = struct.unpack_from("<q", content, start)
    if table == -1:  # written to a stream
        (table,) = struct.unpack_from("<q", content, len(content) - 8)
    if not start + 8 <= table <= len(content) - 8 or chunk_size == 0 or width != header.point_format.size:
        raise ValueError(f"its table of chunks of {chunk_size} points of {width} bytes is at {table}")
    (chunks,) = struct.unpack_from("<I", content, table + 4)
    if chunk_size != _VARIABLE:
        chunks = max(chunks, -(-header.point_count // chunk_size))
    there = (table - start - 8) // width
    if max(kind for kind, _, _ in items) >= min(_LAYERS):
        layers = sum(_LAYERS.get(kind, size) for kind, size, _ in items)
        there = _count_layered_chunks(memoryview(content)[start + 8 : table], width, layers)
    if chunks > there:
        raise ValueError(f"{there} of {chunks} chunks are there")


def _count_layered_chunks(body: memoryview, width: int, layers: int) -> int:
    count = position = 0
    while position < len(body):
        sizes = struct.unpack_from(f"<{layers}I", body, position + width + 4)
        position += width + 4 + 4 * layers + sum(sizes)
        count += position <= len(body)
    return count
