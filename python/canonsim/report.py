"""Reports one can look at: self-contained HTML pages, light and dark, with pictures and charts inlined.

Pieces are functions from values to `Html`; whatever is not `Html` already is text and gets escaped. `page` puts pieces
together.
"""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from canonsim.files import write_atomically

__all__ = [
    "Found",
    "Html",
    "columns",
    "figures",
    "gallery",
    "page",
    "paragraph",
    "section",
    "spectrum",
    "table",
    "write",
]

_TYPES = {
    ".webp": "image/webp",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".svg": "image/svg+xml",
}


class Html(str):
    """Markup, which is not escaped again."""

    __slots__ = ()


class Found(NamedTuple):
    """One result of a search: a picture (or None), what it is, its score, and whether it is what was looked for.

    A picture is a file, or a data URI as `Html`.
    """

    picture: str | os.PathLike[str] | None
    text: str
    score: float
    hit: bool = False


def escape(text: object) -> Html:
    """Return text as markup; `Html` stays as it is.

    Examples
    --------
    >>> escape("a < b")
    'a &lt; b'
    """
    return text if isinstance(text, Html) else Html(html.escape(str(text)))


def page(title: str, *parts: Html, lead: str = "") -> Html:
    """Put pieces together to a page that needs nothing from elsewhere.

    Parameters
    ----------
    title : str
        Heading and title of the page.
    *parts : Html
        Sections, in order.
    lead : str
        One or two sentences below the heading.

    Returns
    -------
    Html
        A whole document.

    Examples
    --------
    >>> page("Pairs & more", section("One", paragraph("1 < 2"))).count("&lt;")
    1
    """
    style = resources.files("canonsim").joinpath("report.css").read_text(encoding="utf-8")
    below = f'<p class="lead">{escape(lead)}</p>' if lead else ""
    return Html(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f"<header>\n<h1>{escape(title)}</h1>\n{below}\n</header>\n" + "\n".join(parts) + "\n</main>\n</body>\n</html>\n"
    )


def section(heading: str, *parts: Html) -> Html:
    """Put a heading over pieces."""
    return Html(f"<section>\n<h2>{escape(heading)}</h2>\n" + "\n".join(parts) + "\n</section>")


def paragraph(text: str) -> Html:
    """Make a paragraph of running text."""
    return Html(f"<p>{escape(text)}</p>")


def columns(*parts: Html) -> Html:
    """Set small pieces side by side, as many as fit."""
    return Html('<div class="columns">\n' + "\n".join(parts) + "\n</div>")


def figures(entries: Iterable[tuple[str, str, str]]) -> Html:
    """Show a few numbers large: (number, what it is, what to compare it with).

    Examples
    --------
    >>> "54 %" in figures([("54 %", "Recall@10", "chance 3 %")])
    True
    """
    tiles = "\n".join(
        f'<div class="figure"><strong>{escape(number)}</strong>'
        f"<span>{escape(name)}</span><small>{escape(beside)}</small></div>"
        for number, name, beside in entries
    )
    return Html(f'<div class="figures">\n{tiles}\n</div>')


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    groups: Sequence[tuple[str, int]] = (),
    mark: Sequence[int] = (),
    note: str = "",
) -> Html:
    """Make a table: the first column names the row, the others hold numbers.

    Parameters
    ----------
    header : sequence of str
        Column names.
    rows : iterable of sequences
        Cells; floats are shown with three decimals.
    groups : sequence of (str, int)
        Names over several columns, with their widths, for the columns after the first.
    mark : sequence of int
        Rows to set off from the others (counted from 0).
    note : str
        Small text below.

    Raises
    ------
    ValueError
        If a row, or the groups, have another number of cells than the header.
    """
    if groups and sum(width for _, width in groups) != len(header) - 1:
        raise ValueError(f"the groups {groups} must cover the {len(header) - 1} columns after the first")
    lines = []
    for index, row in enumerate(rows):
        if len(row) != len(header):
            raise ValueError(f"row {index} of the table has {len(row)} cells, its header has {len(header)}")
        cells = [escape(f"{cell:.3f}" if isinstance(cell, float) else cell) for cell in row]
        numbers = "".join(f"<td>{cell}</td>" for cell in cells[1:])
        emphasis = ' class="mark"' if index in mark else ""
        lines.append(f'<tr{emphasis}><th scope="row">{cells[0]}</th>{numbers}</tr>')
    over = "".join(f'<th colspan="{width}" scope="colgroup">{escape(name)}</th>' for name, width in groups)
    head = (f'<tr class="groups"><th></th>{over}</tr>\n' if groups else "") + "<tr>"
    head += "".join(f'<th scope="col">{escape(name)}</th>' for name in header) + "</tr>"
    body = "\n".join(lines)
    below = f'<p class="note">{escape(note)}</p>' if note else ""
    return Html(
        f'<div class="scroll"><table>\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n</table></div>\n{below}'
    )


