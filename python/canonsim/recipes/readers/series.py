"""Time series of the UEA archive, in its ``.ts`` files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from canonsim.recipes.examples import Items, Labelled
from canonsim.recipes.readers import files
from canonsim.recipes.readers.parts import prompts, set_aside

Series = npt.NDArray[np.float32]


def read(
    folder: Path,
    *,
    problem: str,
    templates: tuple[str, ...],
    names: dict[str, str] | None = None,
    val_share: float = 0.0,
) -> Labelled:
    """Read ``<problem>_TRAIN.ts`` and ``<problem>_TEST.ts``.

    Parameters
    ----------
    folder : Path
    problem : str
        Name of the data set in the archive, such as "Handwriting".
    templates : tuple of str
    names : dict, optional
        Of every label its name; numbers are compared as such ("1" is "1.0"). Default: the labels.
    val_share : float
        Share of the training series that becomes the part "val".

    Raises
    ------
    FileNotFoundError
        If a file is not there.
    ValueError
        If a file is of another form, the message names the line; if the two files differ in their labels, or a label
        has no name.
    """
    paths = {
        part: files.find(folder, (f"{problem}_{part.upper()}.ts",), f"series of {problem}, as the UEA archive has them")
        for part in ("train", "test")
    }
    train, train_labels, classes = read_ts(paths["train"])
    test, test_labels, others = read_ts(paths["test"])
    if classes != others:
        raise ValueError(f"{paths['train'].name} and {paths['test'].name} must have the same labels")
    called = classes
    if names is not None:
        named = {_label(label): name for label, name in names.items()}
        unnamed = [label for label in classes if label not in named]
        if unnamed:
            raise ValueError(f"names must name every label, got none for {', '.join(unnamed)}")
        called = [named[label] for label in classes]
    rows = np.arange(len(train) + len(test))
    parts = set_aside({"train": rows[: len(train)], "test": rows[len(train) :]}, val_share)
    labels = np.array([classes.index(label) for label in train_labels + test_labels], dtype=np.int64)
    return Labelled(Items("series", train + test), labels, called, prompts(called, templates), parts)


def read_ts(path: Path) -> tuple[list[Series], list[str], list[str]]:
    """Read a ``.ts`` file (version 1.0 of sktime and aeon) of classified series without time stamps.

    Lines of "#" are comments, lines of "@" a header that ends with "@data". Then a line is a series: its channels,
    parted by ":", each of numbers parted by ",", and its label last.

    Returns
    -------
    series : list of (channels, length) float32
        The lengths of different series may differ.
    labels : list of str
    classes : list of str
        The labels of the header, in its order. Labels that are numbers are written as short as can be: "1" for "1.0".

    Raises
    ------
    ValueError
        For a header without class labels or with time stamps; for a line with another number of channels, channels of
        different lengths, something that is no number (as "?" for a missing value), or a label that the header lacks.
    """
    header: dict[str, list[str]] = {}
    series, labels = [], []
    for number, line in files.lines(path):
        text = line.strip()
        if "data" in header:
            one, label = _parse(text, f"{path}, line {number}", header)
            series.append(one)
            labels.append(label)
        elif text.startswith("@"):
            key, *values = text[1:].split()
            header[key.lower()] = values
            if key.lower() == "data":
                _check_header(path, header)
        elif not text.startswith("#"):
            raise ValueError(
                f"{path}, line {number}, comes before @data but starts with neither @ nor #: {text[:40]!r}"
            )
    if not series:
        raise ValueError(f"{path} holds no series after @data")
    return series, labels, header["classlabel"]


def _check_header(path: Path, header: dict[str, list[str]]) -> None:
    flag, *classes = header.get("classlabel", ["false"])
    if flag.lower() != "true" or len(classes) < 2:
        raise ValueError(f"{path} must have '@classLabel true' and at least 2 labels, got {[flag, *classes]}")
    if header.get("timestamps", ["false"])[0].lower() == "true":
        raise ValueError(f"{path} has time stamps, which are not read")
    header["classlabel"] = [_label(label) for label in classes]


def _parse(text: str, place: str, header: dict[str, list[str]]) -> tuple[Series, str]:
    *channels, label = text.split(":")
    label = _label(label)
    if label not in header["classlabel"]:
        raise ValueError(f"{place}: its label {label!r} is none of the header's")
    expected = header.get("dimensions", header.get("dimension", [str(len(channels))]))[0]
    if not channels or str(len(channels)) != expected:
        raise ValueError(f"{place}: it has {len(channels)} channels, the header says {expected}")
    try:
        values = [[float(value) for value in channel.split(",")] for channel in channels]
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    lengths = {len(channel) for channel in values}
    if len(lengths) > 1 or not all(math.isfinite(value) for channel in values for value in channel):
        raise ValueError(f"{place}: channels must be finite numbers and equally long, got lengths {sorted(lengths)}")
    return np.array(values, dtype=np.float32), label


def _label(text: str) -> str:
    try:
        return f"{float(text):g}"
    except ValueError:
        return text.strip()
