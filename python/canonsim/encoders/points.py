"""Point clouds by statistics of their geometry."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from canonsim.data.points import Points, check_columns, read_points
from canonsim.encoders.encoder import Encoder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_RINGS, _HEIGHTS, _LEVELS = 8, 8, 8
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Above the ground, in metres: curb, car, person, truck, sign and tree, building.
_HEIGHT_EDGES = (-np.inf, 0.15, 0.5, 1.0, 1.5, 2.2, 3.5, 6.0, np.inf)
_WIDTH = 1 + 3 + 3 + 3 + 3 * len(_QUANTILES) + _RINGS * _HEIGHTS + _LEVELS


class PointCloudEncoder(Encoder):
    """Point-cloud encoder that needs no training: 97 statistics of a cloud, the same on every machine.

    - log(1 + n); mean and standard deviation of x, y, z;
    - linearity, planarity and scattering, from the square roots s1 >= s2 >= s3 of the eigenvalues of the covariance:
      (s1 - s2) / s1, (s2 - s3) / s1, s3 / s1 (Demantké et al., Dimensionality based scale selection in 3D lidar point
      clouds, 2011);
    - the quantiles .05, .25, .5, .75, .95 of height, horizontal range and intensity;
    - square roots of the shares of points in 8 rings about the sensor times 8 heights above the ground, which is the
      .05 quantile of z; every ring ends twice as far out as the one before;
    - square roots of the shares of points in 8 levels of intensity, relative to its .99 quantile (0 where intensity is
      unknown).

    All of it is computed by `collate`, in the workers of a data loader.

    Parameters
    ----------
    max_range : float
        Where the outermost ring ends, metres; points beyond count as in it.
    normalize : bool
        Scale every row to unit length.
    columns : int, optional
        Values in a row of a ``.bin`` file, as `read_points` takes them.

    Raises
    ------
    ValueError
        If ``max_range`` is not positive, or ``columns`` less than 3.

    Examples
    --------
    >>> import numpy as np
    >>> from canonsim.encoders import PointCloudEncoder
    >>> cloud = np.random.default_rng(0).normal(size=(1000, 4))
    >>> PointCloudEncoder().encode([cloud]).shape
    (1, 97)
    """

    def __init__(self, max_range: float = 80.0, normalize: bool = False, columns: int | None = None) -> None:
        if not (np.isfinite(max_range) and max_range > 0):
            raise ValueError(f"max_range must be positive, got {max_range}")
        check_columns(columns)
        config = {"class": type(self).__name__, "max_range": float(max_range), "normalize": normalize}
        if columns is not None:
            config["columns"] = columns
        super().__init__(
            nn.Identity(),
            CollateClouds(partial(_statistics, max_range=float(max_range)), columns),
            kind="points",
            dim=_WIDTH,
            config=config,
            normalize=normalize,
        )


@dataclass(frozen=True)
class CollateClouds:
    """Statistics (d,) of each cloud as a batch (n, d): for encoders without weights.

    Attributes
    ----------
    statistics : callable
        Of points (n, 3) or (n, 4); it must pickle.
    columns : int, optional
        Values in a row of a ``.bin`` file, as `read_points` takes them.
    """

    statistics: Callable[[Points], npt.NDArray[np.float64]]
    columns: int | None = None

    def __call__(self, items: Sequence[Any]) -> torch.Tensor:
        """Read and describe."""
        rows = [self.statistics(read_points(item, self.columns)) for item in items]
        return torch.from_numpy(np.stack(rows).astype(np.float32))


def _statistics(points: Points, max_range: float) -> npt.NDArray[np.float64]:
    cloud = points.astype(np.float64)
    place, height = cloud[:, :3], cloud[:, 2]
    intensity = cloud[:, 3] if cloud.shape[1] == 4 else np.zeros(len(cloud))
    distance = np.hypot(cloud[:, 0], cloud[:, 1])
    rings = np.concatenate([[0.0], max_range * 2.0 ** np.arange(1 - _RINGS, 0), [np.inf]])
    ground = np.quantile(height, _QUANTILES[0])
    shares, _, _ = np.histogram2d(distance, height - ground, bins=(rings, np.array(_HEIGHT_EDGES)))
    brightest = np.quantile(intensity, 0.99)
    relative = np.clip(intensity / brightest, 0.0, 1.0) if brightest > 0 else np.zeros(len(cloud))
    levels, _ = np.histogram(relative, bins=_LEVELS, range=(0.0, 1.0))
    known = float(brightest > 0)
    return np.concatenate(
        [
            [np.log1p(len(cloud))],
            place.mean(axis=0),
            place.std(axis=0),
            _shape(place),
            np.quantile(height, _QUANTILES),
            np.quantile(distance, _QUANTILES),
            np.quantile(intensity, _QUANTILES),
            np.sqrt(shares.ravel() / len(cloud)),
            known * np.sqrt(levels / len(cloud)),
        ]
    )


def _shape(place: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Linearity, planarity and scattering of (n, 3) points; zeros for a single place."""
    centred = place - place.mean(axis=0)
    variances = np.linalg.eigvalsh(centred.T @ centred / len(place))
    third, second, first = np.sqrt(np.maximum(variances, 0.0))
    if first == 0.0:
        return np.zeros(3)
    return np.array([(first - second) / first, (second - third) / first, third / first])
