"""COSMOS: pictures of the news with two captions, which may contradict each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from canonsim.recipes.examples import Captioned, Items, Parts, TwiceCaptioned
from canonsim.recipes.readers import files

_MISLEADING = {"0": False, "1": True, "not-ooc": False, "ooc": True}


def read(
    folder: Path,
    *,
    train: str = "train",
    val: str = "val",
    caption: Literal["caption", "caption_modified"] = "caption",
    captions_per_image: int = 0,
) -> TwiceCaptioned:
    """Read pictures with two captions, and pairs to fit on.

    ``train.json`` and ``val.json`` hold on each line ``{"img_local_path": ..., "articles": [{"caption": ...}]}``,
    ``test.json`` on each line ``{"img_local_path": ..., "caption1": ..., "caption2": ..., "context_label": 0 or 1}``
    (Aneja et al., COSMOS, 2021; github.com/shivangi-aneja/COSMOS). The files may also be called ``train_data.json`` and
    so on, or lie in ``annotations``. Paths of pictures start at the folder; pictures that are missing are left out with
    a warning that counts them, as links to the news die.

    Parameters
    ----------
    folder : Path
    train, val : str
        Which of the published lists the two parts of the pairs come from; "" for no part "val".
    caption : str
        "caption", or "caption_modified" with names of people and places replaced by what they are.
    captions_per_image : int
        Captions taken of a picture, the first ones; 0 takes all.

    Raises
    ------
    FileNotFoundError
        If a file, or every picture that it lists, is missing.
    ValueError
        For a malformed line.
    """
    if caption not in ("caption", "caption_modified"):
        raise ValueError(f"caption must be caption or caption_modified, got {caption!r}")
    lists = {"train": train, **({"val": val} if val else {})}
    pictures: list[Path] = []
    texts: list[str] = []
    owners: list[int] = []
    parts: Parts = {}
    for part, name in lists.items():
        start = len(pictures)
        for picture, number, entry, path in _entries(folder, name):
            place = f"{path}, line {number}"
            articles = files.get(entry, "articles", list, place)[: captions_per_image or None]
            if not articles:
                raise ValueError(f"{place}, has no articles")
            texts += [files.get(article, caption, str, place) for article in articles]
            owners += [len(pictures)] * len(articles)
            pictures.append(picture)
        parts[part] = np.arange(start, len(pictures))
    pairs = Captioned(Items("image", pictures), Items("text", texts), np.array(owners, dtype=np.int64), parts)
    return _with_test(folder, pairs, caption.removeprefix("caption"))


def _with_test(folder: Path, pairs: Captioned, suffix: str) -> TwiceCaptioned:
    pictures: list[Path] = []
    captions: tuple[list[str], list[str]] = ([], [])
    misleading: list[bool] = []
    for picture, number, entry, path in _entries(folder, "test"):
        place = f"{path}, line {number}"
        pictures.append(picture)
        for side, texts in enumerate(captions, start=1):
            texts.append(files.get(entry, f"caption{side}{suffix}", str, place))
        label = str(entry.get("context_label", entry.get("label")))
        if label not in _MISLEADING:
            raise ValueError(f"{place}: context_label must be 0 or 1 (misleading), got {label!r}")
        misleading.append(_MISLEADING[label])
    first, second = (Items("text", texts) for texts in captions)
    return TwiceCaptioned(pairs, Items("image", pictures), first, second, np.array(misleading))


def _entries(folder: Path, name: str) -> list[tuple[Path, int, dict[str, Any], Path]]:
    """Pictures that are there, each with the number of its line, what the line holds, and its file."""
    names = (f"{name}.json", f"{name}_data.json", f"annotations/{name}.json", f"annotations/{name}_data.json")
    path = files.find(folder, names, "a list of COSMOS, one object a line")
    entries = [
        (folder / files.get(entry, "img_local_path", str, f"{path}, line {number}"), number, entry, path)
        for number, entry in files.json_lines(path)
    ]
    if not entries:
        raise ValueError(f"{path} is empty")
    there = files.keep_existing([picture for picture, *_ in entries], path)
    return [entry for entry, is_there in zip(entries, there, strict=True) if is_there]
