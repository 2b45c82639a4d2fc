"""`canonsim evaluate`: how well a model finds the partners of pairs it has not seen."""

from __future__ import annotations

import argparse
import json
from typing import Any

from canonsim.cli.pairs import add_data, encode_pairs, open_pairs, recorded_encoders

_EXAMPLES = """examples:
  canonsim evaluate model test.csv --x image:file --y text:caption
  canonsim evaluate model test_images.npy test_texts.npy --json
"""


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "evaluate",
        help="measure a model on pairs it has not seen",
        description="Recall of partners among all pairs given, in both directions, how unevenly the items share the "
        "results (hubness), and the AUC of telling true pairs from mismatched ones, beside chance. Give pairs that the "
        "model was not fitted on.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="folder of the model")
    add_data(parser)
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Encode, score, and print."""
    from canonsim import CanonicalSpace
    from canonsim.metrics import hubness_summary, mismatch_auc, retrieval_summary

    space = CanonicalSpace.from_pretrained(options.model)
    pairs = open_pairs(options)
    if pairs.x_kind == pairs.y_kind == "features":
        x_encoder, y_encoder = None, None
    else:
        x_encoder, y_encoder = recorded_encoders(space.metadata, options.model)
    x, y = encode_pairs(pairs, x_encoder, y_encoder, options)
    k = min(10, len(x))
    scores = {"log odds": (space.log_odds, space.log_odds_pairwise)}
    scores["similarity"] = (space.similarity, space.similarity_pairwise)
    found: dict[str, dict[str, Any]] = {
        name: {
            **retrieval_summary(all_pairs, x, y),
            "hubness": hubness_summary(all_pairs, x, y, k=k),
            "mismatch_auc": mismatch_auc(pairwise, x, y),
        }
        for name, (all_pairs, pairwise) in scores.items()
    }
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
