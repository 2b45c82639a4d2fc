"""One pass over the scores of all rows with all rows: ranks of partners, hubness, and pairs against mismatches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from canonsim.metrics.hubness import count_found, occurrence_summary
from canonsim.metrics.pairs import Scores, check_pairs, scored_blocks
from canonsim.metrics.retrieval import count_above, rank_summary
from canonsim.rows import Ids, to_ids

# Mismatches kept of a whole block of queries, evenly spaced in the order of their scores.
_KEPT = 4096

# Pairs scored with each other at once, for their own scores.
_PAIRS = 64


@dataclass(frozen=True)
class Search:
    """What the scores of all rows of x with all rows of y say.

    Attributes
    ----------
    ranks : dict
        ``{"x_to_y": (above, tied), "y_to_x": (above, tied)}``, as of `pair_ranks`.
    occurrence : dict
        ``{"x_to_y": (n,), "y_to_x": (n,)}`` int64: in how many lists of the k best each item stands, as of
        `k_occurrence`; of ``"x_to_y"`` the items are the rows of y.
    k : int
        Length of these lists.
    pairs : ndarray (n,)
        Scores of the pairs.
    mismatches : ndarray (m,)
        Scores of mismatches: all of them, or, where they are many, such as are evenly spaced in their order, block by
        block of queries.
    auc : float
        Probability that a pair scores above a mismatch, equal scores counted half, over all pairs with all mismatches;
        chance is 0.5.
    """

    ranks: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]
    occurrence: dict[str, NDArray[np.int64]]
    k: int
    pairs: NDArray[Any]
    mismatches: NDArray[Any]
    auc: float

    def retrieval(self, ks: Sequence[int] = (1, 5, 10)) -> dict[str, dict[str, float]]:
        """What `retrieval_summary` returns."""
        return rank_summary(self.ranks, ks)

    def hubness(self) -> dict[str, dict[str, float]]:
        """What `hubness_summary` returns."""
        return occurrence_summary(self.occurrence, self.k)


def search_all(
    score: Scores,
    x: ArrayLike,
    y: ArrayLike,
    k: int = 10,
    *,
    x_ids: Ids | None = None,
    y_ids: Ids | None = None,
    block: int = 1024,
    progress: str | None = None,
) -> Search:
    """Search the partner of each row among all rows of the other side, both ways, once.

    The order of the rows does not matter: every row meets every other.

    Parameters
    ----------
    score : callable
        Scores (n, m) of x (n, p) with y (m, q), for instance `space.log_odds`. It is called on blocks of x with all of
        y, and on all of x with blocks of y.
    x, y : array_like (n, p), (n, q)
        Pairs as equal rows, n >= 2.
    k : int
        Length of the result lists for hubness, from 1 to n.
    x_ids, y_ids : (n,) int64, optional
        What the rows show: rows with one id on either side (the captions of one picture, the rows of one label) make no
        mismatch. By default all rows differ.
    block : int
        Queries scored at once: memory is a few times block * n scores.
    progress : str, optional
        Name of a progress bar; without it there is none.

    Raises
    ------
    TypeError
        If ids are no integers.
    ValueError
        If the row counts differ, there are fewer than two rows, ids are not one for each row, k is out of range, a
        score is NaN, or there is no mismatch.

    Examples
    --------
    >>> x = np.eye(4)
    >>> found = search_all(lambda x, y: x @ y.T, x, x, k=1)
    >>> found.auc, found.retrieval(ks=(1,))["y_to_x"], found.hubness()["x_to_y"]["skewness"]
    (1.0, {'R@1': 1.0, 'median_rank': 1.0}, 0.0)
    """
    x, y = check_pairs(x, y)
    n = len(x)
    if not 1 <= k <= n:
        raise ValueError(f"k must lie between 1 and the {n} rows, got {k}")
    kinds = [_ids(ids, n, name) for ids, name in ((x_ids, "x_ids"), (y_ids, "y_ids"))]
    parts = (slice(start, start + _PAIRS) for start in range(0, n, _PAIRS))
    pairs = np.concatenate([np.diagonal(np.asarray(score(x[rows], y[rows]))) for rows in parts])
    ranks: dict[str, list[tuple[NDArray[np.int64], NDArray[np.int64]]]] = {"x_to_y": [], "y_to_x": []}
    occurrence = {direction: np.zeros(n, np.int64) for direction in ranks}
    kept, count, below = [], 0, 0
    for rows, scores in scored_blocks(score, x, y, block, progress):
        for direction, found in scores.items():
            ranks[direction].append(count_above(found, rows))
            occurrence[direction] += count_found(found, k)
        differ = np.logical_and(*(ids[rows, None] != ids for ids in kinds))
        mismatches = np.sort(scores["x_to_y"][differ])
        count += len(mismatches)
        # Twice the mismatches below each pair, equal ones half.
        below += sum(int(np.searchsorted(mismatches, pairs, side).sum()) for side in ("left", "right"))
        kept.append(mismatches[_evenly(len(mismatches), -(-_KEPT * len(rows) // min(block, n)))])
    if count == 0:
        raise ValueError(f"the {n} pairs make no mismatch: no two of them differ in both x and y")
    joined = {}
    for direction, counted in ranks.items():
        above, tied = (np.concatenate(part) for part in zip(*counted, strict=True))
        joined[direction] = (above, tied)
    return Search(joined, occurrence, k, pairs, np.concatenate(kept), below / (2 * n * count))


def _ids(ids: Ids | None, n: int, name: str) -> NDArray[np.int64]:
    return np.arange(n) if ids is None else to_ids(ids, n, name)


def _evenly(count: int, most: int) -> NDArray[np.int64]:
    """Places of at most so many of ``count``, each in the middle of its part."""
    kept = min(count, most)
    return ((np.arange(kept) + 0.5) * count / max(1, kept)).astype(np.int64)
