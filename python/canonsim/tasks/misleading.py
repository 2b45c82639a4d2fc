"""Detection of captions out of context: a picture with a true caption, and another that may belong elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from canonsim.baselines.rows import unit
from canonsim.row_hashes import row_hashes
from canonsim.rows import Ids, Rows, check_rows, is_tensor, result_dtype, take, to_dtype, to_ids, to_numpy, widest_dtype
from canonsim.space import CanonicalSpace

Vector: TypeAlias = npt.NDArray[np.float64]
PairScore: TypeAlias = Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64]], Any]
Rule: TypeAlias = Literal["bilevel", "mean", "image", "text"]

RULES: tuple[Rule, ...] = get_args(Rule)

# Mismatches to aim at, and at most so many of one row.
_MISMATCHES = 10_000
_MISMATCHES_OF_A_ROW = 10

# Rows scored at once, in f64.
_BLOCK = 4096

# Share of the mismatches in each tail, where ranks say too little.
_TAIL = 0.01


class MisleadingCaptions:
    """Judge whether the second caption of a picture is out of context, given a first that is taken as true.

    This is the task of COSMOS (Aneja, Bregler, Nießner, AAAI 2023) with the rules of CSA (Li, Chinchali, Topcu, ICLR
    2025): an image-text score says whether the second caption fits the picture, a text-text score whether it says what
    the first says. By *bilevel* it is out of context if neither holds; by *mean* if the mean of both is low.

    The two scores are on scales of their own. What brings them to one is their rank among mismatches, which `fit` makes
    of training rows: a score s becomes ``log(F / (1 - F))``, where F is the share of mismatches that score below s, so
    that 1 - F is the conformal p-value of "a mismatch". Beyond the 1 % at either end, which ranks do not resolve, tails
    are exponential, with the mean excess of the mismatches there. No score's form is assumed, and none that grows with
    it gives other results but for the tails. The rule *bilevel* then is the larger of both, the test by the smallest
    p-value (Tippett 1931), and *mean* is that of Mudholkar and George (1979), who add logits.

    Each rule is one number for each item, so it has one ROC curve, with an exact area (`canonsim.metrics.auc`) that is
    0.5 for scores that say nothing. The reference code of CSA has two thresholds for the bilevel rule in its place, and
    takes the convex hull of all points of their grid on the test rows: it keeps the best of many classifiers by the
    labels they are judged with, and lies above 0.5 for scores that say nothing; another method gets a sweep of a single
    threshold. Areas so made are not comparable.

    Parameters
    ----------
    space : CanonicalSpace or callable
        The image-text score: log odds of a space, or scores (n,) of rows (n, p) with rows (n, q), in f64.
    text : CanonicalSpace or callable, optional
        The text-text score, of first captions (n, q) with second ones (n, q): log odds of a space that was fitted on
        pairs of captions of one picture, or scores. By default the cosine of the features.

    Examples
    --------
    >>> import numpy as np
    >>> import canonsim
    >>> rng = np.random.default_rng(0)
    >>> shown = rng.standard_normal((600, 4))
    >>> x, first, second = (
    ...     shown @ rng.standard_normal((4, 8)) + 0.3 * rng.standard_normal((600, 8)),
    ...     *(np.hstack([shown, shown]) + 0.3 * rng.standard_normal((600, 8)) for _ in range(2)),
    ... )
    >>> moments = canonsim.PairedMoments(8, 8)
    >>> moments.update(x[:300], first[:300])
    >>> judge = canonsim.tasks.MisleadingCaptions(canonsim.fit(moments)).fit(x[300:500], first[300:500])
    >>> second[550:] = np.roll(second[550:], 1, axis=0)
    >>> out_of_context = judge.scores(x[500:], first[500:], second[500:]) < judge.threshold(missed=0.05)
    >>> bool(out_of_context[:50].mean() < 0.2), bool(out_of_context[50:].mean() > 0.8)
    (True, True)
    """

    _scales: tuple[_Scale, _Scale]
    _widths: tuple[int, int]
    _mismatches: tuple[Vector, Vector]

    def __init__(self, space: CanonicalSpace | PairScore, text: CanonicalSpace | PairScore | None = None) -> None:
        self.space = space
        self.text = text
        self._image_score = _pair_score(space, "space")
        self._text_score = pairwise_cosine if text is None else _pair_score(text, "text")

    def fit(self, X: Rows, Y: Rows, ids: Ids | None = None) -> Self:
        """Learn what mismatches score.

        Parameters
        ----------
        X, Y : (n, p), (n, q)
            Pictures and their captions, row by row. Rows that the space was not fitted on are best: those of its fit
            are further from each other than others.
        ids : (n,) int64, optional
            Rows of one id (the captions of one picture) make no mismatch. By default the running row number.

        Raises
        ------
        TypeError
            For values that are no floats, or ids that are no integers.
        ValueError
            For other widths than those of the space, different numbers of rows, values or scores that are not finite,
            or fewer than two different ids.
        """
        check_rows(X, "X")
        check_rows(Y, "Y")
        if len(X) != len(Y):
            raise ValueError(f"Y has {len(Y)} rows, but X has {len(X)}")
        numbers = np.arange(len(X), dtype=np.int64) if ids is None else to_ids(ids, len(X))
        image, text = [], []
        for i, j in _mismatched(numbers):
            others = take(Y, j)
            image.append(_blockwise(self._image_score, take(X, i), others, ("X", "Y")))
            text.append(_blockwise(self._text_score, take(Y, i), others, ("Y", "Y")))
        raw = np.concatenate(image), np.concatenate(text)
        self._scales = _Scale(np.sort(raw[0])), _Scale(np.sort(raw[1]))
        self._widths = int(X.shape[1]), int(Y.shape[1])
        self._mismatches = self._scales[0].log_odds(raw[0]), self._scales[1].log_odds(raw[1])
        return self

    def evidence(self, x: Rows, first: Rows, second: Rows) -> tuple[Vector, Vector]:
        """Both scores on the common scale, of "picture and second caption" and of "first and second": (n,), (n,) f64.

        0 is the median of the mismatches, and 3 what 5 % of them exceed. Parameters and errors as of `scores`.
        """
        image_scale, text_scale = self._fitted()
        p, q = self._widths
        for rows, name, width in ((x, "x", p), (first, "first", q), (second, "second", q)):
            check_rows(rows, name, width)
            if len(rows) != len(x):
                raise ValueError(f"{name} has {len(rows)} rows, but x has {len(x)}")
        image = _blockwise(self._image_score, x, second, ("x", "second"))
        return image_scale.log_odds(image), text_scale.log_odds(
            _blockwise(self._text_score, first, second, ("first", "second"))
        )

    def scores(self, x: Rows, first: Rows, second: Rows, rule: Rule = "bilevel") -> Any:
        """How well second captions fit: (n,), of the kind of x; low is misleading.

        Parameters
        ----------
        x : (n, p)
            Pictures.
        first, second : (n, q)
            The caption of each that is taken as true, and the one to be judged.
        rule : "bilevel", "mean", "image" or "text"
            The larger of both scores, their mean, or one of them alone.

        Raises
        ------
        TypeError
            For values that are no floats.
        ValueError
            For other widths, different numbers of rows, values or scores that are not finite, or another rule; also
            before a fit.
        """
        found = combine(*self.evidence(x, first, second), rule)
        if is_tensor(x):
            return to_dtype(x.new_tensor(found, dtype=widest_dtype(x)), result_dtype(x))
        return to_dtype(found, result_dtype(x))

    def threshold(self, missed: float = 0.05, rule: Rule = "bilevel") -> float:
        """The score below which a second caption is to be called misleading, so that few mismatches pass.

        At most this share of the mismatches of the fit scores as much or more. Captions that were chosen to mislead are
        harder than captions of just any other picture: of such, more will pass.

        Parameters
        ----------
        missed : float
            Between 0 and 1.
        rule : as of `scores`

        Returns
        -------
        float
            For ``judge.scores(x, first, second, rule) < threshold``.

        Raises
        ------
        ValueError
            For a share out of range or another rule; also before a fit.
        """
        self._fitted()
        if not 0 < missed < 1:
            raise ValueError(f"missed must lie between 0 and 1, got {missed}")
        found = np.sort(combine(*self._mismatches, rule))
        # All above the last of those that must be caught: just above it, since others may equal it.
        return float(np.nextafter(found[-1 - int(missed * len(found))], np.inf))

    def _fitted(self) -> tuple[_Scale, _Scale]:
        if not hasattr(self, "_scales"):
            raise ValueError("this judge of captions is not fitted yet: call fit first")
        return self._scales


def combine(image: Vector, text: Vector, rule: Rule) -> Vector:
    """One score (n,) of both by a rule, as `MisleadingCaptions.scores` has it; ValueError for another rule."""
    if rule == "bilevel":
        return np.maximum(image, text)
    if rule == "mean":
        return (image + text) / 2
    if rule not in RULES:
        raise ValueError(f"rule must be one of {RULES}, got {rule!r}")
    return image if rule == "image" else text


def pairwise_cosine(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Cosine of row i (n, q) with row i (n, q): (n,); 0 for rows of zeros."""
    cosines: npt.NDArray[Any] = (unit(first) * unit(second)).sum(axis=1)
    return cosines


