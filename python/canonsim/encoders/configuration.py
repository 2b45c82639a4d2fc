"""Encoders from the configs that models keep of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from canonsim.encoders.audio import AudioEncoder
from canonsim.encoders.concatenation import ConcatEncoder
from canonsim.encoders.image import ImageEncoder
from canonsim.encoders.log_mel import LogMelEncoder
from canonsim.encoders.points import PointCloudEncoder
from canonsim.encoders.scan_context import FPFHEncoder, ScanContextEncoder
from canonsim.encoders.scan_views import BirdsEyeEncoder, RangeImageEncoder
from canonsim.encoders.series import TimeSeriesEncoder
from canonsim.encoders.text import TextEncoder

if TYPE_CHECKING:
    from canonsim.encoders.encoder import Encoder

_CLASSES: dict[str, Callable[..., Encoder]] = {
    "AudioEncoder": AudioEncoder.from_pretrained,
    "BirdsEyeEncoder": BirdsEyeEncoder.from_encoder_config,
    "ConcatEncoder": ConcatEncoder.from_encoder_configs,
    "FPFHEncoder": FPFHEncoder,
    "ImageEncoder": ImageEncoder.from_pretrained,
    "LogMelEncoder": LogMelEncoder,
    "PointCloudEncoder": PointCloudEncoder,
    "RangeImageEncoder": RangeImageEncoder.from_encoder_config,
    "ScanContextEncoder": ScanContextEncoder,
    "TextEncoder": TextEncoder.from_pretrained,
    "TimeSeriesEncoder": TimeSeriesEncoder,
}


def from_config(config: dict[str, Any]) -> Encoder:
    """Make the encoder that has this ``config``.

    Parameters
    ----------
    config : dict
        `Encoder.config`, as it is or read back from JSON.

    Raises
    ------
    ValueError
        If the config is not that of an encoder, or of one made by `Encoder.from_module`, whose module no config holds.
    FileNotFoundError
        If the model it names is not there.

    Examples
    --------
    >>> from canonsim.encoders import PointCloudEncoder, from_config
    >>> from_config(PointCloudEncoder(max_range=50.0).config).config
    {'class': 'PointCloudEncoder', 'max_range': 50.0, 'normalize': False}
    """
    options = dict(config)
    kind = options.pop("class", None)
    if kind == "Encoder":
        raise ValueError(f"the encoder was made of {config.get('module')!r}, which a config cannot hold: make it again")
    if not isinstance(kind, str) or kind not in _CLASSES:
        raise ValueError(f"no encoder has the class {kind!r}; there are {', '.join(_CLASSES)}")
    try:
        inspect.signature(_CLASSES[kind]).bind(**options)
    except TypeError as error:
        raise ValueError(f"this is no config of a {kind}: {error}") from None
    return _CLASSES[kind](**options)
