"""Features of the kernel exp(gamma (cos - 1)): random ones, and those of landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from canonsim.maps.feature_map import FeatureMap, checked_count, unit_rows
from canonsim.row_hashes import in_hash_order
from canonsim.rows import Ids, Rows, check_rows, library, take, to_dtype, to_numpy, widest_dtype

Vector = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class RandomFourier(FeatureMap):
    """Random Fourier features of the Gaussian kernel of centred unit rows (Rahimi and Recht 2007).

    With u the unit row about the centre and w the columns of ``frequencies`` (m of them), the features are
    ``[cos(u w), sin(u w)] / sqrt(m)``: their inner products are the kernel to about ``1 / sqrt(m)``. Such an error can
    drown what is linear in u, so u itself stands before them, and inner products are ``cos + kernel``.

    Parameters
    ----------
    center : (dim,)
    frequencies : (dim, m)
        Drawn from a normal distribution of variance gamma. `draw` does it.
    linear : bool
        Whether u stands before the features, as said.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).standard_normal((100, 8))
    >>> RandomFourier.draw(x, features=64)(x).shape
    (100, 72)
    """

    center: Vector
    frequencies: Matrix
    linear: bool = True
    kind: ClassVar[str] = "random-fourier"

    def __post_init__(self) -> None:
        self._own(center=(None,))
        self._own(frequencies=(len(self.center), None))
        if not isinstance(self.linear, bool):
            raise TypeError(f"linear must be True or False, got {self.linear!r}")

    @classmethod
    def draw(cls, rows: Rows, features: int = 512, gamma: float = 1.0, seed: int = 0, *, linear: bool = True) -> Self:
        """Draw the frequencies, about the mean of some rows.

        Parameters
        ----------
        rows : (n, dim)
            Only their mean counts.
        features : int
            Cosines and sines together, so an even number.
        gamma : float
            Of the kernel ``exp(gamma * (cos - 1))``.
        seed : int
            Of numpy's Philox generator. A saved map holds the frequencies, whatever the generator.
        linear : bool

        Raises
        ------
        TypeError, ValueError
            For rows or numbers that are none of these.
        """
        if checked_count(features, "features") % 2:
            raise ValueError(f"features must be even, a cosine and a sine for each frequency, got {features}")
        deviation = _checked_gamma(gamma) ** 0.5
        center = mean_row(rows)
        generator = np.random.Generator(np.random.Philox(seed))
        return cls(center, deviation * generator.standard_normal((len(center), features // 2)), linear)

    @property
    def in_dim(self) -> int:
        """Width of the rows taken."""
        return len(self.center)

    @property
    def out_dim(self) -> int:
        """Width of the rows given."""
        return 2 * int(self.frequencies.shape[1]) + self.linear * len(self.center)

    def apply(self, rows: Any) -> Any:
        """Map rows, unchecked."""
        lib = library(rows)
        unit = unit_rows(rows - self.center)
        angles = unit @ self.frequencies
        scale = self.frequencies.shape[1] ** -0.5
        features = [lib.cos(angles) * scale, lib.sin(angles) * scale]
        return lib.concatenate([unit, *features] if self.linear else features, axis=-1)


@dataclass(frozen=True, eq=False, repr=False)
class Nystroem(FeatureMap):
    """Nystroem features of the kernel ``exp(gamma * (cos - 1))`` of centred rows (Williams and Seeger 2001).

    With K = V diag(l) V^T the kernel of m landmarks with one another, the features of a row are ``k V l^(-1/2)``, k its
    kernel with the landmarks: inner products with a landmark are the kernel exactly. Eigenvalues below
    ``m * eps * l_max``, eps that of f32, are dropped with their features, never inverted: below it kernels computed in
    f32 are rounding and no more.

    Landmarks of the two sides should be rows of different pairs, or else all pairs: a pair that is a landmark on both
    sides is a direction of its own on both, which looks like a correlation that new pairs do not have.

    Parameters
    ----------
    center : (dim,)
    landmarks : (m, dim)
        Unit rows about the centre.
    whitening : (m, out_dim)
        ``V l^(-1/2)``. `of_landmarks` and `of_rows` compute it.
    gamma : float

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).standard_normal((100, 8))
    >>> features = Nystroem.of_rows(x, landmarks=40)(x)
    >>> features.shape
    (100, 40)
    """

    center: Vector
    landmarks: Matrix
    whitening: Matrix
    gamma: float = 1.0
    kind: ClassVar[str] = "nystroem"

    def __post_init__(self) -> None:
        self._own(center=(None,))
        self._own(landmarks=(None, len(self.center)))
        self._own(whitening=(len(self.landmarks), None))
        vars(self)["gamma"] = _checked_gamma(self.gamma)

    @classmethod
    def of_landmarks(cls, landmarks: Rows, gamma: float = 1.0, center: npt.ArrayLike | None = None) -> Self:
        """Make the map of landmarks.

        Parameters
        ----------
        landmarks : (m, dim)
            Rows as the map is to take them.
        gamma : float
        center : (dim,), optional
            The mean of the landmarks by default.

        Raises
        ------
        TypeError, ValueError
            For rows or numbers that are none of these.
        """
        gamma = _checked_gamma(gamma)
        middle = mean_row(landmarks, "landmarks") if center is None else np.asarray(center, np.float64)
        if middle.shape != (landmarks.shape[1],):
            raise ValueError(f"center must have shape ({landmarks.shape[1]},), got {middle.shape}")
        unit = unit_rows(_to_f64(landmarks) - middle)
        values, vectors = np.linalg.eigh(np.exp(gamma * (unit @ unit.T - 1)))
        kept = values > len(values) * np.finfo(np.float32).eps * values[-1]
        return cls(middle, unit, vectors[:, kept] / np.sqrt(values[kept]), gamma)

    @classmethod
    def of_rows(cls, rows: Rows, landmarks: int = 500, gamma: float = 1.0, ids: Ids | None = None) -> Self:
        """Make the map of rows, some of which are its landmarks, about their mean.

        Parameters
        ----------
        rows : (n, dim)
        landmarks : int
            How many, at most: the rows whose ids have the smallest hashes, one for each id. So any order of the rows
            gives the same landmarks.
        gamma : float
        ids : (n,) int64, optional
            The running row number by default.

        Raises
        ------
        TypeError, ValueError
            For rows or numbers that are none of these.
        """
        center = mean_row(rows)
        chosen = in_hash_order(ids, len(rows))[: checked_count(landmarks, "landmarks")]
        return cls.of_landmarks(take(rows, chosen), gamma, center)

    @property
    def in_dim(self) -> int:
        """Width of the rows taken."""
        return len(self.center)

    @property
    def out_dim(self) -> int:
        """Width of the rows given."""
        return int(self.whitening.shape[1])

    def apply(self, rows: Any) -> Any:
        """Map rows, unchecked."""
        cosines = unit_rows(rows - self.center) @ self.landmarks.T
        return library(rows).exp(self.gamma * (cosines - 1)) @ self.whitening


def _to_f64(rows: Rows) -> Matrix:
    return np.asarray(to_numpy(to_dtype(rows, widest_dtype(rows))), dtype=np.float64)


def mean_row(rows: Rows, argument: str = "rows") -> Vector:
    """The mean of rows (n, dim), in f64; refuse what has none."""
    check_rows(rows, argument)
    if len(rows) == 0 or rows.shape[1] == 0:
        raise ValueError(f"{argument} must hold at least one row and one column, got shape {tuple(rows.shape)}")
    mean = _to_f64(rows.mean(0, dtype=widest_dtype(rows)))
    if not np.isfinite(mean).all():
        raise ValueError(f"{argument} holds NaN or infinite values, or values whose mean overflows")
    return mean


def _checked_gamma(gamma: Any) -> float:
    if isinstance(gamma, bool) or not isinstance(gamma, (int, float, np.integer, np.floating)):
        raise TypeError(f"gamma must be a number, got {gamma!r}")
    if not (np.isfinite(gamma) and gamma > 0):
        raise ValueError(f"gamma must be positive and finite, got {gamma}")
    return float(gamma)
