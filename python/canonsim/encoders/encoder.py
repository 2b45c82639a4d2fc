"""The frozen encoder: raw items in, one row of features for each out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

if TYPE_CHECKING:
    from canonsim.data.pairs import Kind

Batch: TypeAlias = "torch.Tensor | dict[str, torch.Tensor]"
Collate: TypeAlias = Callable[[Sequence[Any]], Batch]

_KINDS = ("image", "text", "audio", "points", "series", "features")


class Encoder(nn.Module):
    """A frozen encoder with its preprocessing.

    Its parameters need no gradients and it stays in evaluation mode, whatever `train` is called with.

    Parameters
    ----------
    module : torch.nn.Module
        Takes what ``collate`` makes to features (n, dim). It is frozen in place.
    collate : callable
        Raw items (paths, pictures, texts, arrays) to the tensors of one batch. It runs in the workers of a data loader:
        it must pickle, and should not hold the weights.
    kind : str
        What the items are: "image", "text", "audio", "points", "series" or "features".
    dim : int
        Width of the features.
    config : dict
        How the encoder was made, as `from_config` takes it; JSON-able.
    normalize : bool
        Scale every row to unit length.

    Raises
    ------
    ValueError
        For an unknown kind or a width below 1.
    """

    kind: Kind
    dim: int
    config: dict[str, Any]
    collate: Collate

    def __init__(
        self,
        module: nn.Module,
        collate: Collate,
        *,
        kind: Kind,
        dim: int,
        config: dict[str, Any],
        normalize: bool = False,
    ) -> None:
        super().__init__()
        if kind not in _KINDS:
            raise ValueError(f"kind must be one of {', '.join(_KINDS)}, got {kind!r}")
        if dim < 1:
            raise ValueError(f"dim must be at least 1, got {dim}")
        self.module = module.requires_grad_(requires_grad=False)
        self.collate = collate
        self.kind = kind
        self.dim = dim
        self.config = config
        self.normalize = normalize
        self.eval()

    @staticmethod
    def from_module(
        module: nn.Module,
        preprocess: Callable[[Any], torch.Tensor] | None = None,
        *,
        dim: int,
        kind: Kind = "features",
        normalize: bool = False,
    ) -> Encoder:
        """Make an encoder of any module.

        Parameters
        ----------
        module : torch.nn.Module
            Takes a batch (n, ...) to features (n, dim). It is frozen in place.
        preprocess : callable, optional
            One item to one tensor, all of the same shape; runs in the workers of a data loader, so it must pickle where
            these are spawned. Pictures come to it as PIL images (RGB), sounds as (waveform, rate), point clouds as
            (n, 3) or (n, 4) float32 arrays, series as (channels, length) float64 arrays, texts as they are. Default,
            for features: a float tensor of the item.
        dim : int
            Width of the features.
        kind : str
            What the items are.
        normalize : bool
            Scale every row to unit length.

        Raises
        ------
        ValueError
            Without ``preprocess``, for other kinds than "features".

        Examples
        --------
        >>> import numpy as np
        >>> import torch
        >>> from canonsim.encoders import Encoder
        >>> encoder = Encoder.from_module(torch.nn.Linear(4, 2), dim=2)
        >>> encoder.encode(np.ones((5, 4), dtype=np.float32)).shape
        (5, 2)
        """
        if preprocess is None and kind != "features":
            raise ValueError(f"a module that encodes {kind} needs its preprocess")
        config = {
            "class": "Encoder",
            "module": f"{type(module).__module__}.{type(module).__qualname__}",
            "kind": kind,
            "dim": dim,
            "normalize": normalize,
        }
        collate = _CollateItems(kind, preprocess or _to_tensor)
        return Encoder(module, collate, kind=kind, dim=dim, config=config, normalize=normalize)

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002
        """Stay in evaluation mode: the encoder is frozen."""
        return super().train(mode=False)

    def features(self, batch: Batch) -> torch.Tensor:
        """Features (n, dim) before any normalisation; subclasses say here how they pool."""
        features: torch.Tensor = self.module(batch)
        return features

    def forward(self, batch: Batch) -> torch.Tensor:
        """Features (n, dim) of what `collate` made, on the module's device and in its precision.

        Raises
        ------
        ValueError
            If the module answers with another shape.
        """
        parameter = self._parameter()
        features = self.features(batch if parameter is None else _cast(batch, parameter.dtype))
        if features.ndim != 2 or features.shape[1] != self.dim:
            raise ValueError(f"the encoder gave features of shape {tuple(features.shape)}, expected (n, {self.dim})")
        return nn.functional.normalize(features, dim=1) if self.normalize else features

    @torch.inference_mode()
    def encode(self, items: Sequence[Any], batch_size: int = 64, progress: bool = False) -> npt.NDArray[np.float32]:
        """Encode items in this process.

        Parameters
        ----------
        items : sequence of n items
            As `collate` takes them.
        batch_size : int
            Items in a batch.
        progress : bool
            Show a progress bar.

        Returns
        -------
        (n, dim) float32

        Raises
        ------
        TypeError
            For a single text or path in place of a sequence.
        ValueError
            If an item cannot be read.
        """
        if isinstance(items, (str, bytes, Path)):
            raise TypeError(f"items must be a sequence of items, got the single item {items!r}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        from tqdm import tqdm

        features = np.empty((len(items), self.dim), dtype=np.float32)
        with tqdm(total=len(items), desc=f"Encoding {self.kind}", disable=not progress) as bar:
            for start in range(0, len(items), batch_size):
                chosen = items[start : start + batch_size]
                features[start : start + len(chosen)] = self.encode_batch(self.collate(chosen))
                bar.update(len(chosen))
        return features

    @torch.inference_mode()
    def encode_batch(self, batch: Batch) -> npt.NDArray[np.float32]:
        """Features (n, dim) float32 of what `collate` made, computed on the module's device.

        Raises
        ------
        ValueError
            If the module answers with another shape.
        """
        parameter = self._parameter()
        device = torch.device("cpu") if parameter is None else parameter.device
        features: npt.NDArray[np.float32] = self(_move(batch, device)).float().cpu().numpy()
        return features

    def _parameter(self) -> torch.Tensor | None:
        return next((parameter for parameter in self.parameters() if parameter.is_floating_point()), None)


def _cast(batch: Batch, dtype: torch.dtype) -> Batch:
    if isinstance(batch, dict):
        return {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in batch.items()}
    return batch.to(dtype) if batch.is_floating_point() else batch


def _move(batch: Batch, device: torch.device) -> Batch:
    if isinstance(batch, dict):
        return {name: tensor.to(device) for name, tensor in batch.items()}
    return batch.to(device)


def _to_tensor(item: Any) -> torch.Tensor:
    tensor = torch.as_tensor(item)
    return tensor if tensor.is_floating_point() else tensor.float()


def _read(kind: Kind, item: Any) -> Any:
    if kind == "image":
        from canonsim.data.images import read_image

        return read_image(item)
    if kind == "audio":
        from canonsim.data.audio import read_audio

        return read_audio(item)
    if kind == "points":
        from canonsim.data.points import read_points

        return read_points(item)
    if kind == "series":
        from canonsim.data.series import read_series

        return read_series(item)
    return item


@dataclass(frozen=True)
class _CollateItems:
    kind: Kind
    preprocess: Callable[[Any], torch.Tensor]

    def __call__(self, items: Sequence[Any]) -> torch.Tensor:
        tensors = [torch.as_tensor(self.preprocess(_read(self.kind, item))) for item in items]
        shapes = {tuple(tensor.shape) for tensor in tensors}
        if len(shapes) > 1:
            raise ValueError(f"preprocess gave tensors of different shapes: {', '.join(map(str, sorted(shapes)))}")
        return torch.stack(tensors)
