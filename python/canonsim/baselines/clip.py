"""CLIP and SigLIP: encoders of pictures and of texts that were trained together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from canonsim.baselines.baseline import Baseline
from canonsim.baselines.rows import rows, unit

if TYPE_CHECKING:
    import torch

    from canonsim.encoders import ImageEncoder, TextEncoder
    from canonsim.encoders.pretrained import Name


class ClipBaseline(Baseline):
    """Compare pictures (x) and texts (y) by the cosine of a jointly trained model; there is nothing to fit.

    It goes through the same protocol as methods that join two frozen encoders, but it is no fair fight in data: such a
    model has seen its pairs by the hundred million or more (CLIP: 400 million; Radford et al., ICML 2021, section 2.2),
    the others some thousands. It says what joint training at that scale buys on a task.

    The vectors are the model's own projections, ``get_image_features`` and ``get_text_features``, scaled to unit length
    (Radford et al., figure 3; SigLIP: Zhai et al., ICCV 2023, algorithm 1). The weights are frozen; no gradients are
    taken. Pictures are read as by `canonsim.encoders.ImageEncoder`, texts tokenised as by `TextEncoder`.

    Where vectors are needed often, as in `canonsim.metrics.retrieval_summary`, embed once: `embed_x` and `embed_y`
    take their own results, or means of them, in place of pictures and texts.

    Parameters
    ----------
    x_encoder : ImageEncoder
    y_encoder : TextEncoder
        Both with pooling "projection", and of one model; see `from_pretrained`.
    batch_size : int
        Pictures or texts encoded at once.

    Attributes
    ----------
    logit_scale, logit_bias : float
        The model's logits are ``logit_scale * score + logit_bias``; CLIP has no bias. CLIP takes a softmax of them over
        the texts, SigLIP a sigmoid of each.
    dim : int
        Width of the vectors.

    Raises
    ------
    ValueError
        If the encoders have another pooling or width, or the model no scale of logits; for a batch size below 1.

    Examples
    --------
    >>> from canonsim import metrics
    >>> from canonsim.baselines import ClipBaseline
    >>> clip = ClipBaseline.from_pretrained("openai/clip-vit-base-patch32")  # doctest: +SKIP
    >>> x, y = clip.embed_x(["dog.jpg", "cars.png"]), clip.embed_y(["a dog", "two cars"])  # doctest: +SKIP
    >>> metrics.retrieval_summary(clip.score, x, y)  # doctest: +SKIP
    >>> classes = clip.embed_classes([["a photo of a cat", "a cat"], ["a photo of a dog", "a dog"]])  # doctest: +SKIP
    >>> clip.score(["dog.jpg"], classes).argmax(axis=1)  # doctest: +SKIP
    array([1])
    """

    def __init__(self, x_encoder: ImageEncoder, y_encoder: TextEncoder, *, batch_size: int = 64) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        for encoder in (x_encoder, y_encoder):
            if encoder.pooling != "projection":
                raise ValueError(f"both encoders must have pooling='projection', got {encoder.pooling!r}")
        if x_encoder.dim != y_encoder.dim:
            raise ValueError(f"both encoders must have the same width, got {x_encoder.dim} and {y_encoder.dim}")
        model: Any = x_encoder.module
        if getattr(model, "logit_scale", None) is None:
            raise ValueError(f"{type(model).__name__} has no logit_scale: it is no model like CLIP or SigLIP")
        bias = getattr(model, "logit_bias", None)
        self.x_encoder = x_encoder
        self.y_encoder = y_encoder
        self.batch_size = batch_size
        self.dim = x_encoder.dim
        self.logit_scale = math.exp(float(model.logit_scale))
        self.logit_bias = 0.0 if bias is None else float(bias)

    @classmethod
    def from_pretrained(
        cls,
        name: Name,
        *,
        revision: str | None = None,
        batch_size: int = 64,
        device: str | torch.device = "cpu",
    ) -> Self:
        """Load a model with its image processor and tokenizer.

        Parameters
        ----------
        name : str or Path
            Name on the Hugging Face Hub, or a local folder: any transformers model that projects pictures and texts
            into one space.
        revision : str, optional
            Branch, tag or commit.
        batch_size : int
            Pictures or texts encoded at once.
        device : str or torch.device
            Where the model runs.

        Raises
        ------
        FileNotFoundError
            If there is no such model.
        ValueError
            If the model cannot be loaded, brings code of its own, or is no joint model of pictures and texts.
        ImportError
            Without Pillow and torchvision (``pip install canonsim[images]``).
        """
        from canonsim.encoders import ImageEncoder, TextEncoder

        x = ImageEncoder.from_pretrained(name, revision=revision, pooling="projection", normalize=True)
        y = TextEncoder.from_pretrained(name, revision=revision, pooling="projection", normalize=True)
        # One copy of the weights serves both.
        y.module = x.module
        x.to(device)
        return cls(x, y, batch_size=batch_size)

    def fit(self, X: Any = None, Y: Any = None) -> Self:  # noqa: ARG002
        """Do nothing: the model has been trained on other pairs."""
        return self

    def embed_x(self, X: Any) -> NDArray[np.float64]:
        """Vectors of pictures, (n, dim), of unit length.

        Parameters
        ----------
        X : sequence of n pictures, or (n, dim) floats
            Files, PIL images or (height, width, 3) uint8 arrays; or vectors, which are scaled to unit length.

        Raises
        ------
        TypeError, ValueError
            For what is no such sequence, a picture that cannot be read (the message names it), or vectors of another
            width or that are not finite.
        """
        return self._embed(self.x_encoder, X)

    def embed_y(self, Y: Any) -> NDArray[np.float64]:
        """Vectors of texts, (n, dim), of unit length.

        Parameters
        ----------
        Y : sequence of n str, or (n, dim) floats
            Texts; or vectors, which are scaled to unit length.

        Raises
        ------
        TypeError, ValueError
            For what is no such sequence, or vectors of another width or that are not finite.
        """
        return self._embed(self.y_encoder, Y)

    def embed_classes(self, texts: Sequence[Sequence[str]]) -> NDArray[np.float64]:
        """Vectors of classes, (c, dim): of each the mean of its texts' vectors, scaled to unit length.

        This is CLIP's zero-shot classifier with an ensemble of prompts (Radford et al., section 3.1.4): `score`
        pictures with it, and take the best.

        Parameters
        ----------
        texts : sequence of c sequences of str
            One or more prompts for each class.

        Raises
        ------
        TypeError
            If a class has a single text in place of a sequence.
        ValueError
            If there is no class, or one has no text.
        """
        for prompts in texts:
            if isinstance(prompts, str):
                raise TypeError(f"each class must have a sequence of texts, got the single text {prompts!r}")
        counts = np.array([len(prompts) for prompts in texts])
        if counts.size == 0 or not counts.all():
            raise ValueError(f"there must be at least one class, and one text of each, got numbers {counts.tolist()}")
        vectors = self.embed_y([text for prompts in texts for text in prompts])
        return unit(np.add.reduceat(vectors, np.cumsum(counts) - counts))

    def _embed(self, encoder: ImageEncoder | TextEncoder, items: Any) -> NDArray[np.float64]:
        is_vectors = isinstance(items, np.ndarray) and items.ndim == 2 and items.dtype.kind == "f"
        vectors = items if is_vectors else encoder.encode(items, batch_size=self.batch_size)
        return unit(rows(vectors, self.dim))
