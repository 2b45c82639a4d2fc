"""Pairs as equal rows, and the scores of all rows with all rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Scores = Callable[[NDArray[Any], NDArray[Any]], ArrayLike]
"""Scores (n, m) of rows x (n, p) with rows y (m, q); higher for a better match."""


def check_pairs(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Check that x and y are matrices with the same number of rows, at least two."""
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or len(x) < 2:
        raise ValueError(
            f"x and y must be matrices with the same number of rows, at least 2; got {x.shape} and {y.shape}"
        )
    return x, y


def scored_blocks(
    score: Scores, x: NDArray[Any], y: NDArray[Any], block: int, progress: str | None = None
) -> Iterator[tuple[NDArray[np.int64], dict[str, NDArray[Any]]]]:
    """Scores of both sides' rows as queries, so many of them at once: the rows (b,), and scores (b, n) by direction.

    Parameters
    ----------
    score : Scores
    x, y : (n, p), (n, q)
        Pairs as equal rows.
    block : int
    progress : str, optional
        Name of a progress bar; without it there is none.
    """
    from tqdm import tqdm

    with tqdm(total=len(x), desc=progress, unit=" rows", disable=progress is None) as bar:
        for start in range(0, len(x), block):
            asked = slice(start, start + block)
            scores = {"x_to_y": np.asarray(score(x[asked], y)), "y_to_x": np.asarray(score(x, y[asked])).T}
            rows = np.arange(start, min(start + block, len(x)))
            yield rows, scores
            bar.update(len(rows))


def refuse_nan(scores: NDArray[Any]) -> None:
    """Refuse scores (n, m) with NaN, which no rank is defined for."""
    if np.isnan(scores).any():
        raise ValueError(f"scores contain NaN, first in row {int(np.isnan(scores).any(axis=1).argmax())}")
