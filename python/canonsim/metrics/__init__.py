"""How well scores find pairs: retrieval, hubness, telling pairs from mismatches, calibration; with chance levels.

All functions are pure. They take true pairs as equal rows, or, where rows have several partners, the ids that partners
share; those that score rows themselves need no two-dimensional array larger than a block. `PairedRecall`, `MedianRank`
and `PairedMAP` are torchmetrics, imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from canonsim.metrics.calibration import (
    CalibrationSummary,
    Reliability,
    calibration_summary,
    expected_calibration_error,
    log_loss,
    reliability,
)
from canonsim.metrics.hubness import hubness, hubness_chance, hubness_summary, k_occurrence
from canonsim.metrics.many_to_many import (
    many_to_many_chance,
    many_to_many_summary,
    mean_average_precision,
    median_rank,
    recall_at_k,
)
from canonsim.metrics.mismatch import auc, mismatch_auc, mismatch_scores
from canonsim.metrics.retrieval import (
    pair_ranks,
    partner_ranks,
    query_recall,
    recall_chance,
    retrieval_recall,
    retrieval_summary,
)
from canonsim.metrics.search import Search, search_all

if TYPE_CHECKING:
    from canonsim.metrics.torch_metrics import MedianRank, PairedMAP, PairedMetric, PairedRecall

_TORCH_METRICS = ("MedianRank", "PairedMAP", "PairedMetric", "PairedRecall")

__all__ = [
    "CalibrationSummary",
    "MedianRank",
    "PairedMAP",
    "PairedMetric",
    "PairedRecall",
    "Reliability",
    "Search",
    "auc",
    "calibration_summary",
    "expected_calibration_error",
    "hubness",
    "hubness_chance",
    "hubness_summary",
    "k_occurrence",
    "log_loss",
    "many_to_many_chance",
    "many_to_many_summary",
    "mean_average_precision",
    "median_rank",
    "mismatch_auc",
    "mismatch_scores",
    "pair_ranks",
    "partner_ranks",
    "query_recall",
    "recall_at_k",
    "recall_chance",
    "reliability",
    "retrieval_recall",
    "retrieval_summary",
    "search_all",
]


def __getattr__(name: str) -> Any:
    if name not in _TORCH_METRICS:
        raise AttributeError(f"module 'canonsim.metrics' has no attribute {name!r}")
    return getattr(importlib.import_module("canonsim.metrics.torch_metrics"), name)


def __dir__() -> list[str]:
    return __all__
