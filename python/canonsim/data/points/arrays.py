"""Point clouds as numpy arrays: ``.npy``, and ``.npz`` as numpy and Open3D write them."""

from __future__ import annotations

import io
import math
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from canonsim.data.points.cloud import Column, Points, check_expansion, from_columns, from_table

_COORDINATES = ("positions", "points", "xyz")
_INTENSITIES = ("intensity", "intensities")
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npy(content: bytes, name: str) -> Points:
    """Points of an array (n, 3 or more) of floats."""
    return from_table(_read_array(content, name, "f"), name)


def read_npz(content: bytes, name: str) -> Points:
    """Points of an archive with an array of coordinates (n, 3), and perhaps one of intensity, n values.

    An array of coordinates with four or five columns holds the intensity itself.
    """
    with _damaged(name):
        archive = zipfile.ZipFile(io.BytesIO(content))
    members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    found = [key for key in _COORDINATES if key in members]
    if not found:
        raise ValueError(f"{name} has no array {' or '.join(_COORDINATES)}, but {', '.join(members) or 'none'}")
    points = _read_member(archive, members[found[0]], name, "f")
    others = [_read_member(archive, members[key], name, "fiu") for key in _INTENSITIES if key in members][:1]
    if not others or (points.ndim == 2 and points.shape[1] != 3):
        return from_table(points, name)
    (intensity,) = others
    if points.ndim != 2 or intensity.size != len(points):
        raise ValueError(f"{name} must hold (n, 3) and n intensities, it has {points.shape} and {intensity.shape}")
    return from_columns([*points.T, intensity.ravel()], name)


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, kinds: str) -> Column:
    """Read one array; the archive's checksum shows whether it is as it was written."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name}: {info.filename} is compressed by method {info.compress_type}, not by deflate")
    check_expansion(info.compress_size, info.file_size, name)
    with _damaged(name), archive.open(info) as file:
        # Without a size, zipfile decompresses all that is there before it looks at what was declared.
        content = file.read(info.file_size + 1)
    return _read_array(content, f"{name}: {info.filename}", kinds)


@contextmanager
def _damaged(name: str) -> Iterator[None]:
    """What zipfile raises for archives that are damaged, encrypted or of a later version, in one form."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} is truncated, or no .npz archive: {error}") from None


def _read_array(content: bytes, name: str, kinds: str) -> Column:
    """Read the array of an ``.npy`` file, never pickled objects, if its dtype is of one of the kinds."""
    stream = io.BytesIO(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a header of Python 2
            shape, by_columns, dtype = _HEADERS[np.lib.format.read_magic(stream)](stream)
    except (KeyError, ValueError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError, TypeError) as error:
        raise ValueError(f"{name} is truncated, or no .npy array: {error}") from None
    if dtype.kind not in kinds:
        raise ValueError(f"{name} must be an array of {'floats' if kinds == 'f' else 'numbers'}, it is of {dtype}")
    found, declared = len(content) - stream.tell(), math.prod(shape) * dtype.itemsize
    if found != declared or min(shape, default=0) < 0:
        raise ValueError(
            f"{name} is truncated or damaged: an array {shape} of {dtype} has {declared} bytes, not {found}"
        )
    values = np.frombuffer(content, dtype=dtype, offset=stream.tell())
    return values.reshape(shape, order="F" if by_columns else "C")
