"""Time series as (channels, length) arrays: NumPy files and tables of numbers."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Series = npt.NDArray[np.float64]


def read_series(item: Any, least: int = 1) -> Series:
    """Read one time series, of one or several channels.

    A file holds the array: a ``.npy`` file as it is, a ``.csv`` file one channel a line, commas between the numbers, no
    header (what ``numpy.savetxt(file, series, delimiter=",")`` writes). Lines of one number each are one channel.

    Parameters
    ----------
    item : str, Path or array
        A ``.npy`` or ``.csv`` file, or an array (length,) or (channels, length) of integers or floats.
    least : int
        The fewest samples that a series may have.

    Returns
    -------
    (channels, length) float64

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged or of another format, or the series is empty, too short, of another shape, or holds NaN,
        infinite values or such that float32 cannot hold; the message names the file and the shape.
    TypeError
        For any other kind of item.

    Examples
    --------
    >>> import numpy as np
    >>> from canonsim.data import read_series
    >>> read_series(np.arange(4)).shape, read_series(np.zeros((3, 50))).shape
    ((1, 4), (3, 50))
    """
    if isinstance(item, np.ndarray):
        values, name = item, "the series"
    elif isinstance(item, (str, Path)):
        path = Path(item)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such series")
        readers = {".npy": _read_npy, ".csv": _read_csv}
        suffix = path.suffix.lower()
        if suffix not in readers:
            raise ValueError(f"{path} is no series: its suffix is {suffix!r}, not .npy or .csv")
        values, name = readers[suffix](path), str(path)
    else:
        raise TypeError(f"a series must be a path or an array, got {type(item).__name__}")
    shape = values.shape
    if values.ndim not in (1, 2) or values.dtype.kind not in "fiu":
        raise ValueError(
            f"{name} must be a (length,) or (channels, length) array of numbers, got shape {shape}, {values.dtype}"
        )
    if not values.size:
        raise ValueError(f"{name} is empty: shape {shape}")
    if shape[-1] < least:
        raise ValueError(
            f"{name} is too short: shape {shape}, {shape[-1]} samples a channel, at least {least} are needed"
        )
    series = np.atleast_2d(np.ascontiguousarray(values, dtype=np.float64))
    finite = np.abs(series) <= np.finfo(np.float32).max
    if not finite.all():
        channel, sample = np.unravel_index(int(finite.argmin()), series.shape)
        raise ValueError(
            f"{name}: {int((~finite).sum())} values of shape {shape} are NaN or out of the range of float32, "
            f"the first is sample {sample} of channel {channel}"
        )
    return series


def _read_npy(path: Path) -> npt.NDArray[Any]:
    try:
        values: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} ({path.stat().st_size} bytes) is no readable .npy file: {error}") from error
    return values


def _read_csv(path: Path) -> npt.NDArray[Any]:
    try:
        with warnings.catch_warnings():
            # That a file is empty is said by the error of the shape.
            warnings.simplefilter("ignore", UserWarning)
            values = np.loadtxt(path, delimiter=",", ndmin=2, comments=None, encoding="utf-8-sig")
    except ValueError as error:
        raise ValueError(f"{path} is no table of numbers, one channel a line: {error}") from error
    return values[:, 0] if values.shape[1] == 1 else values
