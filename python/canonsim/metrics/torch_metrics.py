"""Retrieval as torchmetrics: rows are collected batch by batch, on any number of processes, and meet in `compute`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from canonsim.embedding import inner_products
from canonsim.metrics.gathering import gather_rows
from canonsim.metrics.many_to_many import check_block, check_k
from canonsim.metrics.partners import Partners, average_precisions, best_partners
from canonsim.metrics.random_order import (
    chance_average_precision,
    chance_median_rank,
    chance_recall,
    first_rank,
    hit_probability,
)
from canonsim.rows import Ids, check_rows, is_tensor, to_ids

Direction: TypeAlias = Literal["x_to_y", "y_to_x", "mean"]

_DIRECTIONS = ("x_to_y", "y_to_x", "mean")


class PairedMetric(Metric):
    """What the metrics of retrieval share: they collect vectors of both sides, whose inner products are the scores.

    Vectors for an inner-product index are meant: ``space.embed_x(x)`` and ``space.embed_y(y)``, those of a baseline, or
    those of a training. They are kept without gradients, f16 and bf16 widened to f32; `compute` scores ``block``
    queries at a time, with no (n, m) matrix. Metrics of one `torchmetrics.MetricCollection` keep the rows once.

    Every process collects its own rows, any number or none, and `compute` gathers them. Rows that a sampler repeats to
    make the processes even (Lightning does in ``fit``, ``validate`` and ``test``) would count twice: give each row to
    one process, with ``Trainer(use_distributed_sampler=False)`` and a sampler of your own, or on one device.

    Casts of a module to another precision, as by ``Trainer(precision="bf16-true")``, leave what was collected as it
    is: ids stay int64 and vectors keep their precision. Only what `update` is given in bf16 has lost digits before.

    Parameters
    ----------
    direction : "x_to_y", "y_to_x" or "mean"
        Rows of x search those of y, the other way round, or the mean of both values.
    block : int
        Queries scored at once: memory is a few times block * max(n, m) scores.
    **kwargs
        Of `torchmetrics.Metric`.

    Raises
    ------
    ValueError
        For another direction, or block less than 1.
    """

    is_differentiable: bool = False
    full_state_update: bool = False
    plot_lower_bound: float = 0.0

    x_vectors: list[Tensor]
    y_vectors: list[Tensor]
    x_ids: list[Tensor]
    y_ids: list[Tensor]

    def __init__(self, direction: Direction = "mean", block: int = 1024, **kwargs: Any) -> None:
        if direction not in _DIRECTIONS:
            raise ValueError(f"direction must be one of {', '.join(_DIRECTIONS)}, got {direction!r}")
        check_block(block)
        super().__init__(**{"dist_sync_fn": gather_rows, **kwargs})
        self.direction = direction
        self.block = block
        self._chance: float | None = None
        for state in ("x_vectors", "y_vectors", "x_ids", "y_ids"):
            self.add_state(state, [], dist_reduce_fx="cat")

    def update(self, x: Tensor, y: Tensor, x_ids: Ids | None = None, y_ids: Ids | None = None) -> None:
        """Collect rows of both sides.

        Parameters
        ----------
        x, y : (n, s), (m, s)
            Vectors, on the device of the metric.
        x_ids, y_ids : (n,), (m,) integers, optional
            Rows of the two sides with one id are partners, wherever and whenever they come. A row without a partner is
            a rival of others, and no query. Without ids, row i of x belongs to row i of y and to no other.

        Raises
        ------
        TypeError
            If rows are no tensors of floats, or ids no integers.
        ValueError
            If widths differ or values are not finite; if there are ids for one side only, or for some updates only;
            without ids, if the numbers of rows differ.
        """
        width = self.x_vectors[0].shape[1] if self.x_vectors else None
        for name, rows in (("x", x), ("y", y)):
            if not is_tensor(rows):
                raise TypeError(f"{name} must be a torch tensor, got {type(rows).__name__}")
            check_rows(rows, name, width)
            width = rows.shape[1]
            finite = rows.isfinite().all(dim=1)
            if not finite.all():
                raise ValueError(f"{name} holds NaN or infinite values in row {int(finite.int().argmin())}")
        if (x_ids is None) != (y_ids is None):
            raise ValueError("x_ids and y_ids must be given together, or neither of them")
        if self.x_vectors and (x_ids is None) == bool(self.x_ids):
            raise ValueError("ids must be given in all updates or in none")
        if x_ids is not None and y_ids is not None:
            ids = [to_ids(x_ids, len(x), "x_ids"), to_ids(y_ids, len(y), "y_ids")]
            x_labels, y_labels = (torch.from_numpy(side).to(x.device) for side in ids)
            self.x_ids.append(x_labels)
            self.y_ids.append(y_labels)
        elif len(x) != len(y):
            raise ValueError(
                f"x and y must have the same number of rows where there are no ids, got {len(x)}, {len(y)}"
            )
        self.x_vectors.append(_kept(x))
        self.y_vectors.append(_kept(y))

    def compute(self) -> Tensor:
        """Value over the rows of all processes: one f32 number, on their device.

        Raises
        ------
        ValueError
            Without rows, if no row has a partner, or if some processes had ids and others not.
        """
        x, y, x_ids, y_ids = (_joined(getattr(self, name)) for name in ("x_vectors", "y_vectors", "x_ids", "y_ids"))
        if len(x) == 0 or len(y) == 0:
            raise ValueError(f"there is nothing to search: {len(x)} rows of x and {len(y)} of y were collected")
        if len(x_ids) == len(y_ids) == 0:
            x_ids = y_ids = torch.arange(len(x), device=x.device)
        if (len(x_ids), len(y_ids)) != (len(x), len(y)):
            raise ValueError(f"ids must be given on all processes or on none, got {len(x_ids)} for {len(x)} rows of x")
        dtype = torch.promote_types(x.dtype, y.dtype)
        x, y = x.to(dtype), y.to(dtype)
        searches = {"x_to_y": (x, y, x_ids, y_ids), "y_to_x": (y, x, y_ids, x_ids)}
        found = [_search(self, *searches[name]) for name in searches if self.direction in (name, "mean")]
        value, self._chance = (float(np.mean(side)) for side in zip(*found, strict=True))
        return torch.tensor(value, dtype=torch.float32, device=x.device)

    @property
    def chance(self) -> float:
        """What a random order gives of the rows that `compute` last saw, also after a reset: `many_to_many_chance`.

        Raises
        ------
        ValueError
            Before `compute`.
        """
        if self._chance is None:
            raise ValueError("the chance level depends on the rows: call compute first")
        return self._chance

    def plot(self, val: Any = None, ax: Any = None) -> Any:
        """Plot a value or several, as all torchmetrics do, with a dotted line at chance where that is known.

        Parameters
        ----------
        val : tensor or sequence of tensors, optional
            Results of `compute`; by default it is called.
        ax : matplotlib.axes.Axes, optional

        Returns
        -------
        figure, axes
            The figure is None where axes were given.

        Raises
        ------
        ModuleNotFoundError
            Without matplotlib (``pip install canonsim[plots]``).
        """
        axes: Any
        figure, axes = self._plot(val, ax)
        if self._chance is not None:
            axes.axhline(self._chance, linestyle="dotted", color="gray")
            axes.annotate("chance", (1.0, self._chance), xycoords=("axes fraction", "data"), ha="right", va="bottom")
        return figure, axes

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Any = "") -> Any:
        """Follow a module to its device, and keep the precision."""
        return super()._apply(lambda state: state.to(fn(state).device), exclude_state)

    @abstractmethod
    def value(self, partners: Partners, score: Callable[[Tensor], Tensor]) -> float:
        """Value of one direction; ``score`` gives the scores (b, m) of the queries at places (b,)."""

    @abstractmethod
    def chance_value(self, partners: NDArray[np.int64], items: int) -> float:
        """Value of a random order of the items for queries with so many partners, (n,)."""


class PairedRecall(PairedMetric):
    """Recall at k: how often a partner is among the first k rows that a query finds, ties in random order.

    The value is that of `recall_at_k`; `chance` stands beside it after `compute`.

    Parameters
    ----------
    k : int
        Length of the result list, at least 1.
    direction, block, **kwargs
        As of `PairedMetric`, and as it, for the states, for several processes and for precision.

    Examples
    --------
    >>> import torch
    >>> from canonsim.metrics import PairedRecall
    >>> recall = PairedRecall(k=1, direction="x_to_y")
    >>> recall.update(torch.eye(3), torch.eye(3)[[0, 2, 1]])
    >>> recall.compute(), round(recall.chance, 3)
    (tensor(0.3333), 0.333)

    Two pictures with two captions each:

    >>> recall = PairedRecall(k=1)
    >>> recall.update(torch.eye(2), torch.eye(2)[[0, 0, 1, 1]], x_ids=[7, 8], y_ids=[7, 7, 8, 8])
    >>> recall.compute(), recall.chance
    (tensor(1.), 0.5)
    """

    higher_is_better: bool = True
    plot_upper_bound: float = 1.0

    def __init__(self, k: int = 1, direction: Direction = "mean", block: int = 1024, **kwargs: Any) -> None:
        check_k(k)
        super().__init__(direction, block, **kwargs)
        self.k = k

    def value(self, partners: Partners, score: Callable[[Tensor], Tensor]) -> float:
        """Recall of one direction."""
        return float(hit_probability(*best_partners(partners.blocks(score, self.block)), self.k).mean())

    def chance_value(self, partners: NDArray[np.int64], items: int) -> float:
        """Recall of a random order."""
        return chance_recall(partners, items, self.k)


class MedianRank(PairedMetric):
    """Median rank of the first partner that a query finds, from 1; parameters and notes as of `PairedMetric`.

    The value is that of `median_rank`; `chance` stands beside it after `compute`.

    Examples
    --------
    >>> import torch
    >>> from canonsim.metrics import MedianRank
    >>> rank = MedianRank("x_to_y")
    >>> rank.update(torch.eye(3), torch.tensor([[1.0, 3, 4], [0, 2, 0], [0, 0, 3]]))
    >>> rank.compute(), rank.chance
    (tensor(2.), 2.0)
    """

    higher_is_better: bool = False
    plot_lower_bound: float = 1.0

    def value(self, partners: Partners, score: Callable[[Tensor], Tensor]) -> float:
        """Median rank of one direction."""
        return float(np.median(first_rank(*best_partners(partners.blocks(score, self.block)))))

    def chance_value(self, partners: NDArray[np.int64], items: int) -> float:
        """Median rank in a random order."""
        return chance_median_rank(partners, items)


class PairedMAP(PairedMetric):
    """Mean average precision of the partners that queries find; parameters and notes as of `PairedMetric`.

    The value is that of `mean_average_precision`; `chance` stands beside it after `compute`. Unlike
    `torchmetrics.retrieval.RetrievalMAP` it takes vectors, not scores with a target for each, and counts ties by their
    mean.

    Examples
    --------
    >>> import torch
    >>> from canonsim.metrics import PairedMAP
    >>> precision = PairedMAP("x_to_y")
    >>> precision.update(torch.eye(2), torch.tensor([[1.0, 0], [0, 3], [0, 2], [2, 1]]), [0, 1], [0, 1, 1, 1])
    >>> precision.compute(), round(precision.chance, 3)
    (tensor(0.7500), 0.681)
    """

    higher_is_better: bool = True
    plot_upper_bound: float = 1.0

    def value(self, partners: Partners, score: Callable[[Tensor], Tensor]) -> float:
        """Mean average precision of one direction."""
        return float(average_precisions(partners.blocks(score, self.block)).mean())

    def chance_value(self, partners: NDArray[np.int64], items: int) -> float:
        """Mean average precision of a random order."""
        return chance_average_precision(partners, items)


def _search(
    metric: PairedMetric, queries: Tensor, items: Tensor, query_ids: Tensor, item_ids: Tensor
) -> tuple[float, float]:
    """Value and chance of one direction."""
    partners = Partners.of(query_ids, item_ids)
    value = metric.value(partners, lambda places: inner_products(queries[places], items))
    return value, metric.chance_value(partners.counts, partners.items)


def _kept(vectors: Tensor) -> Tensor:
    """Vectors as they are kept: f32 or f64, apart from the memory of the caller."""
    return vectors.detach().to(torch.promote_types(vectors.dtype, torch.float32), copy=True)


def _joined(state: list[Tensor] | Tensor) -> Tensor:
    """All rows of a state: a list on one process, a tensor where several were gathered."""
    if isinstance(state, list):
        return torch.cat(state) if state else torch.empty(0)
    return state
