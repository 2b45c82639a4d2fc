"""The protocol of every comparison: settings chosen on validation pairs, results and their intervals on test pairs."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from feature_sets import Pairs
from methods import Fitted

from canonsim import metrics

KS = (1, 5, 10)
MEASURES = (*(f"R@{k}" for k in KS), "AUC")

Interval = tuple[float, float]


@dataclass(frozen=True)
class Measured:
    """Results on the test part, and the same on test rows that were drawn again."""

    values: dict[str, float]
    drawn: np.ndarray
    """(resamples, measures); the same rows are drawn for every method, so differences are those of pairs."""

    @property
    def intervals(self) -> dict[str, Interval]:
        """What holds 95 % of each result over test rows drawn again."""
        return intervals(self.drawn)

    def gains(self, before: Measured) -> tuple[dict[str, float], dict[str, Interval]]:
        """What is gained over other results, and the intervals of these differences."""
        differences = {name: value - before.values[name] for name, value in self.values.items()}
        return differences, intervals(self.drawn - before.drawn)


def intervals(drawn: np.ndarray) -> dict[str, Interval]:
    """What holds 95 % of each column."""
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    return dict(zip(MEASURES, zip(map(float, low), map(float, high), strict=True), strict=True))


def choose(settings: Iterable[Fitted], data: Pairs) -> tuple[Fitted, float]:
    """The setting with the best R@10 on the validation part, and the seconds that all took to fit."""
    x, y, _ = data.part(data.val)
    best, reached, seconds = None, -1.0, 0.0
    began = time.perf_counter()
    for fitted in settings:
        seconds += time.perf_counter() - began
        recall = metrics.retrieval_summary(fitted.score, x, y)["mean"]["R@10"]
        if recall > reached:
            best, reached = fitted, recall
        began = time.perf_counter()
    if best is None:
        raise ValueError("there is no setting to choose")
    return best, seconds


def measure(fitted: Fitted, data: Pairs, resamples: int) -> Measured:
    """Results on the test part; R@k is the mean of both directions."""
    x, y, _ = data.part(data.test)
    ranks = metrics.pair_ranks(fitted.score, x, y).values()
    hits = np.mean([[metrics.query_recall(*direction, k) for k in KS] for direction in ranks], axis=0)
    own, other = metrics.mismatch_scores(fitted.score_pairwise, x, y)

    def results(rows: np.ndarray) -> list[float]:
        return [*map(float, hits[:, rows].mean(axis=1)), metrics.auc(own[rows], other[rows])]

    n = len(x)
    rng = np.random.default_rng(0)
    drawn = np.array([results(rng.integers(n, size=n)) for _ in range(resamples)])
    return Measured(dict(zip(MEASURES, results(np.arange(n)), strict=True)), drawn)


def sizes_of(data: Pairs, sizes: Iterable[int]) -> list[int]:
    """The numbers of training pairs that the data have, and all."""
    return [*(size for size in sorted(set(sizes)) if size < len(data.train)), len(data.train)]


def cell(value: float, interval: Interval, sign: str = "") -> str:
    """A result with its interval."""
    return f"{value:{sign}.3f} ({interval[0]:{sign}.3f} to {interval[1]:{sign}.3f})"
