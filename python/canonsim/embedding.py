"""Rows of a side as vectors, and the inner products of two sides' vectors: in blocks, into one array."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from canonsim import scoring
from canonsim.rows import Rows, is_tensor, to_dtype
from canonsim.scoring import Score, Side

# Rows taken to f64 at a time: few enough to stay in the cache, and galleries of f16 are never widened whole.
_ROWS = 1024

# Vectors of each side whose products are held in f64 at a time.
_TILE = 1024


def project(rows: Rows, argument: str, side: Side, dtype: Any) -> Any:
    """Canonical variates (n, s) of rows (n, p); parameters and errors as of `embed`."""
    return in_blocks(rows, argument, partial(scoring.project, side), dtype)


def embed(rows: Rows, argument: str, side: Side, score: Score, dtype: Any = None) -> Any:
    """Vectors (n, s) of rows (n, p).

    Parameters
    ----------
    rows : (n, p)
    argument : "x" or "y"
        Which side the rows are of, and what messages call them.
    side : Side
        On the device of the rows.
    score : "similarity" or "log_odds"
    dtype : optional
        Of the vectors; that of the side by default.

    Raises
    ------
    ValueError
        If a row holds NaN or infinite values, or its vector would; for another score.
    """
    return _joined(_vectors(rows, argument, side, score, dtype), len(rows))


def row_by_row(x: Rows, x_side: Side, y: Rows, y_side: Side, score: Score, dtype: Any) -> Any:
    """Scores (n,) of row i of x (n, p) with row i of y (n, q); errors as of `embed`."""
    blocks = zip(_vectors(x, "x", x_side, score), _vectors(y, "y", y_side, score), strict=True)
    return _joined((to_dtype((u * v).sum(-1), dtype) for u, v in blocks), len(x))


def all_pairs(x: Any, y: Any, dtype: Any) -> Any:
    """The inner products (n, m) of vectors x (n, s) and y (m, s) of one dtype, given in another.

    Only one matrix of this size is held, unless gradients are to flow through a change of dtype.
    """
    if x.dtype == dtype or (is_tensor(x) and (x.requires_grad or y.requires_grad)):
        return to_dtype(inner_products(x, y), dtype)
    shape = (len(x), len(y))
    scores: Any = x.new_empty(shape, dtype=dtype) if is_tensor(x) else np.empty(shape, dtype)
    for i in range(0, len(x), _TILE):
        for j in range(0, len(y), _TILE):
            scores[i : i + _TILE, j : j + _TILE] = inner_products(x[i : i + _TILE], y[j : j + _TILE])
    return scores


def inner_products(x: Any, y: Any) -> Any:
    """``x @ y.T`` (n, m) of vectors x (n, s) and y (m, s) of one dtype, in that dtype."""
    if is_tensor(x):
        import torch

        # Autocast takes f32 products to 16 bits.
        with torch.autocast(x.device.type, enabled=False):
            return x @ y.T
    return x @ y.T


def in_blocks(rows: Rows, argument: str, work: Callable[[Any], Any], dtype: Any) -> Any:
    """What ``work`` makes of rows (n, p), in the dtype, made block by block; errors as of `embed`."""
    return _joined(_blocks(rows, argument, work, dtype), len(rows))


def _vectors(rows: Rows, argument: str, side: Side, score: Score, dtype: Any = None) -> Iterator[Any]:
    def work(block: Any) -> Any:
        return scoring.vectors(side, scoring.project(side, block), score, is_x=argument == "x")

    return _blocks(rows, argument, work, dtype)


def _blocks(rows: Rows, argument: str, work: Callable[[Any], Any], dtype: Any) -> Iterator[Any]:
    """What ``work`` makes of the rows, block by block in their order; at least one block, be it empty.

    It works in f64 for all rows, since the side is f64: without a ridge variates are small differences of large
    numbers, which sums in f32 lose.
    """
    for start in range(0, max(len(rows), 1), _ROWS):
        block = rows[start : start + _ROWS]
        with np.errstate(over="ignore", invalid="ignore"):
            made = work(block)
            if dtype is not None:
                made = to_dtype(made, dtype)
        # What overflows in the scores is refused with what was not finite to begin with.
        finite = _finite(block) & _finite(made)
        if not finite.all():
            row = start + int(finite.argmin())
            raise ValueError(f"{argument} holds NaN or infinite values, or values whose scores overflow, in row {row}")
        yield made


def _finite(values: Any) -> npt.NDArray[np.bool_]:
    finite: npt.NDArray[np.bool_] = (
        values.detach().isfinite().all(dim=1).cpu().numpy() if is_tensor(values) else np.isfinite(values).all(axis=1)
    )
    return finite


def _joined(blocks: Iterator[Any], count: int) -> Any:
    """All ``count`` rows of the blocks in one array, filled as they come: a concatenation would hold them twice."""
    first = next(blocks)
    if is_tensor(first) and first.requires_grad:
        import torch

        return torch.cat([first, *blocks])
    shape = (count, *first.shape[1:])
    joined: Any = first.new_empty(shape) if is_tensor(first) else np.empty(shape, first.dtype)
    start = 0
    for block in chain([first], blocks):
        joined[start : start + len(block)] = block
        start += len(block)
    return joined
