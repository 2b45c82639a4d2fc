"""Frozen encoders: transformers models for text, images and sound, and any torch module.

Those of sound by its spectrogram, of point clouds and of time series are statistics without weights. Pooling and
normalisation are explicit, and an encoder's ``config`` says how it was made. Names are imported when they are first
used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from canonsim.encoders.audio import AudioEncoder
    from canonsim.encoders.concatenation import ConcatEncoder
    from canonsim.encoders.configuration import from_config
    from canonsim.encoders.encoder import Encoder
    from canonsim.encoders.feature_cache import FeatureCache
    from canonsim.encoders.image import ImageEncoder
    from canonsim.encoders.log_mel import LogMelEncoder
    from canonsim.encoders.points import PointCloudEncoder
    from canonsim.encoders.scan_context import FPFHEncoder, ScanContextEncoder
    from canonsim.encoders.scan_views import BirdsEyeEncoder, RangeImageEncoder
    from canonsim.encoders.series import TimeSeriesEncoder
    from canonsim.encoders.text import TextEncoder

_HOMES = {
    "AudioEncoder": "audio",
    "BirdsEyeEncoder": "scan_views",
    "ConcatEncoder": "concatenation",
    "Encoder": "encoder",
    "FPFHEncoder": "scan_context",
    "FeatureCache": "feature_cache",
    "ImageEncoder": "image",
    "LogMelEncoder": "log_mel",
    "PointCloudEncoder": "points",
    "RangeImageEncoder": "scan_views",
    "ScanContextEncoder": "scan_context",
    "TextEncoder": "text",
    "TimeSeriesEncoder": "series",
    "from_config": "configuration",
}

__all__ = [
    "AudioEncoder",
    "BirdsEyeEncoder",
    "ConcatEncoder",
    "Encoder",
    "FPFHEncoder",
    "FeatureCache",
    "ImageEncoder",
    "LogMelEncoder",
    "PointCloudEncoder",
    "RangeImageEncoder",
    "ScanContextEncoder",
    "TextEncoder",
    "TimeSeriesEncoder",
    "from_config",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'canonsim.encoders' has no attribute {name!r}")
    return getattr(importlib.import_module(f"canonsim.encoders.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
