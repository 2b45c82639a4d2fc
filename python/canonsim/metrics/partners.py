"""Where the partners of each query stand among the items, in blocks of queries: items with its id are its partners."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from canonsim.metrics.random_order import precision_at_partner

Counts = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class Partners:
    """Which items are the partners of each query.

    Attributes
    ----------
    order : (m,) int64
        Items, those of one id together.
    start, count : (n,) int64
        Where the partners of a query begin in ``order``, and how many there are: none makes no query of a row.
    """

    order: torch.Tensor
    start: torch.Tensor
    count: torch.Tensor

    @classmethod
    def of(cls, query_ids: torch.Tensor, item_ids: torch.Tensor) -> Partners:
        """Match ids (n,) with ids (m,); ValueError if they have none in common."""
        order = torch.argsort(item_ids, stable=True)
        ids = item_ids[order]
        start = torch.searchsorted(ids, query_ids)
        count = torch.searchsorted(ids, query_ids, right=True) - start
        if not (count > 0).any():
            raise ValueError(
                f"none of {len(query_ids)} queries has a partner among {len(item_ids)} items: no id is equal"
            )
        return cls(order, start, count)

    @property
    def items(self) -> int:
        """Number m of items."""
        return len(self.order)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Partners of each query that has some."""
        counts: NDArray[np.int64] = self.count[self.count > 0].cpu().numpy()
        return counts

    def blocks(self, score: Callable[[torch.Tensor], torch.Tensor], size: int) -> Iterator[Block]:
        """Score the queries that have partners, ``size`` at a time.

        Parameters
        ----------
        score : callable
            Scores (b, m) of the queries at places (b,).
        size : int

        Raises
        ------
        ValueError
            For scores of another shape or that are not finite.
        """
        asked = self.count.nonzero().squeeze(1)
        for begin in range(0, len(asked), size):
            queries = asked[begin : begin + size]
            scores = score(queries)
            if scores.shape != (len(queries), len(self.order)):
                expected = (len(queries), len(self.order))
                raise ValueError(f"scores must have the shape {expected}, got {tuple(scores.shape)}")
            finite = scores.isfinite().all(dim=1)
            if not finite.all():
                raise ValueError(f"scores must be finite, first not so of query {int(queries[~finite][0])}")
            count = self.count[queries, None]
            columns = torch.arange(int(count.max()), device=scores.device)
            real = columns < count
            place = self.order[torch.where(real, self.start[queries, None] + columns, 0)]
            yield Block(scores, scores.gather(1, place).masked_fill(~real, -torch.inf))


@dataclass(frozen=True)
class Block:
    """Scores of some queries.

    Attributes
    ----------
    scores : (b, m)
    own : (b, g)
        Those of the partners, and -inf where a query has fewer than g.
    """

    scores: torch.Tensor
    own: torch.Tensor

    def best(self) -> Counts:
        """For each query: items above its best partner; others and partners with the score of that one. Each (b,)."""
        best = self.own.amax(dim=1, keepdim=True)
        above, level = (self.scores > best).sum(dim=1), (self.scores == best).sum(dim=1)
        partners = (self.own == best).sum(dim=1)
        return above.cpu().numpy(), (level - partners).cpu().numpy(), partners.cpu().numpy()

    def average_precision(self) -> NDArray[np.float64]:
        """Average precision of each query (b,), ties in random order."""
        above, level = _above_and_level(self.scores, self.own)
        partners_above, partners = _above_and_level(self.own, self.own)
        real = self.own.isfinite().cpu().numpy()
        precision = np.zeros(real.shape)
        precision[real] = precision_at_partner(above[real], partners_above[real], level[real], partners[real])
        return np.asarray(precision.sum(axis=1) / real.sum(axis=1))


def best_partners(blocks: Iterator[Block]) -> Counts:
    """What `Block.best` counts, of all queries."""
    above, tied, partners = (np.concatenate(part) for part in zip(*(block.best() for block in blocks), strict=True))
    return above, tied, partners


def average_precisions(blocks: Iterator[Block]) -> NDArray[np.float64]:
    """What `Block.average_precision` gives, of all queries."""
    return np.concatenate([block.average_precision() for block in blocks])


def _above_and_level(values: torch.Tensor, own: torch.Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many of the values (b, m) are larger than each of own (b, g), and how many equal to it: (b, g)."""
    ordered = values.contiguous().sort(dim=1).values
    upto = torch.searchsorted(ordered, own.contiguous(), right=True)
    below = torch.searchsorted(ordered, own.contiguous())
    return (values.shape[1] - upto).cpu().numpy(), (upto - below).cpu().numpy()
