"""Frozen encoders: transformers models for text, images and sound, statistics for point clouds, and any torch module.

Pooling and normalisation are explicit, and an encoder's ``config`` says how it was made. Names are imported when they
are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from canonsim.encoders.audio import AudioEncoder
    from canonsim.encoders.configuration import from_config
    from canonsim.encoders.encoder import Encoder
    from canonsim.encoders.image import ImageEncoder
    from canonsim.encoders.points import PointCloudEncoder
    from canonsim.encoders.text import TextEncoder

_HOMES = {
    "AudioEncoder": "audio",
    "Encoder": "encoder",
    "ImageEncoder": "image",
    "PointCloudEncoder": "points",
    "TextEncoder": "text",
    "from_config": "configuration",
}

__all__ = ["AudioEncoder", "Encoder", "ImageEncoder", "PointCloudEncoder", "TextEncoder", "from_config"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'canonsim.encoders' has no attribute {name!r}")
    return getattr(importlib.import_module(f"canonsim.encoders.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
