"""Features encoded once: found again by what they were made of, resumed where a killed run stopped."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset

from canonsim.data.loading import Collate, Guarded, Loader, collate_rows, silence_tokenizers
from canonsim.encoders.feature_files import FeatureFiles, Features
from canonsim.encoders.fingerprints import FileHashes, canonical_hash, encoder_fingerprint, item_digests

if TYPE_CHECKING:
    import os

    from canonsim.encoders.encoder import Encoder

# Of the layout of the folder and of what fingerprints are made of.
_VERSION = 1


class FeatureCache:
    """A folder of encoded features.

    Features are found again by a fingerprint of what decides them: the encoder's config and weights, and the content of
    every item, files by their bytes. Not part of it are the device, the batch size and the versions of libraries, on
    which features depend by rounding, or where a library changes how it reads items.

    Rows are written in blocks of 512, each of them whole or not at all, and joined into one file when all are there. A
    run killed at any moment goes on after its last whole block. Blocks are known by their own items: a picture that is
    replaced meanwhile costs one block. Processes that encode the same items at the same time do not disturb each other.

    Parameters
    ----------
    folder : str or Path
        Made when something is encoded. It may be deleted at any time, and any folder in it. Every encoder has a folder
        in it, with ``encoder.json``, which says whose it is.

    Examples
    --------
    >>> import tempfile
    >>> from canonsim.encoders import FeatureCache, PointCloudEncoder
    >>> clouds = [np.random.default_rng(i).normal(size=(100, 4)) for i in range(3)]
    >>> cache = FeatureCache(tempfile.mkdtemp())
    >>> features = cache.encode(PointCloudEncoder(), clouds)
    >>> features.shape, features.flags.writeable
    ((3, 97), False)
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def encode(
        self,
        encoder: Encoder,
        items: Sequence[Any],
        *,
        batch_size: int = 64,
        workers: int = 0,
        progress: bool = False,
        name: str | None = None,
        rows: Sequence[int] | None = None,
    ) -> Features:
        """Encode items, or find their features.

        Parameters
        ----------
        encoder : Encoder
        items : sequence of n items
            As the encoder's ``collate`` takes them: paths, texts, arrays, tensors, PIL images, tuples of these.
        batch_size : int
            Items in a batch, at most; a batch ends where a block does.
        workers : int
            Processes that read and preprocess; 0 does it in this process.
        progress : bool
            Show progress bars.
        name : str, optional
            Stands for what the encoder's config does not hold. Encoders of `Encoder.from_module` need it: for the
            module's code and its preprocess.
        rows : sequence of n int, optional
            What errors call the items. Default: 0 to n - 1.

        Returns
        -------
        (n, dim) float32
            A read-only memory map.

        Raises
        ------
        TypeError
            For a single text or path in place of a sequence, or an item whose content cannot be compared.
        ValueError
            Without a name where one is needed; for numbers out of range; if an item cannot be read, or its features are
            NaN or infinite: the message names the row and the item. What was finished stays.
        FileNotFoundError
            If a file is missing, before anything is encoded.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if workers < 0:
            raise ValueError(f"workers must not be negative, got {workers}")
        entry = self._entry(encoder, items, name, rows, progress)
        numbered = _Numbered(items, range(len(items)) if rows is None else rows)
        features = entry.open()
        while features is None:
            entry.make_folder()
            with closing(_encoded(encoder, numbered, entry.missing(), batch_size, workers, progress)) as blocks:
                for start, block in blocks:
                    entry.save(start, block)
                    # Another process that encodes the same items may have been faster.
                    if entry.open() is not None:
                        break
            features = entry.join()
        entry.remove_blocks()
        return features

    def path(self, encoder: Encoder, items: Sequence[Any], *, name: str | None = None) -> Path:
        """Tell where the finished features of items are, or will be: a ``.npy`` file.

        Raises
        ------
        TypeError, ValueError, FileNotFoundError
            As `encode`.
        """
        return self._entry(encoder, items, name, None, progress=False).path

    def _entry(
        self, encoder: Encoder, items: Sequence[Any], name: str | None, rows: Sequence[int] | None, progress: bool
    ) -> FeatureFiles:
        from tqdm import tqdm

        if isinstance(items, (str, bytes, Path)):
            raise TypeError(f"items must be a sequence of items, got the single item {items!r}")
        numbers = range(len(items)) if rows is None else rows
        if len(numbers) != len(items):
            raise ValueError(f"rows has {len(numbers)} numbers, but there are {len(items)} items")
        made_by = {"version": _VERSION, **encoder_fingerprint(encoder, name)}
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileHashes(self.folder / "files.sqlite") as files:
            digests = item_digests(items, encoder.kind, files, numbers)
            bar = tqdm(digests, total=len(items), desc=f"Reading {encoder.kind}", disable=not progress)
            return FeatureFiles(self.folder / canonical_hash(made_by), made_by, (len(items), encoder.dim), list(bar))


@torch.inference_mode()
def _encoded(
    encoder: Encoder, items: _Numbered, blocks: Sequence[range], batch_size: int, workers: int, progress: bool
) -> Generator[tuple[int, Features], None, None]:
    """First row and features of every block."""
    from tqdm import tqdm

    batches = [[rows[i : i + batch_size] for i in range(0, len(rows), batch_size)] for rows in blocks]
    loader = Loader(
        items,
        batch_sampler=[list(batch) for block in batches for batch in block],
        num_workers=workers,
        collate_fn=Guarded(_CollateNumbered(encoder.collate)),
        worker_init_fn=silence_tokenizers if workers else None,
        # Its own: the caller's would be in another state afterwards than where nothing had to be encoded.
        generator=torch.Generator(),
    )
    loaded = iter(loader)
    total = len(items)
    done = total - sum(map(len, blocks))
    with tqdm(total=total, initial=done, desc=f"Encoding {encoder.kind}", disable=not progress) as bar:
        for block in batches:
            features = np.empty((sum(map(len, block)), encoder.dim), dtype=np.float32)
            start = block[0].start
            for batch in block:
                encoded = encoder.encode_batch(next(loaded))
                items.check(encoded, batch)
                features[batch.start - start : batch.stop - start] = encoded
                bar.update(len(batch))
            yield start, features


@dataclass(frozen=True)
class _Numbered(Dataset[tuple[int, Any]]):
    """Items with their rows, as a data loader takes them."""

    items: Sequence[Any]
    rows: Sequence[int]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> tuple[int, Any]:
        return int(self.rows[i]), self.items[i]

    def check(self, features: Features, batch: range) -> None:
        """Refuse features that are not one finite row for each item of a batch."""
        if len(features) != len(batch):
            raise ValueError(f"the encoder gave {len(features)} rows for a batch of {len(batch)} items")
        finite = np.isfinite(features).all(axis=1)
        if not finite.all():
            row, item = self[batch[int(finite.argmin())]]
            shown = item if isinstance(item, (str, Path)) else type(item).__name__
            raise ValueError(f"row {row}: the features of {shown} hold NaN or Inf")


@dataclass(frozen=True)
class _CollateNumbered:
    collate: Collate

    def __call__(self, numbered: Sequence[tuple[int, Any]]) -> Any:
        return collate_rows(self.collate, [item for _, item in numbered], [row for row, _ in numbered])
