"""Ready features, in arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from canonsim.recipes.examples import PARTS, Captioned, Items, Parts
from canonsim.recipes.readers import files
from canonsim.recipes.readers.parts import draw


def read(folder: Path, *, x: str = "x.npy", y: str = "y.npy", split: str = "split.npz") -> Captioned:
    """Read features of two sides.

    Parameters
    ----------
    folder : Path
    x : str
        File of (n, p) floats.
    y : str
        File of (n, q), row by row with x; of (n, captions, q); or of (m, q) with ``owners.npy``, (m,) integers, the row
        of x that each belongs to.
    split : str
        File of the arrays "train", "test" and, where there is one, "val": rows of x. Without it 70, 20 and 10 % of the
        rows are drawn by chance.

    Raises
    ------
    FileNotFoundError
        If a file is not there.
    ValueError
        If shapes, owners or rows do not fit together.
    """
    left, right = _array(folder, x), _array(folder, y)
    n = len(left)
    if left.ndim != 2 or right.ndim not in (2, 3) or not n:
        raise ValueError(
            f"{folder}: {x} must be (n, p), {y} (m, q) or (n, captions, q), got {left.shape}, {right.shape}"
        )
    if (folder / "owners.npy").is_file():
        owners = np.load(folder / "owners.npy", allow_pickle=False).astype(np.int64)
    elif len(right) != n:
        raise ValueError(
            f"{folder}: {x} has {n} rows, {y} {len(right)}: owners.npy must say which of x each belongs to"
        )
    else:
        owners = np.repeat(np.arange(n), right.shape[1] if right.ndim == 3 else 1)
    right = right.reshape(-1, right.shape[-1])
    return Captioned(Items("features", left), Items("features", right), owners, _parts(folder / split, n))


def _parts(path: Path, n: int) -> Parts:
    if not path.is_file():
        return draw(np.arange(n), {"train": 0.7, "val": 0.1, "test": 0.2})
    with np.load(path, allow_pickle=False) as content:
        strange = sorted(set(content) - set(PARTS))
        if strange or not {"train", "test"} <= set(content):
            raise ValueError(f"{path} must hold train, test and perhaps val, got {', '.join(content) or 'nothing'}")
        return {part: content[part].astype(np.int64) for part in PARTS if part in content}


def _array(folder: Path, name: str) -> npt.NDArray[Any]:
    path = files.find(folder, (name,), "an array of features")
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is truncated, or no array: {error}") from error
    if array.dtype.kind != "f":
        raise ValueError(f"{path} must hold floats, got {array.dtype}")
    return array
