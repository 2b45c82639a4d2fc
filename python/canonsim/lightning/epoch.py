"""The rows that one training epoch delivered, each counted once, also over an interruption."""

from __future__ import annotations

from collections import Counter
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch

from canonsim.moments import PairedMoments


class EpochMoments:
    """Moments of the rows of one training epoch.

    Parameters
    ----------
    epoch : int
        The epoch's number.
    folds : int
        Folds of the moments.

    Attributes
    ----------
    moments : PairedMoments or None
        None until the first rows.
    """

    def __init__(self, epoch: int, folds: int) -> None:
        self.epoch = epoch
        self.moments: PairedMoments | None = None
        self._folds = folds
        # The ids so far, for a loader that starts over; None once a batch came without.
        self._ids: list[npt.NDArray[np.int64]] | None = []
        self._repeats: Counter[int] = Counter()

    def count(self, x: torch.Tensor, y: torch.Tensor, ids: npt.NDArray[np.int64] | None) -> None:
        """Add the pairs ``x`` (n, p), ``y`` (n, q) with the row ids (n,), but for those that come a second time."""
        if self._repeats and ids is not None:
            new = np.flatnonzero([not self._is_repeat(int(i)) for i in ids])
            kept = torch.from_numpy(new).to(x.device)
            x, y, ids = x[kept], y[kept], ids[new]
        if self.moments is None:
            self.moments = PairedMoments(x.shape[1], y.shape[1], self._folds)
        self.moments.update(x, y, ids)
        if ids is None:
            self._ids = None
        elif self._ids is not None:
            # A copy: a view would keep a DataLoader worker's shared memory for the whole epoch.
            self._ids.append(ids.copy())

    def _is_repeat(self, row: int) -> bool:
        repeated = self._repeats[row] > 0
        self._repeats[row] -= repeated
        return repeated

    def start_over(self) -> None:
        """Take in that the loader delivers from its beginning again.

        Rows counted so far are passed over when they come again; without ids they cannot be told, and what was counted
        is dropped.
        """
        if self._ids is None:
            self.moments, self._ids = None, []
        else:
            self._repeats = Counter(np.concatenate([*self._ids, np.empty(0, np.int64)]).tolist())

    def state(self) -> dict[str, Any]:
        """Put it into tensors and plain values, for a checkpoint."""
        ids = None if self._ids is None else torch.from_numpy(np.concatenate([*self._ids, np.empty(0, np.int64)]))
        arrays = {} if self.moments is None else self.moments.state()
        moments = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return {"epoch": self.epoch, "ids": ids, "moments": moments}

    @classmethod
    def from_state(cls, state: dict[str, Any], folds: int) -> Self:
        """Make the epoch of a `state`.

        Raises
        ------
        ValueError
            If its moments are of another number of folds than ``folds``.
        """
        found = cls(state["epoch"], folds)
        if state["moments"]:
            found.moments = PairedMoments.from_state({name: part.numpy() for name, part in state["moments"].items()})
            if found.moments.folds != folds:
                raise ValueError(f"the checkpoint holds moments of {found.moments.folds} folds, but folds={folds}")
        found._ids = None if state["ids"] is None else [state["ids"].numpy()]
        return found
