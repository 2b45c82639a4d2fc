"""Readers of data sets in the form in which their publishers give them.

A reader takes the folder of the data, its options by keyword, and, where there are classes, ``templates`` of prompts
with ``{}`` for the name. It answers with `Captioned`, `Labelled` or `TwiceCaptioned`. Items are paths wherever these
are enough: encoders read the files. Each reader is imported when it is first used.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TypeAlias

from canonsim.recipes.examples import Captioned, Labelled, TwiceCaptioned

Data: TypeAlias = Captioned | Labelled | TwiceCaptioned

_HOMES = {
    "audio-captions": "audio_captions",
    "caption-files": "caption_files",
    "cosmos": "cosmos",
    "digits": "digits",
    "drives": "drives",
    "features": "features",
    "hub": "hub",
    "image-folders": "image_folders",
    "mislabelled-images": "mislabelled_images",
    "series": "series",
    "table": "table",
}

NAMES = tuple(_HOMES)


def find(name: str) -> Callable[..., Data]:
    """The reader of this name.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name not in _HOMES:
        raise ValueError(f"there is no reader {name!r}; there are {', '.join(NAMES)}")
    reader: Callable[..., Data] = importlib.import_module(f"canonsim.recipes.readers.{_HOMES[name]}").read
    return reader
