"""`canonsim demo`: the whole way on real encoders, offline."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "demo",
        help="see it work: pictures and captions, offline",
        description="Encode the clip-arts and captions that ship with canonsim with EfficientNet-Lite0 and "
        "all-MiniLM-L6-v2, fit, measure on held-out pairs beside chance, answer text queries, and write a page.",
        epilog="example:\n  canonsim demo -o demo-report\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="?", choices=("images",), default="images", help="images (default)")
    parser.add_argument("-o", "--output", type=Path, default=Path("demo-report"), metavar="FOLDER", help="demo-report")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the demo."""
    from canonsim.demo import images

    images.run(options.output)
