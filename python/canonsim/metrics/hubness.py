"""Hubness: how unevenly the items of a gallery share the results of a search, beside its chance level."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from canonsim.metrics.pairs import Scores, check_pairs, refuse_nan, scored_blocks
from canonsim.rows import is_tensor


def k_occurrence(indices: Any, items: int) -> NDArray[np.int64]:
    """In how many of the result lists each item stands: N_k of Radovanović, Nanopoulos and Ivanović (JMLR 2010).

    Parameters
    ----------
    indices : array_like or tensor (n, k) of integers
        The k items found for each query, as `space.top_k` returns them.
    items : int
        Number m of items in the gallery.

    Returns
    -------
    ndarray (m,) int64
        Its sum is n k.

    Raises
    ------
    TypeError
        If the indices are no integers.
    ValueError
        If they are no matrix with at least one entry, or lie outside 0 to m - 1.

    Examples
    --------
    >>> k_occurrence([[0, 1], [0, 2]], items=4)
    array([2, 1, 1, 0])
    """
    found = np.asarray(indices.cpu() if is_tensor(indices) else indices)
    if found.dtype.kind not in "iu":
        raise TypeError(f"indices must be integers, got {found.dtype}")
    if found.ndim != 2 or found.size == 0:
        raise ValueError(f"indices must have the shape (n, k) with n, k >= 1, got {found.shape}")
    if found.min() < 0 or found.max() >= items:
        raise ValueError(f"indices must lie between 0 and {items - 1}, got {found.min()} to {found.max()}")
    return np.bincount(found.ravel(), minlength=items).astype(np.int64)


def hubness(indices: Any, items: int) -> dict[str, float]:
    """How unevenly the items share the results of a search.

    Parameters and errors as of `k_occurrence`.

    Returns
    -------
    dict
        ``"skewness"`` of N_k over the items, its third standardised moment (Radovanović et al. 2010, equation 1): large
        where a few items, the hubs, stand in many lists; 0 where all items stand in as many. ``"anti_hubs"``: share of
        the items that no query finds. ``"top_share"``: share of all results that the 1 % of the items found most often
        take (one item, of fewer than 100). `hubness_chance` gives the same of random lists.

    Examples
    --------
    >>> numbers = hubness([[0, 1], [0, 2], [0, 1]], items=4)
    >>> numbers["anti_hubs"], numbers["top_share"]
    (0.25, 0.5)
    """
    return _summary(k_occurrence(indices, items))


def hubness_chance(queries: int, items: int, k: int) -> dict[str, float]:
    """The numbers of `hubness` for random lists: each query finds k different items, all equally likely.

    N_k of an item then is binomial, of ``queries`` trials with probability p = k / items.

    Parameters
    ----------
    queries, items : int
        At least 1.
    k : int
        From 1 to items.

    Returns
    -------
    dict
        ``"skewness"``: of the binomial distribution, ``(1 - 2 p) / sqrt(queries p (1 - p))``. ``"anti_hubs"``:
        ``(1 - p)^queries``, the exact mean. ``"top_share"``: the exact mean for items that are independent, from the
        binomial distribution; those of a search are not quite, since they share queries * k results.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> chance = hubness_chance(queries=1000, items=1000, k=10)
    >>> {name: round(value, 5) for name, value in chance.items()}
    {'skewness': 0.31146, 'anti_hubs': 4e-05, 'top_share': 0.01924}
    """
    if queries < 1 or not 1 <= k <= items:
        raise ValueError(f"queries must be at least 1, and k from 1 to items, got {queries}, k = {k} of {items} items")
    p = k / items
    if k == items:
        return {"skewness": 0.0, "anti_hubs": 0.0, "top_share": _top(items) / items}
    # P(N_k >= c) for c = 1 to the number of queries.
    at_least = np.cumsum(_binomial(queries, p, queries)[:0:-1])[::-1]
    top = _top(items)
    # The sum of the counts of the top items is that over c of how many of them have at least c.
    total = sum(_mean_of_smaller(top, items, share) for share in at_least.tolist() if share * items > _NEVER)
    return {
        "skewness": (1 - 2 * p) / (queries * p * (1 - p)) ** 0.5,
        "anti_hubs": (1 - p) ** queries,
        "top_share": min(1.0, total / (queries * k)),
    }


def hubness_summary(
    score: Scores, x: ArrayLike, y: ArrayLike, k: int = 10, block: int = 1024
) -> dict[str, dict[str, float]]:
    """Hubness of the search among all rows of the other side, in both directions, beside chance.

    Parameters
    ----------
    score : callable
        Scores (n, m) of x (n, p) with y (m, q), for instance `space.similarity`. It is called as by
        `retrieval_summary`.
    x, y : array_like (n, p), (n, q)
        Pairs as equal rows, n >= 2.
    k : int
        Length of the result lists, from 1 to n. Equal scores stand in the order of their rows, as in `space.top_k`.
    block : int
        Queries scored at once: memory is block * n scores.

    Returns
    -------
    dict
        ``{"x_to_y": ..., "y_to_x": ..., "chance": ...}``, each as `hubness`; ``"x_to_y"`` is the search
        of the rows of y.

    Raises
    ------
    ValueError
        If the row counts differ, there are fewer than two rows, k is out of range, or a score is NaN.

    Examples
    --------
    >>> x = np.eye(4)
    >>> hubness_summary(lambda x, y: x @ y.T, x, x, k=1)["x_to_y"]
    {'skewness': 0.0, 'anti_hubs': 0.0, 'top_share': 0.25}
    """
    x, y = check_pairs(x, y)
    if not 1 <= k <= len(x):
        raise ValueError(f"k must lie between 1 and the {len(x)} rows, got {k}")
    found = {"x_to_y": np.zeros(len(y), np.int64), "y_to_x": np.zeros(len(x), np.int64)}
    for _, scores in scored_blocks(score, x, y, block):
        for direction, of_queries in scores.items():
            found[direction] += count_found(of_queries, k)
    return occurrence_summary(found, k)


def occurrence_summary(found: dict[str, NDArray[np.int64]], k: int) -> dict[str, dict[str, float]]:
    """What `hubness_summary` returns, of the counts (n,) of `k_occurrence` in both directions."""
    summary = {direction: _summary(occurrence) for direction, occurrence in found.items()}
    return {**summary, "chance": hubness_chance(len(found["y_to_x"]), len(found["x_to_y"]), k)}


def count_found(scores: NDArray[Any], k: int) -> NDArray[np.int64]:
    """Count how many of the queries, the rows of scores (n, m), find each item (m,) among their k best.

    Raises
    ------
    ValueError
        If a score is NaN.
    """
    refuse_nan(scores)
    least = np.partition(scores, -k, axis=1)[:, -k, None]
    above, tied = scores > least, scores == least
    places = k - above.sum(axis=1)
    crowded = np.flatnonzero(tied.sum(axis=1) > places)
    tied[crowded] &= tied[crowded].cumsum(axis=1) <= places[crowded, None]
    occurrence: NDArray[np.int64] = (above | tied).sum(axis=0)
    return occurrence


# Expected numbers of items below this add nothing to a sum.
_NEVER = 1e-12


def _top(items: int) -> int:
    """How many items are 1 % of them, at least one."""
    return -(-items // 100)


def _summary(occurrence: NDArray[np.int64]) -> dict[str, float]:
    deviation = occurrence - occurrence.mean()
    spread = float(deviation.std())
    top = np.sort(occurrence)[-_top(len(occurrence)) :]
    return {
        "skewness": float(((deviation / spread) ** 3).mean()) if spread > 0 else 0.0,
        "anti_hubs": float((occurrence == 0).mean()),
        "top_share": float(top.sum() / occurrence.sum()),
    }


def _binomial(trials: int, p: float, most: int) -> NDArray[np.float64]:
    """Probabilities of 0 to ``most`` successes, for 0 < p < 1."""
    successes = np.arange(most)
    ratios = np.log((trials - successes) / (successes + 1.0)) + np.log(p) - np.log1p(-p)
    probabilities: NDArray[np.float64] = np.exp(trials * np.log1p(-p) + np.concatenate([[0.0], np.cumsum(ratios)]))
    return probabilities


def _mean_of_smaller(top: int, trials: int, p: float) -> float:
    """Mean of min(top, B) for B binomial."""
    if p > 1 - _NEVER:
        return float(top)
    return float(top - ((top - np.arange(top)) * _binomial(trials, p, top - 1)).sum())
