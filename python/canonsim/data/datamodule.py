"""Batches of preprocessed pairs for a Trainer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule

from canonsim.data.loading import Collate, Guarded, Loader, collate_rows, silence_tokenizers
from canonsim.data.pairs import Pair, PairDataset

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

    from canonsim.encoders import Encoder


class PairDataModule(LightningDataModule):
    """Batches of pairs, preprocessed in the workers of the data loader.

    A batch is ``{"x": ..., "y": ..., "index": ...}``: of either side what the encoder's ``collate`` makes of n raw
    items, and the row numbers, (n,) int64. Without an encoder, ready features are stacked to (n, p).

    Parameters
    ----------
    pairs : PairDataset
    x_encoder, y_encoder : Encoder, optional
        Of the kinds that the pairs have. May be left out only for ready features.
    batch_size : int
        Pairs in a batch; the last batch of a pass may hold fewer.
    num_workers : int
        Processes that read and preprocess; 0 does it in the main process.

    Raises
    ------
    TypeError
        If ``pairs`` are no `PairDataset`.
    ValueError
        If an encoder is missing or of another kind, or a number is out of range. While batches are read: if an item
        cannot be read, in the main process or a worker, with its row in the message (FileNotFoundError for a file that
        has vanished, TypeError for an item of a wrong type).

    Examples
    --------
    >>> import numpy as np
    >>> from canonsim.data import FeaturePairs, PairDataModule
    >>> data = PairDataModule(FeaturePairs(np.zeros((10, 4)), np.zeros((10, 3))), batch_size=8)
    >>> [batch["index"].tolist() for batch in data.predict_dataloader()]
    [[0, 1, 2, 3, 4, 5, 6, 7], [8, 9]]
    """

    def __init__(
        self,
        pairs: PairDataset,
        x_encoder: Encoder | None = None,
        y_encoder: Encoder | None = None,
        batch_size: int = 64,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        if not isinstance(pairs, PairDataset):
            raise TypeError(f"pairs must be a PairDataset, got {type(pairs).__name__}")
        _check_kind("x", pairs.x_kind, x_encoder)
        _check_kind("y", pairs.y_kind, y_encoder)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if num_workers < 0:
            raise ValueError(f"num_workers must not be negative, got {num_workers}")
        self.pairs = pairs
        self.batch_size = batch_size
        self.num_workers = num_workers
        # The collates alone, without the weights, travel to the workers.
        self._collate = _CollatePairs(
            x_encoder.collate if x_encoder else _stack, y_encoder.collate if y_encoder else _stack
        )

    def predict_dataloader(self) -> DataLoader[Pair]:
        """Every pair once, in the order of the data set."""
        return self._loader(shuffle=False)

    def train_dataloader(self) -> DataLoader[Pair]:
        """Every pair once an epoch, shuffled by torch's generator."""
        return self._loader(shuffle=True)

    def _loader(self, *, shuffle: bool) -> DataLoader[Pair]:
        return Loader(
            self.pairs,
            batch_size=self.batch_size,
            shuffle=shuffle,
            num_workers=self.num_workers,
            collate_fn=Guarded(self._collate),
            worker_init_fn=silence_tokenizers if self.num_workers else None,
        )


def _check_kind(side: str, kind: str, encoder: Encoder | None) -> None:
    if encoder is None and kind != "features":
        raise ValueError(f"{side} holds {kind}: {side}_encoder is needed")
    if encoder is not None and encoder.kind != kind:
        raise ValueError(f"{side} holds {kind}, but {side}_encoder takes {encoder.kind}")


def _stack(rows: Sequence[Any]) -> torch.Tensor:
    if isinstance(rows[0], torch.Tensor):
        return torch.stack(list(rows))
    return torch.from_numpy(np.stack(rows))


@dataclass(frozen=True)
class _CollatePairs:
    x: Collate
    y: Collate

    def __call__(self, pairs: Sequence[Pair]) -> dict[str, Any]:
        rows = [pair["index"] for pair in pairs]
        return {
            "x": collate_rows(self.x, [pair["x"] for pair in pairs], rows, "x"),
            "y": collate_rows(self.y, [pair["y"] for pair in pairs], rows, "y"),
            "index": torch.tensor(rows, dtype=torch.int64),
        }
