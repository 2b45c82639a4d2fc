"""Point clouds as lines of numbers: ``.xyz``, ``.xyzi`` and ``.txt``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from canonsim.data.points.cloud import Points, from_table

_COMMENTS = (b"#", b"//")


def read_text(content: bytes, name: str) -> Points:
    """Points of lines of numbers, between blanks or commas; lines that start with # or // are comments.

    Raises
    ------
    ValueError
        If lines have different numbers of values, something is no number, or the last line has no end: it may have
        lost digits.
    """
    if content[content.rfind(b"\n") + 1 :].strip():
        raise ValueError(f"{name} is truncated: its last line has no end")
    stripped = (line.strip() for line in content.splitlines())
    lines = [line for line in stripped if line and not line.startswith(_COMMENTS)]
    if not lines:
        raise ValueError(f"{name} holds no points")
    return from_table(parse_lines(lines, name, "," if b"," in lines[0] else None), name)


def parse_lines(lines: Sequence[bytes], name: str, delimiter: str | None = None) -> npt.NDArray[np.float64]:
    """Parse lines of numbers to (n, k) float64."""
    try:
        return np.loadtxt(lines, delimiter=delimiter, comments=None, ndmin=2, encoding="latin1")
    except ValueError as error:
        raise ValueError(f"{name} is damaged or truncated: {error}") from None
