"""The numbers of the demo: held-out retrieval and mismatch detection, beside chance and other methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from canonsim import metrics
from canonsim.baselines import ASIF, Procrustes
from canonsim.canonical import fit
from canonsim.moments import PairedMoments
from canonsim.space import CanonicalSpace

RECALLS = ("R@1", "R@5", "R@10")

Features = npt.NDArray[np.float32]


class Result(NamedTuple):
    """How well one method finds the partners of held-out rows, in both directions, and tells pairs from mismatches."""

    method: str
    x_to_y: dict[str, float]
    y_to_x: dict[str, float]
    mean: dict[str, float]
    mismatch_auc: float


def compare(
    space: CanonicalSpace, moments: PairedMoments, train: tuple[Features, Features], test: tuple[Features, Features]
) -> list[Result]:
    """Score held-out pairs by the fitted space and by other methods fitted on the same training pairs.

    Parameters
    ----------
    space : CanonicalSpace
        Fitted on `moments`.
    moments : PairedMoments
        Of the training pairs.
    train, test : pair of arrays (n, p), (n, q)
        Features of training pairs (for the methods that need the rows) and of held-out pairs, n >= 2, in any order
        that does not put similar rows side by side.

    Returns
    -------
    list of Result
        CSA by its log odds first, then its held-out cosine, ASIF, Procrustes, the published CSA, and chance.
    """
    x, y = test
    published = fit(moments, n_components=None, ridge=0.0, weights="training")
    results = [
        _measure("CSA, log odds", space.log_odds, space.log_odds_pairwise, x, y),
        _measure("CSA, held-out cosine", space.similarity, space.similarity_pairwise, x, y),
    ]
    for name, baseline in (("ASIF", ASIF()), ("Procrustes", Procrustes())):
        baseline.fit(*train)
        results.append(_measure(name, baseline.similarity, baseline.similarity_pairwise, x, y))
    name = "CSA as published (no ridge)"
    results.append(_measure(name, published.similarity, published.similarity_pairwise, x, y))
    chance = {f"R@{k}": metrics.recall_chance(len(x), k) for k in (1, 5, 10)}
    results.append(Result("chance", chance, chance, chance, 0.5))
    return results


def _measure(
    method: str, score: Callable[..., Any], score_pairs: Callable[..., Any], x: Features, y: Features
) -> Result:
    recall = metrics.retrieval_summary(score, x, y)
    area = metrics.mismatch_auc(score_pairs, x, y)
    return Result(method, recall["x_to_y"], recall["y_to_x"], recall["mean"], area)
