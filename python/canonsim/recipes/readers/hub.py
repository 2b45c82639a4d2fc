"""Classified pictures of the Hugging Face Hub, by the library ``datasets``."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from canonsim.recipes.examples import Items, Labelled
from canonsim.recipes.readers.parts import prompts, set_aside


def read(
    folder: Path | None = None,
    *,
    name: str,
    templates: tuple[str, ...],
    classes: list[str],
    config: str = "",
    image: str = "image",
    label: str = "label",
    train: str = "train",
    test: str = "test",
    val_share: float = 0.0,
) -> Labelled:
    """Read pictures and their labels; pictures are decoded when they are asked for.

    Parameters
    ----------
    folder : Path, optional
        What ``save_to_disk`` wrote: a ``DatasetDict``, or one folder for each split. Default: ``datasets`` finds
        ``name`` in its cache, or downloads it.
    name : str
        Name on the Hub.
    templates : tuple of str
    classes : list of str
        Names of the classes, in the order of the numbers in the column ``label``.
    config : str
        Configuration on the Hub.
    image, label : str
        Columns.
    train, test : str
        Splits.
    val_share : float
        Share of the training pictures that becomes the part "val".

    Raises
    ------
    ImportError
        Without ``datasets`` (``pip install datasets pillow``).
    FileNotFoundError
        If the folder holds no such data.
    ValueError
        If a split or a column is missing, or a label is no row of ``classes``.
    """
    try:
        datasets: Any = importlib.import_module("datasets")
    except ImportError as error:
        raise ImportError("data of the Hugging Face Hub need datasets: pip install datasets pillow") from error
    if folder is None:
        splits = datasets.load_dataset(name, config or None)
    else:
        splits = _from_disk(datasets, folder, (train, test))
    for split in (train, test):
        if split not in splits:
            raise ValueError(f"{folder or name} has no split {split!r}; it has {', '.join(splits)}")
        for column in (image, label):
            if column not in splits[split].column_names:
                raise ValueError(
                    f"{folder or name}, split {split!r}, has no column {column!r}; "
                    f"it has {', '.join(splits[split].column_names)}"
                )
    labels = np.array([number for split in (train, test) for number in splits[split][label]], dtype=np.int64)
    rows = np.arange(len(labels))
    parts = {"train": rows[: len(splits[train])], "test": rows[len(splits[train]) :]}
    pictures = _Pictures([splits[train], splits[test]], image)
    return Labelled(Items("image", pictures), labels, classes, prompts(classes, templates), set_aside(parts, val_share))


def _from_disk(datasets: Any, folder: Path, names: tuple[str, str]) -> Any:
    if (folder / "dataset_dict.json").is_file():
        return datasets.load_from_disk(str(folder))
    missing = [name for name in names if not (folder / name / "state.json").is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder} holds neither dataset_dict.json nor {missing[0]}/state.json: expected what save_to_disk of the "
            "library datasets writes"
        )
    return {name: datasets.load_from_disk(str(folder / name)) for name in names}


class _Pictures(Sequence[Any]):
    """Pictures of several splits, one after the other."""

    def __init__(self, splits: list[Any], column: str) -> None:
        self._splits = splits
        self._column = column

    def __len__(self) -> int:
        return sum(map(len, self._splits))

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self[number] for number in range(*row.indices(len(self)))]
        number = range(len(self))[row]
        for split in self._splits:
            if number < len(split):
                break
            number -= len(split)
        return split[number][self._column]
