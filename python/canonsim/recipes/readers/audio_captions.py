"""MusicCaps: clips of music with a caption each."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from canonsim.recipes.examples import Captioned, Items
from canonsim.recipes.readers import files
from canonsim.recipes.readers.parts import set_aside

_NEEDED = ("ytid", "start_s", "end_s", "caption", "is_audioset_eval")
_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")


def read(folder: Path, *, table: str = "musiccaps-public.csv", clips: str = "wav", val_share: float = 0.1) -> Captioned:
    """Read clips with their captions; those of AudioSet's evaluation set test.

    The table is that of Agostinelli et al. (MusicLM, 2023). It names videos; the clips are files ``<ytid>.wav`` or
    ``[<ytid>]-[<start>-<end>].wav`` (or ``.flac``, ``.ogg``, ``.mp3``). Many of the videos are gone: clips that are
    missing are left out with a warning that counts them.

    Parameters
    ----------
    folder : Path
    table : str
    clips : str
        Folder of the clips.
    val_share : float
        Share of the training clips that becomes the part "val", by chance.

    Raises
    ------
    FileNotFoundError
        If the table or the folder, or every clip, is missing.
    ValueError
        If the table lacks a column, or a cell is empty or of another form.
    """
    path = files.find(folder, (table,), f"a table with the columns {', '.join(_NEEDED)}")
    root = files.find(folder, (clips,), "a folder of the clips, <ytid>.wav")
    found, captions, tests = [], [], []
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        missing = [column for column in _NEEDED if column not in (rows.fieldnames or ())]
        if missing:
            raise ValueError(
                f"{path} has no column {missing[0]!r}; it has {', '.join(rows.fieldnames or ()) or 'none'}"
            )
        for number, row in enumerate(rows):
            evaluation = str(row["is_audioset_eval"]).lower()
            if not all(row[column] for column in _NEEDED) or evaluation not in ("true", "false"):
                raise ValueError(f"{path}, row {number}, must have {', '.join(_NEEDED)}, the last True or False: {row}")
            found.append(_clip(root, row))
            captions.append(row["caption"])
            tests.append(evaluation == "true")
    if not found:
        raise ValueError(f"{path} has no rows")
    there = np.array(files.keep_existing(found, path))
    kept = np.flatnonzero(there)
    is_test = np.array(tests)[kept]
    parts = {"train": np.flatnonzero(~is_test), "test": np.flatnonzero(is_test)}
    x, y = Items("audio", [found[row] for row in kept]), Items("text", [captions[row] for row in kept])
    return Captioned(x, y, np.arange(len(kept)), set_aside(parts, val_share))


def _clip(root: Path, row: dict[str, str]) -> Path:
    stems = (row["ytid"], f"[{row['ytid']}]-[{row['start_s']}-{row['end_s']}]")
    paths = [root / f"{stem}{suffix}" for stem in stems for suffix in _SUFFIXES]
    return next((path for path in paths if path.is_file()), paths[0])
