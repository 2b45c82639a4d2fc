"""The moments of all ranks together, at the traffic of one scatter matrix per fold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from canonsim import _native
from canonsim.moments import PairedMoments

if TYPE_CHECKING:
    import lightning.pytorch as pl


def all_reduce(
    moments: PairedMoments | None, folds: int, trainer: pl.Trainer, *, disjoint: bool = True
) -> PairedMoments:
    """Sum the moments over all ranks; every rank gets the result. All ranks must call it.

    Weights and means are summed first; each rank then moves its sums to the common mean, as its scatter to
    ``S_i + w_i d_i d_i^T`` with ``d_i = mean_i - mean``, and these are summed, the scatters packed and one fold at a
    time (Chan, Golub, LeVeque 1979).

    Parameters
    ----------
    moments : PairedMoments or None
        Those of this rank; None if it saw no rows and does not know the widths.
    folds : int
        Their number of folds.
    trainer : lightning.pytorch.Trainer
        Its strategy does the sums, on its root device.
    disjoint : bool
        Whether the ranks are known to hold different rows. Otherwise ranks with the same rows are an error.

    Raises
    ------
    ValueError
        On every rank: if no rank saw a row, the widths differ between ranks, or two ranks saw the same rows.
    """
    if trainer.world_size == 1:
        if moments is None:
            raise ValueError("no rows: the pass saw no batch")
        return moments
    x_dim, y_dim = _agree(moments, trainer, disjoint=disjoint)
    state = (PairedMoments(x_dim, y_dim, folds) if moments is None else moments).state()
    for part, widths in (("", [x_dim, y_dim]), ("unpaired_x.", [x_dim]), ("unpaired_y.", [y_dim])):
        _reduce_part(state, part, widths, trainer)
    return PairedMoments.from_state(state)


def _agree(moments: PairedMoments | None, trainer: pl.Trainer, *, disjoint: bool) -> tuple[int, int]:
    mine = [0.0] * 4 if moments is None else [moments.x_dim, moments.y_dim, moments.count, _spread(moments)]
    ranks = _gather(np.asarray(mine), trainer)
    seen = ranks[ranks[:, 0] > 0]
    if not seen[:, 2].sum():
        raise ValueError("no rows: the pass saw no batch on any rank")
    if (seen[:, :2] != seen[0, :2]).any():
        widths = {rank: (int(p), int(q)) for rank, (p, q) in enumerate(ranks[:, :2]) if p}
        raise ValueError(f"the ranks saw features of different widths (rank: x, y): {widths}")
    if not disjoint:
        _refuse_repeats(ranks)
    return int(seen[0, 0]), int(seen[0, 1])


def _spread(moments: PairedMoments) -> float:
    return float(np.trace(moments.scatter_xx) + np.trace(moments.scatter_yy))


def _refuse_repeats(ranks: npt.NDArray[np.float64]) -> None:
    for a in range(len(ranks)):
        for b in range(a):
            same_count, spread = ranks[a, 2] == ranks[b, 2], ranks[a, 3]
            # Different rows of one distribution differ far above rounding.
            if same_count and spread > 0 and abs(spread - ranks[b, 3]) <= 1e-9 * spread:
                raise ValueError(
                    f"ranks {b} and {a} saw the same {int(ranks[a, 2])} rows: Lightning gives an IterableDataset no "
                    "sampler, so it must give each rank its own rows (by torch.distributed.get_rank() in __iter__)"
                )


def _reduce_part(state: dict[str, npt.NDArray[Any]], part: str, widths: list[int], trainer: pl.Trainer) -> None:
    names = ("counts", "weights", "means", "scatters", "cubes", "fourths", "roundoffs")
    counts, weights, means, scatters, cubes, fourths, roundoffs = (state[f"{part}{name}"] for name in names)
    total = np.rint(_sum(counts.astype(np.float64), trainer))
    if total.any():
        weight = _sum(weights, trainer)
        mean = _sum(weights[:, :1] * means, trainer) / np.where(total > 0, weight[:, 0], 1.0)[:, None]
        for k in np.flatnonzero(total):
            own = (int(counts[k]), weights[k], means[k], scatters[k], cubes[k], fourths[k], float(roundoffs[k]))
            moved = _native.fourth_powers(widths, own, means[k], mean[k])
            _rebase(scatters[k], float(weights[k, 0]), means[k] - mean[k])
            scatters[k] = _sum(scatters[k], trainer)
            cubes[k], fourths[k] = (_sum(sums, trainer) for sums in moved)
        means[:] = mean
        weights[:] = weight
        counts[:] = total
    state[f"{part}roundoffs"] = _gather(state[f"{part}roundoffs"], trainer).max(axis=0)


def _rebase(packed: npt.NDArray[np.float64], weight: float, delta: npt.NDArray[np.float64]) -> None:
    """Move a scatter, its lower triangle packed row by row, from its mean to ``mean - delta``, in place."""
    start = 0
    for i in range(len(delta)):
        packed[start : start + i + 1] += weight * delta[i] * delta[: i + 1]
        start += i + 1


def _sum(array: npt.NDArray[np.float64], trainer: pl.Trainer) -> npt.NDArray[np.float64]:
    tensor = torch.from_numpy(array).to(trainer.strategy.root_device, torch.float64, copy=True)
    total: npt.NDArray[np.float64] = trainer.strategy.reduce(tensor, reduce_op="sum").cpu().numpy()
    return total


def _gather(array: npt.NDArray[np.float64], trainer: pl.Trainer) -> npt.NDArray[np.float64]:
    """Gather the arrays (h,) of all ranks as (ranks, h)."""
    rows = np.zeros((trainer.world_size, len(array)))
    rows[trainer.global_rank] = array
    return _sum(rows, trainer)
