"""Retrieval of the partner of each row, beside its chance level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from canonsim.metrics.pairs import Scores, check_pairs, refuse_nan, scored_blocks


def partner_ranks(scores: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count, for every query, the items that score above its partner and the items that tie with it.

    Parameters
    ----------
    scores : array_like (n, m), m >= n
        Score of query i with item j; the partner of query i is item i. Higher is better.

    Returns
    -------
    above, tied : ndarray (n,) int64
        Items with a higher score than the partner; items other than the partner with the same score.

    Raises
    ------
    ValueError
        If `scores` is not a matrix with at least as many columns as rows, is empty, or contains NaN.

    Examples
    --------
    >>> above, tied = partner_ranks([[3.0, 1.0], [2.0, 2.0]])
    >>> above.tolist(), tied.tolist()
    ([0, 0], [0, 1])
    """
    scores = np.asarray(scores)
    if scores.ndim != 2 or scores.shape[0] == 0 or scores.shape[1] < scores.shape[0]:
        raise ValueError(f"scores must have the shape (n, m) with m >= n >= 1, not {scores.shape}")
    return count_above(scores, np.arange(len(scores)))


def retrieval_recall(scores: ArrayLike, k: int) -> float:
    """Probability that the partner is among the first k items, over the queries (the rows), ties in random order.

    A partner behind `above` items and tied with `tied` others is among the first k with probability
    ``clip((k - above) / (tied + 1), 0, 1)``: constant scores give exactly the chance level, in any order of the rows.

    Parameters
    ----------
    scores : array_like (n, m), m >= n
        As for `partner_ranks`; transpose them for the other direction.
    k : int
        At least 1.

    Returns
    -------
    float
        In [0, 1]; chance is `recall_chance` (m, k).

    Raises
    ------
    ValueError
        As `partner_ranks`, or if `k` is less than 1.

    Examples
    --------
    >>> retrieval_recall([[3.0, 1.0], [2.0, 2.0]], k=1)
    0.75
    """
    return float(query_recall(*partner_ranks(scores), k).mean())


def query_recall(above: ArrayLike, tied: ArrayLike, k: int) -> NDArray[np.float64]:
    """Probability of each query's partner to be among the first k items, ties in random order.

    Parameters
    ----------
    above, tied : array_like (n,)
        Of `partner_ranks` or `pair_ranks`.
    k : int
        At least 1.

    Returns
    -------
    ndarray (n,)
        ``clip((k - above) / (tied + 1), 0, 1)``; the mean is the recall.

    Raises
    ------
    ValueError
        If `k` is less than 1.

    Examples
    --------
    >>> query_recall([0, 0, 3], [0, 1, 0], k=1)
    array([1. , 0.5, 0. ])
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    probability: NDArray[np.float64] = np.clip((k - np.asarray(above)) / (np.asarray(tied) + 1.0), 0.0, 1.0)
    return probability


def recall_chance(items: int, k: int) -> float:
    """Recall at k of a random order of `items` items.

    Examples
    --------
    >>> recall_chance(300, 10)
    0.03333333333333333
    """
    if items < 1 or k < 1:
        raise ValueError(f"items and k must be at least 1, not {items} and {k}")
    return min(k, items) / items


def retrieval_summary(
    score: Scores, x: ArrayLike, y: ArrayLike, ks: Sequence[int] = (1, 5, 10), block: int = 1024
) -> dict[str, dict[str, float]]:
    """Retrieval of each row's partner among all rows of the other side, in both directions, beside chance.

    Parameters
    ----------
    score : callable
        Scores (n, m) of x (n, p) with y (m, q), for instance `space.similarity`. It is called on blocks of x with all
        of y, and on all of x with blocks of y.
    x, y : array_like (n, p), (n, q)
        Pairs as equal rows, n >= 2.
    ks : sequence of int
        Lengths of the result list.
    block : int
        Queries scored at once: memory is block * n scores.

    Returns
    -------
    dict
        ``{"x_to_y": ..., "y_to_x": ..., "mean": ..., "chance": ...}``, each a dict with the keys ``"R@1"``, ``"R@5"``,
        ..., ``"median_rank"``. Ranks begin at 1; a partner tied with t others has the middle rank, above + 1 + t / 2.
        Recall is that of `retrieval_recall`.

    Raises
    ------
    ValueError
        If the row counts differ, there are fewer than two rows, or a score is NaN.

    Examples
    --------
    >>> x = np.eye(4)
    >>> summary = retrieval_summary(lambda x, y: x @ y.T, x, x, ks=(1,))
    >>> summary["x_to_y"], summary["chance"]
    ({'R@1': 1.0, 'median_rank': 1.0}, {'R@1': 0.25, 'median_rank': 2.5})
    """
    return rank_summary(pair_ranks(score, x, y, block), ks)


def rank_summary(
    ranks: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]], ks: Sequence[int]
) -> dict[str, dict[str, float]]:
    """What `retrieval_summary` returns, of the ranks of `pair_ranks`."""
    summary: dict[str, dict[str, float]] = {}
    for direction, (above, tied) in ranks.items():
        summary[direction] = {f"R@{k}": float(query_recall(above, tied, k).mean()) for k in ks}
        summary[direction]["median_rank"] = float(np.median(above + 1 + tied / 2))
    n = len(ranks["x_to_y"][0])
    summary["mean"] = {name: (value + summary["y_to_x"][name]) / 2 for name, value in summary["x_to_y"].items()}
    summary["chance"] = {f"R@{k}": recall_chance(n, k) for k in ks} | {"median_rank": (n + 1) / 2}
    return summary


def pair_ranks(
    score: Scores, x: ArrayLike, y: ArrayLike, block: int = 1024
) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Count what `partner_ranks` counts for the rows of both sides as queries.

    Parameters and errors as of `retrieval_summary`.

    Returns
    -------
    dict
        ``{"x_to_y": (above, tied), "y_to_x": (above, tied)}``, each (n,).

    Examples
    --------
    >>> x = np.eye(3)
    >>> above, tied = pair_ranks(lambda x, y: x @ y.T, x, x)["y_to_x"]
    >>> above.tolist(), tied.tolist()
    ([0, 0, 0], [0, 0, 0])
    """
    x, y = check_pairs(x, y)
    counts: dict[str, list[tuple[NDArray[np.int64], NDArray[np.int64]]]] = {"x_to_y": [], "y_to_x": []}
    for rows, scores in scored_blocks(score, x, y, block):
        for direction, found in scores.items():
            counts[direction].append(count_above(found, rows))
    joined = {}
    for direction, blocks in counts.items():
        above, tied = (np.concatenate(part) for part in zip(*blocks, strict=True))
        joined[direction] = (above, tied)
    return joined


def count_above(scores: NDArray[Any], partners: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the items above and tied with the partner `partners[i]` of every query i of `scores` (n, m).

    Raises
    ------
    ValueError
        If a score is NaN.
    """
    refuse_nan(scores)
    own = scores[np.arange(len(scores)), partners][:, None]
    return (scores > own).sum(axis=1), (scores == own).sum(axis=1) - 1
