"""Sound by statistics of its log-mel spectrogram."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import nn

from canonsim.data.audio import read_clip
from canonsim.encoders.encoder import Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

Statistic = Literal["mean", "std", "delta_mean", "delta_std"]

_STATISTICS: tuple[Statistic, ...] = ("mean", "std", "delta_mean", "delta_std")
_WINDOW_SECONDS, _HOP_SECONDS = 0.025, 0.010
# What lies 80 dB below the loudest band of a clip is noise of the recording, or the zeros of a synthesiser.
_RANGE = 8.0 * float(np.log(10.0))
_SILENCE = 1e-10


class LogMelEncoder(Encoder):
    """Sound encoder that needs no training: statistics of the log-mel spectrogram, the same on every machine.

    A baseline for those who have no model of sound at hand. A clip, its channels averaged and resampled, is cut into
    Hann windows of 25 ms every 10 ms, whose power spectra go through triangular filters on the mel scale
    ``2595 log10(1 + f / 700)`` (Young et al., The HTK Book, section 5.6). Natural logarithms are taken, and what lies
    more than 80 dB below the loudest band of the clip is lifted to there: digital silence does not matter. The frames
    are split into segments of equal length in time, which share the frames at their borders. The columns are, for each
    of the statistics, for each segment, one for each filter:

    - "mean" and "std": of the log-mel spectrum over the frames of the segment;
    - "delta_mean" and "delta_std": of its slope, the regression over five frames (The HTK Book,
      section 5.9).

    All of it is computed by `collate`, in the workers of a data loader.

    Parameters
    ----------
    sampling_rate : int
        Samples a second; clips of another rate are resampled. Twice the highest frequency that is looked at.
    n_mels : int
        Mel filters.
    segments : int
        Segments of a clip. One describes a sound; several, of clips of like course, also the order of what happens.
    statistics : sequence of str
        Which statistics, in this order.
    mean_normalize : bool
        Take from every filter its mean over the clip, so that level, room, microphone and much of the voice fall out
        (cepstral mean normalisation, Atal 1974). For speech; it removes what tells a bell from rain.
    max_seconds : float, optional
        Longer clips are cut to their beginning. Default: whole clips.
    normalize : bool
        Scale every row to unit length.

    Raises
    ------
    ValueError
        If a number is out of range, the filters are narrower than a bin of the spectrum, or a statistic is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from canonsim.encoders import LogMelEncoder
    >>> noise = np.random.default_rng(0).normal(size=16000)
    >>> LogMelEncoder(segments=4).encode([(noise, 16000)]).shape
    (1, 640)
    """

    def __init__(
        self,
        sampling_rate: int = 16000,
        n_mels: int = 40,
        segments: int = 1,
        statistics: Sequence[Statistic] = _STATISTICS,
        mean_normalize: bool = False,
        max_seconds: float | None = None,
        normalize: bool = False,
    ) -> None:
        for name, number, least in (
            ("sampling_rate", sampling_rate, 1000),
            ("n_mels", n_mels, 1),
            ("segments", segments, 1),
        ):
            if number < least:
                raise ValueError(f"{name} must be at least {least}, got {number}")
        unknown = [name for name in statistics if name not in _STATISTICS]
        if unknown or not statistics or len(set(statistics)) < len(statistics):
            raise ValueError(f"statistics must be some of {', '.join(_STATISTICS)}, each once, got {list(statistics)}")
        if max_seconds is not None and not max_seconds >= _WINDOW_SECONDS:
            raise ValueError(f"max_seconds must be at least {_WINDOW_SECONDS}, got {max_seconds}")
        config = {
            "class": type(self).__name__,
            "sampling_rate": sampling_rate,
            "n_mels": n_mels,
            "segments": segments,
            "statistics": list(statistics),
            "mean_normalize": mean_normalize,
            "max_seconds": max_seconds,
            "normalize": normalize,
        }
        collate = _CollateLogMel(
            sampling_rate, _mel_filters(sampling_rate, n_mels), segments, tuple(statistics), mean_normalize, max_seconds
        )
        super().__init__(
            nn.Identity(),
            collate,
            kind="audio",
            dim=len(statistics) * segments * n_mels,
            config=config,
            normalize=normalize,
        )


@dataclass(frozen=True)
class _CollateLogMel:
    rate: int
    filters: torch.Tensor
    segments: int
    statistics: tuple[Statistic, ...]
    mean_normalize: bool
    max_seconds: float | None

    def __call__(self, items: Sequence[Any]) -> torch.Tensor:
        return torch.stack([self._describe(item) for item in items]).float()

    def _describe(self, item: Any) -> torch.Tensor:
        samples = torch.from_numpy(read_clip(item, self.rate, _WINDOW_SECONDS, self.max_seconds)).double()
        frames = _log_mel(samples, self.filters, self.rate)
        if self.mean_normalize:
            frames = frames - frames.mean(dim=1, keepdim=True)
        return _statistics(frames, self.segments, self.statistics).flatten()


def _lengths(rate: int) -> tuple[int, int, int]:
    """Samples of a window, of a hop, and of the Fourier transform, the next power of two."""
    window, hop = round(_WINDOW_SECONDS * rate), round(_HOP_SECONDS * rate)
    return window, hop, 1 << (window - 1).bit_length()


def _mel_filters(rate: int, n_mels: int) -> torch.Tensor:
    """Triangular filters (n_mels, bins) on the mel scale, float64."""
    from transformers.audio_utils import mel_filter_bank

    bins = _lengths(rate)[2] // 2 + 1
    # The edges of the triangles, in Hz: below one bin apart, a filter can fall between two bins.
    highest = 2595.0 * np.log10(1.0 + rate / 1400.0)
    edges = 700.0 * (10.0 ** (np.linspace(0.0, highest, n_mels + 2) / 2595.0) - 1.0)
    bin_width = rate / 2 / (bins - 1)
    if np.diff(edges).min() < bin_width:
        raise ValueError(
            f"n_mels={n_mels} filters at {rate} Hz are narrower than a bin of {bin_width:.1f} Hz: use fewer"
        )
    return torch.from_numpy(mel_filter_bank(bins, n_mels, 0.0, rate / 2, rate, mel_scale="htk").T.copy())


def _log_mel(samples: torch.Tensor, filters: torch.Tensor, rate: int) -> torch.Tensor:
    """Log-mel spectrogram (n_mels, frames) of (n,) samples; whole windows only, at least one."""
    window, hop, width = _lengths(rate)
    # Rounding of rates may leave a clip of one window a sample short.
    short = max(0, window - len(samples))
    frames = nn.functional.pad(samples, (0, short)).unfold(0, window, hop)
    spectra = torch.fft.rfft(frames * torch.hann_window(window, dtype=samples.dtype), n=width).abs().square()
    logarithms: torch.Tensor = (filters @ spectra.T).clamp(min=_SILENCE).log()
    return logarithms.clamp(min=float(logarithms.max()) - _RANGE)


def _statistics(frames: torch.Tensor, segments: int, statistics: tuple[Statistic, ...]) -> torch.Tensor:
    """Statistics (statistics, segments, n_mels) of the segments of (n_mels, frames)."""
    padded = nn.functional.pad(frames[None], (2, 2), mode="replicate")[0]
    last = padded.shape[1]
    delta = (padded[:, 3 : last - 1] - padded[:, 1 : last - 3] + 2 * (padded[:, 4:] - padded[:, : last - 4])) / 10
    rows = {}
    for prefix, values in (("", frames), ("delta_", delta)):
        mean = nn.functional.adaptive_avg_pool1d(values[None], segments)[0]
        centred = values - values.mean(dim=1, keepdim=True)
        first, second = (nn.functional.adaptive_avg_pool1d(power[None], segments)[0] for power in (centred, centred**2))
        rows[f"{prefix}mean"] = mean.T
        rows[f"{prefix}std"] = (second - first.square()).clamp(min=0.0).sqrt().T
    return torch.stack([rows[name] for name in statistics])