def gallery(query: str, found: Iterable[Found], *, picture: str | os.PathLike[str] | None = None) -> Html:
    """Show a query and what was found for it, best first.

    Parameters
    ----------
    query : str
        The query, or what the query picture shows.
    found : iterable of Found
        Results; those without a picture are listed as text.
    picture : path or Html, optional
        The query, where it is a picture: a file, or a data URI.

    Raises
    ------
    FileNotFoundError
        If a picture is missing.
    ValueError
        If a picture is not WebP, PNG, JPEG or SVG.
    """
    found = list(found)
    asked = f'<img class="asked" src="{_inlined(picture)}" alt="">' if picture is not None else ""
    items = "\n".join(_item(item) for item in found)
    kind = "pictures" if any(item.picture is not None for item in found) else "texts"
    heading = f"<h3>{asked}<span>{escape(query)}</span></h3>"
    return Html(f'<article class="search">\n{heading}\n<ol class="{kind}">\n{items}\n</ol>\n</article>')


def spectrum(training: ArrayLike, held_out: ArrayLike | None) -> Html:
    """Draw the canonical correlations, training against held out, as a line chart.

    Parameters
    ----------
    training, held_out : array_like (r,)
        Correlations in [0, 1]; `held_out` None leaves its line away.

    Raises
    ------
    ValueError
        If there are no correlations, or they do not match.
    """
    lines = {"training": np.asarray(training, dtype=float)}
    if held_out is not None:
        lines["held out"] = np.asarray(held_out, dtype=float)
    count = len(lines["training"])
    if count == 0 or any(line.shape != (count,) for line in lines.values()):
        raise ValueError(
            f"correlations must be of one length of at least 1, got {[line.shape for line in lines.values()]}"
        )
    width, height, left, right, top, bottom = 640, 280, 40, 12, 12, 40

    def across(index: float) -> float:
        return left + (width - left - right) * (index / max(1, count - 1))

    def down(value: float) -> float:
        return top + (height - top - bottom) * (1 - value)

    grid = "".join(
        f'<line x1="{left}" x2="{width - right}" y1="{down(value):.1f}" y2="{down(value):.1f}"/>'
        f'<text x="{left - 8}" y="{down(value) + 4:.1f}" text-anchor="end">{value:g}</text>'
        for value in (0.0, 0.25, 0.5, 0.75, 1.0)
    )
    ticks = "".join(
        f'<text x="{across(index):.1f}" y="{height - bottom + 20}" text-anchor="middle">{index + 1}</text>'
        for index in sorted({0, *(round(share * (count - 1)) for share in (0.25, 0.5, 0.75, 1.0))})
    )
    drawn = "".join(
        f'<polyline class="{name.replace(" ", "-")}" points="'
        + " ".join(f"{across(index):.1f},{down(value):.1f}" for index, value in enumerate(line))
        + '"/>'
        for name, line in lines.items()
    )
    keys = "".join(f'<span class="{name.replace(" ", "-")}">{name}</span>' for name in lines)
    label = f'<text x="{(left + width - right) / 2}" y="{height - 4}" text-anchor="middle">direction</text>'
    return Html(
        f'<figure class="spectrum"><figcaption>{keys}</figcaption>\n'
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="canonical correlations by direction">'
        f'<g class="grid">{grid}{ticks}{label}</g>{drawn}</svg></figure>'
    )


def write(path: str | os.PathLike[str], document: Html) -> Path:
    """Write a page, under a temporary name first; return its path.

    Missing folders are made.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, document.encode())
    return target


def _inlined(picture: str | os.PathLike[str]) -> Html:
    """Return a picture file as a data URI; one that is a data URI already stays as it is."""
    if isinstance(picture, Html):
        return picture
    path = Path(picture)
    kind = _TYPES.get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"{path} must be one of {', '.join(_TYPES)}")
    return Html(f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}")


def _item(item: Found) -> str:
    shown = "" if item.picture is None else f'<img src="{_inlined(item.picture)}" alt="" loading="lazy">'
    emphasis = ' class="hit"' if item.hit else ""
    return f"<li{emphasis}>{shown}<span>{escape(item.text)}</span><small>{item.score:+.1f}</small></li>"
