"""Rows of unit length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from canonsim.maps.feature_map import FeatureMap, checked_count, unit_rows


@dataclass(frozen=True, eq=False, repr=False)
class UnitLength(FeatureMap):
    """Rows scaled to unit length; a row of zeros stays one.

    Parameters
    ----------
    dim : int
        Width of the rows.

    Examples
    --------
    >>> import numpy as np
    >>> UnitLength(2)(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """

    dim: int
    kind: ClassVar[str] = "unit-length"

    def __post_init__(self) -> None:
        vars(self)["dim"] = checked_count(self.dim, "dim")

    @property
    def in_dim(self) -> int:
        """Width of the rows taken."""
        return self.dim

    @property
    def out_dim(self) -> int:
        """Width of the rows given."""
        return self.dim

    def apply(self, rows: Any) -> Any:
        """Map rows, unchecked."""
        return unit_rows(rows)
