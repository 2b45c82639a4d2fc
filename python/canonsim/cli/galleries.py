"""Folders of files to be encoded one by one: what `search` and `classify` go through."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from canonsim.data.points import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Sequence

_SUFFIXES = {
    "image": {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"},
    "audio": {".wav", ".flac", ".ogg", ".mp3"},
    "points": set(SUFFIXES),
    "series": {".npy", ".csv"},
    "text": {".txt"},
}


def find_files(folder: Path, kind: str) -> list[Path]:
    """Find the files of a kind in any depth of folders, sorted.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If it holds none.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    suffixes = _SUFFIXES[kind]
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    if not files:
        raise ValueError(f"{folder} holds no {kind} files ({', '.join(sorted(suffixes))})")
    return files


def read_items(files: Sequence[Path], kind: str) -> list[Any]:
    """Items as encoders of the kind take them: the content of text files, the paths of others."""
    return [file.read_text("utf-8") for file in files] if kind == "text" else list(files)
