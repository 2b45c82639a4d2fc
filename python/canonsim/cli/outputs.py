"""Files that commands write with ``-o``: what they are shows in the suffix."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping


def add_output(parser: argparse.ArgumentParser, kinds: Mapping[str, str]) -> None:
    """Add ``-o``, which may be given once for each suffix; ``kinds`` says what each writes."""
    told = "; ".join(f"{suffix}: {what}" for suffix, what in kinds.items())
    parser.add_argument(
        "-o",
        "--output",
        action="append",
        default=[],
        metavar="FILE",
        help=f"write to a file ({told})" + ("; may be given several times" if len(kinds) > 1 else ""),
    )
    parser.set_defaults(output_suffixes=tuple(kinds))


def check_outputs(options: argparse.Namespace) -> dict[str, Path]:
    """The files of ``-o`` by suffix.

    Raises
    ------
    ValueError
        For another suffix, or one that is given twice.
    OSError
        If the folder is not there or cannot be written to, or the file is a folder.
    """
    files: dict[str, Path] = {}
    for name in options.output:
        path = Path(name)
        suffix = path.suffix.lower()
        if suffix not in options.output_suffixes:
            raise ValueError(f"-o {name}: must end in {' or '.join(options.output_suffixes)}")
        if suffix in files:
            raise ValueError(f"-o {name}: there is {files[suffix]} already")
        if path.is_dir() or not path.parent.is_dir():
            raise FileNotFoundError(f"-o {name}: no file of an existing folder")
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(f"-o {name}: the folder cannot be written to")
        files[suffix] = path
    return files


def say_writing(page: Path) -> None:
    """Print, beside the progress of other steps, that a page is made: many large pictures take their time."""
    print(f"Writing {page} ...", file=sys.stderr)


def say_written(files: Mapping[str, Path]) -> None:
    """Print where the files are."""
    print("\nWritten to " + " and ".join(map(str, files.values())))
