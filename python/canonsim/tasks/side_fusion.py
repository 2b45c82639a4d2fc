"""Log odds that a query and an item belong together, from all their sides, whichever of them are missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from canonsim.calibration import PairScores, fit_scale, sigmoid
from canonsim.row_hashes import row_hashes
from canonsim.rows import is_tensor
from canonsim.sides.aligned_rows import AlignedRows
from canonsim.space import CanonicalSpace

Array: TypeAlias = "npt.NDArray[np.float64]"
Places: TypeAlias = "npt.NDArray[np.int64]"
Pair: TypeAlias = tuple[str, str]
Pattern: TypeAlias = tuple[str, ...]

# With fewer true pairs of two sides nothing is known of their scores.
_FEWEST = 10

# Mismatches to aim at, and how many a row takes part in at least: as many as `PairScores` holds.
_MISMATCHES = 20_000
_MISMATCHES_OF_A_ROW = 10


@dataclass(frozen=True)
class SideVectors:
    """Rows with several sides as vectors: the inner product of a query's with an item's is the score of two sides.

    Attributes
    ----------
    present : {side: (n,) bool}
    vectors : {(side of the query, side of the item): (n, s)}
        Zeros where the row lacks the side.
    """

    present: dict[str, npt.NDArray[np.bool_]]
    vectors: dict[Pair, Array]

    def __len__(self) -> int:
        return len(next(iter(self.present.values())))

    def take(self, places: Any) -> SideVectors:
        """The rows at these places, or of a slice."""
        present = {name: mask[places] for name, mask in self.present.items()}
        return SideVectors(present, {pair: vectors[places] for pair, vectors in self.vectors.items()})

    @classmethod
    def joined(cls, parts: list[SideVectors]) -> Self:
        """The rows of all parts, one after the other."""
        present = {name: np.concatenate([part.present[name] for part in parts]) for name in parts[0].present}
        pairs = parts[0].vectors
        return cls(present, {pair: np.concatenate([part.vectors[pair] for part in parts]) for pair in pairs})

    def patterns(self) -> Iterator[tuple[Pattern, Places]]:
        """The sides that rows have, and the places of those that have just these."""
        kinds, kind = np.unique(np.stack(list(self.present.values()), axis=1), axis=0, return_inverse=True)
        for i, has in enumerate(kinds):
            yield tuple(np.array(list(self.present))[has].tolist()), np.flatnonzero(kind.ravel() == i)


class SideScores:
    """What makes the scores of two sides: log odds of different sides, and the cosine of a side with itself.

    The cosine is that of features about a centre. It uses all of them: the canonical directions of a side are those it
    shares with others, but two images of one place may agree in what no text tells.
    """

    def __init__(self, spaces: Mapping[Pair, CanonicalSpace], centres: Mapping[str, Array]) -> None:
        self._spaces = spaces
        self._centres = centres

    def vectors(self, rows: AlignedRows, role: Literal["query", "item"]) -> SideVectors:
        """Vectors of rows as queries or as items."""
        present = {name: rows.has(name) for name in self._centres}
        vectors: dict[Pair, Array] = {}
        for name, centre in self._centres.items():
            own = _rows(rows, name, present[name], len(centre))
            for other in self._centres:
                pair = (name, other) if role == "query" else (other, name)
                made = self._of_pair(name, other, own)
                if made is not None:
                    vectors[pair] = np.zeros((rows.count, made.shape[1]))
                    vectors[pair][present[name]] = made
        return SideVectors(present, vectors)

    def _of_pair(self, name: str, other: str, rows: Array) -> Array | None:
        """Vectors of the rows of a side for scores with another; None where the two have no space."""
        made: Array | None = None
        if name == other:
            off = rows - self._centres[name]
            length = np.linalg.norm(off, axis=1, keepdims=True)
            made = off / (length + (length == 0))
        elif (name, other) in self._spaces:
            made = self._spaces[name, other].embed_x(rows, "log_odds")
        elif (other, name) in self._spaces:
            made = self._spaces[other, name].embed_y(rows, "log_odds")
        return made


def centre(parts: Sequence[AlignedRows], name: str, width: int, among: npt.NDArray[np.bool_]) -> Array:
    """Mean (width,) of the rows of a side in the parts, of those among these that have it; zeros where none has."""
    rows = np.concatenate([_rows(part, name, part.has(name) & among, width) for part in parts])
    return rows.mean(axis=0) if len(rows) else np.zeros(width)


def _rows(rows: AlignedRows, name: str, mask: npt.NDArray[np.bool_], width: int) -> Array:
    """The rows (n, width) of a side in the places of the mask, in f64."""
    if not mask.any():
        return np.empty((0, width))
    own = rows.of(name, mask)
    return np.asarray(own.detach().cpu().double().numpy() if is_tensor(own) else own, dtype=np.float64)


class SideFusion:
    """Log odds of "belong together" from the scores of all two sides, calibrated in two stages.

    First, scores of two sides become log odds by logistic regression of true pairs against mismatches, equally
    frequent (Platt 1999), so that those of different sides can be compared and added. Then the sum over the sides that
    a query and an item have is multiplied by one factor for each such pattern, again by logistic regression. Were the
    scores independent given whether the two belong together, the sum would be right and the factor 1; were they m times
    the same, the mean would be right and the factor 1 / m. How much they repeat each other is so measured, where a sum
    or a mean would presume it.

    Rows that have more sides than a pattern count for it with those of the pattern. With fewer than 10 true pairs or
    mismatches two sides are not compared, and a pattern has the factor 1 / m. Where nothing can be compared the log
    odds are 0: nothing is known.

    Parameters
    ----------
    queries, items : SideVectors
        Row i of the one and row i of the other belong together.
    ids : (n,) int64
        Rows of one id make no mismatch.
    """

    def __init__(self, queries: SideVectors, items: SideVectors, ids: npt.NDArray[np.int64]) -> None:
        order = np.argsort(row_hashes(ids), kind="stable")
        queries, items, ids = queries.take(order), items.take(order), ids[order]
        count = len(ids)
        shifts = range(min(count, 1 + max(_MISMATCHES_OF_A_ROW, _MISMATCHES // max(count, 1))))
        usable = np.stack([np.roll(ids, -t) != ids if t else np.ones(count, bool) for t in shifts], axis=1)
        self.stages: dict[Pair, tuple[float, float]] = {}
        # By two sides: log odds of each query with its own item, and with those that follow.
        self._scores: dict[Pair, Array] = {}
        self._has: dict[Pair, npt.NDArray[np.bool_]] = {}
        for a, b in queries.vectors:
            has = np.stack([queries.present[a] & np.roll(items.present[b], -t) for t in shifts], axis=1) & usable
            u, v = queries.vectors[a, b], items.vectors[a, b]
            scores = np.stack([(u * np.roll(v, -t, axis=0)).sum(axis=1) for t in shifts], axis=1)
            sample = _split(scores, has)
            if _enough(sample):
                intercept, slope = self.stages[a, b] = fit_log_odds(sample)
                self._scores[a, b], self._has[a, b] = intercept + slope * scores, has
        self._factors: dict[tuple[Pair, ...], float] = {}

    def log_odds(self, queries: SideVectors, items: SideVectors) -> Array:
        """Log odds of every query with every item: (n, m)."""
        found = np.zeros((len(queries), len(items)))
        asked = [(pattern, items.take(places), places) for pattern, places in items.patterns()]
        for pattern, rows in queries.patterns():
            asking = queries.take(rows)
            for other, part, places in asked:
                pairs = self._compared(pattern, other)
                parts = (self._stage(pair, asking.vectors[pair] @ part.vectors[pair].T) for pair in pairs)
                found[np.ix_(rows, places)] = self._factor(pairs) * sum(parts, np.zeros((len(rows), len(places))))
        return found

    def log_odds_pairwise(self, queries: SideVectors, items: SideVectors) -> Array:
        """Log odds of query i with item i: (n,)."""
        found = np.zeros(len(queries))
        asked = list(items.patterns())
        for pattern, rows in queries.patterns():
            for other, places in asked:
                both = np.intersect1d(rows, places)
                pairs = self._compared(pattern, other)
                u, v = queries.take(both).vectors, items.take(both).vectors
                parts = (self._stage(pair, (u[pair] * v[pair]).sum(axis=1)) for pair in pairs)
                found[both] = self._factor(pairs) * sum(parts, np.zeros(len(both)))
        return found

    def _compared(self, pattern: Pattern, other: Pattern) -> tuple[Pair, ...]:
        """The sides of a query and of an item whose scores are calibrated."""
        return tuple((a, b) for a in pattern for b in other if (a, b) in self.stages)

    def _stage(self, pair: Pair, scores: Array) -> Array:
        intercept, slope = self.stages[pair]
        return intercept + slope * scores

    def _factor(self, pairs: tuple[Pair, ...]) -> float:
        """What the sum of the log odds of these sides is multiplied by."""
        if len(pairs) < 2:
            return 1.0
        if pairs not in self._factors:
            has = np.logical_and.reduce([self._has[pair] for pair in pairs])
            sample = _split(np.sum([self._scores[pair] for pair in pairs], axis=0), has)
            self._factors[pairs] = fit_scale(sample) if _enough(sample) else 1 / len(pairs)
        return self._factors[pairs]


def _split(scores: Array, has: npt.NDArray[np.bool_]) -> PairScores:
    """Scores (n, 1 + t) of true pairs, the first column, and of mismatches, where there are any."""
    return PairScores(scores[:, 0][has[:, 0]], scores[:, 1:][has[:, 1:]])


def _enough(scores: PairScores) -> bool:
    return min(len(scores.pairs), len(scores.mismatches)) >= _FEWEST


def fit_log_odds(scores: PairScores) -> tuple[float, float]:
    """Intercept and slope that make scores of any unit log odds, where pairs and mismatches are equally frequent.

    Logistic regression, with Platt's (1999) targets ``(n + 1) / (n + 2)`` and ``1 / (m + 2)``, which keep the slope
    finite where scores do not overlap. By Newton's method, steps halved until they are for the better.

    Returns
    -------
    intercept, slope : float
        Both 0 where pairs score no higher than mismatches.

    Examples
    --------
    >>> a = np.random.default_rng(0).standard_normal(10_000)
    >>> intercept, slope = fit_log_odds(PairScores(3 + a, 1 + a))  # log odds 2 s - 4
    >>> round(intercept, 1), round(slope, 1)
    (-4.0, 2.0)
    """
    n, m = len(scores.pairs), len(scores.mismatches)
    values = np.concatenate([scores.pairs, scores.mismatches])
    weights = np.repeat([1 / n, 1 / m], [n, m])
    targets = np.repeat([(n + 1) / (n + 2), 1 / (m + 2)], [n, m])
    centre, scale = values.mean(), values.std()
    if scale == 0 or scores.pairs.mean() <= scores.mismatches.mean():
        return 0.0, 0.0
    basis = np.stack([np.ones_like(values), (values - centre) / scale])

    def loss(parameters: Array) -> float:
        logits = parameters @ basis
        return float(weights @ (np.logaddexp(0, logits) - targets * logits))

    parameters = np.zeros(2)
    for _ in range(100):
        p = sigmoid(parameters @ basis)
        gradient = basis @ (weights * (p - targets))
        curvature = (basis * (weights * p * (1 - p))) @ basis.T
        step = np.linalg.solve(curvature + 1e-12 * np.eye(2), gradient)
        while loss(parameters - step) > loss(parameters) and np.abs(step).max() > 1e-12:
            step /= 2
        parameters = parameters - step
        if np.abs(step).max() <= 1e-9:
            break
    slope = float(parameters[1] / scale)
    return (float(parameters[0] - slope * centre), slope) if slope > 0 else (0.0, 0.0)
