"""Rows of all processes on each of them."""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch
from torch import Tensor, distributed

_DTYPES = (torch.float32, torch.float64, torch.int64)


def gather_rows(rows: Tensor, group: Any = None) -> list[Tensor]:
    """Gather rows, also where the processes hold different numbers of them or none.

    It takes the place of torchmetrics' own gathering, in which a process without rows sends an empty vector of floats,
    whatever the others send, and the collective fails.

    Parameters
    ----------
    rows : (n,) or (n, s), f32, f64 or int64
    group : torch.distributed.ProcessGroup, optional
        The world by default.

    Returns
    -------
    list of tensors
        Those of each process, in the order of the ranks, in the widest dtype of all.

    Raises
    ------
    ValueError
        On every process, if rows differ in dimensions or width.
    """
    world = distributed.get_world_size(group)
    shape = torch.zeros(4, dtype=torch.int64, device=rows.device)
    if len(rows):
        shape[:] = torch.tensor([len(rows), _DTYPES.index(rows.dtype), rows.ndim, rows[0].numel()])
    shapes = [torch.empty_like(shape) for _ in range(world)]
    distributed.all_gather(shapes, shape, group)
    filled = [found.tolist() for found in shapes if found[0] > 0]
    if not filled:
        return [rows] * world
    if len({(dimensions, width) for _, _, dimensions, width in filled}) > 1:
        widths = [width for _, _, _, width in filled]
        raise ValueError(f"rows of the processes differ in shape: their widths are {widths}")
    dtype = reduce(torch.promote_types, (_DTYPES[kind] for _, kind, _, _ in filled))
    most, _, dimensions, width = max(filled)
    padded = torch.zeros((most, width), dtype=dtype, device=rows.device)
    if len(rows):
        padded[: len(rows)] = rows.reshape(len(rows), -1)
    gathered = [torch.empty_like(padded) for _ in range(world)]
    distributed.all_gather(gathered, padded, group)
    return [
        part[: int(found[0])].reshape(-1) if dimensions == 1 else part[: int(found[0])]
        for part, found in zip(gathered, shapes, strict=True)
    ]
