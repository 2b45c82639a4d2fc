"""Raw items of a data set with what is known about them: which belong together, of which class, in which part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from canonsim.data.pairs import Kind

Rows: TypeAlias = npt.NDArray[np.int64]
Parts: TypeAlias = dict[str, Rows]

PARTS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Items:
    """Items of one side.

    Attributes
    ----------
    kind : str
        "image", "text", "audio", "points", "series" or "features": what the items are.
    items : sequence
        As `canonsim.encoders.Encoder.encode` takes them; of kind "features" the rows of an array (n, p).
    """

    kind: Kind
    items: Sequence[Any] | npt.NDArray[Any]

    def __post_init__(self) -> None:
        if isinstance(self.items, (str, bytes)):
            raise TypeError(f"items must be a sequence of items, got the single text {self.items!r}")
        if self.kind == "features" and np.ndim(self.items) != 2:
            raise ValueError(f"items of kind features must be an array (n, p), got shape {np.shape(self.items)}")

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: Rows) -> Items:
        """Items of these rows, in this order."""
        if isinstance(self.items, np.ndarray):
            return Items(self.kind, self.items[rows])
        return Items(self.kind, [self.items[row] for row in rows])


@dataclass(frozen=True, eq=False)
class Captioned:
    """Items of two sides; those of y describe one of x each.

    Attributes
    ----------
    x : Items
        n items, such as pictures.
    y : Items
        m items, such as their captions.
    owners : (m,) int64
        Row of x that each y describes.
    parts : dict
        Rows of x, (k,) int64, of "train", of "test" and, where there is one, of "val"; none is in two of them. Rows
        stand in the order of the files, which may be sorted by what they show; see `mixed`.

    Raises
    ------
    ValueError
        If lengths or rows do not fit together.

    Examples
    --------
    >>> import numpy as np
    >>> from canonsim.recipes import Captioned, Items
    >>> parts = {"train": np.array([0, 2]), "test": np.array([1])}
    >>> pairs = Captioned(Items("text", ["un", "deux", "trois"]), Items("text", ["one", "1", "two", "three"]),
    ...                   np.array([0, 0, 1, 2]), parts)
    >>> some = pairs.limit(1)
    >>> len(some.x), {part: rows.tolist() for part, rows in some.parts.items()}
    (2, {'train': [0], 'test': [1]})
    """

    x: Items
    y: Items
    owners: Rows
    parts: Parts

    def __post_init__(self) -> None:
        _check_rows("owners", self.owners, len(self.y), 0, len(self.x))
        check_parts(self.parts, len(self.x))

    def mixed(self, seed: int = 0) -> Captioned:
        """Put the training rows in random order: the first of them are then a draw."""
        return replace(self, parts=_mix(self.parts, seed))

    def limit(self, n: int, seed: int = 0) -> Captioned:
        """Keep at most n random rows of x of every part, with all that describe them."""
        parts = {part: _some(rows, n, seed) for part, rows in self.parts.items()}
        kept, parts = _renumber(parts)
        described = np.flatnonzero(np.isin(self.owners, kept))
        owners = np.searchsorted(kept, self.owners[described])
        return Captioned(self.x.take(kept), self.y.take(described), owners, parts)


@dataclass(frozen=True, eq=False)
class Labelled:
    """Items with a class, and texts that say what the classes are.

    Attributes
    ----------
    x : Items
        n items.
    labels : (n,) int64
        Row of ``names`` of each item, as the data set gives it.
    names : list of str
        Names of the c classes, all different.
    texts : list of list of str
        Of each class its prompts, as many for every class.
    parts : dict
        As of `Captioned`.
    true_labels : (n,) int64, optional
        Labels that people have checked; -1 where none of the classes is right.

    Raises
    ------
    ValueError
        If lengths, labels or rows do not fit together.

    Examples
    --------
    >>> import numpy as np
    >>> from canonsim.recipes import Items, Labelled
    >>> rows = {"train": np.arange(6), "test": np.arange(6, 8)}
    >>> data = Labelled(Items("features", np.eye(8)), np.array([0, 0, 0, 0, 1, 1, 0, 1]), ["a", "b"],
    ...                 [["an a"], ["a b"]], rows)
    >>> data.limit(4).labels.tolist()
    [0, 0, 1, 1, 0, 1]
    """

    x: Items
    labels: Rows
    names: list[str]
    texts: list[list[str]]
    parts: Parts
    true_labels: Rows | None = None

    def __post_init__(self) -> None:
        if len(self.names) < 2:
            raise ValueError(f"there must be at least 2 classes, got {self.names}")
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"names must be different, got {max(self.names, key=self.names.count)!r} more than once")
        if len(self.texts) != len(self.names):
            raise ValueError(f"texts must be those of {len(self.names)} classes, got {len(self.texts)}")
        counts = {len(texts) for texts in self.texts}
        if len(counts) > 1 or 0 in counts:
            raise ValueError(f"every class must have the same number of texts, at least 1, got {sorted(counts)}")
        _check_rows("labels", self.labels, len(self.x), 0, len(self.names))
        if self.true_labels is not None:
            _check_rows("true_labels", self.true_labels, len(self.x), -1, len(self.names))
        check_parts(self.parts, len(self.x))

    def mixed(self, seed: int = 0) -> Labelled:
        """Put the training rows in random order: the first of them are then a draw."""
        return replace(self, parts=_mix(self.parts, seed))

    def limit(self, n: int, seed: int = 0) -> Labelled:
        """Keep at most n random rows of every part, of every class as many as there are, up to an equal share."""
        parts = {part: _some(rows, n, seed, self.labels[rows]) for part, rows in self.parts.items()}
        kept, parts = _renumber(parts)
        true_labels = None if self.true_labels is None else self.true_labels[kept]
        return replace(self, x=self.x.take(kept), labels=self.labels[kept], parts=parts, true_labels=true_labels)


@dataclass(frozen=True, eq=False)
class TwiceCaptioned:
    """Items with two captions each, of which the second may mislead, and pairs to fit on.

    Attributes
    ----------
    pairs : Captioned
        To fit on; it needs no part "test".
    x : Items
        n items.
    first, second : Items
        Their captions, n each. The first ones are true.
    misleading : (n,) bool
        Whether the two captions contradict each other about the item.

    Raises
    ------
    ValueError
        If lengths do not fit together.
    """

    pairs: Captioned
    x: Items
    first: Items
    second: Items
    misleading: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        lengths = {len(self.x), len(self.first), len(self.second), len(self.misleading)}
        if len(lengths) > 1 or 0 in lengths:
            raise ValueError(
                f"x, first, second and misleading must have the same length, at least 1, got {len(self.x)}, "
                f"{len(self.first)}, {len(self.second)} and {len(self.misleading)}"
            )
        if self.misleading.dtype != np.bool_ or self.misleading.ndim != 1:
            raise ValueError(f"misleading must be (n,) bool, got {self.misleading.shape} {self.misleading.dtype}")

    def mixed(self, seed: int = 0) -> TwiceCaptioned:
        """Put the training rows of the pairs in random order: the first of them are then a draw."""
        return replace(self, pairs=self.pairs.mixed(seed))

    def limit(self, n: int, seed: int = 0) -> TwiceCaptioned:
        """Keep at most n random rows of every part of the pairs, and of the items with two captions."""
        kept = np.sort(_some(np.arange(len(self.x)), n, seed))
        return TwiceCaptioned(
            self.pairs.limit(n, seed),
            self.x.take(kept),
            self.first.take(kept),
            self.second.take(kept),
            self.misleading[kept],
        )


def check_parts(parts: Parts, n: int) -> None:
    """Check the rows of every part.

    Raises
    ------
    ValueError
        For a part of another name or without rows, rows that are not among the n there are, or rows that are named
        twice.
    """
    unknown = sorted(set(parts) - set(PARTS))
    if unknown or "train" not in parts:
        raise ValueError(f"parts must be among {', '.join(PARTS)}, with train, got {', '.join(parts) or 'none'}")
    for part, rows in parts.items():
        if not len(rows):
            raise ValueError(f"part {part!r} has no rows")
        _check_rows(f"part {part!r}", rows, len(rows), 0, n)
    rows, counts = np.unique(np.concatenate(list(parts.values())), return_counts=True)
    if counts.max() > 1:
        raise ValueError(f"row {rows[counts.argmax()]} is in the parts {counts.max()} times")


def _check_rows(name: str, rows: Rows, length: int, least: int, end: int) -> None:
    if rows.dtype != np.int64 or rows.shape != (length,):
        raise ValueError(f"{name} must be ({length},) int64, got {rows.shape} {rows.dtype}")
    outside = (rows < least) | (rows >= end)
    if outside.any():
        at = int(outside.argmax())
        raise ValueError(f"{name} must be from {least} to {end - 1}, got {rows[at]} at {at}")


def _some(rows: Rows, n: int, seed: int, labels: Rows | None = None) -> Rows:
    """At most n of the rows at random, in their old order; with labels, in turn from every class."""
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    order = np.random.default_rng(seed).permutation(len(rows))
    if labels is not None:
        turns = np.empty(len(rows), dtype=np.int64)
        shuffled = labels[order]
        for label in np.unique(labels):
            places = np.flatnonzero(shuffled == label)
            turns[places] = np.arange(len(places))
        order = order[np.argsort(turns, kind="stable")]
    return rows[np.sort(order[:n])]


def _mix(parts: Parts, seed: int) -> Parts:
    return {**parts, "train": np.random.default_rng(seed).permutation(parts["train"])}


def _renumber(parts: Parts) -> tuple[Rows, Parts]:
    """The rows that the parts name, sorted, and the parts as rows of these."""
    kept = np.sort(np.concatenate(list(parts.values())))
    return kept, {part: np.searchsorted(kept, rows) for part, rows in parts.items()}
