"""`canonsim evaluate`: how well a model finds the partners of pairs it has not seen."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from canonsim.cli.outputs import add_output, check_outputs, say_writing, say_written
from canonsim.cli.pairs import add_data, encode_pairs, open_pairs, recorded_encoders
from canonsim.cli.protocol import add_protocol, run_protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from canonsim.data import PairDataset

_EXAMPLES = """examples:
  canonsim evaluate model test.csv --x image:file --y text:caption -o report.html
  canonsim evaluate model test_images.npy test_texts.npy --json
  canonsim evaluate --protocol list
  canonsim evaluate --protocol digits --sizes 100,1000 -o report.html
  canonsim evaluate --protocol flickr30k flickr30k/ --limit 500
"""


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "evaluate",
        help="measure a model on pairs it has not seen",
        description="Recall of partners among all pairs given, in both directions, how unevenly the items share the "
        "results (hubness), and the AUC of telling true pairs from mismatched ones (each x with every other y), beside "
        "chance. Give pairs that the model was not fitted on.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", nargs="?", metavar="MODEL", help="folder of the model")
    add_data(parser, least="*")
    add_protocol(parser)
    add_output(parser, {".html": "a page with the numbers, searches and scores"})
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Encode, score, and print."""
    if options.protocol is not None:
        run_protocol(options)
        return
    if not options.data:
        raise ValueError("give MODEL and DATA, or --protocol NAME")
    from canonsim import CanonicalSpace
    from canonsim.metrics import search_all

    files = check_outputs(options)
    space = CanonicalSpace.from_pretrained(options.model)
    pairs = open_pairs(options)
    if pairs.x_kind == pairs.y_kind == "features":
        x_encoder, y_encoder = None, None
    else:
        x_encoder, y_encoder = recorded_encoders(space.metadata, options.model)
    x, y = encode_pairs(pairs, x_encoder, y_encoder, options)
    k = min(10, len(x))
    x_ids, y_ids = _ids(pairs, "x", x), _ids(pairs, "y", y)
    searches = {
        name: search_all(score, x, y, k, x_ids=x_ids, y_ids=y_ids, progress=f"Scoring by {name}")
        for name, score in (("log odds", space.log_odds), ("similarity", space.similarity))
    }
    found: dict[str, dict[str, Any]] = {
        name: {**search.retrieval(), "hubness": search.hubness(), "mismatch_auc": search.auc}
        for name, search in searches.items()
    }
    if files:
        from canonsim import report
        from canonsim.pages.contents import Contents, folder_of
        from canonsim.pages.evaluation import evaluation_page

        say_writing(files[".html"])
        contents = Contents.both(pairs, folder_of(options.data[0]))
        model, data = Path(options.model).resolve().name, [Path(part).resolve().name for part in options.data]
        page = evaluation_page(space, searches, contents, (x, y), model=model, data=data)
        report.write(files[".html"], page)
    if options.json:
        print(json.dumps({"pairs": len(x), **found}, indent=2))
        return
    print(f"{len(x)} pairs")
    _table(found, {"R@1": ".3f", "R@5": ".3f", "R@10": ".3f", "median_rank": ".1f"})
    print(f"\nHubness of {k} results: skewness over items, share never found, share of results that 1 % take")
    hubs = {name: numbers["hubness"] for name, numbers in found.items()}
    _table(hubs, dict.fromkeys(("skewness", "anti_hubs", "top_share"), ".3f"))
    print("\nAUC of true pairs against mismatched ones (chance 0.5)")
    for name, numbers in found.items():
        print(f"{name:<24}{numbers['mismatch_auc']:>12.3f}")
    if files:
        say_written(files)


def _ids(pairs: PairDataset, side: str, features: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """A number for each item of a side: the same for equal ones."""
    first: dict[str | bytes, int] = {}
    keys: Iterable[str | bytes] = (row.tobytes() for row in features)
    if (pairs.x_kind if side == "x" else pairs.y_kind) != "features":
        keys = (str(pairs[row][side]) for row in range(len(pairs)))  # type: ignore[literal-required]
    return np.array([first.setdefault(key, row) for row, key in enumerate(keys)], dtype=np.int64)


def _table(found: dict[str, dict[str, Any]], columns: dict[str, str]) -> None:
    """Print columns, named with their formats: one line for each score and direction, and one for chance."""
    print(f"{'':<24}" + "".join(f"{name.replace('_', ' '):>12}" for name in columns))
    lines = {
        f"{name}, {label}": numbers[direction]
        for name, numbers in found.items()
        for direction, label in (("x_to_y", "x to y"), ("y_to_x", "y to x"))
    }
    lines["chance"] = found["similarity"]["chance"]
    for label, numbers in lines.items():
        print(f"{label:<24}" + "".join(f"{numbers[name]:>12{form}}" for name, form in columns.items()))
