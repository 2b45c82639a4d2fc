"""Moments of more than two sides, any of which may be missing in a row: for pairwise spaces and for a joint one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from canonsim.files import pack, unpack, write_atomically
from canonsim.moments import PairedMoments, SideMoments, merge
from canonsim.rows import Ids, Rows, is_tensor, to_ids
from canonsim.sides.aligned_rows import AlignedRows

if TYPE_CHECKING:
    import os

_FORMAT = "canonsim.multi_moments"


class MultiMoments:
    """Moments of rows with several sides, per fold, in f64: of every pair of sides, and of every side.

    Row i of every side belongs together, and a row may lack sides. Kept are the `PairedMoments` of every pair of sides,
    with the rows that have only one of the two as its unpaired rows, and the moments of every side by fold: all that
    `pair` and `canonsim.fit_joint` need, whatever the patterns in which sides are missing. As for `PairedMoments`, any
    order, batching or sharding of the same rows with the same ids gives the same state up to rounding. An object is for
    one thread at a time; merge those of several.

    Parameters
    ----------
    dims : mapping of str to int
        Name and width of each side, at least two.
    folds : int
        Number of folds kept apart. A row's fold is the hash of its id, whatever sides it has.

    Raises
    ------
    TypeError
        If ``dims`` is no mapping of names to integers, or ``folds`` no integer.
    ValueError
        For fewer than two sides, an empty name, or a number less than 1.

    Examples
    --------
    >>> import numpy as np
    >>> import canonsim
    >>> rng = np.random.default_rng(0)
    >>> image, text, audio = (rng.standard_normal((100, d)) for d in (6, 4, 3))
    >>> moments = canonsim.MultiMoments({"image": 6, "text": 4, "audio": 3})
    >>> moments.update({"image": image[:60], "text": text[:60]})
    >>> heard = np.arange(40) % 2 == 0
    >>> moments.update({"image": image[60:], "text": text[60:], "audio": audio[60:]}, present={"audio": heard})
    >>> moments.count, moments.counts["audio"], moments.counts["text", "audio"]
    (100, 20, 20)
    >>> pair = moments.pair("text", "audio")
    >>> pair.count, pair.unpaired_x.count
    (20, 80)
    """

    def __init__(self, dims: Mapping[str, int], folds: int = 5) -> None:
        if not isinstance(dims, Mapping) or not all(isinstance(name, str) for name in dims):
            raise TypeError(f"dims must be a mapping of names to widths, got {dims!r}")
        if len(dims) < 2 or "" in dims:
            raise ValueError(f"dims must name at least two sides, got {list(dims)}")
        for name, width in dims.items():
            if isinstance(width, bool) or not isinstance(width, (int, np.integer)):
                raise TypeError(f"the width of {name!r} must be an integer, got {width!r}")
            if width < 1:
                raise ValueError(f"the width of {name!r} must be at least 1, got {width}")
        self._dims = {name: int(width) for name, width in dims.items()}
        self._count = 0
        # Unpaired rows have no folds: a side alone is kept as pairs with a column of zeros.
        self._sides = {name: PairedMoments(width, 1, folds) for name, width in self._dims.items()}
        self._pairs = {(a, b): PairedMoments(self._dims[a], self._dims[b], folds) for a, b in combinations(dims, 2)}

    def __repr__(self) -> str:
        return f"MultiMoments({self._dims}, folds={self.folds}), {self.count} rows"

    @property
    def dims(self) -> dict[str, int]:
        """Width of each side."""
        return dict(self._dims)

    @property
    def sides(self) -> tuple[str, ...]:
        """Names of the sides."""
        return tuple(self._dims)

    @property
    def folds(self) -> int:
        """Number of folds."""
        return next(iter(self._sides.values())).folds

    @property
    def count(self) -> int:
        """Number of rows, whatever sides they have."""
        return self._count

    @property
    def counts(self) -> dict[str | tuple[str, str], int]:
        """Number of rows that have a side, by its name, and both of two, by their names in the order of `sides`."""
        counts: dict[str | tuple[str, str], int] = {name: side.count for name, side in self._sides.items()}
        counts.update({names: pair.count for names, pair in self._pairs.items()})
        return counts

    def update(
        self, rows: Mapping[str, Rows], ids: Ids | None = None, present: Mapping[str, Any] | None = None
    ) -> None:
        """Add rows: row i of every side given belongs together.

        Parameters
        ----------
        rows : mapping of str to (n, d) array or tensor
            Any of the sides, at least one; f16, bf16, f32 or f64, any strides.
        ids : (n,) int64, optional
            As for `PairedMoments.update`. Default: the running row number.
        present : mapping of str to (n,) bool, optional
            Which rows have the side; all, for a side it does not name. What stands in the others is not looked at.

        Raises
        ------
        TypeError
            For anything but a mapping, values that are no floats, masks that are not bool, or ids that are no integers.
        ValueError
            For sides that are not of these moments, other widths, different numbers of rows, NaN or infinite values,
            or a row without any side: the message names the side and the row. The state stays as it was.
        """
        batch = AlignedRows(rows, present, self._dims)
        numbers = np.arange(self._count, self._count + batch.count) if ids is None else to_ids(ids, batch.count)
        for name, side in self._sides.items():
            if (has := batch.has(name)).any():
                own = batch.of(name, has)
                side.update(own, _zeros(own), numbers[has])
        for (a, b), pair in self._pairs.items():
            has_a, has_b = batch.has(a), batch.has(b)
            if (both := has_a & has_b).any():
                pair.update(batch.of(a, both), batch.of(b, both), numbers[both])
            if (only := has_a & ~has_b).any():
                pair.update_x(batch.of(a, only))
            if (only := has_b & ~has_a).any():
                pair.update_y(batch.of(b, only))
        self._count += batch.count

    def _known(self, name: str) -> str:
        """Give the name of a side back.

        Raises
        ------
        ValueError
            If there is no such side.
        """
        if name not in self._dims:
            raise ValueError(f"there is no side {name!r}; the sides are {list(self._dims)}")
        return name

    def pair(self, x: str, y: str) -> PairedMoments:
        """The moments of the rows that have both sides; those with only one of the two are its unpaired rows.

        Parameters
        ----------
        x, y : str
            Two sides.

        Returns
        -------
        PairedMoments
            A copy; ``canonsim.fit(moments.pair(x, y))`` is the pairwise space.

        Raises
        ------
        ValueError
            Unless they are two of the sides.
        """
        if self._known(x) == self._known(y):
            raise ValueError(f"a pair needs two sides, got {x!r} twice")
        return self._pairs[x, y].copy() if (x, y) in self._pairs else _swapped(self._pairs[y, x])

    def side(self, name: str, folds: Iterable[int] | None = None) -> SideMoments:
        """Moments of all rows that have a side, in these folds; in all by default.

        Raises
        ------
        ValueError
            If there is no such side.
        IndexError
            If there is no such fold.
        """
        side = self._sides[self._known(name)]
        if folds is not None:
            side = merge([PairedMoments(side.x_dim, 1, 1), *(side.fold(k) for k in folds)])
        return SideMoments(side.count, side.x_mean, side.scatter_xx)

    def roundoff(self, name: str) -> float:
        """Unit roundoff of the least precise products in the moments of a side; errors as in `side`."""
        return float(self._sides[self._known(name)].state()["roundoffs"].max())

    def merge(self, other: MultiMoments) -> None:
        """Add the rows of ``other``, fold by fold, in place.

        Raises
        ------
        TypeError
            If ``other`` is no `MultiMoments`.
        ValueError
            If its sides, their order or widths, or its number of folds differ.
        """
        if not isinstance(other, MultiMoments):
            raise TypeError(f"other must be MultiMoments, got {type(other).__name__}")
        if (list(self._dims.items()), self.folds) != (list(other._dims.items()), other.folds):
            raise ValueError(f"cannot merge {other!r} into {self!r}: their sides or folds differ")
        for name, side in self._sides.items():
            side.merge(other._sides[name])
        for names, pair in self._pairs.items():
            pair.merge(other._pairs[names])
        self._count += other._count

    def copy(self) -> MultiMoments:
        """Moments of their own with the same state."""
        copied = MultiMoments(self._dims, self.folds)
        copied._replace([part.copy() for part in self._parts()], self._count)
        return copied

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> MultiMoments:
        return self.copy()

    def __reduce__(self) -> tuple[Any, tuple[bytes]]:
        return MultiMoments.from_bytes, (self.to_bytes(),)

    def to_bytes(self) -> bytes:
        """The state as safetensors with a checksum, for any map-reduce engine."""
        tensors = {f"{i}.{key}": array for i, part in enumerate(self._parts()) for key, array in part.state().items()}
        metadata = {"dims": json.dumps(list(self._dims.items())), "folds": str(self.folds), "count": str(self._count)}
        return pack(tensors, _FORMAT, metadata)

    def _parts(self) -> list[PairedMoments]:
        return [*self._sides.values(), *self._pairs.values()]

    def _replace(self, parts: list[PairedMoments], count: int) -> None:
        """Take the state of these parts, in the order of `_parts`."""
        k = len(self._sides)
        self._sides = dict(zip(self._sides, parts[:k], strict=True))
        self._pairs = dict(zip(self._pairs, parts[k:], strict=True))
        self._count = count

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """The moments of `to_bytes`.

        Raises
        ------
        ValueError
            If the bytes are truncated, altered, or not those of moments of several sides.
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
            If it is truncated, altered, or no file of moments of several sides.
        """
        return cls._read(Path(path).read_bytes(), str(path))

    @classmethod
    def _read(cls, content: bytes, origin: str) -> Self:
        tensors, metadata = unpack(content, _FORMAT, origin)
        parts: dict[str, dict[str, Any]] = {}
        for key, array in tensors.items():
            part, _, name = key.partition(".")
            parts.setdefault(part, {})[name] = array
        try:
            moments = cls(dict(json.loads(metadata["dims"])), int(metadata["folds"]))
            found = [PairedMoments.from_state(parts.pop(str(i))) for i in range(len(moments._parts()))]
            count = int(metadata["count"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{origin} is not the state of moments of several sides: {error!r}") from None
        shapes = [[(part.x_dim, part.y_dim, part.folds) for part in each] for each in (found, moments._parts())]
        if parts or shapes[0] != shapes[1] or count < max(part.count for part in found):
            raise ValueError(f"{origin} is not the state of moments of several sides: its parts do not fit together")
        moments._replace(found, count)
        return moments


def _zeros(rows: Any) -> Any:
    return rows.new_zeros((len(rows), 1)) if is_tensor(rows) else np.zeros((len(rows), 1), rows.dtype)


def _swapped(moments: PairedMoments) -> PairedMoments:
    """The same moments with x and y in each other's place."""
    state = moments.state()
    order = np.roll(np.arange(moments.x_dim + moments.y_dim), moments.y_dim)
    i, j = (order[index] for index in np.tril_indices(len(order)))
    high, low = np.maximum(i, j), np.minimum(i, j)
    columns = {"means": order, "cubes": order, "fourths": [1, 0], "scatters": high * (high + 1) // 2 + low}
    sides = {"unpaired_x": "unpaired_y", "unpaired_y": "unpaired_x"}
    swapped = {}
    for key, array in state.items():
        part, _, name = key.rpartition(".")
        swapped[f"{sides[part]}.{name}" if part else key] = (
            array if part or key not in columns else array[:, columns[key]]
        )
    return PairedMoments.from_state(swapped)
