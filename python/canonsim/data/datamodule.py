"""Batches of preprocessed pairs for a Trainer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from canonsim.data.pairs import Pair, PairDataset

if TYPE_CHECKING:
    from canonsim.encoders import Encoder

Collate = Callable[[Sequence[Any]], Any]


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
        return _PairLoader(
            self.pairs,
            batch_size=self.batch_size,
            shuffle=shuffle,
            num_workers=self.num_workers,
            collate_fn=self._collate,
            worker_init_fn=_silence_tokenizers if self.num_workers else None,
        )


def _check_kind(side: str, kind: str, encoder: Encoder | None) -> None:
    if encoder is None and kind != "features":
        raise ValueError(f"{side} holds {kind}: {side}_encoder is needed")
    if encoder is not None and encoder.kind != kind:
        raise ValueError(f"{side} holds {kind}, but {side}_encoder takes {encoder.kind}")


def _silence_tokenizers(_worker: int) -> None:
    """Keep tokenizers to one thread in a forked worker, where its thread pool would hang; it warns otherwise."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def _stack(rows: Sequence[Any]) -> torch.Tensor:
    if isinstance(rows[0], torch.Tensor):
        return torch.stack(list(rows))
    return torch.from_numpy(np.stack(rows))


@dataclass(frozen=True)
class _Failure:
    """An error on its way from a worker: raised there, torch would bury its message under a traceback."""

    error: Exception


@dataclass(frozen=True)
class _CollatePairs:
    x: Collate
    y: Collate

    def __call__(self, pairs: list[Pair]) -> dict[str, Any] | _Failure:
        try:
            return {
                "x": _apply(self.x, "x", [pair["x"] for pair in pairs], pairs),
                "y": _apply(self.y, "y", [pair["y"] for pair in pairs], pairs),
                "index": torch.tensor([pair["index"] for pair in pairs], dtype=torch.int64),
            }
        except (ValueError, TypeError, OSError, ImportError) as error:
            return _Failure(error)


def _apply(collate: Collate, side: str, items: list[Any], pairs: list[Pair]) -> Any:
    try:
        return collate(items)
    except (ValueError, TypeError, OSError) as error:
        row = _guilty_row(collate, items, pairs)
        place = f"row {row}" if row is not None else f"one of the rows {pairs[0]['index']} to {pairs[-1]['index']}"
        kind = next(kind for kind in (FileNotFoundError, TypeError, ValueError, OSError) if isinstance(error, kind))
        raise kind(f"{place} of {side}: {error}") from error


def _guilty_row(collate: Collate, items: list[Any], pairs: list[Pair]) -> int | None:
    """Find the first row whose item fails alone."""
    for item, pair in zip(items, pairs, strict=True):
        try:
            collate([item])
        except (ValueError, TypeError, OSError):
            return pair["index"]
    return None


class _PairLoader(DataLoader[Pair]):
    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        for batch in super().__iter__():
            if isinstance(batch, _Failure):
                raise batch.error
            yield batch
