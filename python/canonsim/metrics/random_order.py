"""What retrieval is expected to give where equal scores stand in random order, and where all are equal: at chance."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import numpy as np
from numpy.typing import NDArray

# Sums of shares that are one half in exact arithmetic differ from it by less.
_ROUNDING = 1e-9


def hit_probability(
    above: NDArray[np.int64], tied: NDArray[np.int64], partners: NDArray[np.int64], k: int
) -> NDArray[np.float64]:
    """Probability that one of the partners is among the first k items.

    Parameters
    ----------
    above, tied, partners : (n,)
        Items with a higher score than the best partner; others with its score that are no partners; partners with it,
        at least 1.
    k : int

    Returns
    -------
    (n,) f64
        ``1 - C(tied, s) / C(tied + partners, s)`` with the ``s = clip(k - above, 0, tied + partners)`` places that are
        left: hypergeometric. With one partner it is ``s / (tied + 1)``.
    """
    places = np.clip(k - above, 0, tied + partners)
    missed = np.ones(len(places))
    for i in range(1, int(partners.max(initial=0)) + 1):
        missed *= np.where(i <= partners, np.maximum(tied - places + i, 0) / (tied + i), 1.0)
    return np.asarray(1.0 - missed)


def first_rank(above: NDArray[np.int64], tied: NDArray[np.int64], partners: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean rank of the first partner, from 1: of a single one that is tied with t others, ``above + 1 + t / 2``."""
    return np.asarray(above + (tied + partners + 1) / (partners + 1))


def precision_at_partner(
    above: NDArray[np.int64], partners_above: NDArray[np.int64], level: NDArray[np.int64], partners: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Mean precision of the list that ends with a partner.

    The mean over the partners of a query is its average precision, ties in random order (McSherry and Najork, ECIR
    2008, section 2.5).

    Parameters
    ----------
    above, partners_above : int array
        Items with a higher score than the partner, and how many of them are partners.
    level, partners : int array
        Items with its score, itself included, and how many of them are partners: at least 1.

    Returns
    -------
    f64 array, in [0, 1]
    """
    # The item in place j of its level is a partner with probability partners / level, and j - 1 items before it are
    # others of the level, of which `others` (j - 1) are partners in the mean: the sum over j is that of a harmonic
    # series and of a constant.
    others = (partners - 1) / np.maximum(level - 1, 1)
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, int((above + level).max(initial=0)) + 1))])
    series = harmonic[above + level] - harmonic[above]
    precision = (others * level + (partners_above + 1 - others * (above + 1)) * series) / level
    return np.asarray(np.clip(precision, 0.0, 1.0))


def chance_recall(partners: NDArray[np.int64], items: int, k: int) -> float:
    """Mean probability that a random order of the items has one of the partners (n,) of a query among its first k."""
    sizes, share = _sizes(partners)
    return float(share @ hit_probability(np.zeros_like(sizes), items - sizes, sizes, k))


def chance_median_rank(partners: NDArray[np.int64], items: int) -> float:
    """Median of the rank of the first partner, over the queries and all orders of the items.

    It is where `chance_recall` crosses one half: in the middle, where that is one half for several k.
    """
    ranks = range(items + 1)
    below = bisect_left(ranks, 0.5 - _ROUNDING, key=lambda k: chance_recall(partners, items, k))
    beyond = bisect_right(ranks, 0.5 + _ROUNDING, key=lambda k: chance_recall(partners, items, k))
    return (below + beyond) / 2


def chance_average_precision(partners: NDArray[np.int64], items: int) -> float:
    """Mean average precision of a random order of the items."""
    sizes, share = _sizes(partners)
    none = np.zeros_like(sizes)
    return float(share @ precision_at_partner(none, none, np.full_like(sizes, items), sizes))


def _sizes(partners: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The numbers of partners that queries have, and the share of the queries that have each."""
    sizes, counts = np.unique(partners, return_counts=True)
    return sizes, counts / counts.sum()
