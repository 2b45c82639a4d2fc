"""Retrieval where rows have several partners, such as the five captions of a picture, beside its chance level."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from canonsim.metrics.pairs import Scores
from canonsim.metrics.random_order import (
    chance_average_precision,
    chance_median_rank,
    chance_recall,
    first_rank,
    hit_probability,
)
from canonsim.rows import Ids, is_tensor, to_ids

if TYPE_CHECKING:
    import torch

    from canonsim.metrics.partners import Block, Partners


def recall_at_k(scores: Any, query_ids: Ids, item_ids: Ids, k: int) -> float:
    """Probability that one of a query's partners is among the first k items, over the queries, ties in random order.

    Parameters
    ----------
    scores : array_like or tensor (n, m)
        Score of query i with item j. Higher is better. Transpose them, and swap the ids, for the other direction.
    query_ids, item_ids : (n,), (m,) integers
        Items with the id of a query are its partners. A query without any is left out; an item without any is a rival.
    k : int
        At least 1.

    Returns
    -------
    float
        In [0, 1]. The chance level is that of `many_to_many_chance`. With one partner for each query it is
        `retrieval_recall`.

    Raises
    ------
    TypeError
        If ids are no integers.
    ValueError
        If `scores` is no matrix or not finite, the ids are not one for each row and column, no query has a partner, or
        k is less than 1.

    Examples
    --------
    >>> scores = [[0.9, 0.1, 0.8], [0.7, 0.6, 0.5]]
    >>> recall_at_k(scores, [4, 5], [4, 5, 5], k=1), recall_at_k(scores, [4, 5], [4, 5, 5], k=2)
    (0.5, 1.0)
    """
    check_k(k)
    return float(hit_probability(*_block(scores, query_ids, item_ids).best(), k).mean())


def median_rank(scores: Any, query_ids: Ids, item_ids: Ids) -> float:
    """Median of the rank of each query's first partner, from 1.

    A query whose best partner is tied has the mean rank over the orders of the tie. Parameters and errors as of
    `recall_at_k`.

    Examples
    --------
    >>> median_rank([[0.9, 0.1, 0.8], [0.7, 0.6, 0.5]], [4, 5], [4, 5, 5])
    1.5
    """
    return float(np.median(first_rank(*_block(scores, query_ids, item_ids).best())))


def mean_average_precision(scores: Any, query_ids: Ids, item_ids: Ids) -> float:
    """Mean over the queries of the average precision of their partners, ties in random order.

    The average precision of a query is the mean, over its partners, of the share of partners in the list that ends with
    it; with ties, the mean of that over their orders, in closed form (McSherry and Najork, ECIR 2008). In [0, 1].
    Parameters and errors as of `recall_at_k`.

    Examples
    --------
    >>> scores = [[0.9, 0.1, 0.8], [0.7, 0.6, 0.5]]
    >>> round(mean_average_precision(scores, [4, 5], [4, 5, 5]), 6)  # of 1 and of (1/2 + 2/3) / 2
    0.791667
    """
    return float(_block(scores, query_ids, item_ids).average_precision().mean())


def many_to_many_chance(query_ids: Ids, item_ids: Ids, ks: Sequence[int] = (1, 5, 10)) -> dict[str, float]:
    """What a random order of the items gives: the keys ``"R@1"``, ``"R@5"``, ..., ``"median_rank"``, ``"mAP"``.

    Recall and mAP are exact means; the median is that of the rank over the queries and all orders. Parameters and
    errors as of `recall_at_k`.

    Examples
    --------
    >>> chance = many_to_many_chance([0, 1], [0, 0, 1, 1], ks=(1, 2))
    >>> {name: round(value, 3) for name, value in chance.items()}
    {'R@1': 0.5, 'R@2': 0.833, 'median_rank': 1.5, 'mAP': 0.681}
    """
    for k in ks:
        check_k(k)
    query_ids, item_ids = to_ids(query_ids, len(query_ids), "query_ids"), to_ids(item_ids, len(item_ids), "item_ids")
    return _chance(_partners(query_ids, item_ids), ks)


def many_to_many_summary(
    score: Scores,
    x: ArrayLike,
    y: ArrayLike,
    x_ids: Ids,
    y_ids: Ids,
    ks: Sequence[int] = (1, 5, 10),
    block: int = 1024,
) -> dict[str, dict[str, Any]]:
    """Retrieval of the partners of each row among all rows of the other side, in both directions, beside chance.

    Parameters
    ----------
    score : callable
        Scores (n, m) of x (n, p) with y (m, q). It is called as by `retrieval_summary`.
    x, y : array_like (n, p), (m, q)
        Rows of both sides; they need not be as many.
    x_ids, y_ids : (n,), (m,) integers
        Rows with one id are partners, such as a picture and its captions. A row without partners is a rival of others,
        and no query.
    ks : sequence of int
        Lengths of the result list.
    block : int
        Queries scored at once: memory is a few times block * max(n, m) scores.

    Returns
    -------
    dict
        ``{"x_to_y": ..., "y_to_x": ..., "mean": ..., "chance": ...}``, the first three with the keys ``"R@1"``,
        ``"R@5"``, ..., ``"median_rank"``, ``"mAP"``: `recall_at_k`, `median_rank`, `mean_average_precision`.
        ``"chance"`` holds such a dict for each of the three, since the sides differ in numbers.

    Raises
    ------
    TypeError
        If ids are no integers.
    ValueError
        If x or y is no matrix, the ids are not one for each row, no row has a partner, k or block is less than 1, or
        the scores have another shape or are not finite.

    Examples
    --------
    >>> pictures, captions, ids = np.eye(3), np.eye(3)[[0, 0, 1, 1, 2, 2]], [0, 0, 1, 1, 2, 2]
    >>> summary = many_to_many_summary(lambda x, y: x @ y.T, pictures, captions, [0, 1, 2], ids, ks=(1,))
    >>> summary["x_to_y"]
    {'R@1': 1.0, 'median_rank': 1.0, 'mAP': 1.0}
    >>> {direction: round(numbers["R@1"], 3) for direction, numbers in summary["chance"].items()}
    {'x_to_y': 0.333, 'y_to_x': 0.333, 'mean': 0.333}
    """
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim != 2 or y.ndim != 2:
        raise ValueError(f"x and y must be matrices, got shapes {x.shape} and {y.shape}")
    for k in ks:
        check_k(k)
    check_block(block)
    x_ids, y_ids = to_ids(x_ids, len(x), "x_ids"), to_ids(y_ids, len(y), "y_ids")
    to_y, to_x = _partners(x_ids, y_ids), _partners(y_ids, x_ids)
    found: dict[str, dict[str, Any]] = {
        "x_to_y": _numbers(to_y, lambda rows: score(x[rows], y), ks, block),
        "y_to_x": _numbers(to_x, lambda rows: np.asarray(score(x, y[rows])).T, ks, block),
    }
    chance = {"x_to_y": _chance(to_y, ks), "y_to_x": _chance(to_x, ks)}
    return {**found, "mean": _mean(found), "chance": {**chance, "mean": _mean(chance)}}


def check_k(k: int) -> None:
    """Refuse a length of the result list below 1."""
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")


def check_block(block: int) -> None:
    """Refuse blocks of no query."""
    if block < 1:
        raise ValueError(f"block must be at least 1, not {block}")


def _numbers(
    partners: Partners, score: Callable[[NDArray[np.int64]], ArrayLike], ks: Sequence[int], block: int
) -> dict[str, float]:
    blocks = partners.blocks(lambda rows: _tensor(score(rows.numpy())), block)
    counted = [(*block.best(), block.average_precision()) for block in blocks]
    above, tied, tied_partners, precision = (np.concatenate(part) for part in zip(*counted, strict=True))
    return {
        **{f"R@{k}": float(hit_probability(above, tied, tied_partners, k).mean()) for k in ks},
        "median_rank": float(np.median(first_rank(above, tied, tied_partners))),
        "mAP": float(precision.mean()),
    }


def _chance(partners: Partners, ks: Sequence[int]) -> dict[str, float]:
    counts, items = partners.counts, partners.items
    return {
        **{f"R@{k}": chance_recall(counts, items, k) for k in ks},
        "median_rank": chance_median_rank(counts, items),
        "mAP": chance_average_precision(counts, items),
    }


def _mean(directions: dict[str, dict[str, float]]) -> dict[str, float]:
    return {name: (value + directions["y_to_x"][name]) / 2 for name, value in directions["x_to_y"].items()}


def _block(scores: Any, query_ids: Ids, item_ids: Ids) -> Block:
    """All queries as one block."""
    matrix = _tensor(scores)
    if matrix.ndim != 2:
        raise ValueError(f"scores must have the shape (n, m), not {tuple(matrix.shape)}")
    ids = to_ids(query_ids, matrix.shape[0], "query_ids"), to_ids(item_ids, matrix.shape[1], "item_ids")
    return next(_partners(*ids).blocks(lambda rows: matrix[rows], max(1, len(matrix))))


def _partners(query_ids: NDArray[np.int64], item_ids: NDArray[np.int64]) -> Partners:
    import torch

    from canonsim.metrics.partners import Partners

    return Partners.of(torch.from_numpy(query_ids), torch.from_numpy(item_ids))


def _tensor(scores: Any) -> torch.Tensor:
    """Scores as a tensor of f32 or f64 on the CPU."""
    import torch

    if is_tensor(scores):
        tensor = scores.detach().cpu()
        return tensor if tensor.dtype == torch.float32 else tensor.double()
    array = np.asarray(scores)
    dtype = np.float32 if array.dtype == np.float32 else np.float64
    # torch warns of memory that it may not write to, and takes no negative strides.
    return torch.from_numpy(np.require(array, dtype, ["C", "W"]))
