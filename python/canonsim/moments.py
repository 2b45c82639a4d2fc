"""The count, means and scatter matrices of paired rows: all that a fit needs, accumulated in one pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from canonsim import _native
from canonsim.files import pack, unpack, write_atomically
from canonsim.rows import Ids, Rows, RowWeights, check_rows, is_tensor, to_ids, to_native, to_weights

if TYPE_CHECKING:
    import os

    import torch

    from canonsim.device import DeviceMoments

_FORMAT = "canonsim.moments"
_PART = ("counts", "weights", "means", "scatters", "cubes", "fourths", "roundoffs")


@dataclass(frozen=True)
class SideMoments:
    """Moments of rows of one side: ``count``, ``mean`` (d,) and centred ``scatter`` (d, d), f64."""

    count: int
    mean: npt.NDArray[np.float64]
    scatter: npt.NDArray[np.float64]


class PairedMoments:
    """Moments of paired rows, per fold, in f64, kept by the Rust core.

    A state is a commutative monoid under `merge`: any order, batching or sharding of the same rows with the same ids
    gives the same state up to rounding (Chan, Golub, LeVeque 1979). Products run in the precision of the rows (f16 and
    bf16 as f32), in blocks about the block's own mean, and are added up in f64.

    Parameters
    ----------
    x_dim, y_dim : int
        Widths p and q of the two sides.
    folds : int
        Number of folds kept apart, for held-out numbers. 1 keeps none: smaller, and nothing can be held out.

    Raises
    ------
    ValueError
        If a width or the number of folds is less than 1.

    Examples
    --------
    >>> import numpy as np
    >>> import canonsim
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((100, 4))
    >>> moments = canonsim.PairedMoments(4, 2)
    >>> moments.update(x[:60], x[:60, :2])
    >>> moments.update(x[60:], x[60:, :2])
    >>> moments.count
    100
    >>> bool(np.allclose(moments.scatter_xx, (x - x.mean(0)).T @ (x - x.mean(0))))
    True
    """

    def __init__(self, x_dim: int, y_dim: int, folds: int = 5) -> None:
        for argument, value in (("x_dim", x_dim), ("y_dim", y_dim), ("folds", folds)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise TypeError(f"{argument} must be an integer, got {value!r}")
            if value < 1:
                raise ValueError(f"{argument} must be at least 1, got {value}")
        self._native = _native.Moments(int(x_dim), int(y_dim), int(folds))
        self._on_device: DeviceMoments | None = None

    @classmethod
    def _wrap(cls, native: _native.Moments) -> Self:
        moments = cls.__new__(cls)
        moments._native = native
        moments._on_device = None
        return moments

    def __repr__(self) -> str:
        return f"PairedMoments(x_dim={self.x_dim}, y_dim={self.y_dim}, folds={self.folds}), {self.count} pairs"

    @property
    def native(self) -> _native.Moments:
        """The state in the Rust core, with all rows that waited on a device."""
        if self._on_device is not None:
            self._native.merge(_from_state(self._on_device.state()))
            self._on_device = None
        return self._native

    @property
    def x_dim(self) -> int:
        """Width p of x."""
        return self._native.x_dim

    @property
    def y_dim(self) -> int:
        """Width q of y."""
        return self._native.y_dim

    @property
    def folds(self) -> int:
        """Number of folds."""
        return self._native.folds

    @property
    def count(self) -> int:
        """Number of pairs."""
        return self._native.count + (self._on_device.count if self._on_device else 0)

    @property
    def fold_counts(self) -> npt.NDArray[np.int64]:
        """Number of pairs of each fold, (K,) int64."""
        return np.asarray(self.native.fold_counts, dtype=np.int64)

    @property
    def x_mean(self) -> npt.NDArray[np.float64]:
        """Mean of x, (p,) f64."""
        return self.native.x_mean

    @property
    def y_mean(self) -> npt.NDArray[np.float64]:
        """Mean of y, (q,) f64."""
        return self.native.y_mean

    @property
    def scatter_xx(self) -> npt.NDArray[np.float64]:
        """Centred scatter of x, (p, p) f64."""
        return self.native.scatter_xx

    @property
    def scatter_yy(self) -> npt.NDArray[np.float64]:
        """Centred scatter of y, (q, q) f64."""
        return self.native.scatter_yy

    @property
    def scatter_xy(self) -> npt.NDArray[np.float64]:
        """Centred cross scatter, (p, q) f64."""
        return self.native.scatter_xy

    @property
    def unpaired_x(self) -> SideMoments:
        """Moments of the rows given to `update_x`."""
        return _side(self.native.parts()[1])

    @property
    def unpaired_y(self) -> SideMoments:
        """Moments of the rows given to `update_y`."""
        return _side(self.native.parts()[2])

    def fold(self, k: int) -> PairedMoments:
        """Moments of fold ``k`` alone, a copy with ``folds=1``.

        Raises
        ------
        IndexError
            If there is no fold ``k``.
        """
        if not 0 <= k < self.folds:
            raise IndexError(f"fold {k} of moments with {self.folds} folds")
        return PairedMoments._wrap(self.native.fold(k))

    def update(self, x: Rows, y: Rows, ids: Ids | None = None, weights: RowWeights | None = None) -> None:
        """Add pairs: row i of ``x`` belongs to row i of ``y``.

        Parameters
        ----------
        x, y : array or tensor, (n, p) and (n, q)
            f16, bf16, f32 or f64, any strides. Tensors on an accelerator are accumulated there; only moments travel.
        ids : (n,) int64, optional
            A row's fold is a fixed hash (splitmix64) of its id, so every sharding of the same rows gives the same
            folds, and rows with one id (the captions of one image) share a fold. Default: the running row number.
        weights : (n,) float, optional
            How much each pair counts, from 0 to 1e9; 1 by default. A pair of weight 0 is as if it were not there. Only
            the ratios of weights matter to a fit: covariances are ``S / (W - sum w^2 / W)`` with ``W = sum w``.

        Raises
        ------
        TypeError
            For values or weights that are no floats, or ids that are no integers.
        ValueError
            For other widths, different numbers of rows, NaN or infinite values, or weights out of range: the message
            names the row. The state stays as it was.
        """
        check_rows(x, "x", self.x_dim)
        check_rows(y, "y", self.y_dim)
        if len(x) != len(y):
            raise ValueError(f"y has {len(y)} rows, but x has {len(x)}")
        numbers = None if ids is None else to_ids(ids, len(x))
        heavy = None if weights is None else to_weights(weights, len(x))
        if heavy is None and is_tensor(x) and is_tensor(y) and _accumulates(x) and x.device == y.device:
            if numbers is None:
                numbers = np.arange(self.count, self.count + len(x), dtype=np.int64)
            self._device_moments(x).update(x, y, numbers)
        else:
            # The default id of a row is the number of rows before it, those on a device included.
            self.native.update(to_native(x), to_native(y), numbers, heavy)

    def _device_moments(self, x: torch.Tensor) -> DeviceMoments:
        from canonsim.device import DeviceMoments

        if self._on_device is not None and self._on_device.device != x.device:
            _ = self.native
        if self._on_device is None:
            self._on_device = DeviceMoments(self.x_dim, self.y_dim, self.folds, x.device)
        return self._on_device

    def update_x(self, x: Rows, weights: RowWeights | None = None) -> None:
        """Add rows (n, p) of x that have no partner: they go into `unpaired_x`. Weights and errors as in `update`."""
        check_rows(x, "x", self.x_dim)
        self.native.update_x(to_native(x), None if weights is None else to_weights(weights, len(x)))

    def update_y(self, y: Rows, weights: RowWeights | None = None) -> None:
        """Add rows (n, q) of y that have no partner: they go into `unpaired_y`. Weights and errors as in `update`."""
        check_rows(y, "y", self.y_dim)
        self.native.update_y(to_native(y), None if weights is None else to_weights(weights, len(y)))

    def remove(self, x: Rows, y: Rows, ids: Ids, weights: RowWeights | None = None) -> None:
        """Take pairs back that were added under these ids with these weights: the inverse of `update`, up to rounding.

        Raises
        ------
        ValueError
            As in `update`; also where a fold holds fewer rows or less weight than are to be removed, or where its
            scatter would no longer be positive semidefinite: such rows were never added. The state stays as it was.
        """
        check_rows(x, "x", self.x_dim)
        check_rows(y, "y", self.y_dim)
        heavy = None if weights is None else to_weights(weights, len(x))
        self.native.remove(to_native(x), to_native(y), to_ids(ids, len(x)), heavy)

    def merge(self, other: PairedMoments) -> None:
        """Add the rows of ``other``, fold by fold, in place.

        Raises
        ------
        TypeError
            If ``other`` is no `PairedMoments`.
        ValueError
            If its widths or its number of folds differ.
        """
        if not isinstance(other, PairedMoments):
            raise TypeError(f"other must be PairedMoments, got {type(other).__name__}")
        self.native.merge(other.native)

    def copy(self) -> PairedMoments:
        """Moments of their own with the same state."""
        return PairedMoments._wrap(self.native.copy())

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> PairedMoments:
        return self.copy()

    def __reduce__(self) -> tuple[Any, tuple[bytes]]:
        return PairedMoments.from_bytes, (self.to_bytes(),)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """The whole state as arrays, for a reduction over processes or a checkpoint.

        Returns
        -------
        dict
            Of the K folds: ``counts`` (K,) int64; ``weights`` (K, 2) f64, the sums of the weights and of their squares;
            ``means`` (K, p + q) f64; ``scatters`` (K, (p + q) (p + q + 1) / 2) f64, the lower triangle of the scatter
            of ``[x | y]``, row by row; ``cubes`` (K, p + q) and ``fourths`` (K, 2) f64, the sums of ``|z|^2 z`` and
            ``|z|^4`` of the parts z of the rows, less the mean, on each side, infinite where they overflow;
            ``roundoffs`` (K,) f64, the unit roundoff of the least precise products in the scatters. And the same with
            K = 1 and one part as ``unpaired_x.counts`` and so on.
        """
        folds, unpaired_x, unpaired_y = self.native.parts()
        return {
            f"{prefix}{name}": np.stack([np.asarray(part[i]) for part in parts])
            for prefix, parts in (("", folds), ("unpaired_x.", [unpaired_x]), ("unpaired_y.", [unpaired_y]))
            for i, name in enumerate(_PART)
        }

    @classmethod
    def from_state(cls, state: dict[str, npt.NDArray[Any]]) -> Self:
        """The moments of a `state`.

        Raises
        ------
        ValueError
            If an array is missing or misshapen, or holds what no rows can have produced.
        """
        return cls._wrap(_from_state(state))

    def to_bytes(self) -> bytes:
        """The state as safetensors with a checksum, for any map-reduce engine."""
        return pack(self.state(), _FORMAT)

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """The moments of `to_bytes`.

        Raises
        ------
        ValueError
            If the bytes are truncated, altered, or not those of moments.
        """
        return cls._read(content, "the bytes")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state to a safetensors file; a reader never sees half of it."""
        write_atomically(path, self.to_bytes())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read the file of `save`.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is truncated, altered, or no file of moments.
        """
        return cls._read(Path(path).read_bytes(), str(path))

    @classmethod
    def _read(cls, content: bytes, origin: str) -> Self:
        tensors, _ = unpack(content, _FORMAT, origin)
        return cls.from_state(tensors)


def merge(moments: Iterable[PairedMoments]) -> PairedMoments:
    """The moments of all rows of several moments, which stay as they are.

    Raises
    ------
    ValueError
        If there are none, or their widths or numbers of folds differ.

    Examples
    --------
    >>> import numpy as np
    >>> import canonsim
    >>> a, b = canonsim.PairedMoments(2, 2), canonsim.PairedMoments(2, 2)
    >>> a.update(np.eye(2), np.eye(2))
    >>> b.update(np.eye(2), np.eye(2))
    >>> canonsim.merge([a, b]).count
    4
    """
    parts = list(moments)
    if not parts:
        raise ValueError("moments must hold at least one PairedMoments, got none")
    total = parts[0].copy()
    for part in parts[1:]:
        total.merge(part)
    return total


def _accumulates(x: torch.Tensor) -> bool:
    """Whether sums in f64 can be kept on the tensor's own device; MPS has no f64."""
    return x.device.type not in ("cpu", "mps", "meta")


