"""The page of `canonsim evaluate`: how well a model finds the partners of pairs it has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from canonsim import report
from canonsim.pages.pieces import evenly, fitted_on, histogram
from canonsim.report import Found, Html

if TYPE_CHECKING:
    import numpy.typing as npt

    from canonsim import CanonicalSpace
    from canonsim.metrics import Search
    from canonsim.pages.contents import Contents
    from canonsim.rows import Rows

_RECALLS = ("R@1", "R@5", "R@10")

# Places of a list; a partner that is not before the last one is shown in the last one.
_PLACES = 6

# Searches shown in each direction, of those that succeed and of those that fail: below, and beside each other.
_BELOW, _BESIDE = 4, 6


def evaluation_page(
    space: CanonicalSpace,
    searches: Mapping[str, Search],
    contents: tuple[Contents, Contents],
    features: tuple[Rows, Rows],
    *,
    model: str,
    data: Sequence[str],
) -> Html:
    """Compose the page.

    Parameters
    ----------
    space : CanonicalSpace
    searches : mapping of str to Search
        Of the pairs, by the name of the score: ``"log odds"``, whose searches are shown, and others.
    contents : (Contents, Contents)
        What the items of x and of y are.
    features : (n, p), (n, q)
        Pairs as equal rows.
    model, data : str, sequence of str
        Names of the model and of the files of the pairs.
    """
    search, (x, y) = searches["log odds"], contents
    n = len(search.pairs)
    kinds = (x.kind, y.kind) if x.kind != y.kind else ("x", "y")
    names = {"x_to_y": f"{kinds[0]} to {kinds[1]}", "y_to_x": f"{kinds[1]} to {kinds[0]}"}
    named = " and ".join(data)
    return report.page(
        f"{model} on {named}",
        _figures(search),
        report.section("Retrieval", _recalls(searches, names), _hubness(searches, names)),
        report.section("Pairs against mismatches", *_distributions(search)),
        *(
            report.section(
                f"{names[direction][0].upper()}{names[direction][1:]}",
                *_examples(space, search, direction, contents, features),
            )
            for direction in names
        ),
        report.section(
            "What the space holds",
            report.paragraph(
                f"{fitted_on(space)} Canonical correlations in training"
                + (", and on pairs of the fit left out in turn" if space.held_out_correlations is not None else "")
                + f": {space.n_components} directions, relative ridges {space.ridge[0]:g} and {space.ridge[1]:g}."
            ),
            report.spectrum(space.correlations, space.held_out_correlations),
        ),
        lead=f"How well the model finds the partners of {n:,} pairs. {fitted_on(space)} If pairs measured here were "
        "among them, the numbers are too good.",
    )


def _figures(search: Search) -> Html:
    found = search.retrieval()
    mean, chance, n = found["mean"], found["chance"], len(search.pairs)
    return report.figures(
        [
            (f"{mean['R@10']:.0%}", "partner in the first ten", f"of {n:,}; chance {chance['R@10']:.1%}"),
            (f"{mean['R@1']:.0%}", "partner comes first", f"of {n:,}; chance {chance['R@1']:.1%}"),
            (_rank(mean["median_rank"]), "median rank of the partner", f"chance {_rank(chance['median_rank'])}"),
            (f"{search.auc:.2f}", "AUC", "true pairs against mismatches; chance 0.50"),
        ]
    )


def _recalls(searches: Mapping[str, Search], names: Mapping[str, str]) -> Html:
    measures = (*_RECALLS, "median_rank")
    rows = []
    for name, search in searches.items():
        found = search.retrieval()
        rows.append(_line(name, [found[direction] for direction in names], measures, search.auc))
    chance = next(iter(searches.values())).retrieval()["chance"]
    rows.append(_line("chance", [chance, chance], measures, 0.5))
    header = [*_RECALLS, "median rank"]
    return report.table(
        ["", *header, *header, "AUC"],
        rows,
        groups=[*((name, len(header)) for name in names.values()), ("mismatch", 1)],
        mark=[0],
        note="R@k: the share of queries whose own partner is among the first k of all, ties counted fairly. AUC: the "
        "probability that a true pair scores above a mismatch. Rows that show the same item make no mismatch, but in "
        "retrieval each row still counts its own partner only. The order of the rows has no part in either.",
    )


def _line(
    name: str, directions: Sequence[Mapping[str, float]], measures: Sequence[str], auc: float
) -> list[str | float]:
    values = (_rank(found[m]) if m == "median_rank" else found[m] for found in directions for m in measures)
    return [name, *values, auc]


def _rank(value: float) -> str:
    return f"{value:,.1f}"


def _hubness(searches: Mapping[str, Search], names: Mapping[str, str]) -> Html:
    measures = ("skewness", "anti_hubs", "top_share")
    rows = [
        [f"{score}, {name}", *(search.hubness()[direction][measure] for measure in measures)]
        for score, search in searches.items()
        for direction, name in names.items()
    ]
    search = next(iter(searches.values()))
    rows.append(["chance", *(search.hubness()["chance"][measure] for measure in measures)])
    return report.table(
        ["hubness", "skewness", "never found", "share of the top 1%"],
        rows,
        note=f"How unevenly the items share the lists of {search.k} results: the skewness of how often each is found, "
        "the share of items that no query finds, and the share of all results that the 1% found most often take.",
    )


def _distributions(search: Search) -> list[Html]:
    return [
        report.paragraph(
            f"Log odds of the pairs, and of each x with every y of other rows. {(search.pairs > 0).mean():.0%} of the "
            f"pairs lie above 0, where both are equally likely, and {(search.mismatches > 0).mean():.1%} of the "
            "mismatches."
        ),
        histogram({"pairs": search.pairs, "mismatches": search.mismatches}, "log odds"),
    ]


def _examples(
    space: CanonicalSpace,
    search: Search,
    direction: str,
    contents: tuple[Contents, Contents],
    features: tuple[Rows, Rows],
) -> list[Html]:
    """Searches that succeed and searches that fail, evenly spaced in the order of the partner's rank."""
    above, tied = search.ranks[direction]
    ranks = above + 1 + tied / 2
    order = np.lexsort((-search.pairs, ranks))
    asked, gallery = contents if direction == "x_to_y" else contents[::-1]
    is_beside = gallery.kind != "image" and asked.kind in {"image", "features"}
    succeeds = ranks[order] < _PLACES
    parts = []
    for chosen, told, is_behind in (
        (order[succeeds], f"have their partner among the first {_PLACES - 1}", False),
        (order[~succeeds], "have it further behind", True),
    ):
        if not len(chosen):
            continue
        shown = evenly(chosen, _BESIDE if is_beside else _BELOW)
        parts.append(
            report.paragraph(
                f"{len(chosen):,} of {len(order):,} queries {told}. Shown: {len(shown)} of them, evenly spaced in "
                "the order of its rank, with what is found first and its log odds. The partner is marked"
                + (", and its place stands before it." if is_behind else ".")
            )
        )
        searched = _searches(space, direction, shown, contents, features)
        parts.append(report.columns(*searched) if is_beside else Html("\n".join(searched)))
    return parts


def _searches(
    space: CanonicalSpace,
    direction: str,
    rows: npt.NDArray[np.int64],
    contents: tuple[Contents, Contents],
    features: tuple[Rows, Rows],
) -> list[Html]:
    x, y = features
    if direction == "x_to_y":
        (asked, gallery), scores = contents, np.asarray(space.log_odds(x[rows], y))
    else:
        (gallery, asked), scores = contents, np.asarray(space.log_odds(x, y[rows])).T
    galleries = []
    for row, line in zip(rows.tolist(), scores, strict=True):
        order = np.argsort(-line, kind="stable")
        place = int(np.flatnonzero(order == row)[0])
        first = order[:_PLACES] if place < _PLACES else np.append(order[: _PLACES - 1], row)
        found = [
            Found(
                gallery.picture(item),
                gallery.caption(item) if item != row or place < _PLACES else f"({place + 1}) {gallery.caption(item)}",
                float(line[item]),
                hit=item == row,
            )
            for item in first.tolist()
        ]
        picture = asked.picture(row)
        galleries.append(report.gallery("" if picture else asked.caption(row), found, picture=picture))
    return galleries
