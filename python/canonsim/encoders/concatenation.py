"""Several encoders of the same items, their features side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from canonsim.encoders.encoder import Batch, Collate, Encoder


class ConcatEncoder(Encoder):
    """Features of several encoders of the same items, side by side: (n, sum of their widths).

    A ridge is relative to the mean variance of a side, so features that vary more would count more. Encoders with
    ``normalize=True`` give features of one scale.

    Parameters
    ----------
    encoders : sequence of Encoder
        Two or more, all of one kind. Each reads every item for itself.
    normalize : bool
        Scale every row to unit length.

    Raises
    ------
    ValueError
        For fewer than two encoders, or encoders of different kinds.

    Examples
    --------
    >>> import numpy as np
    >>> from canonsim.encoders import ConcatEncoder, PointCloudEncoder
    >>> near, far = (PointCloudEncoder(max_range=metres, normalize=True) for metres in (20.0, 80.0))
    >>> ConcatEncoder([near, far]).encode([np.random.default_rng(0).normal(size=(100, 3))]).shape
    (1, 194)
    """

    def __init__(self, encoders: Sequence[Encoder], normalize: bool = False) -> None:
        encoders = list(encoders)
        if len(encoders) < 2:
            raise ValueError(f"encoders must be two or more, got {len(encoders)}")
        kinds = [encoder.kind for encoder in encoders]
        if len(set(kinds)) > 1:
            raise ValueError(f"encoders must be of one kind, got {', '.join(kinds)}")
        config = {
            "class": type(self).__name__,
            "encoders": [encoder.config for encoder in encoders],
            "normalize": normalize,
        }
        super().__init__(
            nn.ModuleList(encoders),
            _CollateForAll(tuple(encoder.collate for encoder in encoders)),
            kind=kinds[0],
            dim=sum(encoder.dim for encoder in encoders),
            config=config,
            normalize=normalize,
        )

    @classmethod
    def from_encoder_configs(cls, encoders: Sequence[dict[str, Any]], normalize: bool = False) -> ConcatEncoder:
        """Make the encoder that has this config; errors as of `canonsim.encoders.from_config`."""
        from canonsim.encoders.configuration import from_config

        return cls([from_config(config) for config in encoders], normalize)

    def features(self, batch: Batch) -> torch.Tensor:
        """Features (n, dim) of all encoders."""
        assert isinstance(batch, dict)
        parts = []
        for index, encoder in enumerate(self.module.children()):
            prefix = f"{index}/"
            own = {name.removeprefix(prefix): value for name, value in batch.items() if name.startswith(prefix)}
            parts.append(encoder(own.get("", own)))
        return torch.cat(parts, dim=1)


@dataclass(frozen=True)
class _CollateForAll:
    collates: tuple[Collate, ...]

    def __call__(self, items: Sequence[Any]) -> dict[str, torch.Tensor]:
        """Tensors of all encoders in one batch, each under the number of its encoder."""
        batch: dict[str, torch.Tensor] = {}
        for index, collate in enumerate(self.collates):
            own = collate(items)
            named = own if isinstance(own, dict) else {"": own}
            batch |= {f"{index}/{name}": tensor for name, tensor in named.items()}
        return batch
