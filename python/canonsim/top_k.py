"""The k best rows of a gallery for each query: blocks of both meet, and no (n, m) matrix is held."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np

from canonsim.embedding import inner_products
from canonsim.rows import Rows, check_rows, is_tensor, library, to_dtype, widest_dtype

# Gallery rows that a block of queries meets at once (k, where that is more), and scores held at a time.
_GALLERY = 2048
_SCORES = 1 << 20

# Pairs whose inner products are summed anew at a time.
_PAIRS = 1 << 13


def top_k(queries: Rows, gallery: Rows, k: int, dtype: Any = None) -> tuple[Any, Any]:
    """The k largest inner products of each query with the rows of a gallery, largest first.

    The product of two blocks rounds an inner product differently from place to place. It only proposes: what may be
    among the k best is summed anew, pair by pair, in f64. So the result does not depend on the blocks, equal gallery
    rows have equal scores, and equal scores stand in the order of their indices. About 2^20 scores, or k, are held at
    a time.

    Parameters
    ----------
    queries, gallery : (n, s), (m, s) f32 or f64
        Finite vectors, both numpy arrays or both tensors, of one dtype: those of `CanonicalSpace.embed_x` and
        ``embed_y``.
    k : int
        From 1 to m.
    dtype : optional
        Of the scores, whose equality counts in it; that of the vectors by default.

    Returns
    -------
    scores : (n, k)
    indices : (n, k) int64
        Rows of the gallery.

    Raises
    ------
    TypeError
        If the vectors are not f32 or f64, or not alike; if k is no integer.
    ValueError
        If k is less than 1 or more than m, or the widths differ.

    Examples
    --------
    >>> import numpy as np
    >>> scores, indices = top_k(np.eye(2), np.array([[3.0, 0.0], [5.0, 1.0], [3.0, 1.0]]), k=2)
    >>> scores
    array([[5., 3.],
           [1., 1.]])
    >>> indices
    array([[1, 0],
           [1, 2]])
    """
    check_rows(queries, "queries")
    check_rows(gallery, "gallery", queries.shape[1])
    lib = library(queries)
    if queries.dtype != gallery.dtype or queries.dtype not in (lib.float32, lib.float64):
        kinds = ", ".join(f"{type(rows).__name__} of {rows.dtype}" for rows in (queries, gallery))
        raise TypeError(f"queries and gallery must both be arrays or both tensors, both f32 or both f64, got {kinds}")
    k = checked_k(k, len(gallery), "rows of the gallery")
    columns = max(_GALLERY, k)
    rows = max(1, _SCORES // columns)
    shape = (len(queries), k)
    scores = lib.empty(shape, dtype=dtype or queries.dtype, device=queries.device)
    indices = lib.empty(shape, dtype=lib.int64, device=queries.device)
    with lib.no_grad() if is_tensor(queries) else nullcontext():
        reach = _rounding(queries, scores.dtype) * max(
            float(_norms(gallery[start : start + columns]).max()) for start in range(0, len(gallery), columns)
        )
        for start in range(0, len(queries), rows):
            block = slice(start, start + rows)
            scores[block], indices[block] = _best(queries[block], gallery, k, columns, reach, scores.dtype)
    return scores, indices


def checked_k(k: Any, most: int, what: str) -> int:
    """Give k back, or refuse what is no integer from 1 to ``most``."""
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)):
        raise TypeError(f"k must be an integer, got {k!r}")
    if not 1 <= k <= most:
        raise ValueError(f"k must lie between 1 and the {most} {what}, got {k}")
    return int(k)


def _norms(vectors: Any) -> Any:
    return (vectors * vectors).sum(-1) ** 0.5


def _rounding(vectors: Any, dtype: Any) -> float:
    """What a score and its place in a product of blocks differ by at most, relative to the norms of the vectors."""
    lib = library(vectors)
    # Two sums of s terms; the score in its dtype; and the limits with which products are compared.
    bound: float = (vectors.shape[1] + 4) * lib.finfo(vectors.dtype).eps + lib.finfo(dtype).eps
    # torch may have been told to multiply f32 matrices in bf16.
    return bound + 2**-7 if lib is not np and vectors.dtype == lib.float32 else bound


def _best(queries: Any, gallery: Any, k: int, columns: int, reach: float, dtype: Any) -> tuple[Any, Any]:
    """The k best of a block of queries: scores and indices, (b, k)."""
    lib = library(queries)
    scores = lib.empty((len(queries), 0), dtype=dtype, device=queries.device)
    indices = lib.empty((len(queries), 0), dtype=lib.int64, device=queries.device)
    doubt = _norms(queries) * reach
    for start in range(0, len(gallery), columns):
        block = gallery[start : start + columns]
        rough = inner_products(queries, block)
        if start == 0:
            likely = rough >= (_kth_largest(rough, k) - 2 * doubt)[:, None]
        else:
            likely = rough > (scores[:, -1] - doubt)[:, None]
        # numpy is slow to find the places of a matrix.
        found = lib.where(likely.reshape(-1))[0]
        rows, places = found // len(block), found % len(block)
        exact = _pair_by_pair(queries, block, rows, places, dtype)
        if start:
            # What only equals the k-th best comes after it.
            better = exact > scores[rows, -1]
            rows, places, exact = rows[better], places[better], exact[better]
        if len(rows):
            scores, indices = _merged(scores, indices, rows, places + start, exact, k)
    return scores, indices


def _kth_largest(values: Any, k: int) -> Any:
    if is_tensor(values):
        return values.topk(k).values[:, -1]
    return np.partition(values, -k, axis=1)[:, -k]


def _pair_by_pair(queries: Any, gallery: Any, rows: Any, places: Any, dtype: Any) -> Any:
    """Inner products of single pairs (c,), each summed in f64 in the same order wherever it stands."""
    found = library(queries).empty(len(rows), dtype=dtype, device=queries.device)
    wide = widest_dtype(queries)
    for start in range(0, len(rows), _PAIRS):
        part = slice(start, start + _PAIRS)
        found[part] = (to_dtype(queries[rows[part]], wide) * gallery[places[part]]).sum(-1)
    return found


def _merged(scores: Any, indices: Any, rows: Any, added: Any, found: Any, k: int) -> tuple[Any, Any]:
    """The k best of those held, (b, h), and of those found: (c,) with their rows, in order, and gallery indices."""
    lib = library(scores)
    held = scores.shape[1]
    place = held + lib.arange(len(rows), device=scores.device) - lib.searchsorted(rows, rows)
    shape = (len(scores), int(place.max()) + 1)
    all_scores = lib.full(shape, -lib.inf, dtype=scores.dtype, device=scores.device)
    all_indices = lib.zeros(shape, dtype=indices.dtype, device=scores.device)
    all_scores[:, :held], all_indices[:, :held] = scores, indices
    all_scores[rows, place], all_indices[rows, place] = found, added
    # Indices ascend from held to found, and the sort is stable: equal scores keep their order.
    order = lib.argsort(-all_scores, stable=True)[:, :k]
    line = lib.arange(len(scores), device=scores.device)[:, None]
    return all_scores[line, order], all_indices[line, order]
