"""Feature maps: what rows pass through before their moments, so that a linear fit can follow what is not linear.

A map goes in front of the moments of a side, row by row, so one pass, merging and streaming stay as they are:
``PairedMoments(x_map.out_dim, y_map.out_dim)`` takes ``x_map(x)`` and ``y_map(y)``, and
``canonsim.fit(moments, x_map=x_map, y_map=y_map)`` makes a space that takes the rows themselves. `canonsim.fit_best`
finds out by held-out pairs whether a map is worth its while.

`RandomFourier` and `Nystroem` stand for one kernel of two rows, ``exp(gamma * (cos - 1))``, where cos is the cosine of
the angle between them about a centre. On the unit sphere this is the Gaussian kernel,
``exp(-gamma / 2 * |u - v|^2)``, and ``gamma`` has no unit: 1 suits features of any scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from canonsim.maps.feature_map import FeatureMap
from canonsim.maps.kernel import Nystroem, RandomFourier
from canonsim.maps.unit_length import UnitLength

__all__ = ["FeatureMap", "Nystroem", "RandomFourier", "UnitLength", "from_saved"]

_KINDS: dict[str, type[FeatureMap]] = {map_.kind: map_ for map_ in (UnitLength, RandomFourier, Nystroem)}


def from_saved(config: Any, arrays: Mapping[str, npt.NDArray[Any]]) -> FeatureMap:
    """The map of a ``config`` and ``arrays`` that were saved.

    Raises
    ------
    ValueError
        If the kind is unknown, or anything is missing, too much, or not what such a map can have.
    """
    options = dict(config) if isinstance(config, dict) else {"kind": config}
    kind = options.pop("kind", None)
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"feature maps are of the kinds {', '.join(sorted(_KINDS))}, got {kind!r}")
    try:
        return _KINDS[kind](**options, **arrays)
    except TypeError as error:
        raise ValueError(f"not a feature map of kind {kind!r}: {error}") from None
