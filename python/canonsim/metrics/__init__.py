"""How well scores find pairs: retrieval of the partner, and telling pairs from mismatches, each with its chance level.

All functions are pure, take the true pairs as equal rows, and need no two-dimensional array larger than a block.
"""

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
    "auc",
    "mismatch_auc",
    "mismatch_scores",
    "pair_ranks",
    "partner_ranks",
    "query_recall",
    "recall_chance",
    "retrieval_recall",
    "retrieval_summary",
]
