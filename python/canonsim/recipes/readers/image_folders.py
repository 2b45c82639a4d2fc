"""Pictures in one folder for each class, as ImageNet and many others have them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from canonsim.recipes.examples import Items, Labelled, Parts, Rows
from canonsim.recipes.readers import files
from canonsim.recipes.readers.parts import prompts, set_aside

NAMES = ("classnames.txt", "LOC_synset_mapping.txt", "synset_words.txt")
LABELS = ("LOC_val_solution.csv", "val_labels.txt")

# Where the archive of Kaggle keeps the pictures.
_KAGGLE = Path("ILSVRC", "Data", "CLS-LOC")
_WNID = re.compile(r"n\d{8}")


def read(
    folder: Path,
    *,
    templates: tuple[str, ...],
    train: str = "train",
    test: str = "test",
    val: str = "",
    val_share: float = 0.0,
    train_per_class: int = 0,
) -> Labelled:
    """Read pictures with their classes.

    Every part is a folder that holds one folder for each class. A part may also hold its pictures directly, as ImageNet
    gives its validation set; their classes are then in ``val_labels.txt`` (on each line the name of a picture and its
    class) or Kaggle's ``LOC_val_solution.csv``. Names of classes are in ``classnames.txt``, ``LOC_synset_mapping.txt``
    or ``synset_words.txt`` (on each line a class and its name); without such a file the folders' names are taken.

    Parameters
    ----------
    folder : Path
    templates : tuple of str
    train, test, val : str
        Folders of the parts; "" where there is none.
    val_share : float
        Share of the training pictures that becomes the part "val".
    train_per_class : int
        Training pictures kept of each class, by chance; 0 keeps all.

    Raises
    ------
    FileNotFoundError
        If a folder, or the names or labels that it needs, are not there.
    ValueError
        If a folder holds no pictures, a line is malformed, or a class has no name.
    """
    pictures: list[Path] = []
    classes: list[str] = []
    parts: Parts = {}
    for part, name in (("train", train), ("val", val), ("test", test)):
        if name:
            found, their_classes = part_of(folder, name)
            parts[part] = np.arange(len(pictures), len(pictures) + len(found))
            pictures += found
            classes += their_classes
    wnids = sorted(set(classes))
    names = class_names(folder, wnids)
    row = {wnid: number for number, wnid in enumerate(wnids)}
    labels = np.array([row[wnid] for wnid in classes], dtype=np.int64)
    if train_per_class:
        parts["train"] = _some_of_each(parts["train"], labels[parts["train"]], train_per_class)
    called = [names[wnid] for wnid in wnids]
    parts = set_aside(parts, val_share)
    return Labelled(Items("image", pictures), labels, told_apart(called, wnids), prompts(called, templates), parts)


def part_of(folder: Path, name: str) -> tuple[list[Path], list[str]]:
    """Pictures of one part, sorted, and the class of each.

    Raises
    ------
    FileNotFoundError, ValueError
        As `read`.
    """
    inside = folder / _KAGGLE if (folder / _KAGGLE / name).is_dir() else folder
    place = files.find(inside, (name,), "a folder with one folder of pictures for each class")
    found = [(path, path.parent.name) for path in _pictures(place, "*/*")]
    if not found:
        flat = _pictures(place, "*")
        labels = _labels(folder) if flat else {}
        unknown = [path.name for path in flat if path.stem not in labels]
        if unknown:
            raise ValueError(f"{folder}: {unknown[0]} has no class in the file of labels; {len(unknown)} like this")
        found = [(path, labels[path.stem]) for path in flat]
    if not found:
        raise ValueError(f"{place} holds no pictures ({', '.join(files.PICTURES)})")
    return [path for path, _ in found], [wnid for _, wnid in found]


def class_names(folder: Path, wnids: list[str] | None = None) -> dict[str, str]:
    """Names of classes: of these, or of all that the file of names lists.

    Raises
    ------
    FileNotFoundError
        If there is no file of names, and all are asked for or the classes are numbers of WordNet.
    ValueError
        If a line is malformed, or a class has no name.
    """
    if wnids is not None and not any((folder / name).is_file() for name in NAMES) and not _WNID.fullmatch(wnids[0]):
        return {wnid: wnid.replace("_", " ") for wnid in wnids}
    path = files.find(folder, NAMES, "on each line a class, such as n01440764, and its name")
    names: dict[str, str] = {}
    for number, line in files.lines(path):
        wnid, _, name = line.strip().partition(" ")
        if not name.strip() or wnid in names:
            raise ValueError(f"{path}, line {number}, must be a class, once, and its name, got {line!r}")
        names[wnid] = name.strip()
    unnamed = sorted(set(wnids or ()) - set(names))
    if unnamed:
        raise ValueError(f"{path} has no name of class {unnamed[0]!r}; {len(unnamed)} like this")
    return names


def told_apart(names: list[str], wnids: list[str]) -> list[str]:
    """Names of classes with the class itself where two have one name, as two of ImageNet's are called crane."""
    return [f"{name} ({wnid})" if names.count(name) > 1 else name for name, wnid in zip(names, wnids, strict=True)]


def _pictures(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.suffix.lower() in files.PICTURES)


def _labels(folder: Path) -> dict[str, str]:
    path = files.find(
        folder,
        LABELS,
        "the classes of pictures that lie in one folder. (The numbers of ILSVRC2012_validation_ground_truth.txt follow "
        "meta.mat of the development kit, not the order of the classes here)",
    )
    labels = {}
    for number, line in files.lines(path):
        if path.suffix == ".csv" and number == 1:
            continue
        fields = re.split(r"[,\s]+", line.strip())
        if len(fields) < 2:
            raise ValueError(f"{path}, line {number}, must be the name of a picture and its class, got {line!r}")
        labels[Path(fields[0]).stem] = fields[1]
    return labels


def _some_of_each(rows: Rows, labels: Rows, count: int) -> Rows:
    generator = np.random.default_rng(0)
    kept = [generator.permutation(rows[labels == label])[:count] for label in np.unique(labels)]
    return np.sort(np.concatenate(kept))
