"""Files that are either whole or refused: safetensors with a checksum, written under a temporary name."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

Tensors = dict[str, npt.NDArray[Any]]

_CHECKSUM = "sha256"


def write_atomically(path: str | os.PathLike[str], content: bytes | Iterable[bytes]) -> None:
    """Write a file under a temporary name beside ``path`` and rename it: a reader sees the old file or the new one.

    The content may come in pieces.
    """
    target = Path(path)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; a model is as readable as any file its owner makes.
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise


def pack(tensors: Tensors, kind: str, metadata: Mapping[str, str] | None = None) -> bytes:
    """Tensors and metadata as safetensors, with a checksum over both."""
    # safetensors silently scrambles arrays that are not C-contiguous.
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    entries = {**(metadata or {}), "format": kind}
    return save_tensors(tensors, metadata={**entries, _CHECKSUM: _checksum(tensors, entries)})


def unpack(content: bytes, kind: str, origin: str) -> tuple[Tensors, dict[str, str]]:
    """Tensors and metadata of `pack`.

    Raises
    ------
    ValueError
        If the content is truncated or altered, or is no such file; the message names ``origin``.
    """
    try:
        tensors = load_tensors(content)
        entries = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__", {})
    except (SafetensorError, ValueError, KeyError) as error:
        raise ValueError(f"{origin} is no safetensors file, or is truncated: {error}") from None
    if entries.get("format") != kind:
        raise ValueError(f"{origin} is not a {kind} file: its format is {entries.get('format')!r}")
    if entries.pop(_CHECKSUM, None) != _checksum(tensors, entries):
        raise ValueError(f"{origin} was altered: its checksum does not match")
    return tensors, entries


def _checksum(tensors: Tensors, entries: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(dict(entries), sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}".encode())
        digest.update(tensor.data)
    return digest.hexdigest()
