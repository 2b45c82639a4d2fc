"""What a canonical space consists of: checked, taken apart for its files, and put together again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from canonsim.files import Tensors
from canonsim.maps import FeatureMap
from canonsim.maps import from_saved as map_from_saved
from canonsim.maps.feature_map import check_map
from canonsim.significance import Signal, Significance

if TYPE_CHECKING:
    from canonsim.space import CanonicalSpace

_VECTORS = ("x_mean", "y_mean", "x_std", "y_std", "correlations", "weights")
_ARRAYS = (*_VECTORS, "x_projection", "y_projection")


def check(space: CanonicalSpace) -> None:
    """Refuse arrays that no fit gives: what comes from a file is not trusted."""
    r = len(space.correlations)
    held_out = space.held_out_correlations
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("x_std", "y_std", "weights", "correlations"), (r,))
    shapes |= {"x_projection": (len(space.x_mean), r), "y_projection": (len(space.y_mean), r)}
    for name in _ARRAYS:
        array = getattr(space, name)
        if array.dtype != np.float64 or array.shape != shapes.get(name, (array.size,)):
            raise ValueError(f"{name} must be f64 of shape {shapes.get(name)}, got {array.dtype} {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds values that are not finite")
    if held_out is not None:
        ordered = held_out.shape == (r,) and bool((np.diff(held_out) <= 0).all())
        if held_out.dtype != np.float64 or not ordered or not ((held_out >= 0) & (held_out < 1)).all():
            raise ValueError("held_out_correlations must be (r,) f64, nonincreasing, in [0, 1)")
    if not ((space.correlations >= 0) & (space.correlations <= 1)).all() or (np.diff(space.correlations) > 0).any():
        raise ValueError("correlations must be nonincreasing, in [0, 1]")
    check_map(space.x_map, "x_map", len(space.x_mean))
    check_map(space.y_map, "y_map", len(space.y_mean))
    if not all(np.isfinite(value) and value >= 0 for value in (*space.ridge, space.log_odds_scale)):
        raise ValueError(
            f"ridge and log_odds_scale must be finite and at least 0, got {space.ridge} and {space.log_odds_scale}"
        )
    if not all(0 <= value <= 1 for value in space.unpaired):
        raise ValueError(f"unpaired must lie in [0, 1], got {space.unpaired}")
    if space.significance is not None:
        space.significance.check(r)
    if space.count < 2:
        raise ValueError(f"count must be at least 2, got {space.count}")
    if any((getattr(space, name) < 0).any() for name in ("weights", "x_std", "y_std")):
        raise ValueError("weights and standard deviations must not be negative")
    if space.weighting not in ("held-out", "training", "equal"):
        raise ValueError(f"weighting must be 'held-out', 'training' or 'equal', got {space.weighting!r}")


def to_saved(space: CanonicalSpace) -> tuple[Tensors, dict[str, Any]]:
    """The arrays of a space and its configuration, without its metadata."""
    config: dict[str, Any] = {
        "x_dim": space.x_dim,
        "y_dim": space.y_dim,
        "n_components": space.n_components,
        "weights": space.weighting,
        "ridge": list(space.ridge),
        "unpaired": list(space.unpaired),
        "log_odds_scale": space.log_odds_scale,
        "count": space.count,
    }
    arrays = {name: getattr(space, name) for name in _ARRAYS}
    if space.held_out_correlations is not None:
        arrays["held_out_correlations"] = space.held_out_correlations
    if space.significance is not None:
        config["noise_floor"], config["signal"] = space.significance.noise_floor, list(space.significance.signal)
        arrays["standard_errors"] = space.significance.standard_errors
    for side, feature_map in (("x_map", space.x_map), ("y_map", space.y_map)):
        if feature_map is not None:
            config[side] = feature_map.config
            arrays |= {f"{side}.{name}": array for name, array in feature_map.arrays.items()}
    return arrays, config


def from_saved(arrays: Tensors, config: Mapping[str, Any]) -> dict[str, Any]:
    """What the constructor of a space takes.

    Raises
    ------
    KeyError, IndexError, TypeError
        If something is missing or of another kind.
    ValueError
        For a feature map that there is none of.
    """
    return {
        **{name: arrays[name] for name in _ARRAYS},
        "held_out_correlations": arrays.get("held_out_correlations"),
        "weighting": config["weights"],
        "ridge": (float(config["ridge"][0]), float(config["ridge"][1])),
        "unpaired": (float(config["unpaired"][0]), float(config["unpaired"][1])),
        "count": int(config["count"]),
        "significance": _saved_significance(config, arrays),
        "metadata": config["metadata"],
        "x_map": _saved_map(config, arrays, "x_map"),
        "y_map": _saved_map(config, arrays, "y_map"),
        "log_odds_scale": float(config["log_odds_scale"]),
    }


def _saved_significance(config: Mapping[str, Any], arrays: Mapping[str, Any]) -> Significance | None:
    if "signal" not in config:
        return None
    signal = Signal(*(int(number) for number in config["signal"]))
    return Significance(float(config["noise_floor"]), arrays["standard_errors"], signal)


def _saved_map(config: Mapping[str, Any], arrays: Mapping[str, Any], side: str) -> FeatureMap | None:
    if side not in config:
        return None
    prefix = f"{side}."
    own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    return map_from_saved(config[side], own)
