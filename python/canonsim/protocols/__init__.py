"""How claims are measured: every method on the same rows, in the same way, with chance beside each number.

A protocol takes features and returns `Results`. Each has a module of its own, imported when it is first used:
`canonsim.protocols.retrieval.retrieval` measures retrieval, `canonsim.protocols.classification.classification`
classification, and so on.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from canonsim.protocols import classification, methods, mislabelled, misleading, retrieval
    from canonsim.protocols.results import Results, Row

_CLASSES = ("Results", "Row")
_MODULES = ("classification", "methods", "mislabelled", "misleading", "retrieval")

__all__ = ["Results", "Row", "classification", "methods", "mislabelled", "misleading", "retrieval"]


def __getattr__(name: str) -> Any:
    if name in _CLASSES:
        return getattr(importlib.import_module("canonsim.protocols.results"), name)
    if name in _MODULES:
        return importlib.import_module(f"canonsim.protocols.{name}")
    raise AttributeError(f"module 'canonsim.protocols' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
