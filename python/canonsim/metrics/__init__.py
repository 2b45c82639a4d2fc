"""How well scores find pairs: retrieval, hubness, telling pairs from mismatches, calibration; with chance levels.

All functions are pure, take true pairs as equal rows, and need no two-dimensional array larger than a block.
"""

from canonsim.metrics.calibration import (
    CalibrationSummary,
    Reliability,
    calibration_summary,
    expected_calibration_error,
    log_loss,
    reliability,
)
from canonsim.metrics.hubness import hubness, hubness_chance, hubness_summary, k_occurrence
from canonsim.metrics.mismatch import auc, mismatch_auc, mismatch_scores
from canonsim.metrics.retrieval import (
    pair_ranks,
    partner_ranks,
    query_recall,
    recall_chance,
    retrieval_recall,
    retrieval_summary,
)

__all__ = [
    "CalibrationSummary",
    "Reliability",
    "auc",
    "calibration_summary",
    "expected_calibration_error",
    "hubness",
    "hubness_chance",
    "hubness_summary",
    "k_occurrence",
    "log_loss",
    "mismatch_auc",
    "mismatch_scores",
    "pair_ranks",
    "partner_ranks",
    "query_recall",
    "recall_chance",
    "reliability",
    "retrieval_recall",
    "retrieval_summary",
]
