"""Pictures by transformers models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from canonsim.data.images import read_image
from canonsim.encoders import pooling as pool
from canonsim.encoders.pretrained import Name, PretrainedEncoder, accepted, load, load_model, resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from canonsim.encoders.encoder import Batch

ImagePooling = Literal["cls", "mean", "pooler", "projection"]

_CLASS_TOKENS = ("cls_token", "class_embedding")
_OTHER_TOKENS = ("register_tokens", "distillation_token")


class ImageEncoder(PretrainedEncoder):
    """Image encoder: a frozen transformers model (``AutoModel``) with its image processor; see `from_pretrained`."""

    poolings: ClassVar[tuple[str, ...]] = ("cls", "mean", "pooler", "projection")

    @classmethod
    def from_pretrained(
        cls,
        name: Name,
        *,
        revision: str | None = None,
        pooling: ImagePooling = "cls",
        normalize: bool = False,
    ) -> Self:
        """Load a model and its image processor; of a joint model the image side.

        Parameters
        ----------
        name : str or Path
            Name on the Hugging Face Hub, or a local folder.
        revision : str, optional
            Branch, tag or commit. The commit that was loaded is recorded.
        pooling : str
            "cls": the class token; "mean": of all patches (no class or register tokens), or of all places of a
            convolutional network; "pooler": the model's pooler output; "projection": ``get_image_features`` of a joint
            model (CLIP, SigLIP).
        normalize : bool
            Scale every row to unit length. The choice is recorded.

        Raises
        ------
        FileNotFoundError
            If there is no such model.
        ValueError
            If the model cannot be loaded, brings code of its own, is no image encoder, or has no such pooling.
        ImportError
            Without Pillow and torchvision (``pip install canonsim[images]``).

        Examples
        --------
        >>> from canonsim.encoders import ImageEncoder
        >>> encoder = ImageEncoder.from_pretrained("facebook/dinov2-small")  # doctest: +SKIP
        >>> encoder.encode(["dog.jpg", "cars.png"]).shape  # doctest: +SKIP
        (2, 384)
        """
        from transformers import AutoImageProcessor

        cls._check_pooling(pooling)
        name = resolve(name)
        model, found = load_model(name, revision, pooling, "vision_model")
        if pooling == "cls" and not _count_tokens(model, _CLASS_TOKENS):
            raise ValueError(f"{name!r} ({type(model).__name__}) has no class token; choose another pooling")
        config = {"class": cls.__name__, "name": name, "revision": found, "pooling": pooling, "normalize": normalize}
        probe = np.zeros((64, 64, 3), dtype=np.uint8)
        collate = _CollateImages(load(AutoImageProcessor, name, found))
        return cls(model, collate, kind="image", config=config, probe=probe)

    def features(self, batch: Batch) -> torch.Tensor:
        """Pooled features (n, dim), not normalised."""
        if self.pooling == "projection":
            function: Any = self.module.get_image_features
            return pool.projected(function(**accepted(function, batch)))
        output = self.module(**accepted(self.module.forward, batch))
        if self.pooling == "pooler":
            return pool.pooler_output(output)
        hidden: torch.Tensor = output.last_hidden_state
        if self.pooling == "cls":
            return hidden[:, 0]
        if hidden.ndim == 4:
            return pool.mean_tokens(hidden.flatten(2).transpose(1, 2), None)
        return pool.mean_tokens(hidden[:, _count_tokens(self.module, _CLASS_TOKENS + _OTHER_TOKENS) :], None)


def _count_tokens(model: torch.nn.Module, names: tuple[str, ...]) -> int:
    """Count the tokens that a model puts before its patches: (d,), or (1, k, d)."""
    tokens = [parameter for name, parameter in model.named_parameters() if name.split(".")[-1] in names]
    return sum(token.shape[1] if token.ndim == 3 else 1 for token in tokens)


@dataclass(frozen=True)
class _CollateImages:
    processor: Any

    def __call__(self, items: Sequence[Any]) -> dict[str, torch.Tensor]:
        return dict(self.processor(images=[read_image(item) for item in items], return_tensors="pt"))
