"""Batches from the workers of a data loader, and errors that name the row they come from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils.data import DataLoader

Collate = Callable[[Sequence[Any]], Any]


@dataclass(frozen=True)
class _Failure:
    """An error on its way from a worker: raised there, torch would bury its message under a traceback."""

    error: Exception


@dataclass(frozen=True)
class Guarded:
    """A collate function for `Loader`, which raises its errors where the batches are read."""

    collate: Collate

    def __call__(self, items: Sequence[Any]) -> Any:
        """Collate, or answer with the error."""
        try:
            return self.collate(items)
        except (ValueError, TypeError, OSError, ImportError) as error:
            return _Failure(error)


class Loader(DataLoader[Any]):
    """A data loader whose ``collate_fn`` is `Guarded`."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        for batch in super().__iter__():
            if isinstance(batch, _Failure):
                raise batch.error
            yield batch


def silence_tokenizers(_worker: int) -> None:
    """Keep tokenizers to one thread in a forked worker, where its thread pool would hang; it warns otherwise."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def collate_rows(collate: Collate, items: Sequence[Any], rows: Sequence[int], side: str = "") -> Any:
    """Collate the items of some rows.

    Raises
    ------
    FileNotFoundError, TypeError, ValueError, OSError
        What ``collate`` raises, with the first row whose item fails alone, and the ``side`` it is on, in the message.
    """
    try:
        return collate(items)
    except (ValueError, TypeError, OSError) as error:
        row = _guilty_row(collate, items, rows)
        place = f"row {row}" if row is not None else f"one of the rows {rows[0]} to {rows[-1]}"
        kind = next(kind for kind in (FileNotFoundError, TypeError, ValueError, OSError) if isinstance(error, kind))
        raise kind(f"{place} of {side}: {error}" if side else f"{place}: {error}") from error


def _guilty_row(collate: Collate, items: Sequence[Any], rows: Sequence[int]) -> int | None:
    for item, row in zip(items, rows, strict=True):
        try:
            collate([item])
        except (ValueError, TypeError, OSError):
            return row
    return None
