"""The data set of pairs: two raw items and the number of their row."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, TypedDict

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

Kind = Literal["image", "text", "audio", "points", "series", "features"]


class Pair(TypedDict):
    """One row: raw items, as an encoder's ``collate`` takes them, and the row's number in the data set."""

    x: Any
    y: Any
    index: int


class PairDataset(Dataset[Pair], ABC):
    """Pairs of raw items.

    A subclass sets the kinds and answers `__len__` and `__getitem__`. Items are cheap to hold, a path rather than a
    picture: encoders read and preprocess them in the workers of the data loader.

    Attributes
    ----------
    x_kind, y_kind : str
        "image", "text", "audio", "points", "series" or "features": what the items of either side are.

    Examples
    --------
    >>> from canonsim.data import PairDataset
    >>> class Numbers(PairDataset):
    ...     x_kind = y_kind = "text"
    ...
    ...     def __len__(self):
    ...         return 2
    ...
    ...     def __getitem__(self, row):
    ...         row = self.check_row(row)
    ...         return {"x": ["one", "two"][row], "y": ["un", "deux"][row], "index": row}
    >>> list(Numbers().select([1]))
    [{'x': 'two', 'y': 'deux', 'index': 1}]
    """

    x_kind: Kind
    y_kind: Kind

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of pairs."""

    @abstractmethod
    def __getitem__(self, row: SupportsIndex) -> Pair:
        """Return the raw items of a row with its number.

        Raises
        ------
        IndexError
            If there is no such row.
        """

    def check_row(self, row: SupportsIndex) -> int:
        """Return the row's number.

        Raises
        ------
        IndexError
            If there is no such row; negative numbers do not count from the end.
        """
        number = operator.index(row)
        if not 0 <= number < len(self):
            raise IndexError(f"row {number} of {len(self)} pairs")
        return number

    def select(self, rows: Sequence[int] | np.ndarray[Any, Any] | torch.Tensor) -> PairDataset:
        """Select rows, in the order given; they keep their numbers in this data set.

        Raises
        ------
        IndexError
            If there is no such row.

        Examples
        --------
        >>> import numpy as np
        >>> from canonsim.data import FeaturePairs
        >>> held_out = FeaturePairs(np.eye(5), np.eye(5)).select([3, 1])
        >>> [pair["index"] for pair in held_out]
        [3, 1]
        """
        return _Selection(self, np.array([operator.index(row) for row in rows], dtype=np.int64))


class _Selection(PairDataset):
    def __init__(self, pairs: PairDataset, rows: npt.NDArray[np.int64]) -> None:
        outside = (rows < 0) | (rows >= len(pairs))
        if outside.any():
            raise IndexError(f"row {rows[outside.argmax()]} of {len(pairs)} pairs")
        self.x_kind, self.y_kind = pairs.x_kind, pairs.y_kind
        self._pairs = pairs
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: SupportsIndex) -> Pair:
        return self._pairs[int(self._rows[self.check_row(row)])]
