"""The protocol of misleading captions: which second captions are out of context, as on COSMOS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from canonsim.protocols.captioned import CaptionedRows, checked_captioned
from canonsim.protocols.labelled import checked_side
from canonsim.protocols.methods import (
    ASIF_METHOD,
    HELD_OUT_COSINE,
    LOG_ODDS,
    PROCRUSTES,
    UNRIDGED,
    Features,
    Fitted,
    Method,
)
from canonsim.protocols.results import Curve, Results, Row
from canonsim.protocols.retrieval import check_joint, cosine, mean_recall
from canonsim.protocols.selection import choose
from canonsim.protocols.suspicion import Suspicion
from canonsim.rows import Ids, Rows
from canonsim.tasks.misleading import RULES, MisleadingCaptions, combine

METHODS = (LOG_ODDS, HELD_OUT_COSINE, UNRIDGED, ASIF_METHOD, PROCRUSTES)
_AREAS = ("AUC", *(f"AUC, {rule}" for rule in RULES[1:]))
MEASURES = (*_AREAS, "balanced accuracy")

# Share of the calibrating mismatches that may pass.
_MISSED = 0.05


class JointVectors(NamedTuple):
    """Vectors by encoders that were trained together, such as CLIP's, all of one width d.

    Attributes
    ----------
    x, y : (n, d), (m, d)
        Of the items and captions that others are fitted on; only those of the validation part are used.
    asked, first, second : (t, d)
        Of the test items and of both of their captions.
    """

    x: Rows
    y: Rows
    asked: Rows
    first: Rows
    second: Rows


def misleading(
    data: str,
    x: Rows,
    y: Rows,
    owners: Ids,
    parts: Mapping[str, Any],
    asked: Rows,
    first: Rows,
    second: Rows,
    out_of_context: npt.ArrayLike,
    *,
    sizes: Sequence[int] | None = None,
    methods: Sequence[Method] = METHODS,
    joint: JointVectors | None = None,
    resamples: int = 400,
) -> Results:
    """Measure how well methods tell second captions that are out of context from others.

    Each method is fitted on the same training pairs, takes the setting of the best R@10 on the validation part, and
    judges by `canonsim.tasks.MisleadingCaptions`, whose scales come from mismatches of validation pairs. The text-text
    score is the cosine of the captions' features for all but the joint model, which has text vectors of its own. So all
    methods are judged by the same rules, and each rule by one score with its exact ROC AUC.

    Parameters
    ----------
    data : str
        Name of the data.
    x, y, owners, parts
        Items, captions and their owners to fit on, as of `canonsim.protocols.retrieval.retrieval`; a test part is not
        needed.
    asked : (t, p)
        Test items, each with two captions.
    first, second : (t, q)
        The caption taken as true, and the one to be judged.
    out_of_context : (t,) bool
        Whether it is misleading; some are and some are not.
    sizes : sequence of int, optional
        Numbers of training items; None for all.
    methods : sequence of Method
    joint : JointVectors, optional
    resamples : int
        How often test items are drawn again for the intervals.

    Returns
    -------
    Results
        Measures: "AUC" of the bilevel rule is the main one, then those of the mean, of the image-text score and of the
        text-text score alone; "balanced accuracy", the mean over captions in and out of context of the share judged
        rightly by the bilevel rule, with the threshold that 5 % of the calibrating mismatches pass. Curves: the ROC of
        the bilevel rule, with captions out of context as positives, for the largest number of training items.

    Raises
    ------
    TypeError
        For features that are no floats, owners or parts that are no integers, or labels that are no booleans.
    ValueError
        As `canonsim.protocols.retrieval.retrieval`, and for test rows of other widths or numbers, or of one kind only.

    Examples
    --------
    >>> from canonsim.protocols.methods import LOG_ODDS
    >>> rng = np.random.default_rng(0)
    >>> x, owners = rng.standard_normal((500, 6)), np.repeat(np.arange(500), 2)
    >>> y = x[owners] + 0.4 * rng.standard_normal((1000, 6))
    >>> wrong, second = np.arange(100) % 2 == 1, y[801::2].copy()
    >>> second[wrong] = np.roll(second[wrong], 1, axis=0)
    >>> fit_on = {"train": np.arange(300), "val": np.arange(300, 400)}
    >>> found = misleading("toy", x, y, owners, fit_on, x[400:], y[800::2], second, wrong, methods=[LOG_ODDS])
    >>> found.rows[0].values["AUC"] > 0.9, found.chance["AUC"]
    (True, 0.5)
    """
    rows = checked_captioned(x, y, owners, parts, needed=("train",))
    test = _checked_test(rows, asked, first, second)
    wrong = np.asarray(out_of_context)
    if wrong.dtype != np.bool_:
        raise TypeError(f"out_of_context must hold booleans, got {wrong.dtype}")
    if wrong.shape != (len(test[0]),) or not 0 < wrong.sum() < len(wrong):
        raise ValueError(
            f"out_of_context must be true for some of {len(test[0])} test items and false for others, "
            f"got shape {wrong.shape} with {int(wrong.sum())} true"
        )
    if resamples < 0:
        raise ValueError(f"resamples must be at least 0, got {resamples}")
    counts = rows.sizes(sizes)
    suspicion = Suspicion(wrong, resamples, seed=0)
    notes = [
        *rows.notes(),
        f"The threshold of the balanced accuracy lets {_MISSED:.0%} of the mismatches of validation pairs pass.",
    ]
    found: list[Row] = []
    curves: dict[str, Curve] = {}
    if joint is not None:
        vectors = checked_captioned(joint.x, joint.y, owners, parts, needed=("train",))
        check_joint(rows, vectors)
        joint_test = _checked_test(vectors, *joint[2:])
        if len(joint_test[0]) != len(wrong):
            raise ValueError(f"joint must hold vectors of the {len(wrong)} test items, got {len(joint_test[0])}")
        row, curves["joint model"] = _judged(cosine(), "joint model", None, vectors, joint_test, suspicion)
        found.append(row)
        notes.append("The joint model was trained on pairs of its own, far more than are counted here.")
    validation = rows.gallery("val")
    for size in counts:
        pairs = rows.pairs(rows.parts["train"][:size])
        for method in methods:
            fitted, seconds = choose(method.fits(pairs), partial(mean_recall, gallery=validation))
            row, curves[method.name] = _judged(fitted, method.name, size, rows, test, suspicion, seconds)
            found.append(row)
    return Results("misleading", data, MEASURES, dict.fromkeys(MEASURES, 0.5), tuple(found), tuple(notes), curves)


def _judged(
    fitted: Fitted,
    method: str,
    pairs: int | None,
    rows: CaptionedRows,
    test: Sequence[Features],
    suspicion: Suspicion,
    seconds: float = 0.0,
) -> tuple[Row, Curve]:
    """All measures of one method, and the ROC curve of the bilevel rule."""
    judge = MisleadingCaptions(fitted.score_pairwise).fit(*rows.pairs(rows.parts["val"]))
    evidence = judge.evidence(*test)
    scores = {measure: combine(*evidence, rule) for measure, rule in zip(_AREAS, RULES, strict=True)}
    measured = {measure: suspicion(of_rule) for measure, of_rule in scores.items()}
    values = {measure: found["AUC"] for measure, (found, _) in measured.items()}
    intervals = {measure: found["AUC"] for measure, (_, found) in measured.items() if found}
    right = (scores["AUC"] < judge.threshold(_MISSED)) == suspicion.wrong
    values["balanced accuracy"] = float(np.mean([right[suspicion.wrong == kind].mean() for kind in (True, False)]))
    return Row(method, pairs, values, intervals, seconds, fitted.setting), suspicion.curve(scores["AUC"])


def _checked_test(rows: CaptionedRows, asked: Rows, first: Rows, second: Rows) -> tuple[Features, Features, Features]:
    """Test items and both of their captions, as wide as what is fitted on."""
    found = checked_side(asked, "asked"), checked_side(first, "first"), checked_side(second, "second")
    for side, name, like in zip(found, ("asked", "first", "second"), (rows.x, rows.y, rows.y), strict=True):
        expected = (len(found[0]), like.shape[1])
        if side.shape != expected:
            raise ValueError(f"{name} must have the shape {expected}, got {side.shape}")
    return found
