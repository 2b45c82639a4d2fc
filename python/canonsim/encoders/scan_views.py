"""Point clouds through encoders of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch

from canonsim.data.points import read_points
from canonsim.encoders.encoder import Batch, Collate, Encoder
from canonsim.encoders.image import ImageEncoder
from canonsim.encoders.pretrained import Name
from canonsim.encoders.views import BirdsEyeView, RangeView


class _ViewEncoder(Encoder):
    """A view of each cloud, given to an encoder of pictures or of arrays."""

    view_class: ClassVar[type[RangeView | BirdsEyeView]]

    def __init__(self, encoder: Encoder, normalize: bool = False, **view: Any) -> None:
        shown = self.view_class(**view)
        if encoder.kind not in ("image", "features"):
            raise ValueError(f"encoder must take pictures or arrays (kind 'image' or 'features'), got {encoder.kind!r}")
        channels = sum(3 if name == "normals" else 1 for name in shown.channels)
        if encoder.kind == "image" and channels != 3:
            raise ValueError(f"a picture has 3 channels, got {channels}: {', '.join(shown.channels)}")
        config = {"class": type(self).__name__, "encoder": encoder.config, "normalize": normalize, **asdict(shown)}
        config["channels"] = list(shown.channels)
        collate = _CollateViews(shown, encoder.collate, as_picture=encoder.kind == "image")
        super().__init__(encoder, collate, kind="points", dim=encoder.dim, config=config, normalize=normalize)

    @classmethod
    def from_pretrained(cls, name: Name, *, revision: str | None = None, pooling: Any = "cls", **options: Any) -> Self:
        """Load an encoder of pictures by its name or folder.

        Parameters
        ----------
        name, revision, pooling
            As of `ImageEncoder.from_pretrained`, with its errors.
        **options
            ``normalize``, and the options of the view.
        """
        return cls(ImageEncoder.from_pretrained(name, revision=revision, pooling=pooling), **options)

    @classmethod
    def from_encoder_config(cls, encoder: dict[str, Any], **options: Any) -> Self:
        """Make the encoder that has this config; errors as of `canonsim.encoders.from_config`."""
        from canonsim.encoders.configuration import from_config

        return cls(from_config(encoder), **options)

    def features(self, batch: Batch) -> torch.Tensor:
        """Features (n, dim) of the views."""
        features: torch.Tensor = self.module(batch)
        return features


class RangeImageEncoder(_ViewEncoder):
    """Point clouds as range images, by a frozen encoder of pictures or any frozen torch module.

    Parameters
    ----------
    encoder : Encoder
        An `ImageEncoder`, or any encoder of pictures, takes views of three channels; one of kind "features", made by
        `Encoder.from_module`, float32 arrays (channels, rows, columns) with values in [0, 1].
    normalize : bool
        Scale every row to unit length.
    **view
        Options of `canonsim.encoders.views.RangeView`: height, width, fov_up, fov_down, max_range, channels, strips.

    Raises
    ------
    ValueError
        For an encoder of something else, another number of channels than a picture has, or options out of range.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from canonsim.encoders import Encoder, RangeImageEncoder
    >>> net = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten())
    >>> encoder = RangeImageEncoder(Encoder.from_module(net, dim=64), channels=("depth", "normals"))
    >>> cloud = np.random.default_rng(0).normal(size=(1000, 4)) * [10, 10, 0.5, 1]
    >>> encoder.encode([cloud]).shape
    (1, 64)
    """

    view_class = RangeView


class BirdsEyeEncoder(_ViewEncoder):
    """Point clouds from above, by a frozen encoder of pictures or any frozen torch module.

    Parameters, errors: as of `RangeImageEncoder`, with the options of `canonsim.encoders.views.BirdsEyeView`: cells,
    max_range, channels.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from canonsim.encoders import BirdsEyeEncoder, Encoder
    >>> net = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten())
    >>> encoder = BirdsEyeEncoder(Encoder.from_module(net, dim=48), max_range=30)
    >>> encoder.encode([np.random.default_rng(0).normal(size=(1000, 3))]).shape
    (1, 48)
    """

    view_class = BirdsEyeView


@dataclass(frozen=True)
class _CollateViews:
    view: RangeView | BirdsEyeView
    collate: Collate
    as_picture: bool

    def __call__(self, items: Sequence[Any]) -> Batch:
        views = [self._show(item) for item in items]
        if self.as_picture:
            return self.collate([(view * 255).round().astype(np.uint8) for view in views])
        return self.collate([np.ascontiguousarray(view.transpose(2, 0, 1)) for view in views])

    def _show(self, item: Any) -> Any:
        try:
            return self.view(read_points(item))
        except ValueError as error:
            if isinstance(item, np.ndarray) or str(item) in str(error):
                raise
            raise ValueError(f"{item}: {error}") from None