def _side(part: _native._Part) -> SideMoments:
    count, _, mean, packed, *_ = part
    scatter = np.zeros((len(mean), len(mean)))
    rows, columns = np.tril_indices(len(mean))
    scatter[rows, columns] = packed
    scatter[columns, rows] = packed
    return SideMoments(count, mean, scatter)


def _from_state(state: dict[str, npt.NDArray[Any]]) -> _native.Moments:
    def parts(prefix: str) -> list[_native._Part]:
        try:
            counts, *sums, roundoffs = (state[f"{prefix}{name}"] for name in _PART)
        except KeyError as error:
            raise ValueError(f"not the state of moments: {error.args[0]!r} is missing") from None
        if not (counts.ndim == roundoffs.ndim == 1 and all(array.ndim == 2 for array in sums)):
            raise ValueError("not the state of moments: its arrays have other dimensions")
        if not all(len(array) == len(counts) for array in (*sums, roundoffs)):
            raise ValueError("not the state of moments: its arrays are of different lengths")
        if counts.dtype.kind not in "iu" or bool((counts < 0).any()):
            raise ValueError("not the state of moments: its counts are no counts")
        folds = zip(counts, zip(*sums, strict=True), roundoffs, strict=True)
        return [_part(int(count), of_fold, float(unit)) for count, of_fold, unit in folds]

    folds, unpaired_x, unpaired_y = parts(""), parts("unpaired_x."), parts("unpaired_y.")
    if len(unpaired_x) != 1 or len(unpaired_y) != 1:
        raise ValueError("not the state of moments: unpaired rows have no folds")
    return _native.Moments.from_parts(len(unpaired_x[0][2]), len(unpaired_y[0][2]), folds, unpaired_x[0], unpaired_y[0])


def _part(count: int, sums: Iterable[npt.NDArray[Any]], roundoff: float) -> _native._Part:
    weights, mean, scatter, cubes, fourths = (np.ascontiguousarray(array, np.float64) for array in sums)
    return count, weights, mean, scatter, cubes, fourths, roundoff
