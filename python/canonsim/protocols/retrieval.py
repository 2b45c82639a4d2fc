"""The protocol of retrieval: captions by their items and items by their captions, both among all of the test part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from canonsim.baselines.rows import unit
from canonsim.metrics import auc, many_to_many_chance
from canonsim.metrics.random_order import first_rank, hit_probability
from canonsim.protocols.bootstrap import Measured
from canonsim.protocols.captioned import CaptionedRows, Gallery, checked_captioned
from canonsim.protocols.methods import CSLS, METHODS, Features, Fitted, Method
from canonsim.protocols.results import Results, Row
from canonsim.protocols.selection import choose
from canonsim.rows import Ids, Rows
from canonsim.tasks.misleading import pairwise_cosine

if TYPE_CHECKING:
    from canonsim.metrics.partners import Partners

KS = (1, 5, 10)
SIZES = (50, 200, 1000, 4000)
DIRECTIONS = ("x to y", "y to x")
MEASURES = (
    "R@10",
    *(f"{direction} R@{k}" for direction in DIRECTIONS for k in KS),
    "mAP",
    "median rank",
    "AUC",
)

# Captions scored at once, and queries ranked at once.
_BLOCK = 1024

Floats = npt.NDArray[np.float64]


def retrieval(
    data: str,
    x: Rows,
    y: Rows,
    owners: Ids,
    parts: Mapping[str, Any],
    *,
    sizes: Sequence[int] | None = SIZES,
    methods: Sequence[Method] = METHODS,
    csls: bool = True,
    joint: tuple[Rows, Rows] | None = None,
    resamples: int = 400,
) -> Results:
    """Measure how well items find their captions, and captions their items.

    All captions of the test items are searched by all test items and the other way round; every caption of an item is
    its partner (`canonsim.metrics.many_to_many_summary`). Each method is fitted on the same training pairs, each item
    with each of its captions, and takes the setting of the best R@10 on the validation part. Nothing is chosen on the
    test part.

    Parameters
    ----------
    data : str
        Name of the data.
    x : (n, p)
        Items, such as pictures.
    y : (m, q)
        Captions.
    owners : (m,) integers
        The row of x that each caption describes. A test item without captions is a rival of others, and no query.
    parts : mapping of str to (k,) integers
        Rows of x under "train", in the order in which they are taken, and "test". Settings are chosen under "val", or
        without it on a tenth of the training items, at most 1,000, which are then not learned from.
    sizes : sequence of int, optional
        Numbers of training items; None for all.
    methods : sequence of Method
    csls : bool
        Whether log odds with CSLS are measured, too: they take the training rows as typical queries.
    joint : pair of (n, d), (m, d), optional
        Vectors of the same items and captions by encoders that were trained together, such as CLIP's.
    resamples : int
        How often test items are drawn again for the intervals of recall and mAP.

    Returns
    -------
    Results
        Measures: "R@10", the mean of both directions, is the main one; R@1, R@5 and R@10 of each direction; means of
        both directions of "mAP" and "median rank"; "AUC" of telling the caption and its item from the caption and the
        next test item.

    Raises
    ------
    TypeError
        For features that are no floats, or owners or parts that are no integers.
    ValueError
        For other shapes, values that are not finite, owners or rows out of range, parts that share rows or have fewer
        than two items with captions, sizes below 2, or fewer than 0 resamples.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, owners = rng.standard_normal((300, 6)), np.repeat(np.arange(300), 2)
    >>> y = x[owners, :5] + 0.3 * rng.standard_normal((600, 5))
    >>> parts = {"train": np.arange(150), "val": np.arange(150, 200), "test": np.arange(200, 300)}
    >>> found = retrieval("toy", x, y, owners, parts, sizes=[100], methods=METHODS[:1], csls=False)
    >>> found.rows[0].method, found.rows[0].pairs, found.rows[0].values["R@10"] > 0.8, found.chance["AUC"]
    ('log odds', 100, True, 0.5)
    """
    if resamples < 0:
        raise ValueError(f"resamples must be at least 0, got {resamples}")
    rows = checked_captioned(x, y, owners, parts)
    counts = rows.sizes(sizes)
    test, validation = rows.gallery("test"), rows.gallery("val")
    notes = rows.notes()
    found: list[Row] = []
    if joint is not None:
        vectors = checked_captioned(*joint, owners, parts)
        check_joint(rows, vectors)
        found.append(_row(cosine(), "joint model", None, vectors.gallery("test"), resamples))
        notes.append("The joint model was trained on pairs of its own, far more than are counted here.")
    compared = sorted((*methods, CSLS), key=lambda method: not method.ours) if csls else methods
    for size in counts:
        pairs = rows.pairs(rows.parts["train"][:size])
        for method in compared:
            fitted, seconds = choose(method.fits(pairs), partial(mean_recall, gallery=validation))
            found.append(_row(fitted, method.name, size, test, resamples, seconds))
    return Results("retrieval", data, MEASURES, _chance(test), tuple(found), tuple(notes))


def mean_recall(fitted: Fitted, gallery: Gallery, k: int = 10) -> float:
    """R@k of a gallery, the mean of both directions: what settings are chosen by."""
    scores = _scores(fitted.score, gallery)
    hits = []
    for partners, asked in _directions(scores, gallery):
        counted = [block.best() for block in partners.blocks(asked, _BLOCK)]
        above, tied, level = (np.concatenate(part) for part in zip(*counted, strict=True))
        hits.append(hit_probability(above, tied, level, k).mean())
    return float(np.mean(hits))


def cosine() -> Fitted:
    """The cosine, as a method without a fit."""
    return Fitted("", lambda x, y: np.asarray(unit(x) @ unit(y).T), pairwise_cosine)


@dataclass(frozen=True)
class _Ranked:
    """What each query of one direction reached, and the place of its item among those with captions."""

    item: npt.NDArray[np.int64]
    hits: dict[int, Floats]
    precision: Floats
    ranks: Floats


def _row(fitted: Fitted, method: str, pairs: int | None, gallery: Gallery, resamples: int, seconds: float = 0.0) -> Row:
    """Everything about one method; scores are ranked once, and items drawn again weigh their queries."""
    scores = _scores(fitted.score, gallery)
    described, item = np.unique(gallery.owners, return_inverse=True)
    ranked = [
        _ranked(partners, asked, of)
        for (partners, asked), of in zip(_directions(scores, gallery), (np.arange(len(described)), item), strict=True)
    ]

    def means(drawn: npt.NDArray[np.int64]) -> dict[str, float]:
        times = np.bincount(drawn, minlength=len(described))
        weights = [times[side.item] / times[side.item].sum() for side in ranked]
        recalls = {
            f"{direction} R@{k}": float(weight @ side.hits[k])
            for direction, side, weight in zip(DIRECTIONS, ranked, weights, strict=True)
            for k in KS
        }
        precision = np.mean([weight @ side.precision for side, weight in zip(ranked, weights, strict=True)])
        main = np.mean([recalls[f"{direction} R@10"] for direction in DIRECTIONS])
        return {"R@10": float(main), **recalls, "mAP": float(precision)}

    measured = Measured.of(means, len(described), resamples)
    captions = np.arange(len(gallery.owners))
    of_next = described[(item + 1) % len(described)]
    rest = {
        "median rank": float(np.mean([np.median(side.ranks) for side in ranked])),
        "AUC": auc(scores[gallery.owners, captions], scores[of_next, captions]),
    }
    return Row(method, pairs, measured.values | rest, measured.intervals, seconds, fitted.setting)


def _ranked(partners: Partners, asked: Callable[[Any], Any], item: npt.NDArray[np.int64]) -> _Ranked:
    counted = [(*block.best(), block.average_precision()) for block in partners.blocks(asked, _BLOCK)]
    above, tied, level, precision = (np.concatenate(part) for part in zip(*counted, strict=True))
    hits = {k: hit_probability(above, tied, level, k) for k in KS}
    return _Ranked(item, hits, precision, first_rank(above, tied, level))


def _scores(score: Callable[[Features, Features], Features], gallery: Gallery) -> Features:
    """Scores (n, m) of all items with all captions, some captions at a time."""
    x, y, _ = gallery
    return np.concatenate([np.asarray(score(x, y[at : at + _BLOCK])) for at in range(0, len(y), _BLOCK)], axis=1)


def _directions(scores: Features, gallery: Gallery) -> list[tuple[Partners, Callable[[Any], Any]]]:
    """For items and for captions as queries: partners, and what gives the scores of queries."""
    import torch

    from canonsim.metrics.partners import Partners

    matrix = torch.from_numpy(scores)
    items, owners = torch.arange(len(gallery.x)), torch.from_numpy(gallery.owners)
    return [
        (Partners.of(items, owners), lambda queries: matrix[queries]),
        (Partners.of(owners, items), lambda queries: matrix[:, queries].T),
    ]


def _chance(gallery: Gallery) -> dict[str, float]:
    items = np.arange(len(gallery.x))
    sides = many_to_many_chance(items, gallery.owners, KS), many_to_many_chance(gallery.owners, items, KS)
    recalls = {
        f"{direction} R@{k}": side[f"R@{k}"] for direction, side in zip(DIRECTIONS, sides, strict=True) for k in KS
    }
    both = {name: float(np.mean([side[name] for side in sides])) for name in ("R@10", "mAP", "median_rank")}
    return {
        "R@10": both["R@10"],
        **recalls,
        "mAP": both["mAP"],
        "median rank": both["median_rank"],
        "AUC": 0.5,
    }


def check_joint(rows: CaptionedRows, vectors: CaptionedRows) -> None:
    """Refuse vectors of other items than these, or of two widths."""
    shapes = vectors.x.shape, vectors.y.shape
    if len(vectors.x) != len(rows.x) or shapes[0][1] != shapes[1][1]:
        raise ValueError(
            f"joint must be vectors of the {len(rows.x)} items and {len(rows.y)} captions, all of one width, "
            f"got shapes {shapes[0]} and {shapes[1]}"
        )
