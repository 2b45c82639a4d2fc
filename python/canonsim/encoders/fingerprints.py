"""Fingerprints of encoders and of the items they encode: equal where the features must be."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

if TYPE_CHECKING:
    from canonsim.encoders.encoder import Encoder

# Kinds whose items, where they are a str, are no path.
_NO_PATHS = ("text", "features")
# Kinds whose files are read without regard to their suffix. Scans are not: .bin files hold rows of four values,
# .pcd.bin files rows of five.
_KNOWN_BY_CONTENT = ("image", "audio")
# A file changed this shortly before it was read may change again within one tick of a file system's clock (FAT's is the
# coarsest), which neither its size nor its time would tell.
_TICK_NS = 2_000_000_000
# Hashes kept back until they are written in one transaction.
_PENDING = 1024


def encoder_fingerprint(encoder: Encoder, name: str | None) -> dict[str, Any]:
    """Collect what decides the features of an encoder; JSON-able.

    That is its config, the SHA-256 of its weights (names, dtypes, shapes and bytes), and that of the files beside the
    weights in a local folder: the tokenizer, the image processor, the sizes of the model.

    Parameters
    ----------
    encoder : Encoder
    name : str, optional
        Stands for what the config does not hold.

    Raises
    ------
    ValueError
        Without a name, for an encoder made by `Encoder.from_module`.
    """
    if encoder.config.get("class") == "Encoder" and not name:
        raise ValueError(
            f"the encoder was made of {encoder.config.get('module')!r}, and no config holds its code and preprocess: "
            "give name=, a string that stands for them, and another one whenever they change"
        )
    weights = hashlib.sha256()
    for key, tensor in encoder.state_dict().items():
        weights.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        weights.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    folder = Path(encoder.config.get("name") or "")
    # Of a local folder encoders keep the absolute path. Any other name is one on the Hub, where the revision tells all.
    patterns = ("*.json", "*.txt", "*.model") if folder.is_absolute() else ()
    return {
        "config": encoder.config,
        "dim": encoder.dim,
        "name": name,
        "weights": weights.hexdigest(),
        "files": {file.name: _hash_file(file).hex() for pattern in patterns for file in folder.glob(pattern)},
    }


def canonical_hash(content: Any) -> str:
    """SHA-256 of the canonical JSON: keys sorted, no spaces."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def item_digest(item: Any, kind: str, files: FileHashes) -> bytes:
    """Digest the content of an item, as encoders of the kind take it: files by their bytes, not by their names.

    Raises
    ------
    OSError
        If a file cannot be read.
    TypeError
        For items other than paths, texts, numbers, arrays, tensors, PIL images, and tuples and lists of these.
    """
    if isinstance(item, Path) or (isinstance(item, str) and kind not in _NO_PATHS):
        path = Path(item)
        suffix = "" if kind in _KNOWN_BY_CONTENT else "".join(path.suffixes[-2:]).lower()
        return _digest(f"file {suffix}", files.digest(path))
    what, content = _content(item, kind, files)
    return _digest(what, content)


def _content(item: Any, kind: str, files: FileHashes) -> tuple[str, Any]:
    """What an item is, and the bytes that it holds."""
    if isinstance(item, str):
        return "text", item.encode("utf-8", "surrogatepass")
    if isinstance(item, torch.Tensor):
        plain = item.detach().cpu().contiguous()
        return f"tensor {plain.dtype} {tuple(plain.shape)}", plain.reshape(-1).view(torch.uint8).numpy()
    if isinstance(item, (tuple, list)):
        return type(item).__name__, b"".join(item_digest(part, kind, files) for part in item)
    if kind == "image" and not isinstance(item, np.ndarray):
        from canonsim.data.images import read_image

        item = np.asarray(read_image(item))
    if isinstance(item, (np.ndarray, np.generic, bool, int, float)):
        array = np.asarray(item)
        if not array.dtype.hasobject:
            return f"array {array.dtype.str} {array.shape}", array.tobytes()
    raise TypeError(
        f"items of the type {type(item).__name__} cannot be compared by their content; files, texts, numbers, arrays, "
        "tensors, PIL images, and tuples and lists of these can"
    )


class FileHashes:
    """SHA-256 of files, remembered by absolute path, size and time of change in one SQLite file.

    The file outlives a killed process and is shared by several. A file that changed less than two seconds before it
    was read is not remembered.

    Parameters
    ----------
    path : Path
        Of the SQLite file; made when the first file is hashed.

    Raises
    ------
    ValueError
        While files are hashed, if the SQLite file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pending: list[tuple[str, int, int, bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if "_connection" in self.__dict__:
            with closing(self._connection), self._naming_itself():
                self._write()

    def digest(self, file: Path) -> bytes:
        """Digest the bytes of a file, or remember their digest.

        Raises
        ------
        OSError
            If the file cannot be read.
        """
        path, before = str(file.absolute()), file.stat()
        with self._naming_itself():
            found = self._connection.execute(
                "SELECT digest FROM files WHERE path = ? AND size = ? AND changed = ?",
                (path, before.st_size, before.st_mtime_ns),
            ).fetchone()
        if found is not None:
            return bytes(found[0])
        started = time.time_ns()
        digest = _hash_file(file)
        after = file.stat()
        unchanged = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
        if unchanged and started - before.st_mtime_ns > _TICK_NS:
            self._pending.append((path, before.st_size, before.st_mtime_ns, digest))
        if len(self._pending) >= _PENDING:
            with self._naming_itself():
                self._write()
        return digest

    @cached_property
    def _connection(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=60)
        try:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INTEGER, changed INTEGER, digest BLOB)"
            )
        except sqlite3.DatabaseError:
            connection.close()
            raise
        return connection

    @contextmanager
    def _naming_itself(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{self._path}: {error}; without it all files are read again, no more is lost") from error

    def _write(self) -> None:
        with self._connection as transaction:
            transaction.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", self._pending)
        self._pending.clear()


def item_digests(items: Sequence[Any], kind: str, files: FileHashes, rows: Sequence[int]) -> Iterator[bytes]:
    """Digest items one by one.

    Raises
    ------
    OSError, TypeError
        As `item_digest`, with the row of the item.
    """
    for row, item in zip(rows, items, strict=True):
        try:
            yield item_digest(item, kind, files)
        except OSError as error:
            raise type(error)(f"row {row}: {item}: {error.strerror or error}") from error
        except TypeError as error:
            raise TypeError(f"row {row}: {error}") from error


def _digest(what: str, content: Any) -> bytes:
    digest = hashlib.sha256(f"{what}\n".encode())
    digest.update(content)
    return digest.digest()


def _hash_file(file: Path) -> bytes:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").digest()
