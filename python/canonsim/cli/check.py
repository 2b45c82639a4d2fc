"""`canonsim check`: which pairs do not belong together."""

from __future__ import annotations

import argparse
import json
import math
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from canonsim.cli.outputs import add_output, check_outputs, say_writing, say_written
from canonsim.cli.pairs import add_data, encode_pairs, make_encoder, open_pairs, recorded_encoders
from canonsim.pages.contents import Contents, folder_of, item_name

if TYPE_CHECKING:
    from canonsim.data import PairDataset
    from canonsim.encoders import Encoder
    from canonsim.tasks import MismatchDetector

_EXAMPLES = """examples:
  canonsim check captions.csv --x image:file --y text:caption \\
      --x-encoder facebook/dinov2-small --y-encoder sentence-transformers/all-MiniLM-L6-v2 -o suspicious.html
  canonsim check captions.csv --x image:file --y text:caption --model model -k 20
  canonsim check images.npy texts.npy --precision 0.95 -o suspicious.csv -o suspicious.html
"""

_WIDTH = 60


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "check",
        help="find pairs that do not belong together",
        description="Estimate how many pairs are mismatched or mislabelled, and print the most suspicious ones. "
        "Without a model the pairs judge each other: each is judged by a fit that it is not part of. Log odds are in "
        "nats, of a true pair to a mismatch; low is suspicious. Rows are counted from 0. Rows of one file (the "
        "captions of one picture) are judged by the same fit.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_data(parser)
    parser.add_argument("--model", metavar="MODEL", help="folder of a model that was fitted to other pairs")
    for side in "xy":
        parser.add_argument(
            f"--{side}-encoder", metavar="NAME", help=f"without a model: encoder of the {side} side, a name or a folder"
        )
    parser.add_argument(
        "--precision",
        type=float,
        default=0.9,
        metavar="P",
        help="share of the flagged pairs that are to be wrong (0.9)",
    )
    parser.add_argument("-k", type=int, default=10, metavar="K", help="suspicious pairs to print (10)")
    add_output(
        parser,
        {".csv": "row, log odds and probability of all pairs", ".html": "a page with the most suspicious pairs"},
    )
    parser.add_argument("--json", action="store_true", help="print the numbers and the suspicious pairs as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Encode, judge, write and print."""
    from canonsim import CanonicalSpace
    from canonsim.tasks import MismatchDetector

    files = check_outputs(options)
    _check_options(options)
    space = None if options.model is None else CanonicalSpace.from_pretrained(options.model)
    pairs = open_pairs(options)
    x_encoder, y_encoder = _encoders(space, pairs, options)
    x, y = encode_pairs(pairs, x_encoder, y_encoder, options)
    # How many fits it takes shows only as they go: no bar can tell.
    print(f"Judging {len(x)} pairs ...", file=sys.stderr)
    detector = MismatchDetector(space).fit(x, y, _ids(pairs))
    _write(files, detector, pairs, options)
    found = _summary(detector, options.precision)
    shown = [
        {
            "row": row,
            "log_odds": float(detector.scores_[row]),
            "probability": float(detector.probabilities_[row]),
            **_contents(pairs, row, folder_of(options.data[0])),
        }
        for row in detector.most_suspicious(min(options.k, len(pairs))).tolist()
    ]
    if options.json:
        print(json.dumps({**found, "most_suspicious": shown}, indent=2))
        return
    _print(found, shown, options)
    if files:
        say_written(files)


def _check_options(options: argparse.Namespace) -> None:
    if options.k < 1:
        raise ValueError(f"-k must be at least 1, got {options.k}")
    if not 0 < options.precision <= 1:
        raise ValueError(f"--precision must lie above 0 and be at most 1, got {options.precision}")
    for side in "xy":
        name = getattr(options, f"{side}_encoder")
        if options.model is not None and name is not None:
            raise ValueError(f"--{side}-encoder {name}: the model {options.model} says which encoders it needs")


def _encoders(space: Any, pairs: PairDataset, options: argparse.Namespace) -> tuple[Encoder | None, Encoder | None]:
    if space is None:
        x_encoder = make_encoder(pairs.x_kind, options.x_encoder, "x")
        return x_encoder, make_encoder(pairs.y_kind, options.y_encoder, "y")
    if pairs.x_kind == pairs.y_kind == "features":
        return None, None
    return recorded_encoders(space.metadata, options.model)


def _ids(pairs: PairDataset) -> npt.NDArray[np.int64] | None:
    """One id for the rows of one file; None where no side is of files. Equal texts are labels, not one item."""
    for side, kind in (("x", pairs.x_kind), ("y", pairs.y_kind)):
        if kind not in {"text", "features"}:
            first: dict[str, int] = {}
            files = (str(pairs[row][side]) for row in range(len(pairs)))  # type: ignore[literal-required]
            return np.array([first.setdefault(file, row) for row, file in enumerate(files)], dtype=np.int64)
    return None


def _contents(pairs: PairDataset, row: int, folder: Path) -> dict[str, str]:
    """What the sides of a row show: texts, and files as their table or folder names them; nothing of features."""
    if pairs.x_kind == "features":
        return {}
    pair = pairs[row]
    return {"x": item_name(pair["x"], folder), "y": item_name(pair["y"], folder)}


def _summary(detector: MismatchDetector, precision: float) -> dict[str, float | int | list[float] | None]:
    threshold = detector.threshold(precision)
    flagged = detector.scores_ < threshold
    return {
        "pairs": len(detector.scores_),
        "noise_rate": detector.noise_rate_,
        "noise_rate_interval": list(detector.noise_rate_interval_),
        "precision": precision,
        # JSON has no infinity: null where none, or all, are flagged.
        "threshold": threshold if math.isfinite(threshold) else None,
        "flagged": int(flagged.sum()),
        "flagged_wrong": float((1 - detector.probabilities_[flagged]).sum()),
    }


def _write(files: dict[str, Path], detector: MismatchDetector, pairs: PairDataset, options: argparse.Namespace) -> None:
    if ".csv" in files:
        from canonsim.files import write_atomically

        judged = zip(detector.scores_, detector.probabilities_, strict=True)
        lines = (f"{row},{score:.6g},{probability:.6g}\n" for row, (score, probability) in enumerate(judged))
        write_atomically(files[".csv"], ("row,log_odds,probability\n" + "".join(lines)).encode())
    if ".html" in files:
        from canonsim import report
        from canonsim.pages.mismatches import mismatch_page

        say_writing(files[".html"])
        contents = Contents.both(pairs, folder_of(options.data[0]))
        data = [Path(part).resolve().name for part in options.data]
        page = mismatch_page(detector, contents, precision=options.precision, data=data)
        report.write(files[".html"], page)


def _print(found: dict[str, Any], shown: list[dict[str, Any]], options: argparse.Namespace) -> None:
    judge = "each by a fit that it is not part of" if options.model is None else f"by {options.model}"
    low, high = found["noise_rate_interval"]
    print(f"{found['pairs']} pairs, judged {judge}")
    if (low, high) == (0, 1):
        print("the two sides show nothing of each other: nothing can be said of these pairs")
        return
    print(f"{found['noise_rate']:.1%} of them are wrong (95 % interval {low:.1%} to {high:.1%})")
    if found["flagged"] == 0:
        print(f"no pairs can be flagged such that {options.precision:.0%} of them are wrong")
    else:
        below = "" if found["threshold"] is None else f" with log odds below {found['threshold']:+.2f}"
        print(f"flagged for a precision of {options.precision:g}: {found['flagged']} pairs{below}", end="")
        print(f", about {found['flagged_wrong']:.0f} of them wrong")
    print(f"\n{'row':>9}{'log odds':>10}{'P(true)':>9}")
    for pair in shown:
        contents = [textwrap.shorten(pair[side], _WIDTH, placeholder=" ...") for side in "xy" if side in pair]
        numbers = f"{pair['row']:>9}{pair['log_odds']:>+10.2f}{pair['probability']:>9.3f}"
        print("  ".join([numbers, *contents]))
