"""Pictures whose labels people have checked again: ImageNet's validation set."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import numpy as np

from canonsim.recipes.examples import Items, Labelled, Rows
from canonsim.recipes.readers import files
from canonsim.recipes.readers.image_folders import class_names, part_of, told_apart
from canonsim.recipes.readers.parts import draw, prompts


def read(
    folder: Path,
    *,
    templates: tuple[str, ...],
    images: str = "val",
    corrections: str = "imagenet_mturk.json",
    mistakes: Literal["confirmed", "suspected"] = "confirmed",
    train_share: float = 0.7,
) -> Labelled:
    """Read pictures with their published labels and with corrected ones.

    Two publications are read. ``imagenet_mturk.json`` of Northcutt et al. (Pervasive label errors in test sets, 2021;
    github.com/cleanlab/label-errors, folder mturk) lists pictures that cleanlab suspected, with the votes of five
    people on the given and the guessed label. ``real.json`` of Beyer et al. (Are we done with ImageNet?, 2020;
    github.com/google-research/reassessed-imagenet) lists for every picture all labels that fit; pictures that none fits
    are in no part, as its authors have it.

    Both number the classes in the order of their WordNet numbers; the file of names must list all of them.

    Parameters
    ----------
    folder : Path
    templates : tuple of str
    images : str
        Folder of the pictures, as `image_folders.read` takes it.
    corrections : str
        File of the corrections.
    mistakes : str
        For ``imagenet_mturk.json``: "confirmed" counts a label as wrong where fewer than half of the people see it in
        the picture, whatever else they see; "suspected" counts all pictures of the list, as the published code of the
        CSA paper does.
    train_share : float
        Share of the pictures that make the part "train", by chance; the others test. A training picture of which no
        right class is known is in no part: its label is wrong, and there is none to trust in its place.

    Raises
    ------
    FileNotFoundError
        If the folder, the corrections or the names are not there.
    ValueError
        If the corrections are of another form, or speak of other pictures or labels.
    """
    names = class_names(folder)
    wnids = sorted(names)
    row = {wnid: number for number, wnid in enumerate(wnids)}
    pictures, classes = part_of(folder, images)
    strange = sorted(set(classes) - set(row))
    if strange:
        raise ValueError(f"{folder / images} has pictures of the class {strange[0]!r}, which has no name")
    labels = np.array([row[wnid] for wnid in classes], dtype=np.int64)
    path = files.find(folder, (corrections,), "corrected labels: imagenet_mturk.json or real.json")
    content = files.read_json(path)
    if not isinstance(content, list) or not content:
        raise ValueError(f"{path} must hold a list, got {type(content).__name__}")
    kept = np.arange(len(pictures))
    if all(isinstance(entry, list) for entry in content):
        true_labels, fits = _reassessed(path, content, pictures, labels, len(wnids))
        kept = kept[fits]
    else:
        true_labels = _corrected(path, content, pictures, labels, len(wnids), mistakes)
    called = [names[wnid] for wnid in wnids]
    parts = draw(kept, {"train": train_share, "test": 1 - train_share})
    parts["train"] = parts["train"][true_labels[parts["train"]] >= 0]
    return Labelled(
        Items("image", pictures), labels, told_apart(called, wnids), prompts(called, templates), parts, true_labels
    )


def _corrected(path: Path, content: list[Any], pictures: list[Path], labels: Rows, classes: int, mistakes: str) -> Rows:
    """Labels after the votes on suspected pictures; -1 where neither the given nor the guessed one is right."""
    if mistakes not in ("confirmed", "suspected"):
        raise ValueError(f"mistakes must be confirmed or suspected, got {mistakes!r}")
    rows = {picture.name: number for number, picture in enumerate(pictures)}
    true_labels = labels.copy()
    for number, entry in enumerate(content):
        place = f"{path}, entry {number}"
        if not isinstance(entry, dict):
            raise ValueError(f"{place}, is no object: {entry!r}")  # noqa: TRY004
        given, guessed = (files.get(entry, f"{key}_label", int, place) for key in ("given_original", "our_guessed"))
        votes = files.get(entry, "mturk", dict, place)
        seen = [files.get(votes, answer, int, f"{place}, mturk") for answer in ("given", "guessed", "neither", "both")]
        picture = Path(files.get(entry, "url", str, place)).name
        if picture not in rows:
            raise ValueError(f"{place}: there is no picture {picture}")
        if labels[rows[picture]] != given or not 0 <= guessed < classes or sum(seen) < 1:
            raise ValueError(
                f"{place}, must have the label {labels[rows[picture]]} of {picture}, a guess below {classes} and "
                f"votes, got {given}, {guessed} and {votes}"
            )
        if mistakes == "suspected":
            true_labels[rows[picture]] = guessed
        elif 2 * (seen[0] + seen[3]) < sum(seen):
            true_labels[rows[picture]] = guessed if 2 * seen[1] > sum(seen) else -1
    return true_labels


def _reassessed(
    path: Path, content: list[list[Any]], pictures: list[Path], labels: Rows, classes: int
) -> tuple[Rows, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Labels of which at least one fits, and where one does: the given one where it does, else the first."""
    true_labels = np.full(len(labels), -1, dtype=np.int64)
    for row, picture in enumerate(pictures):
        number = re.search(r"(\d{8})$", picture.stem)
        if number is None or not 1 <= int(number[1]) <= len(content):
            raise ValueError(f"{path} has {len(content)} lists of labels, numbered as the pictures; got {picture.name}")
        fitting = content[int(number[1]) - 1]
        if not all(isinstance(label, int) and 0 <= label < classes for label in fitting):
            raise ValueError(f"{path}: labels of {picture.name} must be from 0 to {classes - 1}, got {fitting}")
        if fitting:
            true_labels[row] = labels[row] if labels[row] in fitting else fitting[0]
    return true_labels, true_labels >= 0
