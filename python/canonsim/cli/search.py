"""`canonsim search`: find the items of a gallery that a text describes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canonsim.cli.galleries import find_files, read_items
from canonsim.cli.pairs import add_loading, recorded_encoders

if TYPE_CHECKING:
    from canonsim.encoders import Encoder

_EXAMPLES = """examples:
  canonsim search model pictures/ "a red apple" "two people dancing"
  canonsim search model scans/ "three cars ahead" -k 3
"""


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "search",
        help="find what a text describes",
        description="Encode the files of a folder and print those that each text describes best: by the log odds, in "
        "nats, that they belong together. Above 0 they are more likely a pair than not; a text unlike those of the fit "
        "gets low odds everywhere.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="folder of the model")
    parser.add_argument("gallery", metavar="FOLDER", help="pictures, sounds or scans, in any depth of folders")
    parser.add_argument("queries", nargs="+", metavar="TEXT", help="what to look for")
    parser.add_argument("-k", type=int, default=5, metavar="K", help="items to print for each text (5)")
    add_loading(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Encode the gallery and the texts, rank by log odds, print."""
    from canonsim import CanonicalSpace
    from canonsim.tasks import Retriever

    if options.k < 1:
        raise ValueError(f"-k must be at least 1, got {options.k}")
    space = CanonicalSpace.from_pretrained(options.model)
    x_encoder, y_encoder = recorded_encoders(space.metadata, options.model)
    sides: dict[bool, Encoder | None] = {True: x_encoder, False: y_encoder}
    texts = [is_x for is_x, encoder in sides.items() if encoder is not None and encoder.kind == "text"]
    if not texts:
        raise ValueError(f"{options.model} has no text side to search by")
    # Where both sides are texts, y is asked for x.
    text_is_x = texts[-1]
    text_encoder, gallery_encoder = sides[text_is_x], sides[not text_is_x]
    if text_encoder is None or gallery_encoder is None:
        raise ValueError(f"{options.model} was fitted on ready features: it does not say how to encode a gallery")
    files = find_files(Path(options.gallery), gallery_encoder.kind)
    gallery = gallery_encoder.encode(read_items(files, gallery_encoder.kind), options.batch_size, progress=True)
    queries = text_encoder.encode(options.queries, batch_size=options.batch_size)
    retriever = Retriever(space, side="y" if text_is_x else "x").add(gallery, ids=files)
    best = retriever.search(queries, min(options.k, len(files)))
    for text, found, odds in zip(options.queries, *best, strict=True):
        print(f"\n{text}")
        for file, nats in zip(found, odds, strict=True):
            print(f"  {nats:+7.2f}  {file.relative_to(options.gallery)}")
