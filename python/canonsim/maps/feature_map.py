"""What every feature map is: a fixed function of single rows, over arrays of its own."""

from __future__ import annotations

import copy
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from canonsim.embedding import in_blocks
from canonsim.rows import Rows, check_rows, is_tensor, result_dtype, to_dtype, widest_dtype


class FeatureMap(ABC):
    """A fixed function of single rows, (n, in_dim) to (n, out_dim).

    Maps do not change and hold arrays of their own, read-only. They take numpy arrays and give numpy arrays, or take
    torch tensors and give tensors on the same device. They compute in f64, a block of rows at a time; f64 rows give f64
    results, all others f32.

    Attributes
    ----------
    kind : str
        The name that saved models know the map by.
    """

    kind: ClassVar[str]

    @property
    @abstractmethod
    def in_dim(self) -> int:
        """Width of the rows taken."""

    @property
    @abstractmethod
    def out_dim(self) -> int:
        """Width of the rows given."""

    @abstractmethod
    def apply(self, rows: Any) -> Any:
        """Map rows that have the dtype, device and library of the map's arrays, unchecked; in that dtype."""

    def __call__(self, rows: Rows, argument: str = "rows") -> Any:
        """Map rows (n, in_dim) to (n, out_dim); ``argument`` is what messages call them.

        Raises
        ------
        TypeError
            For values that are no floats.
        ValueError
            For another width, or NaN or infinite values: the message names the row.
        """
        check_rows(rows, argument, self.in_dim)
        here, wide = self.on_device(rows), widest_dtype(rows)
        return in_blocks(rows, argument, lambda block: here.apply(to_dtype(block, wide)), result_dtype(rows))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(in_dim={self.in_dim}, out_dim={self.out_dim})"

    @property
    def arrays(self) -> dict[str, Any]:
        """The arrays that the map consists of, by name."""
        return {name: value for name, value in vars(self).items() if not isinstance(value, (int, float))}

    @property
    def config(self) -> dict[str, Any]:
        """What else it consists of, JSON-able, with its kind."""
        return {"kind": self.kind, **{name: value for name, value in vars(self).items() if name not in self.arrays}}

    @property
    def fingerprint(self) -> str:
        """A hash of all that the map consists of: equal maps have equal ones."""
        digest = hashlib.blake2b(json.dumps(self.config, sort_keys=True).encode(), digest_size=16)
        for name, array in sorted(self.arrays.items()):
            digest.update(f"{name} {array.shape}".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()

    def with_arrays(self, arrays: Mapping[str, Any]) -> Self:
        """The same map over other arrays of the same shapes, be they tensors; they are neither copied nor checked."""
        other = copy.copy(self)
        vars(other).update(arrays)
        return other

    def on_device(self, rows: Rows) -> Self:
        """The same map for these rows: over tensors on their device where they are tensors."""
        if not is_tensor(rows):
            return self
        import torch

        where = {"device": rows.device, "dtype": widest_dtype(rows)}
        # A tensor over read-only memory would warn.
        return self.with_arrays({name: torch.tensor(array, **where) for name, array in self.arrays.items()})

    def _own(self, **shapes: tuple[int | None, ...]) -> None:
        """Make the arrays the map's own, read-only; refuse other shapes (None is any length) and what is not finite."""
        for name, shape in shapes.items():
            array = np.array(getattr(self, name), dtype=np.float64, order="C")
            fits = array.ndim == len(shape) and all(
                want in (None, length) and length > 0 for want, length in zip(shape, array.shape, strict=True)
            )
            if not fits:
                expected = tuple("any" if length is None else length for length in shape)
                raise ValueError(f"{name} must have shape ({', '.join(map(str, expected))}), got {array.shape}")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} holds values that are not finite")
            array.setflags(write=False)
            vars(self)[name] = array


def check_is_map(value: object, argument: str) -> None:
    """Refuse what is neither a feature map nor None."""
    if value is not None and not isinstance(value, FeatureMap):
        raise TypeError(f"{argument} must be a feature map of canonsim.maps, got {value!r}")


def unit_rows(rows: Any) -> Any:
    """Rows of length 1, whatever their magnitude; a row of zeros stays one."""
    largest = (rows.abs().amax(-1) if is_tensor(rows) else np.abs(rows).max(-1))[..., None]
    # Squares of very large or small values would overflow or vanish.
    scaled = rows / (largest + (largest == 0))
    norm = (scaled * scaled).sum(-1)[..., None] ** 0.5
    return scaled / (norm + (norm == 0))


def checked_count(value: Any, argument: str) -> int:
    """Give a number back, or refuse what is no integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{argument} must be an integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{argument} must be at least 1, got {value}")
    return int(value)


def check_map(feature_map: FeatureMap | None, argument: str, width: int) -> None:
    """Refuse what is no feature map, or gives rows of another width than there are moments of."""
    check_is_map(feature_map, argument)
    if feature_map is not None and feature_map.out_dim != width:
        raise ValueError(f"{argument} gives rows of width {feature_map.out_dim}, but the moments are of width {width}")
