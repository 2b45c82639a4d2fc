"""Search with missing sides: items and queries have several, any of which may be missing in a row."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from canonsim.canonical import fit
from canonsim.row_hashes import row_hashes
from canonsim.rows import Ids, Rows, to_ids
from canonsim.sides.aligned_rows import AlignedRows
from canonsim.sides.moments import MultiMoments
from canonsim.space import CanonicalSpace
from canonsim.tasks.labels import ItemIds
from canonsim.tasks.side_fusion import Array, Pair, Pattern, SideFusion, SideScores, SideVectors, centre
from canonsim.top_k import checked_k

# Log odds held at a time.
_SCORES = 1 << 22


class IncompleteRetriever:
    """A gallery of items with several sides, searched by whatever sides a query has, and sets of proven coverage.

    Every side that a query has is compared with every side that an item has: different sides by the log odds of their
    pairwise space, a side with itself by the cosine of centred features. As in Any2Any (Li, Yang, Omama, Chinchali and
    Topcu 2024, arXiv 2411.10513) scores are calibrated twice on held-out matches: those of two sides, so that all mean
    the same, and what they add up to, for each pattern of missing sides. Theirs are shares of wrong matches with lower
    scores, and their mean; here both stages give log odds, which add up where sides are independent and tell apart what
    has better scores than nearly all wrong matches. See `canonsim.tasks.side_fusion.SideFusion`.

    Parameters
    ----------
    spaces : mapping of (str, str) to CanonicalSpace
        The space of two sides by their names; x is the first. Different sides without a space are not compared. Those
        of a `JointSpace` are its ``pair(a, b)``.

    Raises
    ------
    TypeError
        For anything but a mapping of pairs of names to spaces.
    ValueError
        If it is empty, names a side twice or two sides in both orders, or spaces disagree about the width of a side.

    Notes
    -----
    The guarantee of `prediction_set` is that of split conformal prediction (Vovk, Gammerman and Shafer 2005), for each
    pattern of the query's sides (Mondrian): of queries that have just these sides, the set holds the item that the
    query was drawn with, if the gallery does, with a probability of at least ``coverage``. It takes one thing for
    granted: that the query and its item, missing sides included, are exchangeable with the matches of that pattern in
    the calibration, as they are if all were drawn alike and independently. The spaces may be as bad as they like, and
    the gallery may be of any size and hold anything else: sets are larger then. The probability is over the draw of
    calibration and query together: for one calibration with n matches of the pattern, coverage varies about it by about
    ``sqrt(coverage * (1 - coverage) / n)``. It does not hold for each query by itself, nor for each pattern of the
    item, nor for all items where several belong to a query.

    Examples
    --------
    >>> import numpy as np
    >>> import canonsim
    >>> rng = np.random.default_rng(0)
    >>> z = rng.standard_normal((2000, 4))
    >>> rows = {a: z @ rng.standard_normal((4, 6)) + 0.3 * rng.standard_normal((2000, 6)) for a in ("image", "text")}
    >>> rows["lidar"] = z @ rng.standard_normal((4, 5)) + 0.3 * rng.standard_normal((2000, 5))
    >>> train, held_out, test = ({a: side[i : i + 500] for a, side in rows.items()} for i in (0, 500, 1500))
    >>> moments = canonsim.MultiMoments({"image": 6, "text": 6, "lidar": 5})
    >>> moments.update(train)
    >>> retriever = canonsim.tasks.IncompleteRetriever.from_moments(moments)
    >>> queries = {"image": held_out["image"], "text": held_out["text"]}
    >>> retriever = retriever.fit(queries, {"lidar": held_out["lidar"]}).add({"lidar": test["lidar"]})
    >>> asked = {"image": test["image"], "text": test["text"]}
    >>> ids, scores = retriever.search(asked, k=5)
    >>> bool((ids == np.arange(500)[:, None]).any(axis=1).mean() > 0.3)
    True
    >>> sets = retriever.prediction_set(asked, coverage=0.9)
    >>> bool(0.8 < np.mean([i in found for i, found in enumerate(sets)]) < 1)
    True
    """

    def __init__(self, spaces: Mapping[Pair, CanonicalSpace]) -> None:
        self._dims = _widths(spaces)
        self.spaces = dict(spaces)
        self._scores: SideScores | None = None
        self._fusion: SideFusion | None = None
        # By the sides of a query: log odds of the calibration's matches, ascending.
        self._matches: dict[Pattern, Array] = {}
        self._items: list[SideVectors] = []
        self._ids = ItemIds()

    @classmethod
    def from_moments(cls, moments: MultiMoments, **options: Any) -> Self:
        """With the pairwise spaces of all two sides that at least two rows have.

        Parameters
        ----------
        moments : MultiMoments
        **options
            Of `canonsim.fit`.

        Raises
        ------
        TypeError
            If ``moments`` is no `MultiMoments`.
        ValueError
            If there are no such sides, and as `canonsim.fit`.
        """
        if not isinstance(moments, MultiMoments):
            raise TypeError(f"moments must be MultiMoments, got {type(moments).__name__}")
        joined = [pair for pair in combinations(moments.sides, 2) if moments.counts[pair] >= 2]
        return cls({pair: fit(moments.pair(*pair), **options) for pair in joined})

    @property
    def sides(self) -> tuple[str, ...]:
        """Names of the sides."""
        return tuple(self._dims)

    @property
    def ids(self) -> npt.NDArray[Any]:
        """Id of each item, in the order in which they were added: (m,), int64 or objects."""
        return self._ids.all

    @property
    def counts(self) -> dict[Pattern, int]:
        """Matches that the guarantee rests on, by the sides of the query; empty before `fit`."""
        return {pattern: len(scores) for pattern, scores in self._matches.items()}

    def __len__(self) -> int:
        """Items in the gallery."""
        return len(self._ids)

    def __repr__(self) -> str:
        return f"IncompleteRetriever({self._dims}), {len(self)} items"

    def fit(
        self,
        queries: Mapping[str, Rows],
        items: Mapping[str, Rows],
        ids: Ids | None = None,
        *,
        queries_present: Mapping[str, Any] | None = None,
        items_present: Mapping[str, Any] | None = None,
    ) -> Self:
        """Calibrate on held-out matches: row i of the queries belongs to row i of the items.

        One half of the matches, by the hashes of their ids, makes the log odds; the other the thresholds of
        `prediction_set`, which so know nothing of what they judge. The gallery becomes empty.

        Parameters
        ----------
        queries, items : mapping of str to (n, d) array or tensor
            Sides by name. Not those of the fit of the spaces, drawn as later queries and their items will be, and with
            sides missing as they will be. A side of both must be two recordings: a row compared with itself is no
            match to learn from.
        ids : (n,) int64, optional
            Rows of one id are of one item and make no mismatch. By default the running row number.
        queries_present, items_present : mapping of str to (n,) bool, optional
            Which rows have the side, as in `MultiMoments.update`.

        Raises
        ------
        TypeError
            As `MultiMoments.update`.
        ValueError
            As `MultiMoments.update`; if there are not as many queries as items; if no two sides have at least 10
            matches and 10 mismatches in the first half.
        """
        asking = AlignedRows(queries, queries_present, self._dims)
        asked = AlignedRows(items, items_present, self._dims)
        if asking.count != asked.count:
            raise ValueError(f"queries has {asking.count} rows, but items has {asked.count}")
        numbers = np.arange(asking.count, dtype=np.int64) if ids is None else to_ids(ids, asking.count)
        unique, kind = np.unique(numbers, return_inverse=True)
        first = np.zeros(len(unique), dtype=bool)
        first[np.argsort(row_hashes(unique), kind="stable")[: len(unique) // 2]] = True
        learn = first[kind]
        parts = asking, asked
        scores = SideScores(
            self.spaces, {name: centre(parts, name, width, learn) for name, width in self._dims.items()}
        )
        u, v = scores.vectors(asking, "query"), scores.vectors(asked, "item")
        fusion = SideFusion(u.take(learn), v.take(learn), numbers[learn])
        if not fusion.stages:
            raise ValueError(
                f"no two sides have 10 matches and 10 mismatches in the half of the {asking.count} rows that scores "
                "are calibrated on; give more rows"
            )
        u, v = u.take(~learn), v.take(~learn)
        matches = fusion.log_odds_pairwise(u, v)
        self._matches = {pattern: np.sort(matches[rows]) for pattern, rows in u.patterns()}
        self._scores, self._fusion = scores, fusion
        self._items, self._ids = [], ItemIds()
        return self

    def add(self, items: Mapping[str, Rows], ids: Any = None, present: Mapping[str, Any] | None = None) -> Self:
        """Add items.

        Parameters
        ----------
        items : mapping of str to (m, d) array or tensor
            Any of the sides, at least one.
        ids : iterable (m,), optional
            As of `Retriever.add`: integers or anything hashable; by default the number of items before each.
        present : mapping of str to (m,) bool, optional
            Which rows have the side.

        Raises
        ------
        TypeError
            As `MultiMoments.update`, and for ids that are not hashable.
        ValueError
            As `MultiMoments.update`; before `fit`; for another number of ids.
        """
        scores, _ = self._fitted()
        rows = AlignedRows(items, present, self._dims)
        named = self._ids.of_next(ids, rows.count)
        if rows.count:
            self._items.append(scores.vectors(rows, "item"))
            self._ids.add(named)
        return self

    def search(
        self, queries: Mapping[str, Rows], k: int = 10, present: Mapping[str, Any] | None = None
    ) -> tuple[npt.NDArray[Any], Array]:
        """The k items that most likely belong to each query, best first; equal ones in the order of their addition.

        Parameters
        ----------
        queries : mapping of str to (n, d) array or tensor
            Any of the sides, at least one.
        k : int
            From 1 to the number of items.
        present : mapping of str to (n,) bool, optional
            Which rows have the side.

        Returns
        -------
        ids : (n, k)
            int64 where all ids are integers, else objects.
        scores : (n, k) f64
            Log odds, "belong together" to "do not", where both are equally frequent; 0 where nothing can be compared.

        Raises
        ------
        TypeError
            As `MultiMoments.update`.
        ValueError
            As `MultiMoments.update`; before `fit`, without items, or for k out of range.
        """
        vectors = self._asking(queries, present)
        k = checked_k(k, len(self), "items of the gallery")
        places = np.empty((len(vectors), k), dtype=np.int64)
        best = np.empty((len(vectors), k))
        for rows, found in self._blocks(vectors):
            places[rows] = np.argsort(-found, axis=1, kind="stable")[:, :k]
            best[rows] = np.take_along_axis(found, places[rows], axis=1)
        return self.ids[places], best

    def log_odds(self, queries: Mapping[str, Rows], present: Mapping[str, Any] | None = None) -> Array:
        """Log odds of every query with every item, (n, m); parameters and errors as of `search`."""
        vectors = self._asking(queries, present)
        return np.concatenate([np.empty((0, len(self))), *(found for _, found in self._blocks(vectors))])

    def p_values(self, queries: Mapping[str, Rows], present: Mapping[str, Any] | None = None) -> Array:
        """Conformal p-value of every item to be the one that belongs to the query: (n, m), in (0, 1].

        The share, among the calibration's matches of queries with the same sides and this one, of those that score no
        better: ``(1 + #{matches <= score}) / (n + 1)``. For the true item it is at most t with a probability of at most
        t. Parameters and errors as of `search`.
        """
        vectors = self._asking(queries, present)
        found = np.empty((len(vectors), len(self)))
        for rows, scores in self._blocks(vectors):
            for pattern, places in vectors.take(rows).patterns():
                matches = self._matches.get(pattern, np.empty(0))
                below = np.searchsorted(matches, scores[places], side="right")
                found[rows][places] = (1 + below) / (len(matches) + 1)
        return found

    def prediction_set(
        self, queries: Mapping[str, Rows], coverage: float = 0.9, present: Mapping[str, Any] | None = None
    ) -> list[npt.NDArray[Any]]:
        """For each query the items that score well enough to be the one, with a guarantee: see the notes of the class.

        They are the smallest set of those with the highest scores for which the guarantee can be given: those that
        score at least as well as the ``floor((n + 1) (1 - coverage))``-th lowest of the n calibration matches of the
        query's pattern. With fewer than ``coverage / (1 - coverage)`` of them (`counts`), as with a pattern that the
        calibration has not seen, only the whole gallery holds what it promises, and that is the answer.

        Parameters
        ----------
        queries, present
            As of `search`.
        coverage : float
            Between 0 and 1.

        Returns
        -------
        list of n arrays
            Ids, best first.

        Raises
        ------
        TypeError
            As `search`.
        ValueError
            As `search`; for a coverage out of range.
        """
        if not 0 < coverage < 1:
            raise ValueError(f"coverage must lie between 0 and 1, got {coverage}")
        vectors = self._asking(queries, present)
        least = np.empty(len(vectors))
        for pattern, places in vectors.patterns():
            least[places] = _threshold(self._matches.get(pattern, np.empty(0)), coverage)
        sets = []
        for rows, scores in self._blocks(vectors):
            for each, lowest in zip(scores, least[rows], strict=True):
                order = np.argsort(-each, kind="stable")
                sets.append(self.ids[order[each[order] >= lowest]])
        return sets

    def _fitted(self) -> tuple[SideScores, SideFusion]:
        if self._scores is None or self._fusion is None:
            raise ValueError("the retriever is not calibrated: call fit first")
        return self._scores, self._fusion

    def _asking(self, queries: Mapping[str, Rows], present: Mapping[str, Any] | None) -> SideVectors:
        """Vectors of queries, where there are items to compare them with."""
        scores, _ = self._fitted()
        if not len(self):
            raise ValueError("the gallery is empty: add items first")
        return scores.vectors(AlignedRows(queries, present, self._dims), "query")

    def _blocks(self, queries: SideVectors) -> Iterator[tuple[slice, Array]]:
        """Log odds of some of the queries at a time, with all items."""
        _, fusion = self._fitted()
        if len(self._items) > 1:
            self._items = [SideVectors.joined(self._items)]
        size = max(1, _SCORES // len(self))
        for start in range(0, len(queries), size):
            rows = slice(start, start + size)
            yield rows, fusion.log_odds(queries.take(rows), self._items[0])


def _threshold(matches: Array, coverage: float) -> float:
    """The score below which a match of n, ascending, or another like them lies with at most ``1 - coverage``."""
    # Rounding must not take 0.1 times 10 for less than 1.
    rank = math.floor((len(matches) + 1) * (1 - coverage) + 1e-9)
    return float(matches[rank - 1]) if rank else -math.inf


def _widths(spaces: Mapping[Pair, CanonicalSpace]) -> dict[str, int]:
    """Width of every side that spaces name."""
    if not isinstance(spaces, Mapping):
        raise TypeError(f"spaces must be a mapping of two sides to their space, got {type(spaces).__name__}")
    if not spaces:
        raise ValueError("spaces must hold the space of at least two sides, got none")
    widths: dict[str, int] = {}
    for pair, space in spaces.items():
        if not (isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(name, str) for name in pair)):
            raise TypeError(f"spaces must be named by two sides, (str, str), got {pair!r}")
        if not isinstance(space, CanonicalSpace):
            raise TypeError(f"spaces[{pair!r}] must be a CanonicalSpace, got {type(space).__name__}")
        if pair[0] == pair[1] or pair[::-1] in spaces:
            raise ValueError(f"spaces must hold two different sides, in one order, got {pair!r}")
        for name, width in zip(pair, (space.x_dim, space.y_dim), strict=True):
            if widths.setdefault(name, width) != width:
                raise ValueError(f"spaces[{pair!r}] has {width} columns of {name!r}, but another has {widths[name]}")
    return widths
