"""Files that a data set must have, and what is in them, with errors that name the file and the line."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

PICTURES = (".jpeg", ".jpg", ".png", ".webp", ".bmp")

T = TypeVar("T")


def find(folder: Path, names: tuple[str, ...], what: str) -> Path:
    """The first of these files or folders that is in the folder.

    Raises
    ------
    FileNotFoundError
        If none is there; the message says ``what`` was looked for.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(f"{folder} has no {' or '.join(names)}: {what}")


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a text file that are not empty, with their numbers from 1.

    Raises
    ------
    ValueError
        If the file is not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no UTF-8 text: {error}") from error
    # Only line feeds: str.splitlines also splits at characters that captions hold.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.rstrip("\r")


def read_json(path: Path) -> Any:
    """Content of a JSON file.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Objects of a file with one on each line, with the numbers of the lines.

    Raises
    ------
    ValueError
        If a line is no JSON object.
    """
    for number, line in lines(path):
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}, is no JSON: {error}") from error
        if not isinstance(entry, dict):
            raise ValueError(f"{path}, line {number}, is no object: {line[:60]}")  # noqa: TRY004
        yield number, entry


def get(entry: dict[str, Any], key: str, kind: type[T], place: str) -> T:
    """Value of a key.

    Raises
    ------
    ValueError
        If the entry has no such key, or its value is of another type or an empty text.
    """
    if key not in entry:
        raise ValueError(f"{place}, has no {key!r}; it has {', '.join(entry) or 'nothing'}")
    value = entry[key]
    if not isinstance(value, kind) or value == "":
        raise ValueError(f"{place}: {key!r} must be a {kind.__name__} and not empty, got {value!r}")
    return value


def keep_existing(paths: list[Path], origin: Path) -> list[bool]:
    """Mark the files that are there, with one warning that counts the others.

    For data that are lists of links, of which some are always dead.

    Raises
    ------
    FileNotFoundError
        If none is there.
    """
    there = [path.is_file() for path in paths]
    if not any(there):
        raise FileNotFoundError(f"none of the {len(paths)} files that {origin} lists is there; the first is {paths[0]}")
    missing = there.count(False)
    if missing:
        first = paths[there.index(False)]
        warnings.warn(
            f"{missing} of the {len(paths)} files that {origin} lists are missing and were left out, the first {first}",
            stacklevel=3,
        )
    return there
