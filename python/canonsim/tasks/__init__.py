"""What a space is for: retrieval, classification, detection of mismatches."""

from canonsim.tasks.classification import ZeroShotClassifier
from canonsim.tasks.mismatch import MismatchDetector
from canonsim.tasks.retrieval import Retriever

__all__ = ["MismatchDetector", "Retriever", "ZeroShotClassifier"]
