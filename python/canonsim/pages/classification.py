"""The page of `canonsim classify`: which class each item is taken for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from canonsim import report
from canonsim.pages.pieces import Card, cards, confusion, fitted_on
from canonsim.report import Html

if TYPE_CHECKING:
    import numpy.typing as npt

    from canonsim import CanonicalSpace
    from canonsim.pages.contents import Contents

_CARDS = 18
_GALLERIES = 12
_OF_A_CLASS = 6
_LINES = 50


def classification_page(
    space: CanonicalSpace,
    contents: Contents,
    classes: Sequence[str],
    found: Sequence[str],
    probabilities: npt.NDArray[np.floating],
    labels: Sequence[str] | None = None,
    *,
    score: str = "log_odds",
    data: str,
) -> Html:
    """Compose the page.

    Parameters
    ----------
    space : CanonicalSpace
    contents : Contents
        What the items are.
    classes : sequence of str (c,)
    found : sequence of str (n,)
        The class each item is taken for.
    probabilities : (n,)
        Of these.
    labels : sequence of str (n,), optional
        True classes. Without them, examples of each class are shown and nothing is measured.
    score : str
        What the probabilities come from, ``"log_odds"`` or ``"similarity"``.
    data : str
        Name of the file or folder of the items.
    """
    sure = np.asarray(probabilities, dtype=np.float64)
    shown = _examples(contents, found, sure) if labels is None else _measured(contents, classes, found, sure, labels)
    least = np.argsort(sure, kind="stable")[:_CARDS].tolist()
    scale = "" if score == "log_odds" else " Probabilities made of similarities are of the right order at best."
    return report.page(
        f"Classes of {data}",
        *shown,
        report.section(
            "Least sure",
            report.paragraph("Items whose most probable class has the lowest probability." + scale),
            cards(_card(contents, row, sure, _taken(row, found, labels)) for row in least),
        ),
        report.section(
            "In-domain or transfer?",
            report.paragraph(
                f"{fitted_on(space)} Whether these were rows of the classes above with the texts of their classes "
                "(in-domain: supervised classification, to be compared with a linear probe on the same rows), or other "
                "pairs, such as captions (transfer: to be compared with the zero-shot classification of jointly "
                "trained encoders), cannot be known from the data. Say which when you report a number."
            ),
        ),
        lead=f"{len(found):,} items, {len(classes)} classes given by their texts. {fitted_on(space)}",
    )


def _measured(
    contents: Contents,
    classes: Sequence[str],
    found: Sequence[str],
    sure: npt.NDArray[np.float64],
    labels: Sequence[str],
) -> list[Html]:
    right = np.array([label == name for label, name in zip(labels, found, strict=True)])
    majority, most = Counter(labels).most_common(1)[0]
    chance = f"chance {1 / len(classes):.1%}, always {majority} {most / len(labels):.1%}"
    wrong = np.flatnonzero(~right)
    surest = wrong[np.argsort(-sure[wrong], kind="stable")][:_CARDS].tolist()
    recalls = _recalls(labels, found)
    parts = [
        report.figures(
            [
                (f"{right.mean():.1%}", "accuracy", chance),
                (f"{np.mean([recall for _, recall in recalls.values()]):.1%}", "mean recall of classes", "each alike"),
                (f"{sure.mean():.1%}", "mean probability", "equals the accuracy where probabilities are right"),
                (f"{len(wrong):,}", "wrong", f"of {len(labels):,} items"),
            ]
        ),
        report.section(
            "What is taken for what",
            report.paragraph("True classes in the rows, shares of their items in the columns."),
            confusion(labels, found, classes),
            _class_table(recalls, labels, found),
        ),
    ]
    if surest:
        told = report.paragraph("Wrong items, the most confident first: the model's errors, and those of the labels.")
        shown = cards(_card(contents, row, sure, _taken(row, found, labels)) for row in surest)
        parts.append(report.section("Wrong and sure of it", told, shown))
    return parts


def _recalls(labels: Sequence[str], found: Sequence[str]) -> dict[str, tuple[int, float]]:
    """Items and recall of each class that occurs, the worst first."""
    truly = Counter(labels)
    hits = Counter(label for label, name in zip(labels, found, strict=True) if label == name)
    recalls = {label: (count, hits[label] / count) for label, count in truly.items()}
    return dict(sorted(recalls.items(), key=lambda entry: (entry[1][1], entry[0])))


def _class_table(recalls: dict[str, tuple[int, float]], labels: Sequence[str], found: Sequence[str]) -> Html:
    confusions = Counter((label, name) for label, name in zip(labels, found, strict=True) if label != name)
    taken: dict[str, str] = {}
    for (label, name), count in sorted(confusions.items(), key=lambda entry: (-entry[1], entry[0])):
        taken.setdefault(label, f"{name} ({count})")
    rows = [[label, count, recall, taken.get(label, "")] for label, (count, recall) in list(recalls.items())[:_LINES]]
    left = len(recalls) - len(rows)
    note = f"The {len(rows)} classes with the lowest recall; {left} more have higher ones." if left else ""
    return report.table(["class", "items", "recall", "most often taken for"], rows, note=note)


def _examples(contents: Contents, found: Sequence[str], sure: npt.NDArray[np.float64]) -> list[Html]:
    counts = Counter(found)
    order = np.argsort(-sure, kind="stable").tolist()
    galleries = []
    for name, count in counts.most_common(_GALLERIES):
        rows = [row for row in order if found[row] == name][:_OF_A_CLASS]
        galleries.append(cards((_card(contents, row, sure) for row in rows), f"{name} ({count:,})"))
    told = "The most probable items of each class, with their probabilities."
    if len(counts) > _GALLERIES:
        told += f" The {_GALLERIES} largest of {len(counts)} classes."
    return [
        report.figures([(f"{len(counts):,}", "classes found", f"the largest: {counts.most_common(1)[0][0]}")]),
        report.section("What was found", report.paragraph(told), *galleries),
    ]


def _card(contents: Contents, row: int, sure: npt.NDArray[np.float64], taken: str = "") -> Card:
    """What an item is, its probability, and what it is taken for, where that is not said above."""
    picture = contents.picture(row)
    texts = [text for text in (taken, contents.caption(row)) if text]
    return Card([] if picture is None else [picture], texts[0], [f"{sure[row]:.0%}", *texts[1:]])


def _taken(row: int, found: Sequence[str], labels: Sequence[str] | None) -> str:
    return found[row] if labels is None or labels[row] == found[row] else f"{labels[row]} taken for {found[row]}"
