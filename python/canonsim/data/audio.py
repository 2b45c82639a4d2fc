"""Sound files as one channel, at the sampling rate that an encoder wants."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Waveform = npt.NDArray[np.float32]

# Zero crossings of the sinc on either side, and the share of the band that passes.
_ZEROS = 24
_ROLLOFF = 0.95
_BLOCK = 1 << 16
_SIZE_UNKNOWN = (0, 0xFFFFFFFF)
_OGG_PAGE = 65_307


def read_audio(item: Any) -> tuple[Waveform, int]:
    """Read one sound file, its channels averaged.

    Parameters
    ----------
    item : str, Path or (waveform, rate)
        A file in any format that libsndfile reads (WAV, FLAC, OGG, MP3, ...), or samples (n,) with their rate in Hz.

    Returns
    -------
    waveform : (n,) float32
        In [-1, 1] for integer formats.
    rate : int
        Samples a second.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, damaged, no sound, empty, or holds NaN or infinite samples; the message names it.
    TypeError
        For any other kind of item.
    ImportError
        Without soundfile (``pip install canonsim[audio]``).

    Examples
    --------
    >>> import numpy as np
    >>> from canonsim.data import read_audio
    >>> waveform, rate = read_audio((np.zeros(8000), 8000))
    >>> waveform.dtype, rate
    (dtype('float32'), 8000)
    """
    if isinstance(item, tuple) and len(item) == 2:
        waveform, rate = np.asarray(item[0], dtype=np.float32), int(item[1])
        name = "the waveform"
        if waveform.ndim != 1:
            raise ValueError(f"the waveform must have one dimension, got shape {waveform.shape}")
    elif isinstance(item, (str, Path)):
        waveform, rate = _read_file(Path(item))
        name = str(item)
    else:
        raise TypeError(f"a sound must be a path or a tuple (waveform, rate), got {type(item).__name__}")
    if not len(waveform):
        raise ValueError(f"{name} holds no samples")
    if not np.isfinite(waveform).all():
        raise ValueError(f"{name}: sample {int(np.argmin(np.isfinite(waveform)))} is NaN or infinite")
    return waveform, rate


def read_clip(item: Any, rate: int, least: float, most: float | None) -> Waveform:
    """Read the first ``most`` seconds of a sound, resampled to ``rate``; errors as of `read_audio`.

    Raises
    ------
    ValueError
        Also if the sound is shorter than ``least`` seconds.
    """
    waveform, own_rate = read_audio(item)
    if len(waveform) < least * own_rate:
        name = item if not isinstance(item, tuple) else "the waveform"
        raise ValueError(f"{name} lasts {len(waveform) / own_rate:.4f} s, less than {least} s")
    if most is not None:
        waveform = waveform[: round(most * own_rate)]
    return resample(waveform, own_rate, rate)


def _read_file(path: Path) -> tuple[Waveform, int]:
    try:
        import soundfile
    except ImportError as error:
        raise ImportError("sound files need soundfile: pip install canonsim[audio]") from error
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such sound file")
    _check_container(path)
    try:
        with soundfile.SoundFile(path) as file:
            declared, rate = file.frames, file.samplerate
            samples = file.read(dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise ValueError(f"{path} ({path.stat().st_size} bytes) is no readable sound file: {error}") from error
    # The headers of MP3 files count a little padding.
    if declared - len(samples) > rate / 10:
        raise ValueError(f"{path} is truncated: {len(samples)} of {declared} frames can be read")
    return samples.mean(axis=1, dtype=np.float32), rate


def _check_container(path: Path) -> None:
    """Refuse a WAV, AIFF or Ogg file whose end is missing: libsndfile reads what is left of it silently."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        file.seek(max(0, size - _OGG_PAGE))
        tail = file.read()
    if head[:4] in (b"RIFF", b"FORM"):
        declared = int.from_bytes(head[4:], "little" if head[:4] == b"RIFF" else "big")
        # A writer to a pipe cannot know the size.
        if declared not in _SIZE_UNKNOWN and size < declared + 8:
            raise ValueError(f"{path} is truncated: it has {size} of {declared + 8} bytes")
    if head[:4] == b"OggS":
        # A page: "OggS", version, flags (4: the last page), 20 more bytes, the number of segments, the sizes of these.
        page = tail[tail.rfind(b"OggS") :]
        whole = len(page) > 27 and len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])
        if not (whole and page[5] & 4):
            raise ValueError(f"{path} is truncated: its {size} bytes do not end with the last page of an Ogg stream")


def resample(waveform: Waveform, rate: int, target: int) -> Waveform:
    """Resample by band-limited interpolation: y(t) = sum_i x_i c sinc(c (t - i)) w(t - i).

    With c = 0.95 min(1, target / rate), the cutoff, and w a Hann window over 24 zero crossings on either side (Smith,
    Digital Audio Resampling, 2002).

    Parameters
    ----------
    waveform : (n,) float32
    rate, target : int
        Samples a second, now and then.

    Returns
    -------
    (ceil(n target / rate),) float32

    Raises
    ------
    ValueError
        If a rate is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from canonsim.data import resample
    >>> resample(np.ones(44100, dtype=np.float32), 44100, 16000).shape
    (16000,)
    """
    if rate < 1 or target < 1:
        raise ValueError(f"rates must be positive, got {rate} and {target}")
    if rate == target:
        return waveform
    divisor = math.gcd(rate, target)
    up, down = target // divisor, rate // divisor
    cutoff = _ROLLOFF * min(1.0, target / rate)
    reach = math.ceil(_ZEROS / cutoff)
    taps = np.arange(-reach, reach + 1)
    # Output j lies at input time j * down / up: its fractional part takes `up` values only.
    offsets = (np.arange(up) / up)[:, None] - taps
    window = np.where(np.abs(offsets) < reach, np.cos(np.pi * offsets / (2 * reach)) ** 2, 0.0)
    kernels = (cutoff * np.sinc(cutoff * offsets) * window).astype(np.float32)
    padded = np.pad(waveform, (reach, reach + 1))
    windows = np.lib.stride_tricks.sliding_window_view(padded, len(taps))
    output = np.empty(-(-len(waveform) * up // down), dtype=np.float32)
    for start in range(0, len(output), _BLOCK):
        positions = np.arange(start, min(start + _BLOCK, len(output)), dtype=np.int64) * down
        block = np.einsum("jt,jt->j", windows[positions // up], kernels[positions % up])
        output[start : start + len(positions)] = block
    return output
