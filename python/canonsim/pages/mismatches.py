"""The page of `canonsim check`: which pairs do not belong together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from canonsim import report
from canonsim.pages.pieces import Card, cards, fitted_on, histogram
from canonsim.report import Html

if TYPE_CHECKING:
    from canonsim.pages.contents import Contents
    from canonsim.tasks import MismatchDetector

_SHOWN = 60
_PRECISIONS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)


def mismatch_page(
    detector: MismatchDetector,
    contents: tuple[Contents, Contents],
    *,
    precision: float,
    data: Sequence[str],
) -> Html:
    """Compose the page.

    Parameters
    ----------
    detector : MismatchDetector
        Fitted on the pairs.
    contents : (Contents, Contents)
        What the items of x and of y are.
    precision : float
        Share of the flagged pairs that is to be wrong.
    data : sequence of str
        Names of the files of the pairs.
    """
    n = len(detector.scores_)
    judge = "Each is judged by a fit that it is not part of." if detector.space is None else fitted_on(detector.space)
    title, lead = f"Suspicious pairs of {' and '.join(data)}", f"{n:,} pairs. {judge}"
    low, high = detector.noise_rate_interval_
    if (low, high) == (0, 1):
        nothing = "The two sides show nothing of each other: nothing can be said of these pairs."
        return report.page(title, report.section("No judgement", report.paragraph(nothing)), lead=lead)
    threshold = detector.threshold(precision)
    flagged = detector.scores_ < threshold
    wrong = float((1 - detector.probabilities_[flagged]).sum())
    rows = detector.most_suspicious(min(_SHOWN, n))
    return report.page(
        title,
        report.figures(
            [
                (f"{detector.noise_rate_:.1%}", "of the pairs are wrong", f"95% interval {low:.1%} to {high:.1%}"),
                (f"{flagged.sum():,}", "pairs flagged", f"such that {precision:.0%} of them are wrong"),
                (f"{wrong:,.0f}", "wrong among them", "expected, by their probabilities"),
            ]
        ),
        report.section(
            "Most suspicious first",
            report.paragraph(
                f"The {len(rows)} pairs with the lowest log odds of a true pair to a mismatch, in nats, and the "
                "probability of each to be true, which takes the share of wrong pairs into account. Rows are counted "
                "from 0."
            ),
            _suspicious(detector, contents, rows.tolist()),
        ),
        report.section("How many to look at", _precisions(detector, precision)),
        report.section(
            "All pairs",
            report.paragraph(
                "Each pair counts as true and as wrong by its probability. What lies beyond the ends counts there."
            ),
            histogram(
                {
                    "likely true": (detector.scores_, detector.probabilities_ / n),
                    "likely wrong": (detector.scores_, (1 - detector.probabilities_) / n),
                },
                "log odds",
                y_label="share of all pairs",
            ),
        ),
        lead=lead,
    )


def _suspicious(detector: MismatchDetector, contents: tuple[Contents, Contents], rows: Sequence[int]) -> Html:
    judged = [(row, float(detector.scores_[row]), float(detector.probabilities_[row])) for row in rows]
    if all(side.kind == "features" for side in contents):
        header = ["", "log odds", "probability"]
        return report.table(header, [[f"row {row}", f"{odds:+.2f}", f"{true:.3f}"] for row, odds, true in judged])
    return cards(_card(contents, row, odds, true) for row, odds, true in judged)


def _card(contents: tuple[Contents, Contents], row: int, odds: float, true: float) -> Card:
    """Pictures speak for themselves: their names are small print; texts and other files are named."""
    pictures = [(side, side.picture(row)) for side in contents]
    shown = [picture for _, picture in pictures if picture is not None]
    files = [side.caption(row) for side, picture in pictures if picture is not None]
    texts = [side.caption(row) for side, picture in pictures if picture is None]
    return Card(shown, ": ".join(texts), [f"{odds:+.1f}, probability {true:.3f}", ", ".join([f"row {row}", *files])])


def _precisions(detector: MismatchDetector, precision: float) -> Html:
    wanted = sorted({*_PRECISIONS, precision})
    rows = []
    for value in wanted:
        threshold = detector.threshold(value)
        flagged = detector.scores_ < threshold
        below = f"{threshold:+.2f}" if np.isfinite(threshold) else ("all" if threshold > 0 else "none")
        wrong = float((1 - detector.probabilities_[flagged]).sum())
        rows.append([f"{value:g}", f"{flagged.sum():,}", f"{wrong:,.0f}", below])
    return report.table(
        ["precision", "flagged", "wrong among them", "log odds below"],
        rows,
        mark=[wanted.index(precision)],
        note="For each share of the flagged pairs that is to be wrong: how many can be flagged, how many of these are "
        "wrong by their probabilities, and the rule.",
    )
