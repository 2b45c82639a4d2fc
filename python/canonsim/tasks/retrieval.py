"""Search of a gallery: the items of one side that belong best to rows of the other."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from canonsim.metrics.hubness import hubness, hubness_chance
from canonsim.rows import Rows, is_tensor, result_dtype, to_dtype
from canonsim.scoring import Score
from canonsim.space import CanonicalSpace
from canonsim.tasks.correction import CSLS, Correction, InvertedSoftmax
from canonsim.tasks.labels import ItemIds
from canonsim.tasks.vectors import SideName, check_score, nats_per_unit, vectors
from canonsim.top_k import top_k


class Retriever:
    """A gallery of items, and the exact search of those that score best with a query.

    Items may be added at any time. Several items may belong to one query (the captions of an image), and several may
    have one id: results are items. Queries are rows of the side that the gallery is not of. The search compares all
    items, in blocks; `to_faiss` and `to_usearch` hand the same vectors to an index.

    Some items, the hubs, score well with most queries and take the places of others in their lists (see `hubness`),
    above all where queries lie off the centre of the fit, as those of another domain do. A correction takes off an
    item's scores what it scores with a bank of typical queries: give it by `set_queries`.

    Parameters
    ----------
    space : CanonicalSpace
    side : "y" or "x"
        Side of the items. With "x", rows of y are the queries: what is called ``y`` here are rows of x, and ``x`` rows
        of y.
    score : "log_odds" or "similarity"
        Log odds judge and rank best on data like those of the fit, and 0 has a meaning; the similarity ranks better
        where items or queries come from another domain.
    correction : "csls", "inverted-softmax" or None
        Cross-domain similarity local scaling (Conneau et al. 2018), ``2 s(x, y) - r(x) - r(y)`` with the mean scores
        r of the query with the nearest items and of the item with the nearest queries of the bank; or inverted softmax
        (Smith et al. 2017), the log probability of an item where ``exp(beta s)`` is normalised over the bank first, and
        over the gallery then.
    neighbors : int
        How many are the nearest, for CSLS; 10 is what its authors use.
    beta : float, optional
        Inverse temperature of the inverted softmax. By default half of what a score of 1 is worth in nats: 0.5 for log
        odds; for the similarity, half the sum of held-out weights, or half the number of directions with other weights.
        With likelihood ratios L of rows that are no pairs, ``mean L`` is 1, and 0.5 the largest power whose square is
        bounded in the mean, so that a sum of ``L^beta`` over the bank is not made by a few of its queries.

    Examples
    --------
    >>> import numpy as np
    >>> import canonsim
    >>> x = np.random.default_rng(0).standard_normal((500, 4))
    >>> moments = canonsim.PairedMoments(4, 4)
    >>> moments.update(x, x)
    >>> retriever = canonsim.tasks.Retriever(canonsim.fit(moments)).add(x[:3], ids=["a", "b", "c"])
    >>> ids, scores = retriever.search(x[1:3], k=1)
    >>> ids
    array([['b'],
           ['c']], dtype=object)
    """

    def __init__(
        self,
        space: CanonicalSpace,
        side: SideName = "y",
        score: Score = "log_odds",
        correction: Literal["csls", "inverted-softmax"] | None = None,
        *,
        neighbors: int = 10,
        beta: float | None = None,
    ) -> None:
        check_score(space, score)
        if side not in ("x", "y"):
            raise ValueError(f"side must be 'x' or 'y', got {side!r}")
        if correction not in (None, "csls", "inverted-softmax"):
            raise ValueError(f"correction must be 'csls', 'inverted-softmax' or None, got {correction!r}")
        if not isinstance(neighbors, (int, np.integer)) or neighbors < 1:
            raise ValueError(f"neighbors must be an integer, at least 1, got {neighbors!r}")
        if beta is not None and not 0 < beta < np.inf:
            raise ValueError(f"beta must be positive and finite, got {beta}")
        self.space = space
        self.side: SideName = side
        self.score: Score = score
        self.correction = correction
        self._correct: Correction | None = None
        if correction == "csls":
            self._correct = CSLS(neighbors)
        elif correction == "inverted-softmax":
            self._correct = InvertedSoftmax(nats_per_unit(space, score) / 2 if beta is None else beta)
        self._home: str | None = None
        self._bank: Any = None
        # The parts that were added: vectors, with the correction's column where a bank is given, and ids.
        self._items: list[Any] = []
        self._ids = ItemIds()
        self._dtype: Any = None

    def __len__(self) -> int:
        """Items in the gallery."""
        return len(self._ids)

    def __repr__(self) -> str:
        chosen = f"side={self.side!r}, score={self.score!r}, correction={self.correction!r}"
        return f"Retriever({self.space!r}, {chosen}), {len(self)} items"

    @property
    def ids(self) -> npt.NDArray[Any]:
        """Id of each item, in the order in which they were added: (m,), int64 or objects."""
        return self._ids.all

    @property
    def vectors(self) -> Any:
        """Vectors of the items for an inner-product index: (m, s), or (m, s + 1) with a correction.

        Raises
        ------
        ValueError
            If there are no items, or a correction has no bank of queries.
        """
        if not len(self):
            raise ValueError("the gallery is empty: add items first")
        if self._correct is not None and self._bank is None:
            raise ValueError(f"correction={self.correction!r} needs a bank of typical queries: call set_queries first")
        if len(self._items) > 1:
            self._items = [_joined(self._items, axis=0)]
        return self._items[0]

    def add(self, y: Rows, ids: Any = None) -> Self:
        """Add items.

        Parameters
        ----------
        y : (m, q)
            Rows of the gallery's side; all in numpy arrays, or all in tensors on one device.
        ids : iterable (m,), optional
            Integers, or anything hashable: strings, paths, tuples. By default the number of items before each.

        Raises
        ------
        TypeError
            For rows that are no floats or of another kind than those before, and for ids that are not hashable.
        ValueError
            For another width, values that are not finite, or another number of ids.
        """
        items, home = self._vectors(y, self.side)
        named = self._ids.of_next(ids, len(items))
        if len(items) == 0:
            return self
        if self._correct is not None and self._bank is not None:
            items = _with_column(items, self._correct.offsets(items, self._bank))
        dtype = result_dtype(y)
        self._dtype = dtype if self._dtype is None else max(self._dtype, dtype, key=attrgetter("itemsize"))
        self._items.append(items)
        self._ids.add(named)
        self._home = home
        return self

    def set_queries(self, x: Rows) -> Self:
        """Give the bank of typical queries that a correction needs; a later bank takes the place of an earlier one.

        Parameters
        ----------
        x : (b, p)
            Rows of the other side, like those that will be asked: training rows, or past queries. Some hundreds to
            thousands; correcting takes b * m scores.

        Raises
        ------
        TypeError
            As `add`.
        ValueError
            If there is no correction to use them or no row among them, for another width or values that are not finite.
        """
        if self._correct is None:
            raise ValueError("only a correction needs typical queries: pass correction='csls' or 'inverted-softmax'")
        bank, home = self._vectors(x, self._asking)
        if len(bank) == 0:
            raise ValueError("x must hold at least one query, got 0 rows")
        plain = self._items if self._bank is None else [items[:, :-1] for items in self._items]
        self._items = [_with_column(items, self._correct.offsets(items, bank)) for items in plain]
        self._bank, self._home = bank, home
        return self

    def search(self, x: Rows, k: int = 10) -> tuple[Any, Any]:
        """The k items that score best with each query, best first; equal scores in the order in which they were added.

        Parameters
        ----------
        x : (n, p)
            Rows of the other side, of the same kind as those of the gallery.
        k : int
            From 1 to the number of items.

        Returns
        -------
        ids : (n, k)
            int64 of the kind of x where all ids are integers, else a numpy array of objects.
        scores : (n, k)
            Of the kind of x; f64 where rows of the gallery are, else f32. With a correction, corrected scores.

        Raises
        ------
        TypeError
            For rows of another kind than the gallery's.
        ValueError
            If k is out of range, the gallery is empty, a correction has no bank of queries, or rows have another width
            or are not finite.
        """
        queries, items = self._meet(x)
        scores, places = top_k(queries, items, k, self._dtype)
        if self._correct is not None:
            scores = self._correct.finish(scores, queries, items)
        ids = self.ids[places.cpu().numpy() if is_tensor(places) else places]
        if is_tensor(places) and ids.dtype != object:
            return places.new_tensor(ids), scores
        return ids, scores

    def hubness(self, x: Rows, k: int = 10) -> dict[str, dict[str, float]]:
        """How unevenly the items share the results of a search, before and after the correction, beside chance.

        Parameters and errors as of `search`.

        Returns
        -------
        dict
            ``{"plain": ..., "chance": ...}``, and ``"corrected"`` with a correction; each with the keys of
            `canonsim.metrics.hubness`: ``"skewness"``, ``"anti_hubs"``, ``"top_share"``.
        """
        queries, items = self._meet(x)
        if self._correct is None:
            compared = {"plain": (queries, items)}
        else:
            compared = {"plain": (queries[:, :-1], items[:, :-1]), "corrected": (queries, items)}
        found = {name: hubness(top_k(*both, k, self._dtype)[1], len(items)) for name, both in compared.items()}
        return {**found, "chance": hubness_chance(len(queries), len(items), k)}

    def embed_queries(self, x: Rows) -> Any:
        """Vectors of queries for an index of `vectors`: (n, s), or (n, s + 1) with a correction.

        Their inner products with the vectors of the items are the scores; with a correction, what ranks as the
        corrected scores do: ``s - r(y) / 2`` for CSLS, for the inverted softmax the score less
        ``log sum_q exp(beta s(q, y)) / beta``.
        """
        queries = self._vectors(x, self._asking)[0]
        return queries if self._correct is None else _with_column(queries, queries[:, 0] * 0 + 1)

    def to_faiss(self) -> Any:
        """A flat index of FAISS, which is exact, over `vectors` in f32.

        It finds places of items, of which ``ids`` makes ids, and gives inner products with `embed_queries`:
        ``products, places = index.search(retriever.embed_queries(x), k)``, then ``retriever.ids[places]``. Vectors are
        not of unit length: an index that normalises them ranks differently.

        Returns
        -------
        faiss.IndexFlatIP

        Raises
        ------
        ImportError
            Without FAISS (``pip install canonsim[faiss]``).
        ValueError
            As `vectors`.
        """
        try:
            import faiss
        except ImportError as error:
            raise ImportError("to_faiss needs FAISS: pip install canonsim[faiss]") from error
        vectors = _as_f32(self.vectors)
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        return index

    def to_usearch(self) -> Any:
        """An index of USearch by inner product over `vectors` in f32; keys are places of items, as with `to_faiss`.

        Its search is approximate, and exact with ``index.search(retriever.embed_queries(x), k, exact=True)``. What it
        calls distances are 1 less the inner products.

        Returns
        -------
        usearch.index.Index

        Raises
        ------
        ImportError
            Without USearch (``pip install canonsim[usearch]``).
        ValueError
            As `vectors`.
        """
        try:
            from usearch.index import Index
        except ImportError as error:
            raise ImportError("to_usearch needs USearch: pip install canonsim[usearch]") from error
        vectors = _as_f32(self.vectors)
        index = Index(ndim=vectors.shape[1], metric="ip", dtype="f32")
        index.add(np.arange(len(vectors)), vectors)
        return index

    @property
    def _asking(self) -> SideName:
        return "x" if self.side == "y" else "y"

    def _vectors(self, rows: Rows, side: SideName) -> tuple[Any, str]:
        """Vectors of rows, and where they are; refused where the others are elsewhere."""
        rows = rows.detach() if is_tensor(rows) else rows
        made = vectors(self.space, rows, side, self.score)
        home = f"tensors on {made.device}" if is_tensor(made) else "numpy arrays"
        if self._home not in (None, home):
            raise TypeError(f"{side} must be {self._home}, as the rows before, got {home}")
        return made, home

    def _meet(self, x: Rows) -> tuple[Any, Any]:
        """Vectors of queries and of the items, alike in dtype."""
        items = self.vectors
        return to_dtype(self.embed_queries(x), items.dtype), items


def _with_column(rows: Any, column: Any) -> Any:
    return _joined([rows, to_dtype(column, rows.dtype)[:, None]], axis=1)


def _joined(parts: list[Any], axis: int) -> Any:
    if is_tensor(parts[0]):
        import torch

        return torch.cat(parts, axis)
    return np.concatenate(parts, axis)


def _as_f32(vectors: Any) -> npt.NDArray[np.float32]:
    array = vectors.cpu().numpy() if is_tensor(vectors) else vectors
    return np.ascontiguousarray(array, dtype=np.float32)
