"""Pieces of the pages about a model: scores as a histogram, rows as cards, classes as a matrix of confusions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from canonsim.charts import lines
from canonsim.report import Html, escape

if TYPE_CHECKING:
    from canonsim import CanonicalSpace

_BINS = 40

# The share of scores at either end that is gathered in the outermost bins.
_ENDS = 0.005

# Classes in a matrix of confusions.
_CLASSES = 12


class Card(NamedTuple):
    """One row: small pictures (data URIs), what it is, and lines of small print."""

    pictures: Sequence[Html]
    text: str
    small: Sequence[str] = ()


def histogram(
    series: Mapping[str, ArrayLike | tuple[ArrayLike, ArrayLike]],
    label: str,
    *,
    y_label: str = "share",
) -> Html:
    """Draw how scores are distributed, each series over the same bins.

    Bins are equally wide between the 0.5 % and the 99.5 % quantile of the scores of any series; what lies beyond counts
    in the outermost ones.

    Parameters
    ----------
    series : mapping
        Of each line its name, and scores (n,) of equal weight, whose sum is 1 then, or scores (n,) and weights (n,).
    label : str
        What the scores are.
    y_label : str
        What the weights are.

    Raises
    ------
    ValueError
        If a series has no scores.

    Examples
    --------
    >>> histogram({"pairs": [1.0, 2.0], "mismatches": [-1.0]}, "log odds").count("<polyline")
    2
    """
    weighted = {
        name: _weighted(*part) if isinstance(part, tuple) else _weighted(part, None) for name, part in series.items()
    }
    for name, (scores, _) in weighted.items():
        if scores.size == 0:
            raise ValueError(f"the series {name!r} has no scores")
    quantiles = np.array([np.quantile(scores, [_ENDS, 1 - _ENDS]) for scores, _ in weighted.values()])
    low, high = float(quantiles[:, 0].min()), float(quantiles[:, 1].max())
    edges = np.linspace(low, high, _BINS + 1) if high > low else np.linspace(low - 0.5, low + 0.5, _BINS + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    drawn = {
        name: (centres.tolist(), np.histogram(scores.clip(edges[0], edges[-1]), edges, weights=weights)[0].tolist())
        for name, (scores, weights) in weighted.items()
    }
    return lines(drawn, x_label=label, y_label=y_label)


def _weighted(scores: ArrayLike, weights: ArrayLike | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    scores = np.asarray(scores, dtype=np.float64)
    return scores, np.full(scores.shape, 1 / max(1, scores.size)) if weights is None else np.asarray(weights, float)


def cards(entries: Iterable[Card], heading: str = "") -> Html:
    """Show rows side by side, in their order, below a heading where there is one."""
    shown = '<ol class="cards">\n' + "\n".join(_card(entry) for entry in entries) + "\n</ol>"
    return Html(f'<article class="search">\n<h3>{escape(heading)}</h3>\n{shown}\n</article>' if heading else shown)


def _card(entry: Card) -> str:
    pictures = "".join(f'<img src="{picture}" alt="" loading="lazy">' for picture in entry.pictures)
    small = "".join(f"<small>{escape(line)}</small>" for line in entry.small)
    return f"<li>{pictures}<span>{escape(entry.text)}</span>{small}</li>"


def confusion(labels: Sequence[str], found: Sequence[str], classes: Sequence[str], most: int = _CLASSES) -> Html:
    """Show which classes are taken for which: a row for each true class, shares of its items in the columns.

    A class that no item has is a column only. Of more than ``most`` classes those that take part in most confusions are
    shown, and the others together in a last column.

    Parameters
    ----------
    labels, found : sequence of str (n,)
        The true class of each item, and the one it is taken for.
    classes : sequence of str
        In the order of rows and columns.
    most : int

    Examples
    --------
    >>> confusion(["cat", "cat", "dog"], ["cat", "dog", "dog"], ["cat", "dog"]).count("50%")
    2
    """
    counts = Counter(zip(labels, found, strict=True))
    truly = Counter(labels)
    involved: Counter[str] = Counter()
    for (label, name), count in counts.items():
        if label != name:
            involved[label] += count
            involved[name] += count
    chosen = set(sorted(classes, key=lambda name: -involved[name])[:most])
    shown = [name for name in classes if name in chosen]
    header = [escape(name) for name in shown]
    rows = []
    for label in (name for name in shown if truly[name]):
        shares = [counts[label, name] / truly[label] for name in shown]
        cells = [_cell(share, is_right=name == label) for name, share in zip(shown, shares, strict=True)]
        if len(shown) < len(classes):
            cells.append(_cell(max(0.0, 1 - sum(shares)), is_right=False))
        rows.append(f'<tr><th scope="row">{escape(label)}</th>{"".join(cells)}</tr>')
    if len(shown) < len(classes):
        header.append(escape("(others)"))
    head = "".join(f'<th scope="col"><span>{name}</span></th>' for name in header)
    return Html(
        '<div class="scroll"><table class="confusion">\n<thead><tr><th></th>'
        + head
        + "</tr></thead>\n<tbody>\n"
        + "\n".join(rows)
        + "\n</tbody>\n</table></div>"
    )


def _cell(share: float, *, is_right: bool) -> str:
    shown = f"{share:.0%}" if share > 0 else ""
    kind = "right" if is_right else "wrong"
    return f'<td class="{kind}" style="--share: {share:.3f}">{shown}</td>'


def evenly(order: NDArray[Any], count: int) -> NDArray[Any]:
    """At most ``count`` of some places, evenly spaced in their order: the middle of each of as many equal parts.

    >>> evenly(np.arange(100), 4)
    array([12, 37, 62, 87])
    """
    kept = min(count, len(order))
    chosen: NDArray[Any] = order[((np.arange(kept) + 0.5) * len(order) / max(1, kept)).astype(np.int64)]
    return chosen


def fitted_on(space: CanonicalSpace) -> str:
    """Say in a sentence what a model was fitted on, as far as it tells."""
    data = space.metadata.get("data")
    named = f" of {' and '.join(map(str, data))}" if isinstance(data, list) and data else ""
    return f"The model was fitted on {space.count:,} pairs{named}."
