"""The protocol of every comparison: settings chosen on validation pairs, results and their intervals on test pairs."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from feature_sets import Pairs

from canonsim import metrics
from canonsim.protocols.bootstrap import Interval, Measured
from canonsim.protocols.methods import Fitted

KS = (1, 5, 10)
MEASURES = (*(f"R@{k}" for k in KS), "AUC")


def recall_on_validation(fitted: Fitted, data: Pairs) -> float:
    """R@10 on the validation part: what settings are chosen by."""
    x, y, _ = data.part(data.val)
    return metrics.retrieval_summary(fitted.score, x, y)["mean"]["R@10"]


def measure(fitted: Fitted, data: Pairs, resamples: int) -> Measured:
    """Results on the test part; R@k is the mean of both directions."""
    x, y, _ = data.part(data.test)
    ranks = metrics.pair_ranks(fitted.score, x, y).values()
    hits = np.mean([[metrics.query_recall(*direction, k) for k in KS] for direction in ranks], axis=0)
    own, other = metrics.mismatch_scores(fitted.score_pairwise, x, y)

    def results(rows: np.ndarray) -> dict[str, float]:
        found = [*map(float, hits[:, rows].mean(axis=1)), metrics.auc(own[rows], other[rows])]
        return dict(zip(MEASURES, found, strict=True))

    return Measured.of(results, len(x), resamples)


def sizes_of(data: Pairs, sizes: Iterable[int]) -> list[int]:
    """The numbers of training pairs that the data have, and all."""
    return [*(size for size in sorted(set(sizes)) if size < len(data.train)), len(data.train)]


def cell(value: float, interval: Interval, sign: str = "") -> str:
    """A result with its interval."""
    return f"{value:{sign}.3f} ({interval[0]:{sign}.3f} to {interval[1]:{sign}.3f})"
