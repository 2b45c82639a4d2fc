"""Pictures with several captions each: Flickr30k, Flickr8k, COCO."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from canonsim.recipes.examples import Captioned, Items, Parts
from canonsim.recipes.readers import files

CAPTIONS = (
    "dataset_flickr30k.json",
    "dataset_flickr8k.json",
    "dataset_coco.json",
    "results_20130124.token",
    "results.csv",
    "Flickr8k.token.txt",
)
IMAGES = ("images", "flickr30k-images", "flickr30k_images", "Flicker8k_Dataset", "Images")

# Lists of the pictures of each part, as Flickr30k Entities and Flickr8k give them.
_LISTS = {
    "train": ("train.txt", "Flickr_8k.trainImages.txt"),
    "val": ("val.txt", "Flickr_8k.devImages.txt"),
    "test": ("test.txt", "Flickr_8k.testImages.txt"),
}
# "1000092795.jpg#0<tab>caption", or "1000092795.jpg| 0| caption", whose second bar one line of the publication lacks.
_TOKEN = re.compile(r"(?P<file>[^#\t]+)#\d+\t(?P<caption>.+)")
_BARS = re.compile(r"(?P<file>[^|]+)\|\s*\d+\s*\|?\s*(?P<caption>\S.*)")

Captions = dict[str, list[str]]


def read(folder: Path, *, captions: str = "", images: str = "") -> Captioned:
    """Read pictures with their captions.

    Parameters
    ----------
    folder : Path
    captions : str
        File of the captions. ``.json``: that of Karpathy and Fei-Fei (2015), which also says the parts; its "restval"
        trains. Other files: one caption on a line, ``file#number<tab>caption`` or ``file| number| caption``, with
        ``train.txt``, ``val.txt`` and ``test.txt`` beside it, which list pictures (with or without ``.jpg``), or the
        lists of Flickr8k. Default: the first there is of ``dataset_flickr30k.json``, ``dataset_flickr8k.json``,
        ``dataset_coco.json``, ``results_20130124.token``, ``results.csv``, ``Flickr8k.token.txt``.
    images : str
        Folder of the pictures. Default: "images" or the name it has in the publication; for COCO the folder itself,
        which holds train2014 and val2014.

    Raises
    ------
    FileNotFoundError
        If the captions, the lists, the folder or a picture are not there.
    ValueError
        If the captions or the lists are malformed.
    """
    path = files.find(folder, (captions,) if captions else CAPTIONS, "captions of pictures")
    if path.suffix == ".json":
        described, parts = _karpathy(path)
    else:
        described = _one_a_line(path)
        parts = _lists(path, described)
    nested = any("/" in name for name in described)
    if images or not nested:
        root = files.find(folder, (images,) if images else IMAGES, "a folder of the pictures")
    else:
        root = folder
    from canonsim.data.tables import check_files

    pictures = [root / name for name in described]
    check_files(pictures, str(path))
    texts = [text for its in described.values() for text in its]
    owners = np.repeat(np.arange(len(described)), [len(its) for its in described.values()])
    return Captioned(Items("image", pictures), Items("text", texts), owners, parts)


def _karpathy(path: Path) -> tuple[Captions, Parts]:
    content = files.read_json(path)
    entries = content.get("images") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise ValueError(f"{path} must hold an object with a list 'images'")  # noqa: TRY004
    described: Captions = {}
    rows: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for number, entry in enumerate(entries):
        place = f"{path}, image {number}"
        if not isinstance(entry, dict):
            raise ValueError(f"{place}, is no object: {entry!r}")  # noqa: TRY004
        name = files.get(entry, "filename", str, place)
        name = f"{entry['filepath']}/{name}" if entry.get("filepath") else name
        split = files.get(entry, "split", str, place)
        part = "train" if split == "restval" else split
        if part not in rows or name in described:
            raise ValueError(
                f"{place}, must have a split of train, restval, val or test, once, got {split!r} of {name}"
            )
        sentences = files.get(entry, "sentences", list, place)
        described[name] = [files.get(sentence, "raw", str, place) for sentence in sentences]
        if not described[name]:
            raise ValueError(f"{place}, has no sentences")
        rows[part].append(number)
    return described, {part: np.array(its, dtype=np.int64) for part, its in rows.items() if its}


def _one_a_line(path: Path) -> Captions:
    pattern = _BARS if path.suffix == ".csv" else _TOKEN
    described: Captions = {}
    for number, line in files.lines(path):
        match = pattern.fullmatch(line.strip())
        if match is None:
            if number == 1 and path.suffix == ".csv":
                continue
            raise ValueError(f"{path}, line {number}, holds no picture, number and caption: {line[:60]!r}")
        described.setdefault(match["file"].strip(), []).append(match["caption"].strip())
    return described


def _lists(path: Path, described: Captions) -> Parts:
    rows = {name: number for number, name in enumerate(described)}
    parts: Parts = {}
    for part, names in _LISTS.items():
        place = files.find(path.parent, names, f"the pictures of the part {part!r}, which {path.name} does not say")
        named = [line.strip() for _, line in files.lines(place)]
        named = [name if Path(name).suffix else f"{name}.jpg" for name in named]
        unknown = [name for name in named if name not in rows]
        if unknown:
            raise ValueError(f"{place} lists {unknown[0]}, which has no caption; {len(unknown)} like this")
        parts[part] = np.array([rows[name] for name in named], dtype=np.int64)
    return parts
