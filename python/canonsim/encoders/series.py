"""Time series by the catch22 statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from canonsim.data.series import Series, read_series
from canonsim.encoders.encoder import Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

_FEATURES = 22
_MOMENTS = 2
# Below it whole groups of features have no definition.
_SHORTEST = 5


class TimeSeriesEncoder(Encoder):
    """Time-series encoder that needs no training: the 22 catch22 statistics of every channel.

    The canonical time-series characteristics (Lubba et al., catch22: CAnonical Time-series CHaracteristics, 2019),
    as ``pycatch22`` computes them: distribution, autocorrelation, periodicity, motifs, fluctuations. All are of the
    standardised series, so none depends on its level or scale. The columns are the features of the first channel, of
    the second, and so on, then the correlations of channels (1, 2), (1, 3), ..., (2, 3), ...

    A feature that is not defined is 0: all 22 of a constant channel, those of fluctuation analysis of a channel
    with fewer than 80 samples, and the correlations of a constant channel. Series may differ in length.

    All of it is computed by `collate`, in the workers of a data loader.

    Parameters
    ----------
    channels : int
        Channels that every series has.
    moments : bool
        Also mean and standard deviation of every channel, after its other features (catch24), in the series' unit.
    normalize : bool
        Scale every row to unit length.

    Raises
    ------
    ValueError
        If ``channels`` is less than 1.
    ImportError
        Without pycatch22 1.0 or later (``pip install canonsim[timeseries]``).

    Examples
    --------
    >>> import numpy as np
    >>> from canonsim.encoders import TimeSeriesEncoder
    >>> series = np.random.default_rng(0).normal(size=(3, 200))
    >>> TimeSeriesEncoder(channels=3).encode([series, 2 * series[:, :100]]).shape
    (2, 69)
    """

    def __init__(self, channels: int = 1, moments: bool = False, normalize: bool = False) -> None:
        if channels < 1:
            raise ValueError(f"channels must be at least 1, got {channels}")
        _catch22()
        config = {"class": type(self).__name__, "channels": channels, "moments": moments, "normalize": normalize}
        super().__init__(
            nn.Identity(),
            _CollateSeries(channels, moments),
            kind="series",
            dim=channels * (_FEATURES + _MOMENTS * moments) + channels * (channels - 1) // 2,
            config=config,
            normalize=normalize,
        )


@dataclass(frozen=True)
class _CollateSeries:
    channels: int
    moments: bool

    def __call__(self, items: Sequence[Any]) -> torch.Tensor:
        return torch.from_numpy(np.stack([self._describe(item) for item in items]).astype(np.float32))

    def _describe(self, item: Any) -> npt.NDArray[np.float64]:
        series = read_series(item, least=_SHORTEST)
        if len(series) != self.channels:
            name = item if not isinstance(item, np.ndarray) else "the series"
            raise ValueError(f"{name} has {len(series)} channels (shape {series.shape}), the encoder {self.channels}")
        # No feature depends on the scale, and pycatch22 crashes where squares underflow. Powers of two lose nothing.
        _, exponents = np.frexp(np.abs(series).max(axis=1, keepdims=True))
        scaled = np.ldexp(series, -exponents)
        compute = _catch22()
        features = np.array([compute(channel, mask_nans=False)["values"] for channel in scaled])
        features[~np.isfinite(features)] = 0.0
        if self.moments:
            features = np.column_stack([features, series.mean(axis=1), series.std(axis=1, ddof=1)])
        return np.concatenate([features.ravel(), _correlations(scaled)])


def _catch22() -> Any:
    try:
        import pycatch22
    except ImportError as error:
        raise ImportError("time series need pycatch22: pip install canonsim[timeseries]") from error
    # Earlier versions define most of the features in another way.
    if not hasattr(pycatch22, "feature_table"):
        raise ImportError("time series need pycatch22 1.0 or later: pip install --upgrade pycatch22")
    return pycatch22.catch22_all


def _correlations(series: Series) -> npt.NDArray[np.float64]:
    """Correlations of all pairs of channels; 0 with a constant one."""
    # The mean of equal numbers can differ from them by rounding.
    varies = np.ptp(series, axis=1, keepdims=True) > 0
    centred = np.where(varies, series - series.mean(axis=1, keepdims=True), 0.0)
    unit = centred / np.where(varies, np.linalg.norm(centred, axis=1, keepdims=True), 1.0)
    return (unit @ unit.T)[np.triu_indices(len(series), 1)]
