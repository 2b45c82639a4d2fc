"""Pairs from tables, folders and files of features, and the data module that makes batches of them.

Nothing is read before it is needed: pairs hold paths, encoders read and preprocess them in the workers of the data
loader. Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from canonsim.data.audio import read_audio, resample
    from canonsim.data.cropping import crop, voxel_downsample
    from canonsim.data.datamodule import PairDataModule
    from canonsim.data.features import FeaturePairs
    from canonsim.data.images import read_image
    from canonsim.data.kitti import KittiPairs
    from canonsim.data.pairs import PairDataset
    from canonsim.data.points import read_points
    from canonsim.data.scene_captions import SceneObject, describe_scene
    from canonsim.data.series import read_series
    from canonsim.data.tables import TablePairs

_HOMES = {
    "SceneObject": "scene_captions",
    "describe_scene": "scene_captions",
    "FeaturePairs": "features",
    "KittiPairs": "kitti",
    "PairDataModule": "datamodule",
    "PairDataset": "pairs",
    "TablePairs": "tables",
    "crop": "cropping",
    "read_audio": "audio",
    "read_image": "images",
    "read_points": "points",
    "read_series": "series",
    "resample": "audio",
    "voxel_downsample": "cropping",
}

__all__ = [
    "FeaturePairs",
    "KittiPairs",
    "PairDataModule",
    "PairDataset",
    "SceneObject",
    "TablePairs",
    "crop",
    "describe_scene",
    "read_audio",
    "read_image",
    "read_points",
    "read_series",
    "resample",
    "voxel_downsample",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'canonsim.data' has no attribute {name!r}")
    return getattr(importlib.import_module(f"canonsim.data.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
