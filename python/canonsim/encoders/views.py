"""Pictures of point clouds: what a scanner sees about itself, and the same from above."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from canonsim.data.points import Points

View = npt.NDArray[np.float32]

# Metres from the lowest height that is told from lower ones to the highest: below the sensor of a car to roofs.
_LOWEST, _HIGHEST = -3.0, 7.0


@dataclass(frozen=True)
class RangeView:
    """Spherical projection: a row for each beam, a column for each direction (Wu et al., SqueezeSeg, ICRA 2018).

    Where several points fall into a pixel the nearest is seen. Pixels without a point are 0 in every channel. The
    middle of a whole panorama looks along x, its left half to positive y.

    Parameters
    ----------
    height, width : int
        Pixels; ``width`` goes around the sensor.
    fov_up, fov_down : float
        Elevation of the upper and the lower edge, degrees; by default that of an HDL-64E. Points beyond are left out.
    max_range : float
        Metres that are shown as 1; points beyond are left out.
    channels : sequence of str
        Of "depth" (logarithmic, near is small), "intensity" (of the brightest hundredth), "height" (-3 m to 7 m about
        the sensor) and "normals" (three channels: components in [-1, 1] taken to [0, 1]).
    strips : int
        Number of sectors of equal width, one of them straight ahead, that are put below each other: 4 make a square of
        64 x 1024. Encoders of pictures scale to squares, and cut the sides of what is wide.

    Raises
    ------
    ValueError
        For numbers out of range, unknown channels, or a width that the strips do not divide.

    Examples
    --------
    >>> import numpy as np
    >>> from canonsim.encoders.views import RangeView
    >>> points = np.array([[10.0, 0.0, -1.0, 0.5], [0.0, 5.0, -1.0, 1.0]], dtype=np.float32)
    >>> view = RangeView(height=8, width=16, strips=1)(points)
    >>> view.shape, np.argwhere(view[..., 0] > 0).tolist()
    ((8, 16, 3), [[2, 8], [4, 4]])
    """

    height: int = 64
    width: int = 1024
    fov_up: float = 3.0
    fov_down: float = -25.0
    max_range: float = 80.0
    channels: Sequence[str] = ("depth", "intensity", "height")
    strips: int = 4

    names: ClassVar[tuple[str, ...]] = ("depth", "intensity", "height", "normals")

    def __post_init__(self) -> None:
        _check_size(self, ("height", "width", "strips"), ("max_range",))
        if not -90 <= self.fov_down < self.fov_up <= 90:
            raise ValueError(f"fov_down must lie below fov_up, both in [-90, 90], got {self.fov_down}, {self.fov_up}")
        if self.width % self.strips:
            raise ValueError(f"strips must divide the width, got {self.strips} and {self.width}")
        object.__setattr__(self, "channels", _checked_channels(self.channels, self.names))

    def __call__(self, points: Points) -> View:
        """Picture (strips * height, width / strips, channels) of points (n, 3) or (n, 4), values in [0, 1].

        Raises
        ------
        ValueError
            If no point lies within the field of view and the range.
        """
        place = points[:, :3]
        depth = np.sqrt(np.einsum("ij,ij->i", place, place))
        with np.errstate(divide="ignore", invalid="ignore"):
            elevation = np.degrees(np.arcsin(place[:, 2] / depth))
        row = (self.fov_up - elevation) / (self.fov_up - self.fov_down) * self.height
        seen = (row >= 0) & (row < self.height) & (depth > 0) & (depth <= self.max_range)
        if not seen.any():
            raise ValueError(
                f"none of {len(points)} points lies from {self.fov_down:g} to {self.fov_up:g} degrees above the "
                f"horizon and within {self.max_range:g} m"
            )
        place, depth = place[seen], depth[seen]
        around = 0.5 * (1 - np.arctan2(place[:, 1], place[:, 0]) / np.pi)
        column = np.minimum((around * self.width).astype(np.int64), self.width - 1)
        pixel = row[seen].astype(np.int64) * self.width + column
        # Of equal indices the last is kept: the nearest comes last.
        order = np.argsort(-depth, kind="stable")
        nearest = np.full(self.height * self.width, -1)
        nearest[pixel[order]] = order
        filled = np.flatnonzero(nearest >= 0)
        chosen = nearest[filled]
        shown: dict[str, Callable[[], npt.NDArray[Any]]] = {
            "depth": lambda: np.log1p(depth[chosen]) / np.log1p(self.max_range),
            "intensity": lambda: _relative(points[seen])[chosen],
            "height": lambda: _height(place[chosen, 2]),
            "normals": lambda: self._normals(filled, place[chosen]),
        }
        layers = [shown[name]() for name in self.channels]
        values = np.column_stack(layers).astype(np.float32)
        picture = np.zeros((self.height * self.width, values.shape[1]), dtype=np.float32)
        picture[filled] = values
        if self.strips % 2 == 0:
            # Straight ahead would lie between two strips.
            ahead = self.width // (2 * self.strips)
            picture = np.roll(picture.reshape(self.height, self.width, -1), ahead, axis=1)
        parts = picture.reshape(self.height, self.strips, self.width // self.strips, -1)
        return np.ascontiguousarray(parts.transpose(1, 0, 2, 3)).reshape(self.strips * self.height, -1, values.shape[1])

    def _normals(self, filled: npt.NDArray[np.int64], place: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Normals (k, 3), taken to [0, 1], of the surface through neighbouring pixels; towards the sensor."""
        grid = np.full((self.height, self.width, 3), np.nan, dtype=np.float32)
        grid.reshape(-1, 3)[filled] = place
        across = np.roll(grid, -1, axis=1) - grid
        below = np.empty_like(grid)
        below[:-1], below[-1] = grid[1:] - grid[:-1], np.nan
        normals: npt.NDArray[Any] = np.cross(across, below).reshape(-1, 3)[filled]
        with np.errstate(invalid="ignore", divide="ignore"):
            normals /= np.linalg.norm(normals, axis=1, keepdims=True)
            normals *= -np.sign((normals * place).sum(axis=1, keepdims=True))
        # A pixel without a neighbour has no surface: it is the middle of the scale in every component.
        shown: npt.NDArray[np.float32] = (np.nan_to_num(normals, nan=0.0) + 1) / 2
        return shown