@dataclass(frozen=True)
class _Scale:
    """Scores as the log odds of their rank among mismatches, which are sorted (m,)."""

    mismatches: Vector

    def log_odds(self, scores: Vector) -> Vector:
        """``log(F / (1 - F))`` of each score, and the same of exponential tails at both ends."""
        sorted_, m = self.mismatches, len(self.mismatches)
        below = (np.searchsorted(sorted_, scores) + np.searchsorted(sorted_, scores, side="right")) / 2
        found = np.log(below + 0.5) - np.log(m + 0.5 - below)
        k = min(max(1, round(_TAIL * m)), (m - 1) // 2)
        for sign, tail, start in ((1, sorted_[m - k :], sorted_[m - k - 1]), (-1, sorted_[:k], sorted_[k])):
            excess = float((sign * (tail - start)).mean()) if k else 0.0
            if excess > 0:
                beyond = sign * (scores - start) / excess
                found = np.where(beyond > 0, sign * (np.log(m / k - 1) + beyond), found)
        return np.asarray(found, dtype=np.float64)


def _mismatched(ids: npt.NDArray[np.int64]) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Places of rows, and of rows of other ids: if all ids differ, the same mismatches in any order of the rows."""
    _, counts = np.unique(ids, return_counts=True)
    if len(counts) < 2:
        raise ValueError(f"ids must differ for mismatches to be made, got {len(counts)} different of {len(ids)} rows")
    order = np.argsort(row_hashes(ids), kind="stable")
    step, n = int(counts.max()), len(ids)
    # Rows of one id stand together, so a step of the largest such group leads out of it.
    for shift in range(1, min(_MISMATCHES_OF_A_ROW, max(1, _MISMATCHES // n), len(counts) - 1) + 1):
        others = np.roll(order, -shift * step)
        differ = ids[order] != ids[others]
        yield order[differ], others[differ]


def _blockwise(score: PairScore, one: Rows, other: Rows, names: tuple[str, str]) -> Vector:
    """Scores (n,) of equal rows, some at a time."""
    parts = [np.empty(0)]
    for at in range(0, len(one), _BLOCK):
        sides = [to_numpy(to_dtype(side[at : at + _BLOCK], widest_dtype(side))) for side in (one, other)]
        for name, side in zip(names, sides, strict=True):
            finite = np.isfinite(side).all(axis=1)
            if not finite.all():
                raise ValueError(f"{name} contains NaN or Inf in row {at + int(finite.argmin())}")
        found = np.asarray(score(*sides), dtype=np.float64)
        if found.shape != (len(sides[0]),) or not np.isfinite(found).all():
            raise ValueError(f"scores of {' and '.join(names)} must be finite, one for each row, got {found.shape}")
        parts.append(found)
    return np.concatenate(parts)


def _pair_score(space: CanonicalSpace | PairScore, argument: str) -> PairScore:
    if isinstance(space, CanonicalSpace):
        return space.log_odds_pairwise
    if not callable(space):
        raise TypeError(f"{argument} must be a CanonicalSpace or a function of rows, got {type(space).__name__}")
    return space
