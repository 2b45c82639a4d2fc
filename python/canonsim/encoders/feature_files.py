"""Files of features: blocks, each whole or refused, and the one file that they are joined into."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from canonsim.files import pack, unpack, write_atomically

Features = npt.NDArray[np.float32]

# Rows of a block: what a killed run loses at most, and more than most batches hold.
BLOCK = 512
_FORMAT = "canonsim.features"


@dataclass(frozen=True)
class FeatureFiles:
    """The features (n, dim) of some items by one encoder, on disk: finished, or in blocks.

    Blocks go by their first row, and their files by the digests of their items.

    Parameters
    ----------
    folder : Path
        Of the encoder.
    made_by : dict
        What the encoder is; JSON-able.
    shape : (n, dim)
    digests : sequence of n bytes
        Of the items.
    """

    folder: Path
    made_by: dict[str, Any]
    shape: tuple[int, int]
    digests: Sequence[bytes]

    @property
    def path(self) -> Path:
        """The finished file."""
        return self.folder / f"{_join(self.digests)}.npy"

    def make_folder(self) -> None:
        """Make the folder of the blocks, and say whose it is."""
        (self.folder / "blocks").mkdir(parents=True, exist_ok=True)
        description = self.folder / "encoder.json"
        # Not written again, and not missed where another process that finishes removes the temporary file.
        if not description.is_file():
            with suppress(FileNotFoundError):
                write_atomically(description, json.dumps(self.made_by, indent=2).encode())

    def open(self) -> Features | None:
        """Map the finished file; None without one, or if it was truncated."""
        try:
            features = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (FileNotFoundError, ValueError, EOFError):
            return None
        whole = isinstance(features, np.memmap) and self.path.stat().st_size == features.offset + features.nbytes
        return features if whole and features.shape == self.shape and features.dtype == np.float32 else None

    def missing(self) -> list[range]:
        """Rows of the blocks that are not there, or are damaged."""
        starts = range(0, self.shape[0], BLOCK)
        return [self._rows(start) for start in starts if self._load(start) is None]

    def save(self, start: int, features: Features) -> None:
        """Write a block, unless another process removes it meanwhile, as it does when it has joined the same blocks."""
        with suppress(FileNotFoundError):
            write_atomically(self._block(start), pack({"features": features}, _FORMAT))

    def join(self) -> Features | None:
        """Write and map the finished file; None if another process removed blocks of it, without finishing it."""
        finished = self.open()
        if finished is None:
            with suppress(FileNotFoundError):
                write_rows(self.path, self.shape, self._blocks())
        return self.open() if finished is None else finished

    def remove_blocks(self) -> None:
        """Remove the blocks, and what a process killed while writing left beside them."""
        done = {self._block(start).name for start in range(0, self.shape[0], BLOCK)}
        with suppress(FileNotFoundError):
            for file in (self.folder / "blocks").iterdir():
                if file.name in done or file.name[1:].rpartition(".")[0] in done:
                    file.unlink(missing_ok=True)
        remove_unfinished(self.folder, self.path.name, "encoder.json")

    def _rows(self, start: int) -> range:
        return range(start, min(start + BLOCK, self.shape[0]))

    def _block(self, start: int) -> Path:
        return self.folder / "blocks" / f"{_join(self.digests[start : start + BLOCK])}.safetensors"

    def _load(self, start: int) -> Features | None:
        path = self._block(start)
        try:
            tensors, _ = unpack(path.read_bytes(), _FORMAT, str(path))
        except (FileNotFoundError, ValueError):
            return None
        features = tensors.get("features")
        shape = len(self._rows(start)), self.shape[1]
        return features if features is not None and features.shape == shape and features.dtype == np.float32 else None

    def _blocks(self) -> Iterator[Features]:
        for start in range(0, self.shape[0], BLOCK):
            features = self._load(start)
            if features is None:
                raise FileNotFoundError(self._block(start))
            yield features


def write_rows(path: Path, shape: tuple[int, int], blocks: Iterable[Features]) -> None:
    """Write rows (n, d) that come in blocks as one ``.npy`` file, float32, whole or not at all."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})

    def pieces() -> Iterator[bytes]:
        yield header.getvalue()
        for block in blocks:
            yield block.astype("<f4", copy=False).tobytes()

    write_atomically(path, pieces())


def remove_unfinished(folder: Path, *names: str) -> None:
    """Remove what processes killed while they wrote files of these names left beside them."""
    for name in names:
        for file in folder.glob(f".{name}.*"):
            file.unlink(missing_ok=True)


def _join(digests: Sequence[bytes]) -> str:
    return hashlib.sha256(b"".join(digests)).hexdigest()
