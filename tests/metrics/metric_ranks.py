"""Metrics on one of several processes, as tests start them."""

import os

import numpy as np
import torch
from torch import distributed

from canonsim.metrics import MedianRank, PairedMAP, PairedRecall

METRICS = {
    "R@1": PairedRecall,
    "R@5": lambda **options: PairedRecall(5, **options),
    "rank": MedianRank,
    "map": PairedMAP,
}
PICTURES, CAPTIONS = 23, 71


def rows(dtype=torch.float64):
    """Pictures and captions, each with the id of a picture; some captions belong to no picture."""
    rng = np.random.default_rng(5)
    ids = rng.integers(0, PICTURES + 3, CAPTIONS)
    centres = rng.standard_normal((PICTURES + 3, 6))
    x = centres[:PICTURES] + 0.7 * rng.standard_normal((PICTURES, 6))
    y = centres[ids] + 0.7 * rng.standard_normal((CAPTIONS, 6))
    sides = [torch.from_numpy(side).to(dtype) for side in (x, y)]
    return *sides, torch.arange(PICTURES), torch.from_numpy(ids)


def pairs():
    """Pairs of whole numbers, whose scores are exact: equal rows tie wherever they stand."""
    rng = np.random.default_rng(6)
    x = rng.integers(-2, 3, (60, 3))
    return [torch.from_numpy(side).double() for side in (x, x + rng.integers(-1, 2, x.shape))]


def update(metric, scenario, rank):
    """Give a metric the rows of a rank: rank 0 has far more of them, or all."""
    x, y, x_ids, y_ids = rows()
    if scenario == "pairs":
        x, y = pairs()
        for part in np.array_split(np.arange(len(x)), 3)[:2] if rank == 0 else np.array_split(np.arange(len(x)), 3)[2:]:
            metric.update(x[part], y[part])
    elif scenario == "empty-rank":
        if rank == 0:
            metric.update(x, y, x_ids, y_ids)
    elif scenario == "one-side-each":
        # Every partner is on the other rank, and in another precision.
        kept = [slice(0, None), slice(0, 0)][:: 1 - 2 * rank]
        y = y if rank == 0 else y.float()
        metric.update(x[kept[0]].to(y.dtype), y[kept[1]], x_ids[kept[0]], y_ids[kept[1]])
    elif scenario == "ids-on-one-rank":
        metric.update(x[:5], y[:5], *((range(5), range(5)) if rank else ()))
    elif scenario == "widths":
        metric.update(x[:5, : 4 + rank], y[:5, : 4 + rank])
    else:
        cut, y_cut = (slice(0, 20), slice(0, 30)) if rank == 0 else (slice(20, None), slice(30, None))
        metric.update(x[cut], y[y_cut], x_ids[cut], y_ids[y_cut])


def compute_on_ranks(folder, scenarios):
    """Collect and compute on this rank; numbers or messages go to ``folder/SCENARIO-RANK``."""
    rank, world = int(os.environ["LOCAL_RANK"]), int(os.environ["WORLD_SIZE"])
    distributed.init_process_group("gloo", rank=rank, world_size=world)
    for scenario in scenarios:
        file = folder / f"{scenario}-{rank}"
        found = {}
        for name, make in METRICS.items():
            metric = make()
            update(metric, scenario, rank)
            try:
                found[name] = [metric.compute().item(), metric.chance]
            except ValueError as error:
                file.with_suffix(".txt").write_text(str(error))
                continue
            # What was gathered is the others' again: more rows may come.
            found[f"{name} rows"] = sum(len(part) for part in metric.x_vectors)
            found[f"{name} ids"] = [str(part.dtype) for part in metric.x_ids]
        np.savez(file.with_suffix(".npz"), **found)
    distributed.destroy_process_group()
