"""Classification by the texts of classes, beside a linear probe, a jointly trained model, and chance."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from canonsim import baselines
from canonsim.baselines.rows import unit
from canonsim.canonical import fit
from canonsim.metrics import query_recall
from canonsim.metrics.retrieval import count_above
from canonsim.protocols.bootstrap import Interval, Measured
from canonsim.protocols.labelled import Floats, Ints, LabelledRows, balanced_order, checked_labelled, checked_side
from canonsim.protocols.methods import (
    ASIF_METHOD,
    HELD_OUT_COSINE,
    LOG_ODDS,
    PROCRUSTES,
    RIDGE_MAP,
    UNRIDGED,
    Fitted,
    Method,
    TrainingPairs,
    moments_of,
    ridge_of,
)
from canonsim.protocols.results import Results, Row
from canonsim.protocols.selection import choose, refit
from canonsim.rows import Ids, Rows
from canonsim.scoring import Score
from canonsim.significance import NoSignalWarning
from canonsim.space import CanonicalSpace
from canonsim.tasks import ZeroShotClassifier

Scoring: TypeAlias = Callable[[Floats], Floats]
"""Scores (n, c) of rows with the classes."""
Setting: TypeAlias = tuple[str, Scoring]

_IN_DOMAIN = (
    "In-domain methods are fitted on labelled rows of these very classes, each with the text of its label: that is "
    "supervised classification with a text for an interface, and the linear probe on the same rows is what it compares "
    "with."
)
_TRANSFER = (
    "Transfer is what zero-shot numbers of CLIP are: the pairs of the fit were captions, and no row of these classes "
    "was labelled."
)
_TOP = 5

# Without a validation part, the share of the drawn training rows on which settings are chosen.
_SHARE = 0.2


def classification(
    data: str,
    x: Rows,
    labels: Ids,
    parts: Mapping[str, Any],
    class_y: Rows,
    names: Sequence[object],
    *,
    sizes: Sequence[int] = (100, 300, 1000, 3000, 10_000),
    transfer: CanonicalSpace | None = None,
    joint: tuple[Rows, Rows] | None = None,
    seed: int = 0,
    resamples: int = 1000,
) -> Results:
    """Measure how often rows of x get their label, by methods fitted on some of the training rows and by others.

    For each number of training rows, drawn as evenly over the classes as they allow, and nested: log odds and held-out
    cosine of CSA (`canonsim.tasks.ZeroShotClassifier`), CSA as published (no ridge), ASIF, Procrustes and a ridge map,
    all fitted on rows with the mean text of their label, and a linear probe on the labels. A method that cannot be
    fitted is left out, and a note says why.

    Parameters
    ----------
    data : str
        Name of the data.
    x : (n, p)
        Features.
    labels : (n,) integers
        Rows of class_y.
    parts : mapping of str to (k,) integers
        Rows of x under "train" and "test". Methods with settings choose the one with the best top-1 on
        "val"; without it, on a fifth of the rows they get, and then are fitted on all of these.
    class_y : (c, q) or (c, templates, q)
        Embedded texts of the classes, c >= 2.
    names : sequence (c,)
        Names of the classes.
    sizes : sequence of int
        Numbers of training rows; those that the training part has, and all of it, are used.
    transfer : CanonicalSpace, optional
        Fitted elsewhere, on captions: its scores are measured too.
    joint : ((n, d), (c, d)), optional
        Vectors of the rows and of the classes by a jointly trained model (CLIP), compared by cosine.
    seed : int
        Of the draws.
    resamples : int
        How often test rows are drawn again for the intervals; 0 gives none.

    Returns
    -------
    Results
        Of "top-1", with more than five classes "top-5", and "per class": the mean over the classes of the test part of
        the top-1 of each. Equal scores count as in random order. "most frequent class" always answers with those that
        are most frequent in the training part.

    Raises
    ------
    TypeError, ValueError
        As of `checked_labelled`; for sizes or resamples out of range, a space of other widths, or other shapes of
        `joint`.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 3, 300)
    >>> x, texts = 9 * np.eye(3, 6)[labels] + rng.standard_normal((300, 6)), rng.standard_normal((3, 4))
    >>> parts = {"train": np.arange(200), "test": np.arange(200, 300)}
    >>> results = classification("made up", x, labels, parts, texts, ["cat", "dog", "owl"], sizes=(60,))
    >>> row = results.rows[0]
    >>> row.method, row.pairs, row.values["top-1"]
    ('log odds', 60, 1.0)
    """
    rows = checked_labelled(x, labels, parts, class_y, names)
    if any(size < 1 for size in sizes):
        raise ValueError(f"sizes must be at least 1, got {tuple(sizes)}")
    if resamples < 0:
        raise ValueError(f"resamples must be at least 0, got {resamples}")
    train, test = rows.parts["train"], rows.parts["test"]
    elsewhere = list(_fitted_elsewhere(rows, transfer, joint))
    measured = _Measured(rows.labels[test], len(names), resamples)
    order = train[balanced_order(rows.labels[train], seed)]
    found: list[Row] = []
    notes = [_IN_DOMAIN]
    for size in (*sorted({size for size in sizes if size < len(train)}), len(train)):
        for name, fits in _methods(rows, seed).items():
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", NoSignalWarning)
                began = time.perf_counter()
                try:
                    setting, score = fits(order[:size])
                except (ValueError, ImportError) as error:
                    notes.append(f"{name} is left out with {size:,} rows: {error}.")
                    continue
                seconds = time.perf_counter() - began
            notes += [f"With {size:,} rows: {warning.message}." for warning in caught]
            found.append(Row(name, size, *measured(score(rows.x[test])), seconds, setting, "in-domain"))
    found += [Row(name, None, *measured(scores), regime="transfer") for name, scores in elsewhere]
    frequent = np.bincount(rows.labels[train], minlength=len(names)).astype(np.float64)
    found.append(Row("most frequent class", None, *measured(np.tile(frequent, (len(test), 1)))))
    if transfer is not None or joint is not None:
        notes.append(_TRANSFER)
    return Results("classification", data, measured.names, measured.chance, tuple(found), tuple(dict.fromkeys(notes)))


@dataclass(frozen=True)
class _Measured:
    """Measures of scores (n, c) of rows."""

    labels: Ints
    classes: int
    resamples: int

    @property
    def names(self) -> tuple[str, ...]:
        """What is measured."""
        return ("top-1", f"top-{_TOP}", "per class") if self.classes > _TOP else ("top-1", "per class")

    @property
    def chance(self) -> dict[str, float]:
        """What random scores reach."""
        return {name: (_TOP if name == f"top-{_TOP}" else 1) / self.classes for name in self.names}

    def __call__(self, scores: Floats) -> tuple[dict[str, float], dict[str, Interval]]:
        """Values and their intervals."""
        ranks = count_above(np.asarray(scores), self.labels)
        first, among = query_recall(*ranks, 1), query_recall(*ranks, _TOP)

        def values(some: Ints) -> dict[str, float]:
            counts = np.bincount(self.labels[some], minlength=self.classes)
            right = np.bincount(self.labels[some], first[some], minlength=self.classes)
            found = {
                "top-1": float(first[some].mean()),
                f"top-{_TOP}": float(among[some].mean()),
                "per class": float((right[counts > 0] / counts[counts > 0]).mean()),
            }
            return {name: found[name] for name in self.names}

        measured = Measured.of(values, len(self.labels), self.resamples)
        return measured.values, measured.intervals


def _methods(rows: LabelledRows, seed: int) -> dict[str, Callable[[Ints], Setting]]:
    """What fits each method on some of the rows: the setting, and scores (n, c) of rows."""

    def csa(score: Score, some: Ints) -> Setting:
        space = fit(moments_of(_pairs(rows, some)))
        # What stands for a class is what stood for it in the fit: log odds of single texts, which the fit has not seen
        # and which lie further out, are another thing.
        return ridge_of(space), _classifier(space, score, rows.texts)

    def probe(some: Ints) -> Setting:
        fitted = baselines.LinearProbe(seed=seed).fit(rows.x[some], rows.labels[some])
        return f"C = {fitted.C_:g}", partial(with_all_classes, fitted, len(rows.class_y))

    return {
        LOG_ODDS.name: partial(csa, "log_odds"),
        HELD_OUT_COSINE.name: partial(csa, "similarity"),
        **{method.name: partial(_rival, method, rows) for method in (UNRIDGED, ASIF_METHOD, PROCRUSTES, RIDGE_MAP)},
        "linear probe": probe,
    }


def _pairs(rows: LabelledRows, some: Ints) -> TrainingPairs:
    """Some of the rows, each with the mean text of its label."""
    return rows.x[some], rows.texts[rows.labels[some]], some


def _rival(method: Method, rows: LabelledRows, some: Ints) -> Setting:
    """A method in the setting with the best top-1 on rows that it was not fitted on."""
    held_out = rows.parts.get("val", some[:0])
    fitted_on = some if len(held_out) else some[: len(some) - int(_SHARE * len(some))]
    held_out = held_out if len(held_out) else some[len(fitted_on) :]
    measured = _Measured(rows.labels[held_out], len(rows.class_y), resamples=0)

    def top_1(fitted: Fitted) -> float:
        return measured(fitted.score(rows.x[held_out], rows.texts))[0]["top-1"] if len(held_out) else 0.0

    chosen, _ = choose(method.fits(_pairs(rows, fitted_on)), top_1)
    if len(fitted_on) < len(some):
        chosen = refit(method, chosen.setting, _pairs(rows, some))
    return chosen.setting, partial(_with_texts, chosen, rows.texts)


def _with_texts(fitted: Fitted, texts: Floats, x: Floats) -> Floats:
    return fitted.score(x, texts)


def with_all_classes(probe: baselines.LinearProbe, classes: int, x: Floats) -> Floats:
    """Log probabilities (n, classes) of a probe; those of classes that it has not seen are -inf."""
    scores = np.full((len(x), classes), -np.inf)
    scores[:, probe.classes_] = probe.scores(x)
    return scores


def _classifier(space: CanonicalSpace, score: Score, class_y: Floats) -> Scoring:
    """Scores (n, c) of rows of x by a space."""
    scores: Scoring = ZeroShotClassifier(space, score).fit(class_y, range(len(class_y))).scores
    return scores


def _fitted_elsewhere(
    rows: LabelledRows, transfer: CanonicalSpace | None, joint: tuple[Rows, Rows] | None
) -> Iterator[tuple[str, Floats]]:
    """Scores (n, c) of the test rows by what was not fitted on these rows."""
    test, classes = rows.parts["test"], len(rows.class_y)
    if transfer is not None:
        widths = rows.x.shape[1], rows.class_y.shape[2]
        if (transfer.x_dim, transfer.y_dim) != widths:
            raise ValueError(
                f"transfer takes features of widths {transfer.x_dim} and {transfer.y_dim}, x and class_y have "
                f"{widths[0]} and {widths[1]}"
            )
        yield LOG_ODDS.name, _classifier(transfer, "log_odds", rows.class_y)(rows.x[test])
        yield HELD_OUT_COSINE.name, _classifier(transfer, "similarity", rows.class_y)(rows.x[test])
    if joint is not None:
        x, texts = checked_side(joint[0], "joint[0]"), checked_side(joint[1], "joint[1]")
        if (len(x), len(texts)) != (len(rows.x), classes) or x.shape[1] != texts.shape[1]:
            raise ValueError(
                f"joint must hold vectors of the {len(rows.x)} rows and the {classes} classes, of one width, "
                f"got {x.shape} and {texts.shape}"
            )
        yield "CLIP", unit(x[test].astype(np.float64)) @ unit(texts.astype(np.float64)).T
