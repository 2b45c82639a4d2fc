"""Log odds of pairs beside those of mismatches of the same rows, and the factor that makes them calibrated."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from canonsim.row_hashes import row_hashes
from canonsim.rows import Ids, Rows, take, to_dtype, to_ids, to_numpy, widest_dtype

Vector = npt.NDArray[np.float64]

# Mismatches to aim at, and at most so many of one row: what is counted from them is then known as well as the pairs.
_MISMATCHES = 20_000
_MISMATCHES_OF_A_ROW = 10

# Rows among which mismatches are made: their vectors are held in f64.
_BLOCK = 4096


@dataclass(frozen=True)
class PairScores:
    """Log odds of pairs, and of mismatches of their rows.

    Attributes
    ----------
    pairs : (n,) f64
    mismatches : (m,) f64
        Of rows of x with the y of other rows, which differ from their own in id, x and y. No row of x takes part in
        more than 10.
    """

    pairs: Vector
    mismatches: Vector

    @classmethod
    def joined(cls, parts: Iterable[tuple[npt.NDArray[np.int64], PairScores]], count: int) -> Self:
        """The scores of ``count`` pairs from parts and the places of their pairs."""
        pairs, mismatches = np.zeros(count), []
        for places, part in parts:
            pairs[places] = part.pairs
            mismatches.append(part.mismatches)
        return cls(pairs, np.concatenate([np.empty(0), *mismatches]))

    def checked(self) -> Self:
        """The same, unless there is nothing to compare pairs with.

        Raises
        ------
        ValueError
            If there is no mismatch.
        """
        if self.mismatches.size == 0:
            raise ValueError(f"the {len(self.pairs)} pairs make no mismatch: no two of them differ in id, x and y")
        return self


def score_pairs(vectors: Callable[[Any, Any], tuple[Any, Any]], x: Rows, y: Rows, ids: Ids | None) -> PairScores:
    """Scores of row i of x with row i of y, and of mismatches among these rows.

    A mismatch joins a row with one that follows it in the order of the hashes of the ids: for the same rows and ids
    they are the same, whatever the order of the rows, if ids differ. Rows with one id, equal rows of x or equal rows of
    y (the same label) make no mismatch.

    Parameters
    ----------
    vectors : callable
        From rows of x and y to vectors whose inner products are the scores.
    x, y : (n, p), (n, q)
    ids : (n,) int64, optional
        The running row number by default.

    Raises
    ------
    ValueError
        For different numbers of rows.
    """
    count = len(x)
    if len(y) != count:
        raise ValueError(f"y has {len(y)} rows, but x has {count}")
    numbers = np.arange(count, dtype=np.int64) if ids is None else to_ids(ids, count)
    order = np.argsort(row_hashes(numbers), kind="stable")
    shifts = min(_MISMATCHES_OF_A_ROW, max(1, _MISMATCHES // max(1, count)))
    blocks = np.array_split(order, max(1, -(-count // _BLOCK)))
    return PairScores.joined(((rows, _block(vectors, x, y, numbers, rows, shifts)) for rows in blocks), count)


def _block(
    vectors: Callable[[Any, Any], tuple[Any, Any]],
    x: Rows,
    y: Rows,
    ids: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    shifts: int,
) -> PairScores:
    """Scores of the pairs at these places, and of each row of x with the y of the rows that follow it there."""
    x, y = take(x, rows), take(y, rows)
    u, v = (to_numpy(side) for side in vectors(x, y))
    kinds = np.stack([ids[rows], _kinds(x), _kinds(y)])
    mismatches = []
    for shift in range(1, min(shifts, len(rows) - 1) + 1):
        differ = (kinds != np.roll(kinds, -shift, axis=1)).all(axis=0)
        mismatches.append((u * np.roll(v, -shift, axis=0)).sum(axis=1)[differ])
    return PairScores((u * v).sum(axis=1), np.concatenate([np.empty(0), *mismatches]))


def fit_scale(scores: PairScores, weights: Vector | None = None) -> float:
    """The factor of the log odds with the least log loss, where pairs and mismatches are equally frequent.

    Logistic regression through the origin with one parameter: the temperature scaling of Guo, Pleiss, Sun and
    Weinberger (2017), whose temperature is the inverse of this. The loss is convex: Newton's method, kept in a bracket.
    The target of a pair is ``(n + 1) / (n + 2)``, as of Platt (1999), so the factor is finite where the scores of
    pairs and mismatches do not overlap.

    Parameters
    ----------
    scores : PairScores
    weights : (n,) f64, optional
        How much each pair counts.

    Returns
    -------
    float
        At least 0, where pairs score no higher than mismatches.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a = 4 * rng.standard_normal(10_000)  # log odds of N(8, 16) to N(-8, 16)
    >>> round(fit_scale(PairScores(3 * (a + 8), 3 * (a - 8))), 2)
    0.33
    """
    pairs, mismatches = scores.pairs, scores.mismatches
    share = np.full(len(pairs), 1 / len(pairs)) if weights is None else weights / weights.sum()
    target = 1 - 1 / (1 / np.square(share).sum() + 2)

    def derivatives(factor: float) -> tuple[float, float]:
        p, q = sigmoid(factor * pairs), sigmoid(factor * mismatches)
        slope = float(share @ ((p - target) * pairs) + (q * mismatches).mean())
        return slope, float(share @ (p * (1 - p) * pairs**2) + (q * (1 - q) * mismatches**2).mean())

    if derivatives(0.0)[0] > 0:
        return 0.0
    low, high, factor = 0.0, np.inf, 1.0
    for _ in range(200):
        slope, curvature = derivatives(factor)
        if slope == 0:
            break
        if slope < 0:
            low = factor
        else:
            high = factor
        following = factor - slope / curvature if curvature > 0 else low
        if not low < following < high:
            following = (low + high) / 2 if high < np.inf else 2 * low
        if abs(following - factor) <= 1e-12 * factor:
            break
        factor = following
    return factor


def sigmoid(values: Vector) -> Vector:
    """Probability of log odds."""
    probabilities: Vector = np.exp(-np.logaddexp(0, -values))
    return probabilities


def _kinds(rows: Rows) -> npt.NDArray[np.int64]:
    """A number for each row: the same for equal rows."""
    return np.array([hash(row.tobytes()) for row in to_numpy(to_dtype(rows, widest_dtype(rows)))], dtype=np.int64)
