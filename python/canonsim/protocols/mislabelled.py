"""Which pairs are wrong? Labels and captions that belong to other rows, found by every method."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from canonsim import _native, metrics
from canonsim.baselines import LinearProbe
from canonsim.baselines.rows import set_aside, unit
from canonsim.canonical import fit
from canonsim.protocols.classification import with_all_classes
from canonsim.protocols.labelled import Floats, Ints, checked_labelled, checked_labels, checked_parts, checked_side
from canonsim.protocols.methods import ASIF_METHOD, LOG_ODDS, PROCRUSTES, UNRIDGED, Fitted, Method, moments_of
from canonsim.protocols.results import Curve, Results, Row
from canonsim.protocols.selection import choose, refit
from canonsim.protocols.suspicion import MEASURES, Suspicion
from canonsim.rows import Ids, Rows, to_ids
from canonsim.significance import NoSignalWarning
from canonsim.tasks import MismatchDetector

Bools = npt.NDArray[np.bool_]
Judgement: TypeAlias = tuple[Floats, float | None, str]
"""Scores (n,), low is suspicious; the threshold below which to flag; the setting."""

_FOLDS = 5
_RIVALS = (UNRIDGED, ASIF_METHOD, PROCRUSTES)
# The share of the rows of a fit on which settings are chosen.
_SHARE = 0.2


@dataclass(frozen=True)
class _Pairs:
    """Pairs x (n, p), y (n, q), with ids (n,), and labels (n,) where y are the texts of labels."""

    x: Floats
    y: Floats
    ids: Ints
    labels: Ints | None

    def __getitem__(self, some: Ints | Bools) -> _Pairs:
        return _Pairs(self.x[some], self.y[some], self.ids[some], None if self.labels is None else self.labels[some])


def mislabelled(
    data: str,
    x: Rows,
    given: Ids,
    true: Ids,
    class_y: Rows,
    names: Sequence[object],
    *,
    parts: Mapping[str, Any] | None = None,
    joint: tuple[Rows, Rows] | None = None,
    precision: float = 0.9,
    seed: int = 0,
    resamples: int = 1000,
) -> Results:
    """Measure how well wrong labels are found.

    Every method scores how well a row goes with the text of the label it was given, in two regimes. "cross-fitted":
    nothing but the rows to judge is there, each judged by a fit of the other folds, wrong labels and all; it is how
    labels are checked in earnest. "trusted": there are other rows whose labels are right. Besides CSA
    (`canonsim.tasks.MismatchDetector`) and others with texts, a linear probe scores by its probability of the label.

    Parameters
    ----------
    data : str
        Name of the data.
    x : (n, p)
        Features.
    given, true : (n,) integers
        Labels as they are, and as they should be: rows of class_y.
    class_y : (c, q) or (c, templates, q)
        Embedded texts of the classes, whose means are used.
    names : sequence (c,)
        Names of the classes.
    parts : mapping of str to (k,) integers, optional
        Rows of x: "test" is judged, by default all rows; "train" is trusted, with its true labels.
    joint : ((n, d), (c, d)), optional
        Vectors of the rows and of the classes by a jointly trained model (CLIP), compared by cosine.
    precision : float
        Wanted of the rows that CSA flags.
    seed : int
        Of folds and draws.
    resamples : int
        How often test rows are drawn again for the intervals; 0 gives none.

    Returns
    -------
    Results
        Measures as of `canonsim.protocols.suspicion.Suspicion`, and ROC curves.

    Raises
    ------
    TypeError, ValueError
        As of `checked_labelled`; where no judged row, or each of them, is wrong; for a precision or resamples out of
        range, or other shapes of `joint`.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> true = rng.integers(0, 3, 300)
    >>> x, texts = 6 * np.eye(3, 6)[true] + rng.standard_normal((300, 6)), rng.standard_normal((3, 4))
    >>> given = np.where(np.arange(300) < 30, (true + 1) % 3, true)
    >>> results = mislabelled("made up", x, given, true, texts, ["cat", "dog", "owl"], resamples=0)
    >>> row = results.rows[0]
    >>> row.method, row.regime, row.values["AUC"] > 0.99
    ('log odds', 'cross-fitted', True)
    """
    everything = np.arange(len(x))
    rows = checked_labelled(x, given, {"test": everything} if parts is None else parts, class_y, names, ("test",))
    right = checked_labels(true, len(rows.x), len(rows.class_y), "true")
    known = joint
    if joint is not None:
        vectors, classes = checked_side(joint[0], "joint[0]"), checked_side(joint[1], "joint[1]")
        if len(classes) != len(rows.class_y):
            raise ValueError(
                f"joint[1] must hold a vector of each of the {len(rows.class_y)} classes, got {classes.shape}"
            )
        known = vectors, classes[rows.labels]
    judged = _Pairs(rows.x, rows.texts[rows.labels], everything, rows.labels)
    trusted = _Pairs(rows.x, rows.texts[right], everything, right)
    return _results(
        "mislabelled", data, judged, trusted, rows.labels != right, rows.parts, known, precision, seed, resamples
    )


def mismatched(
    data: str,
    x: Rows,
    y: Rows,
    wrong: npt.ArrayLike,
    *,
    ids: Ids | None = None,
    parts: Mapping[str, Any] | None = None,
    joint: tuple[Rows, Rows] | None = None,
    precision: float = 0.9,
    seed: int = 0,
    resamples: int = 1000,
) -> Results:
    """Measure how well wrong pairs are found, as `mislabelled` does for labels: captions that were `shuffled`.

    Parameters
    ----------
    data : str
        Name of the data.
    x, y : (n, p), (n, q)
        Row i of x is said to belong to row i of y.
    wrong : (n,) bool
        Whether it does not.
    ids : (n,) integers, optional
        Rows of one id (the captions of one image) share a fold. By default the running row number.
    parts : mapping of str to (k,) integers, optional
        Rows: "test" is judged, by default all; those of "train" that are not wrong are trusted.
    joint : ((n, d), (n, d)), optional
        Vectors of both sides by a jointly trained model (CLIP), compared by cosine.
    precision, seed, resamples
        As of `mislabelled`.

    Returns
    -------
    Results

    Raises
    ------
    TypeError, ValueError
        For sides that are no matrices of finite floats, or differ in length; otherwise as of `mislabelled`.
    """
    sides = checked_side(x, "x"), checked_side(y, "y")
    n = len(sides[0])
    if len(sides[1]) != n:
        raise ValueError(f"y has {len(sides[1])} rows, but x has {n}")
    bad = np.asarray(wrong)
    if bad.dtype != np.bool_ or bad.shape != (n,):
        raise ValueError(f"wrong must hold one bool for each of the {n} rows, got {bad.dtype} of shape {bad.shape}")
    numbers = np.arange(n) if ids is None else to_ids(ids, n)
    checked = checked_parts({"test": np.arange(n)} if parts is None else parts, n, ("test",))
    if "train" in checked:
        checked["train"] = checked["train"][~bad[checked["train"]]]
    pairs = _Pairs(*sides, numbers, None)
    return _results("mismatched", data, pairs, pairs, bad, checked, joint, precision, seed, resamples)


def shuffled(y: Rows, ids: Ids | None = None, *, share: float, seed: int = 0) -> tuple[Floats, Bools]:
    """Give a share of the rows what belongs to others: y with these rows exchanged, and which they are.

    Parameters
    ----------
    y : (n, q)
    ids : (n,) integers, optional
        Rows with one id belong to the same item, and are not exchanged for each other.
    share : float
        Of the rows, in [0, 1]; it is met to the row.
    seed : int

    Returns
    -------
    y : (n, q)
    wrong : (n,) bool

    Raises
    ------
    ValueError
        For a share out of range, or where it cannot be met: a single row, or more than half of those drawn of one id.

    Examples
    --------
    >>> y, wrong = shuffled(np.arange(10.0)[:, None], share=0.3)
    >>> int(wrong.sum()), bool((y[wrong, 0] != np.arange(10)[wrong]).all()), sorted(y[:, 0]) == list(range(10))
    (3, True, True)
    """
    rows = checked_side(y, "y")
    numbers = np.arange(len(rows)) if ids is None else to_ids(ids, len(rows))
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1], got {share}")
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(len(rows))[: round(share * len(rows))]
    wrong = np.zeros(len(rows), dtype=np.bool_)
    wrong[drawn] = True
    if len(drawn) == 0:
        return rows.copy(), wrong
    # Rows of one id stand side by side, ids in random order: a turn by the longest such run brings another id to each.
    _, group, counts = np.unique(numbers[drawn], return_inverse=True, return_counts=True)
    drawn = drawn[np.argsort(rng.permutation(len(counts))[group], kind="stable")]
    most = int(counts.max())
    if 2 * most > len(drawn):
        raise ValueError(f"share={share} draws {len(drawn)} rows, {most} of which have one id: there is nothing else")
    found = rows.copy()
    found[drawn] = rows[np.roll(drawn, most)]
    return found, wrong


def _results(
    protocol: str,
    data: str,
    given: _Pairs,
    right: _Pairs,
    wrong: Bools,
    parts: dict[str, Ints],
    joint: tuple[Rows, Rows] | None,
    precision: float,
    seed: int,
    resamples: int,
) -> Results:
    """What all methods reach on the test part, cross-fitted, and fitted on the right pairs of the training part."""
    test, train = parts["test"], parts.get("train", parts["test"][:0])
    judged, is_wrong = given[test], wrong[test]
    count = int(is_wrong.sum())
    if not 0 < count < len(test):
        raise ValueError(
            f"some of the rows to judge must be wrong and some right, but {count} of {len(test)} are wrong"
        )
    if not 0 < precision <= 1:
        raise ValueError(f"precision must lie above 0 and be at most 1, got {precision}")
    if resamples < 0:
        raise ValueError(f"resamples must be at least 0, got {resamples}")
    known = None if joint is None else _cosines(joint, len(wrong))[test]
    suspicion = Suspicion(is_wrong, resamples, seed)
    found: list[Row] = []
    curves: dict[str, Curve] = {}
    share = (
        f"{count:,} of the {len(test):,} judged pairs are wrong, a share of {is_wrong.mean():.3f}; R-precision is the "
        f"share of wrong ones among the {count:,} most suspicious."
    )
    notes = [share, f"precision is that of the pairs flagged where a precision of {precision:g} was wanted."]
    regimes = {"cross-fitted": (None, len(test))} | ({"trusted": (right[train], len(train))} if len(train) else {})
    for regime, (trusted, pairs) in regimes.items():
        for name, judge in _judges(judged, trusted, precision, seed, notes).items():
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", NoSignalWarning)
                began = time.perf_counter()
                try:
                    scores, threshold, setting = judge()
                except (ValueError, ImportError) as error:
                    notes.append(f"{name}, {regime}, is left out: {error}.")
                    continue
                seconds = time.perf_counter() - began
            notes += [f"{name}, {regime}: {warning.message}." for warning in caught]
            found.append(Row(name, pairs, *suspicion(scores, threshold), seconds, setting, regime))
            curves[f"{name}, {regime}"] = suspicion.curve(scores)
    if known is not None:
        found.append(Row("CLIP", None, *suspicion(known)))
        curves["CLIP"] = suspicion.curve(known)
    return Results(protocol, data, MEASURES, suspicion.chance, tuple(found), tuple(notes), curves)


def _judges(
    judged: _Pairs, trusted: _Pairs | None, precision: float, seed: int, notes: list[str]
) -> dict[str, Callable[[], Judgement]]:
    """What judges pairs, by method: fitted on trusted ones, or cross-fitted on the judged ones. Notes are added to."""

    def detector() -> Judgement:
        space = None if trusted is None else fit(moments_of((trusted.x, trusted.y, trusted.ids)))
        fitted = MismatchDetector(space).fit(judged.x, judged.y, judged.ids)
        low, high = fitted.noise_rate_interval_
        regime = "cross-fitted" if trusted is None else "trusted"
        notes.append(
            f"{LOG_ODDS.name}, {regime}, estimates a share of {fitted.noise_rate_:.3f} ({low:.3f} to {high:.3f}) to be "
            "wrong."
        )
        return fitted.scores_, fitted.threshold(precision), ""

    def rival(method: Method) -> Judgement:
        setting = _chosen(method, judged if trusted is None else trusted, seed)

        def score(pairs: _Pairs, others: _Pairs) -> Floats:
            return refit(method, setting, (pairs.x, pairs.y, pairs.ids)).score_pairwise(others.x, others.y)

        return _by_folds(score, judged, trusted), None, setting

    def probe(labels: Ints) -> Judgement:
        classes = int(labels.max()) + 1

        def score(pairs: _Pairs, others: _Pairs) -> Floats:
            fitted = LinearProbe(seed=seed).fit(pairs.x, pairs.labels)
            found: Floats = with_all_classes(fitted, max(classes, int(fitted.classes_.max()) + 1), others.x)
            return found[np.arange(len(found)), others.labels]

        return _by_folds(score, judged, trusted), None, ""

    judges: dict[str, Callable[[], Judgement]] = {LOG_ODDS.name: detector}
    judges |= {method.name: partial(rival, method) for method in _RIVALS}
    return judges if judged.labels is None else judges | {"linear probe": partial(probe, judged.labels)}


def _by_folds(score: Callable[[_Pairs, _Pairs], Floats], judged: _Pairs, trusted: _Pairs | None) -> Floats:
    """Scores (n,) of the judged pairs by a fit of the trusted ones, or of the folds that a pair is not in."""
    if trusted is not None:
        return score(trusted, judged)
    fold = _native.folds_of(judged.ids, _FOLDS)
    scores = np.empty(len(fold))
    for k in np.unique(fold):
        scores[fold == k] = score(judged[fold != k], judged[fold == k])
    return scores


def _chosen(method: Method, pairs: _Pairs, seed: int) -> str:
    """The setting that, fitted on most pairs, best tells the others from mismatches."""
    held_out = set_aside(pairs.ids, _SHARE, seed)
    fitted_on, others = pairs[~held_out], pairs[held_out]
    suspicion = Suspicion(np.repeat([False, True], len(others.ids)), resamples=0, seed=seed)

    def area(fitted: Fitted) -> float:
        scores = np.concatenate(metrics.mismatch_scores(fitted.score_pairwise, others.x, others.y))
        return suspicion(scores)[0]["AUC"]

    return choose(method.fits((fitted_on.x, fitted_on.y, fitted_on.ids)), area)[0].setting


def _cosines(joint: tuple[Rows, Rows], count: int) -> Floats:
    """Cosines (n,) of equal rows."""
    sides = [checked_side(side, f"joint[{place}]").astype(np.float64) for place, side in enumerate(joint)]
    if sides[0].shape != sides[1].shape or len(sides[0]) != count:
        raise ValueError(
            f"joint must hold vectors of {count} rows, of one width, got {sides[0].shape}, {sides[1].shape}"
        )
    cosines: Floats = (unit(sides[0]) * unit(sides[1])).sum(axis=1)
    return cosines
