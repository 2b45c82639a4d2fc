"""The command line: `canonsim fit`, `encode`, `evaluate`, `check`, `search`, `classify`, `demo`."""

from __future__ import annotations

import argparse
import sys
import warnings
from typing import TYPE_CHECKING

import canonsim
from canonsim.cli import check, classify, demo, encode, evaluate, fit, search

if TYPE_CHECKING:
    from collections.abc import Sequence

# Bad input of every kind ends in one of these; anything else is a defect of ours and shows where it happened.
_BAD_INPUT = (ValueError, TypeError, OSError, ImportError, MemoryError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 where it did what was asked, 2 with one line on standard error for bad input.

    >>> main(["fit", "nowhere.npy", "nothing.npy", "-o", "model"])
    2
    """
    parser = argparse.ArgumentParser(
        prog="canonsim",
        description="Join two frozen encoders with a few thousand pairs and one matrix decomposition.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Try: canonsim demo",
    )
    parser.add_argument("--version", action="version", version=f"canonsim {canonsim.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in (fit, encode, evaluate, check, search, classify, demo):
        command.add_to(commands)
    options = parser.parse_args(arguments)
    try:
        with warnings.catch_warnings():
            # What torch, Lightning and transformers warn of concerns whoever writes code with them.
            warnings.simplefilter("ignore")
            options.run(options)
    except _BAD_INPUT as error:
        message = " ".join(str(error).split()) or type(error).__name__
        print(f"canonsim {options.command}: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"canonsim {options.command}: interrupted", file=sys.stderr)
        return 130
    return 0
