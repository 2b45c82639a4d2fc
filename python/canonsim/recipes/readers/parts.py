"""Parts where a data set has none of its own, and prompts of classes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from canonsim.recipes.examples import PARTS, Parts, Rows


def draw(rows: Rows, shares: dict[str, float], groups: npt.NDArray[np.int64] | None = None, seed: int = 0) -> Parts:
    """Divide rows by chance; the seed fixes how.

    Parameters
    ----------
    rows : (k,) int64
    shares : dict
        Share of every part, above 0, which add up to 1. Where there are few rows, a part of a small share may get none
        and is then left out.
    groups : (k,) int64, optional
        Rows of one group stay together: a part may then be a little off its share.
    seed : int

    Raises
    ------
    ValueError
        For other shares.

    Examples
    --------
    >>> import numpy as np
    >>> parts = draw(np.arange(10), {"train": 0.7, "test": 0.3})
    >>> len(parts["train"]), len(parts["test"])
    (7, 3)
    """
    if not set(shares) <= set(PARTS) or min(shares.values(), default=0) <= 0 or abs(sum(shares.values()) - 1) > 1e-9:
        raise ValueError(f"shares of {', '.join(PARTS)} must be positive and add up to 1, got {shares}")
    _, group = np.unique(np.arange(len(rows)) if groups is None else groups, return_inverse=True)
    order = np.random.default_rng(seed).permutation(group.max() + 1)
    sizes = np.bincount(group)[order]
    middles = np.empty(len(order))
    middles[order] = np.cumsum(sizes) - sizes / 2
    ends = np.cumsum(list(shares.values())) * len(rows)
    part = np.minimum(np.searchsorted(ends, middles), len(shares) - 1)
    parts = {name: rows[part[group] == number] for number, name in enumerate(shares)}
    return {name: its for name, its in parts.items() if len(its)}


def set_aside(parts: Parts, val_share: float, groups: npt.NDArray[np.int64] | None = None) -> Parts:
    """Make a share of the training rows the part "val", unless there is one or the share is 0.

    Parameters
    ----------
    parts : dict
    val_share : float
        At least 0, below 1.
    groups : (n,) int64, optional
        Group of every row there is, not only of those that train.
    """
    if "val" in parts or not val_share:
        return parts
    train = parts["train"]
    shares = {"train": 1 - val_share, "val": val_share}
    return {**parts, **draw(train, shares, None if groups is None else groups[train])}


def prompts(names: list[str], templates: tuple[str, ...]) -> list[list[str]]:
    """Of every name all templates, with the name for ``{}``.

    Examples
    --------
    >>> prompts(["cat", "dog"], ("a {}.", "{}"))
    [['a cat.', 'cat'], ['a dog.', 'dog']]
    """
    return [[template.replace("{}", name) for template in templates] for name in names]