@dataclass(frozen=True)
class BirdsEyeView:
    """View from above on square cells: up is x, left is y (Chen et al., MV3D, CVPR 2017, section 3.1).

    Parameters
    ----------
    cells : int
        Pixels of each side.
    max_range : float
        Metres from the sensor, which is in the middle, to each edge; points beyond are left out.
    channels : sequence of str
        Of "height" (of the highest point, -3 m to 7 m about the sensor), "density" (logarithm of the number of points,
        64 and more are 1) and "intensity" (of the highest point).

    Raises
    ------
    ValueError
        For numbers out of range or unknown channels.

    Examples
    --------
    >>> import numpy as np
    >>> from canonsim.encoders.views import BirdsEyeView
    >>> points = np.array([[10.0, 0.0, -1.0, 0.5], [10.0, 0.0, 2.0, 1.0]], dtype=np.float32)
    >>> BirdsEyeView(cells=8, max_range=16)(points)[1, 4].tolist()
    [0.5, 0.26317930221557617, 1.0]
    """

    cells: int = 256
    max_range: float = 50.0
    channels: Sequence[str] = ("height", "density", "intensity")

    names: ClassVar[tuple[str, ...]] = ("height", "density", "intensity")

    def __post_init__(self) -> None:
        _check_size(self, ("cells",), ("max_range",))
        object.__setattr__(self, "channels", _checked_channels(self.channels, self.names))

    def __call__(self, points: Points) -> View:
        """Picture (cells, cells, channels) of points (n, 3) or (n, 4), values in [0, 1].

        Raises
        ------
        ValueError
            If no point lies within the range.
        """
        cell = np.floor((1 - points[:, :2] / self.max_range) * (self.cells / 2))
        seen = ((cell >= 0) & (cell < self.cells)).all(axis=1)
        if not seen.any():
            raise ValueError(f"none of {len(points)} points lies within {self.max_range:g} m of the sensor")
        inside = points[seen]
        pixel = (cell[seen] @ [self.cells, 1]).astype(np.int64)
        order = np.argsort(inside[:, 2], kind="stable")
        highest = np.full(self.cells**2, -1)
        highest[pixel[order]] = order
        filled = np.flatnonzero(highest >= 0)
        chosen = highest[filled]
        shown: dict[str, Callable[[], npt.NDArray[Any]]] = {
            "height": lambda: _height(inside[chosen, 2]),
            "density": lambda: np.minimum(
                np.log1p(np.bincount(pixel, minlength=self.cells**2)[filled]) / np.log1p(64), 1
            ),
            "intensity": lambda: _relative(inside)[chosen],
        }
        values = np.column_stack([shown[name]() for name in self.channels])
        picture = np.zeros((self.cells**2, values.shape[1]), dtype=np.float32)
        picture[filled] = values
        return picture.reshape(self.cells, self.cells, -1)


def _height(z: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    shown: npt.NDArray[np.float32] = np.clip((z - _LOWEST) / (_HIGHEST - _LOWEST), 0, 1)
    return shown


def _relative(points: Points) -> npt.NDArray[np.float32]:
    """Intensity (n,) in [0, 1], which scanners give in various units; 0 where it is unknown."""
    if points.shape[1] < 4:
        return np.zeros(len(points), dtype=np.float32)
    brightest = np.quantile(points[:, 3], 0.99)
    if brightest <= 0:
        return np.zeros(len(points), dtype=np.float32)
    relative: npt.NDArray[np.float32] = np.clip(points[:, 3] / brightest, 0, 1)
    return relative


def _check_size(view: Any, counts: tuple[str, ...], lengths: tuple[str, ...]) -> None:
    for name in counts:
        if getattr(view, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(view, name)}")
    for name in lengths:
        if not 0 < getattr(view, name) < np.inf:
            raise ValueError(f"{name} must be positive and finite, got {getattr(view, name)}")


def _checked_channels(channels: Sequence[str], names: tuple[str, ...]) -> tuple[str, ...]:
    chosen = tuple(channels)
    unknown = [name for name in chosen if name not in names]
    if unknown or not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"channels must be different ones of {', '.join(names)}, got {chosen}")
    return chosen
