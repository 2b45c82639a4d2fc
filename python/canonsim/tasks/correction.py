"""Scores corrected for hubs: what an item scores with typical queries is taken off its scores.

For one query either correction is a number for each item, added to its score: one more column in the vectors, so that
the search stays exact. What depends on the query alone changes no order, and makes scores of different queries
comparable. Symbols: vectors of queries (n, s) and of items (m, s), whose inner products are the scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from canonsim.embedding import inner_products
from canonsim.rows import library, to_dtype, widest_dtype
from canonsim.top_k import top_k

# Vectors of each side whose products are held at a time.
_TILE = 1024


class Correction(Protocol):
    """What is added to the scores of items, and what becomes of the sum."""

    def offsets(self, items: Any, bank: Any) -> Any:
        """What is added to the scores (m,) of items (m, s), seen by a bank of typical queries (b, s)."""

    def finish(self, scores: Any, queries: Any, items: Any) -> Any:
        """Corrected scores (n, k) from those with the offsets, which are the last columns (n, s + 1), (m, s + 1)."""


@dataclass(frozen=True)
class CSLS:
    """Cross-domain similarity local scaling (Conneau et al., ICLR 2018, section 2.3): ``2 s(x, y) - r(x) - r(y)``.

    r(x) is the mean score of the query with the nearest items of the gallery, r(y) that of the item with the nearest
    queries of the bank: as many of them as ``neighbors``, or all where there are fewer.
    """

    neighbors: int

    def offsets(self, items: Any, bank: Any) -> Any:
        """``-r(y) / 2``, (m,)."""
        return self._nearest(items, to_dtype(bank, items.dtype)) / -2

    def finish(self, scores: Any, queries: Any, items: Any) -> Any:
        """Twice the scores with their offsets, less r(x)."""
        nearest = self._nearest(queries[:, :-1], items[:, :-1])
        return to_dtype(2 * to_dtype(scores, nearest.dtype) - nearest[:, None], scores.dtype)

    def _nearest(self, asking: Any, asked: Any) -> Any:
        best = top_k(asking, asked, min(self.neighbors, len(asked)))[0]
        return to_dtype(best, widest_dtype(best)).mean(-1)


@dataclass(frozen=True)
class InvertedSoftmax:
    """Inverted softmax (Smith, Turban, Hamblin, Hammerla, ICLR 2017), as the log of its probability.

    ``beta s(x, y) - log sum_q exp(beta s(q, y)) - log a(x)``, where q are the queries of the bank, and a(x) makes the
    probabilities of the items of the gallery sum to 1.
    """

    beta: float

    def offsets(self, items: Any, bank: Any) -> Any:
        """``-log sum_q exp(beta s(q, y)) / beta``, (m,)."""
        return _log_sum_exp(items, bank, self.beta) / -self.beta

    def finish(self, scores: Any, queries: Any, items: Any) -> Any:
        """``beta`` times the scores with their offsets, less log a(x)."""
        total = _log_sum_exp(queries, items, self.beta)
        return to_dtype(self.beta * to_dtype(scores, total.dtype) - total[:, None], scores.dtype)


def _log_sum_exp(rows: Any, others: Any, beta: float) -> Any:
    """The log of the sum over the others (m, s) of ``exp(beta row . other)``, for each row (n, s): (n,) in f64."""
    lib = library(rows)
    wide = widest_dtype(rows)
    sums = lib.full((len(rows),), -lib.inf, dtype=wide, device=rows.device)
    for i in range(0, len(rows), _TILE):
        part = to_dtype(rows[i : i + _TILE], wide)
        for j in range(0, len(others), _TILE):
            products = beta * inner_products(part, to_dtype(others[j : j + _TILE], wide))
            # amax is both libraries' name of the largest along an axis.
            largest = lib.amax(products, -1)
            found = largest + lib.log(lib.exp(products - largest[:, None]).sum(-1))
            sums[i : i + _TILE] = lib.logaddexp(sums[i : i + _TILE], found)
    return sums
