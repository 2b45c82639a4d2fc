"""`canonsim evaluate --protocol NAME`: a published experiment, from its data to a table beside chance."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from canonsim.cli.outputs import check_outputs, say_written

if TYPE_CHECKING:
    from canonsim.recipes import Recipe


def add_protocol(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of recipes."""
    group = parser.add_argument_group("published experiments, in place of MODEL and DATA: the folder of their data")
    group.add_argument(
        "--protocol", metavar="NAME", help="a recipe: one that ships (see --protocol list), or a .toml file"
    )
    group.add_argument("--limit", type=int, metavar="N", help="items of each part at most, for a quick try")
    group.add_argument("--sizes", metavar="N,N,...", help="numbers of training pairs, in place of the recipe's")
    group.add_argument(
        "--transfer", metavar="MODEL", help="classification: a model of the same encoders, fitted elsewhere"
    )
    group.add_argument("--cache", metavar="FOLDER", help="where features are kept (the user's cache)")


def run_protocol(options: argparse.Namespace) -> None:
    """Read, encode, measure, write and print."""
    from canonsim import CanonicalSpace
    from canonsim.recipes import Recipe, names, run

    if options.protocol == "list":
        for name in names():
            print(f"{name:<22}{Recipe.open(name).title}")
        return
    files = check_outputs(options)
    given = [*([] if options.model is None else [options.model]), *options.data]
    if len(given) > 1:
        raise ValueError(f"--protocol takes one folder of data, got {', '.join(given)}")
    recipe = Recipe.open(options.protocol)
    results = run(
        recipe,
        given[0] if given else None,
        limit=options.limit,
        sizes=None if options.sizes is None else _sizes(options.sizes),
        transfer=None if options.transfer is None else CanonicalSpace.from_pretrained(options.transfer),
        cache=options.cache,
        batch_size=options.batch_size,
        workers=options.workers,
        progress=True,
    )
    if files:
        from canonsim import report

        page = report.page(recipe.title, *results.as_html(), *_published(recipe), lead=" ".join(recipe.notes))
        report.write(files[".html"], page)
    if options.json:
        print(json.dumps(results.as_json(), indent=2))
        return
    print(results.as_text())
    for figure in recipe.published:
        same = "same protocol" if figure.same_protocol else f"another protocol: {figure.why}"
        print(f"published: {figure.method}, {figure.measure} {figure.value:g} ({figure.source}; {same})")
    if files:
        say_written(files)


def _published(recipe: Recipe) -> list[Any]:
    """The published figures as a section; none where there are none."""
    from canonsim import report

    if not recipe.published:
        return []
    rows = [
        [f.method, f.measure, f"{f.value:g}", f.source, "yes" if f.same_protocol else f.why] for f in recipe.published
    ]
    header = ["", "measure", "value", "source", "same protocol"]
    return [report.section("Published figures", report.table(header, rows))]


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--sizes must be numbers with commas between, got {text!r}") from None
    if min(sizes) < 1:
        raise ValueError(f"--sizes must be positive, got {text!r}")
    return sizes
