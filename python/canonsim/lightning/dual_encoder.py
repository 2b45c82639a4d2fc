"""The two frozen encoders of a pair as one module that a Trainer can run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import lightning.pytorch as pl
import torch


class DualEncoder(pl.LightningModule):
    """Encode both sides of each pair with frozen encoders, in ``Trainer.predict``.

    The encoders get no gradients and stay in evaluation mode, whatever the Trainer does.

    Parameters
    ----------
    x_encoder, y_encoder : torch.nn.Module or None
        Take ``batch["x"]`` and ``batch["y"]`` to features (n, p) and (n, q), such as a `canonsim.encoders.Encoder`.
        None: that side of the batch already holds features, which pass through.

    Attributes
    ----------
    first_batch : int
        Batches before this one are not encoded: `predict_step` gives an empty dict for them. `CSACallback` sets it
        while it resumes a pass that was killed.

    Raises
    ------
    TypeError
        If an encoder is neither a module nor None.

    Examples
    --------
    >>> import torch
    >>> from canonsim.lightning import DualEncoder
    >>> model = DualEncoder(torch.nn.Linear(8, 4), None)
    >>> features = model.predict_step({"x": torch.ones(3, 8), "y": torch.ones(3, 2)}, 0)
    >>> features["x"].shape, features["y"].shape
    (torch.Size([3, 4]), torch.Size([3, 2]))
    """

    def __init__(self, x_encoder: torch.nn.Module | None, y_encoder: torch.nn.Module | None) -> None:
        super().__init__()
        for argument, encoder in (("x_encoder", x_encoder), ("y_encoder", y_encoder)):
            if not (encoder is None or isinstance(encoder, torch.nn.Module)):
                raise TypeError(f"{argument} must be a torch.nn.Module or None, got {type(encoder).__name__}")
        self.x_encoder = x_encoder
        self.y_encoder = y_encoder
        self.first_batch = 0
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002
        """Stay in evaluation mode: the encoders are frozen."""
        return super().train(False)

    def predict_step(self, batch: Mapping[str, Any], batch_idx: int) -> dict[str, torch.Tensor]:
        """Features ``{"x": (n, p), "y": (n, q)}`` of a batch with the keys ``"x"`` and ``"y"``.

        Raises
        ------
        ValueError
            If the batch lacks one of the two keys.
        """
        if batch_idx < self.first_batch:
            return {}
        return {"x": _encode(self.x_encoder, batch, "x"), "y": _encode(self.y_encoder, batch, "y")}


def _encode(encoder: torch.nn.Module | None, batch: Mapping[str, Any], side: str) -> torch.Tensor:
    if not isinstance(batch, Mapping) or side not in batch:
        found = f"{side!r} is not in {list(batch)}" if isinstance(batch, Mapping) else f"got a {type(batch).__name__}"
        raise ValueError(f"DualEncoder takes batches with the keys 'x' and 'y'; {found}: let the data set give dicts")
    features: torch.Tensor = batch[side] if encoder is None else encoder(batch[side])
    return features
