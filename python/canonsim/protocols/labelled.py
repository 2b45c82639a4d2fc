"""What protocols with class labels ask of their input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from canonsim.rows import Ids, Rows, check_rows, to_ids, to_numpy

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[Any]


@dataclass(frozen=True)
class LabelledRows:
    """Features with labels, and the texts of the classes."""

    x: Floats
    """(n, p)"""
    labels: Ints
    """(n,), below c"""
    parts: dict[str, Ints]
    """Rows of x, none of them in two parts."""
    class_y: Floats
    """(c, templates, q)"""

    @property
    def texts(self) -> Floats:
        """Mean text of each class, (c, q)."""
        mean: Floats = self.class_y.mean(axis=1)
        return mean


def checked_labelled(
    x: Rows,
    labels: Ids,
    parts: Mapping[str, Any],
    class_y: Rows,
    names: Sequence[object],
    needed: Sequence[str] = ("train", "test"),
) -> LabelledRows:
    """Check features x (n, p), labels (n,) in [0, c), and class_y (c, q) or (c, templates, q) for c names.

    The parts `needed` must hold rows; others may.

    Raises
    ------
    TypeError
        For features that are no floats, or labels or parts that are no integers.
    ValueError
        For other shapes, values that are not finite, labels or rows out of range, parts that share rows, or names that
        are not one for each class.
    """
    features = checked_side(x, "x")
    shape = tuple(getattr(class_y, "shape", ()))
    if len(shape) == 2:
        class_y = class_y.reshape(shape[0], 1, shape[1])
    elif len(shape) != 3:
        raise ValueError(f"class_y must have the shape (c, q) or (c, templates, q), got {shape}")
    count, templates, width = class_y.shape
    texts = checked_side(class_y.reshape(count * templates, width), "class_y").reshape(count, templates, width)
    if count < 2 or templates == 0:
        raise ValueError(f"class_y must hold at least two classes and a text of each, got shape {shape}")
    if len(names) != count:
        raise ValueError(f"names must hold one name for each of the {count} classes, got {len(names)}")
    return LabelledRows(
        features,
        checked_labels(labels, len(features), count, "labels"),
        checked_parts(parts, len(features), needed),
        texts,
    )


def checked_side(rows: Rows, argument: str) -> Floats:
    """Rows as a numpy array of finite floats (n, width)."""
    check_rows(rows, argument)
    array = to_numpy(rows)
    is_bad = ~np.isfinite(array).all(axis=1)
    if is_bad.any():
        raise ValueError(f"{argument} contains NaN or Inf in row {int(is_bad.argmax())}")
    return array


def checked_labels(labels: Ids, rows: int, classes: int, argument: str) -> Ints:
    """Labels (rows,) in [0, classes)."""
    found = to_ids(labels, rows, argument)
    if rows and not 0 <= found.min() <= found.max() < classes:
        raise ValueError(
            f"{argument} must lie between 0 and {classes - 1}, one for each text, got {found.min()} to {found.max()}"
        )
    return found


def checked_parts(parts: Mapping[str, Any], rows: int, needed: Sequence[str] = ("train", "test")) -> dict[str, Ints]:
    """Parts of the rows; those that are needed must hold some, others may."""
    found: dict[str, Ints] = {}
    seen = np.full(rows, "", dtype=object)
    for name, part in parts.items():
        places = np.asarray(part)
        found[name] = to_ids(places, places.size, f"parts[{name!r}]")
        if places.size and not 0 <= found[name].min() <= found[name].max() < rows:
            raise ValueError(f"parts[{name!r}] must hold rows of x between 0 and {rows - 1}")
        taken = [other for other in np.unique(seen[found[name]].astype(str)) if other]
        if taken:
            raise ValueError(f"parts[{name!r}] shares rows with parts[{taken[0]!r}]")
        if len(np.unique(found[name])) < places.size:
            raise ValueError(f"parts[{name!r}] holds a row twice")
        seen[found[name]] = name
    missing = [name for name in needed if len(found.get(name, ())) == 0]
    if missing:
        raise ValueError(f"parts must hold rows under {missing[0]!r}, got {list(parts)}")
    return found


def balanced_order(labels: Ints, seed: int) -> Ints:
    """Places of labels (n,) in a random order whose beginnings hold all classes equally, as far as they have rows.

    Examples
    --------
    >>> labels = np.array([0] * 6 + [1] * 3)
    >>> np.bincount(labels[balanced_order(labels, seed=0)[:6]])
    array([3, 3])
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    # The how-manieth of its class each row is.
    by_class = np.argsort(labels[order], kind="stable")
    ordered = labels[order][by_class]
    turn = np.empty(len(labels), dtype=np.int64)
    turn[by_class] = np.arange(len(labels)) - np.searchsorted(ordered, ordered)
    return order[np.argsort(turn, kind="stable")]
