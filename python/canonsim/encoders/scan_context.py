"""Point clouds of places: Scan Context, and local shape by fast point feature histograms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from canonsim.data.points import Points
from canonsim.encoders.encoder import Encoder
from canonsim.encoders.points import CollateClouds

Statistics = npt.NDArray[np.float64]

# Bins of each of the three histograms that Open3D computes around a point.
_FPFH = 33
# Neighbours within this many voxels count for a normal, and within this many for a histogram; at most so many.
_NORMAL, _FEATURE = (2.0, 30), (5.0, 100)


class ScanContextEncoder(Encoder):
    """Scan Context (Kim and Kim, IROS 2018): the highest point of each cell of a polar grid about the sensor.

    A turn of the sensor shifts the columns of that matrix. So of each ring the magnitudes of the first ``harmonics``
    Fourier coefficients around it are taken, of which the first is the ring's mean (the paper's ring key): the features
    (rings * harmonics,) know the place and not the heading.

    Parameters
    ----------
    rings, sectors : int
        Cells outwards and around.
    max_range : float
        Where the outermost ring ends, metres; points beyond are left out.
    ground : float
        Height that counts as 0, metres about the sensor; what is below counts as 0 too, as do cells without a point.
    harmonics : int
        Coefficients of each ring, at most ``sectors // 2 + 1``.
    normalize : bool
        Scale every row to unit length.

    Raises
    ------
    ValueError
        For numbers out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from canonsim.encoders import ScanContextEncoder
    >>> cloud = np.random.default_rng(0).normal(size=(1000, 3)) * [20, 20, 1]
    >>> turned = cloud[:, [1, 0, 2]] * [-1, 1, 1]
    >>> here, there = ScanContextEncoder().encode([cloud, turned])
    >>> bool(np.allclose(here, there, atol=1e-4))
    True
    """

    def __init__(
        self,
        rings: int = 20,
        sectors: int = 60,
        max_range: float = 80.0,
        ground: float = -2.0,
        harmonics: int = 8,
        normalize: bool = False,
    ) -> None:
        if rings < 1 or sectors < 1:
            raise ValueError(f"rings and sectors must be at least 1, got {rings} and {sectors}")
        if not 0 < max_range < np.inf or not np.isfinite(ground):
            raise ValueError(f"max_range must be positive and ground finite, got {max_range} and {ground}")
        if not 1 <= harmonics <= sectors // 2 + 1:
            raise ValueError(f"harmonics must lie in [1, {sectors // 2 + 1}], got {harmonics}")
        options: dict[str, Any] = {
            "rings": rings,
            "sectors": sectors,
            "max_range": float(max_range),
            "ground": float(ground),
            "harmonics": harmonics,
        }
        super().__init__(
            nn.Identity(),
            CollateClouds(_ScanContext(**options)),
            kind="points",
            dim=rings * harmonics,
            config={"class": type(self).__name__, **options, "normalize": normalize},
            normalize=normalize,
        )


class FPFHEncoder(Encoder):
    """Local shape: mean and standard deviation of fast point feature histograms (Rusu et al., ICRA 2009), by Open3D.

    The cloud is thinned to one point in a voxel first; normals and histograms are of neighbourhoods of 2 and 5 voxels.
    The features (66,) know neither place nor heading.

    Parameters
    ----------
    voxel : float
        Edge of a voxel, metres.
    normalize : bool
        Scale every row to unit length.

    Raises
    ------
    ValueError
        If ``voxel`` is not positive.
    ImportError
        Without Open3D (``pip install canonsim[lidar]``), when clouds are encoded.

    Examples
    --------
    >>> import numpy as np
    >>> from canonsim.encoders import FPFHEncoder
    >>> FPFHEncoder().encode([np.random.default_rng(0).normal(size=(500, 3))]).shape
    (1, 66)
    """

    def __init__(self, voxel: float = 0.5, normalize: bool = False) -> None:
        if not 0 < voxel < np.inf:
            raise ValueError(f"voxel must be positive, got {voxel}")
        super().__init__(
            nn.Identity(),
            CollateClouds(_LocalShape(float(voxel))),
            kind="points",
            dim=2 * _FPFH,
            config={"class": type(self).__name__, "voxel": float(voxel), "normalize": normalize},
            normalize=normalize,
        )


@dataclass(frozen=True)
class _ScanContext:
    rings: int
    sectors: int
    max_range: float
    ground: float
    harmonics: int

    def __call__(self, points: Points) -> Statistics:
        distance = np.hypot(points[:, 0], points[:, 1])
        inside = distance < self.max_range
        ring = (distance[inside] * (self.rings / self.max_range)).astype(np.int64)
        around = (np.arctan2(points[inside, 1], points[inside, 0]) / (2 * np.pi)) % 1.0
        sector = (around * self.sectors).astype(np.int64) % self.sectors
        height = np.maximum(points[inside, 2].astype(np.float64) - self.ground, 0.0)
        order = np.argsort(height, kind="stable")
        context = np.zeros(self.rings * self.sectors)
        # Of equal indices the last is kept: the highest.
        context[(np.minimum(ring, self.rings - 1) * self.sectors + sector)[order]] = height[order]
        waves = np.fft.rfft(context.reshape(self.rings, self.sectors), axis=1) / self.sectors
        return np.abs(waves[:, : self.harmonics]).ravel()


@dataclass(frozen=True)
class _LocalShape:
    voxel: float

    def __call__(self, points: Points) -> Statistics:
        try:
            import open3d
        except ImportError as error:
            raise ImportError("point feature histograms need Open3D: pip install canonsim[lidar]") from error
        cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points[:, :3].astype(np.float64)))
        cloud = cloud.voxel_down_sample(self.voxel)
        near, wide = (
            open3d.geometry.KDTreeSearchParamHybrid(radius=voxels * self.voxel, max_nn=most)
            for voxels, most in (_NORMAL, _FEATURE)
        )
        cloud.estimate_normals(near)
        cloud.orient_normals_towards_camera_location(np.zeros(3))
        histograms = np.asarray(open3d.pipelines.registration.compute_fpfh_feature(cloud, wide, indices=None).data)  # type: ignore[arg-type]
        return np.concatenate([histograms.mean(axis=1), histograms.std(axis=1)])
