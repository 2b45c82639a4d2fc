"""What a space is for: retrieval, classification, detection of mismatches and of misleading captions.

`IncompleteRetriever` is for several sides.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from canonsim.tasks.classification import ZeroShotClassifier
from canonsim.tasks.mismatch import MismatchDetector
from canonsim.tasks.retrieval import Retriever

if TYPE_CHECKING:
    from canonsim.tasks.incomplete import IncompleteRetriever
    from canonsim.tasks.misleading import MisleadingCaptions

_LAZY = {"IncompleteRetriever": "incomplete", "MisleadingCaptions": "misleading"}

__all__ = ["IncompleteRetriever", "MisleadingCaptions", "MismatchDetector", "Retriever", "ZeroShotClassifier"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'canonsim.tasks' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"canonsim.tasks.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
