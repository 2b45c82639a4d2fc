"""Which row of the data set a feature row is: what decides its fold, however the rows are shared out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from canonsim.rows import to_ids

DEFAULT_KEY = "index"


def given_ids(key: str, output: Any, batch: Any, rows: int) -> npt.NDArray[np.int64] | None:
    """Find the ids (n,) in the step's output or else the batch; None where neither holds the default key.

    Raises
    ------
    ValueError
        If neither holds another key than the default, or there is not one id for each row.
    TypeError
        If the ids are no integers.
    """
    for holder in (output, batch):
        if isinstance(holder, Mapping) and key in holder:
            return to_ids(holder[key], rows)
    if key != DEFAULT_KEY:
        raise ValueError(f"ids={key!r} is a key of neither the step's output nor the batch")
    return None


def loader_ids(loader: Any, batch_idx: int, rows: int, *, needed: bool) -> npt.NDArray[np.int64] | None:
    """Find the indices (n,) that Trainer.predict asked of a map-style data set for a batch; None if unknown.

    Raises
    ------
    ValueError
        If they are unknown but needed.
    """
    batches = getattr(getattr(loader, "batch_sampler", None), "seen_batch_indices", [])
    indices = batches[batch_idx] if batch_idx < len(batches) else []
    if len(indices) == rows and all(isinstance(index, (int, np.integer)) for index in indices):
        return to_ids(np.asarray(indices), rows)
    if needed:
        raise ValueError(
            f"the row ids of batch {batch_idx} are unknown, so its folds would depend on the sharding: put each row's "
            f"data set index into the batch or the step's output, as an integer tensor under {DEFAULT_KEY!r}"
        )
    return None
