"""Frames of lidar scans with pictures or captions, in folders as KITTI has them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex

from canonsim.data.pairs import Pair, PairDataset
from canonsim.data.points import SUFFIXES

if TYPE_CHECKING:
    import os

_PICTURES = (".png", ".jpg", ".jpeg")


class KittiPairs(PairDataset):
    """Lidar scans with the pictures, or the captions, of the same frames.

    A frame is a file name without its suffix. Every frame must have both sides; frames are sorted by name.

    Parameters
    ----------
    root : str or Path
        The folder of a sequence (odometry), of a split (object detection), or of a drive (raw data).
    captions : mapping or path, optional
        A caption for each frame: ``{frame: caption}``, or a JSON file with such an object, or with an array of objects
        that have "scan" (a path or a frame) and "caption". With captions, pictures are not looked at.
    points : str
        Folder of the scans in ``root``: any format of `read_points` but ``.txt``. In raw data
        "velodyne_points/data".
    images : str
        Folder of the pictures in ``root``: ``.png`` or ``.jpg``. In raw data "image_02/data".

    Attributes
    ----------
    frames : list of str
        Names of the frames, in the order of the rows.

    Raises
    ------
    FileNotFoundError
        If a folder or the captions are not there, or a frame lacks its scan or picture: the message names the first
        and says how many.
    ValueError
        If there are no frames, a frame has two scans or two pictures, or lacks its caption, or the captions are of
        another form.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from canonsim.data import KittiPairs
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> (root / "velodyne").mkdir()
    >>> np.ones((5, 4), dtype=np.float32).tofile(root / "velodyne" / "000000.bin")
    >>> KittiPairs(root, captions={"000000": "an empty street"})[0]["y"]
    'an empty street'
    """

    x_kind = "points"

    def __init__(
        self,
        root: str | os.PathLike[str],
        captions: Mapping[str, str] | str | os.PathLike[str] | None = None,
        *,
        points: str = "velodyne",
        images: str = "image_2",
    ) -> None:
        scans = _frames(Path(root) / points, SUFFIXES)
        partners: Mapping[str, Any]
        if captions is None:
            self.y_kind = "image"
            partners = _frames(Path(root) / images, _PICTURES)
            _refuse(scans.keys() - partners.keys(), f"{Path(root) / images} has no picture of", FileNotFoundError)
        else:
            self.y_kind = "text"
            partners = dict(captions) if isinstance(captions, Mapping) else _read_captions(Path(captions))
            _refuse(scans.keys() - partners.keys(), "there is no caption of", ValueError)
            _refuse({frame for frame, text in partners.items() if not text}, "there is an empty caption of", ValueError)
        _refuse(partners.keys() - scans.keys(), f"{Path(root) / points} has no scan of", FileNotFoundError)
        if not scans:
            raise ValueError(f"{Path(root) / points} holds no scans ({', '.join(SUFFIXES)})")
        self.frames = sorted(scans)
        self._pairs = [(scans[frame], partners[frame]) for frame in self.frames]

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, row: SupportsIndex) -> Pair:
        """Path of the scan, and path of the picture or the caption, of a row."""
        row = self.check_row(row)
        x, y = self._pairs[row]
        return {"x": x, "y": y, "index": row}


def _refuse(frames: set[str], problem: str, error: type[Exception]) -> None:
    if frames:
        count = "1 frame" if len(frames) == 1 else f"{len(frames)} frames"
        raise error(f"{problem} frame {min(frames)!r}; {count} like this")


def _frame(scan: Path) -> str:
    return scan.stem.removesuffix(".pcd") if scan.suffix == ".bin" else scan.stem


def _frames(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    frames: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in suffixes:
            frame = _frame(path)
            if frame in frames:
                raise ValueError(f"{folder} has two files of frame {frame!r}: {frames[frame].name} and {path.name}")
            frames[frame] = path
    return frames


def _read_captions(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of captions")
    try:
        content = json.loads(path.read_bytes())
        if isinstance(content, list):
            content = {_frame(Path(entry["scan"])): entry["caption"] for entry in content}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no captions, but: {error!r}") from error
    if not isinstance(content, dict) or not all(isinstance(caption, str) for caption in content.values()):
        raise ValueError(f"{path} must hold {{frame: caption}}, or an array of objects with 'scan' and 'caption'")
    return content
