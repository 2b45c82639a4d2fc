"""What protocols with captions ask of their input: items of x, of which each may have several captions in y."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from canonsim.baselines.rows import set_aside
from canonsim.protocols.labelled import checked_parts, checked_side
from canonsim.protocols.methods import Features, TrainingPairs
from canonsim.rows import Ids, Rows, to_ids

Ints = npt.NDArray[np.int64]

# Without a validation part, settings are chosen on a tenth of the training items: more than so many only cost time.
_SHARE, _MOST = 0.1, 1000


class Gallery(NamedTuple):
    """Items x (n, p), their captions y (m, q), and the place of the item of each caption (m,)."""

    x: Features
    y: Features
    owners: Ints


@dataclass(frozen=True)
class CaptionedRows:
    """Features of items and of captions, and items of each part.

    Attributes
    ----------
    x : (n, p)
    y : (m, q)
    owners : (m,) int64
        Row of x that each caption describes.
    parts : dict of (k,) int64
        Rows of x under "train", "val" and whatever else was given; none of them in two parts.
    set_aside : bool
        Whether "val" was taken from the training items.
    """

    x: Features
    y: Features
    owners: Ints
    parts: dict[str, Ints]
    set_aside: bool

    def pairs(self, items: Ints) -> TrainingPairs:
        """Pairs of these items with each of their captions; rows with the same item have the same id."""
        captions = self._captions(items)
        owners = self.owners[captions]
        return self.x[owners], self.y[captions], owners

    def gallery(self, part: str) -> Gallery:
        """The items of a part with all of their captions."""
        items = self.parts[part]
        captions = self._captions(items)
        place = np.zeros(len(self.x), dtype=np.int64)
        place[items] = np.arange(len(items))
        return Gallery(self.x[items], self.y[captions], place[self.owners[captions]])

    def sizes(self, sizes: Sequence[int] | None) -> list[int]:
        """Numbers of training items, none above what there is; without any, all of them.

        Raises
        ------
        ValueError
            For sizes below 2.
        """
        most = len(self.parts["train"])
        if sizes is None:
            return [most]
        if not sizes or min(sizes) < 2:
            raise ValueError(f"sizes must be numbers of training items, at least one and none below 2, got {sizes}")
        return sorted({min(int(size), most) for size in sizes})

    def notes(self) -> list[str]:
        """What a reader must know about numbers of pairs and the choice of settings."""
        captions = len(self._captions(self.parts["train"])) / len(self.parts["train"])
        each = "one caption" if captions == 1 else f"all of its captions, {captions:.1f} in the mean"
        where = f"{len(self.parts['val']):,} items"
        where += " set aside from the training part" if self.set_aside else " of the validation part"
        return [f"Pairs count items, each with {each}.", f"Settings are chosen by R@10 on {where}."]

    def _captions(self, items: Ints) -> Ints:
        return np.flatnonzero(np.isin(self.owners, items))


def checked_captioned(
    x: Rows, y: Rows, owners: Ids, parts: Mapping[str, Any], needed: Sequence[str] = ("train", "test")
) -> CaptionedRows:
    """Check features of items x (n, p) and captions y (m, q), and see to a validation part.

    Raises
    ------
    TypeError
        For features that are no floats, or owners or parts that are no integers.
    ValueError
        For other shapes, values that are not finite, owners or rows out of range, parts that share rows or have fewer
        than two items with captions.
    """
    items, captions = (_widened(checked_side(side, name)) for side, name in ((x, "x"), (y, "y")))
    found = to_ids(owners, len(captions), "owners")
    if len(found) and not 0 <= found.min() <= found.max() < len(items):
        raise ValueError(f"owners must be rows of x between 0 and {len(items) - 1}, got {found.min()} to {found.max()}")
    places = checked_parts(parts, len(items), needed)
    without = len(places.get("val", ())) == 0
    if without:
        train = places["train"]
        chosen = set_aside(train, min(_SHARE, _MOST / len(train)), seed=0)
        places |= {"train": train[~chosen], "val": train[chosen]}
    for name in dict.fromkeys((*needed, "val")):
        count = int(np.isin(places[name], found).sum())
        if count < 2:
            told = "a tenth of parts['train'], set aside for validation," if name == "val" and without else ""
            raise ValueError(f"{told or f'parts[{name!r}]'} must hold at least 2 items with captions, got {count}")
    return CaptionedRows(items, captions, found, places, without)


def _widened(rows: Features) -> Features:
    """Half precision as f32, in which sums are taken."""
    return rows.astype(np.float32) if rows.dtype == np.float16 else rows
