"""LZF, by which PCD files are compressed."""

from __future__ import annotations


def decompress(content: bytes, size: int) -> bytes:
    """Decompress to exactly ``size`` bytes (liblzf by Marc Lehmann).

    A control byte below 32 is followed by one more literal bytes than it says. Any other copies from what was written:
    its upper three bits are the length less 2 (7: plus the next byte), its lower five with the byte that follows the
    distance less 1.

    Raises
    ------
    ValueError
        If the content is damaged or decompresses to another size.

    Examples
    --------
    >>> decompress(bytes([2, *b"ab-", 0b10000000, 2]), 9)
    b'ab-ab-ab-'
    """
    output = bytearray()
    position, end = 0, len(content)
    try:
        while position < end and len(output) <= size:
            control = content[position]
            position += 1
            if control < 32:
                output += content[position : position + control + 1]
                position += control + 1
                continue
            length = control >> 5
            if length == 7:
                length += content[position]
                position += 1
            length += 2
            start = len(output) - ((control & 31) << 8) - content[position] - 1
            position += 1
            if start < 0:
                raise ValueError("it refers to what is before its start")
            piece = output[start : start + length]
            # Where the copy reaches into itself, it repeats.
            output += piece if len(piece) == length else (piece * (length // len(piece) + 1))[:length]
    except IndexError:
        position = end + 1
    if position != end or len(output) != size:
        raise ValueError(f"it decompresses to {len(output)} bytes in place of {size}")
    return bytes(output)
