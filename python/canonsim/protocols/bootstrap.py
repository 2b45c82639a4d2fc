"""Results on test rows, and on test rows that were drawn again with replacement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Interval = tuple[float, float]


@dataclass(frozen=True)
class Measured:
    """Results, and the same on test rows that were drawn again (Efron and Tibshirani 1993, section 13.3).

    Intervals are about the test rows, not about which pairs were learned from.

    Attributes
    ----------
    values : dict of float
        By measure.
    drawn : (resamples, measures) f64
        In the order of the values. The same rows are drawn for every method with as many test rows, so differences are
        those of pairs.
    """

    values: dict[str, float]
    drawn: npt.NDArray[np.float64]

    @classmethod
    def of(cls, statistic: Callable[[npt.NDArray[np.int64]], dict[str, float]], n: int, resamples: int) -> Self:
        """Results of a statistic of places (k,) among n test rows.

        Raises
        ------
        ValueError
            For no rows, or fewer than 0 resamples.

        Examples
        --------
        >>> hits = np.array([1.0, 0.0, 1.0, 1.0])
        >>> measured = Measured.of(lambda rows: {"hits": float(hits[rows].mean())}, 4, resamples=200)
        >>> measured.values, measured.intervals
        ({'hits': 0.75}, {'hits': (0.25, 1.0)})
        """
        if n < 1 or resamples < 0:
            raise ValueError(f"there must be at least 1 row and 0 resamples, got {n} rows and resamples={resamples}")
        values = statistic(np.arange(n))
        rng = np.random.default_rng(0)
        drawn = [list(statistic(rng.integers(n, size=n)).values()) for _ in range(resamples)]
        return cls(values, np.array(drawn).reshape(resamples, len(values)))

    @property
    def intervals(self) -> dict[str, Interval]:
        """What holds 95 % of each result over test rows drawn again; none without resamples."""
        return self._intervals(self.drawn)

    def gains(self, before: Measured) -> tuple[dict[str, float], dict[str, Interval]]:
        """What is gained over other results on the same rows, and the intervals of these differences."""
        differences = {name: value - before.values[name] for name, value in self.values.items()}
        return differences, self._intervals(self.drawn - before.drawn)

    def _intervals(self, drawn: npt.NDArray[np.float64]) -> dict[str, Interval]:
        if len(drawn) == 0:
            return {}
        low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
        return dict(zip(self.values, zip(map(float, low), map(float, high), strict=True), strict=True))
