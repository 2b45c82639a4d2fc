"""Lidar scans with captions, in one folder for each drive."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from canonsim.recipes.examples import Captioned, Items, Parts
from canonsim.recipes.readers import files


def read(
    folder: Path,
    *,
    test: list[str],
    val: list[str] | None = None,
    points: str = "velodyne",
    captions: str = "captions.json",
) -> Captioned:
    """Read scans with one caption each; parts are whole drives.

    Neighbouring frames of a drive show the same street: parts of random frames would test what was fitted.

    Parameters
    ----------
    folder : Path
        Holds one folder for each drive, as ``sequences`` of KITTI odometry does (00, 01, ...).
    test, val : list of str
        Drives of these parts; all others train.
    points : str
        Folder of the scans in a drive. In raw data "velodyne_points/data".
    captions : str
        File of the captions in a drive, as `canonsim.data.KittiPairs` takes it: JSON, ``{frame: caption}``. Where a
        frame has none, the drive is refused.

    Raises
    ------
    FileNotFoundError
        If a drive, its scans or its captions are not there.
    ValueError
        If a drive is named twice, or its scans and captions do not fit together.
    """
    from canonsim.data.kitti import KittiPairs

    files.find(folder, (*test, *(val or [])), "drives, one folder each")
    drives = sorted(path.name for path in folder.iterdir() if (path / points).is_dir())
    part_of = dict.fromkeys(drives, "train")
    for part, named in (("val", val or []), ("test", test)):
        for drive in named:
            if part_of.get(drive) != "train":
                raise (ValueError if drive in drives else FileNotFoundError)(
                    f"{folder}: {part} must name drives with {points}, each once, got {drive!r}; "
                    f"there are {', '.join(drives) or 'none'}"
                )
            part_of[drive] = part
    scans: list[Path] = []
    texts: list[str] = []
    rows: Parts = {}
    for drive in drives:
        pairs = KittiPairs(folder / drive, folder / drive / captions, points=points)
        added = np.arange(len(scans), len(scans) + len(pairs))
        part = part_of[drive]
        rows[part] = np.concatenate([rows.get(part, added[:0]), added])
        for pair in (pairs[row] for row in range(len(pairs))):
            scans.append(pair["x"])
            texts.append(pair["y"])
    if "train" not in rows:
        raise ValueError(f"{folder} has no drive left to train on: there are {', '.join(drives)}")
    return Captioned(Items("points", scans), Items("text", texts), np.arange(len(scans)), rows)
