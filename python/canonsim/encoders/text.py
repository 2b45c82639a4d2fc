"""Text by transformers models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from canonsim.encoders import pooling as pool
from canonsim.encoders.pretrained import Name, PretrainedEncoder, accepted, load, load_model, resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from canonsim.encoders.encoder import Batch

TextPooling = Literal["mean", "cls", "last", "pooler", "projection"]

# Trained on text padded to full length, without a mask.
_FULL_LENGTH = ("siglip", "siglip2")
# What tokenizers answer that know no maximum is far above this.
_NO_LENGTH = 1_000_000


class TextEncoder(PretrainedEncoder):
    """Text encoder: a frozen transformers model (``AutoModel``) with its tokenizer; see `from_pretrained`."""

    poolings: ClassVar[tuple[str, ...]] = ("mean", "cls", "last", "pooler", "projection")

    @classmethod
    def from_pretrained(
        cls,
        name: Name,
        *,
        revision: str | None = None,
        pooling: TextPooling = "mean",
        normalize: bool = False,
        max_length: int | None = None,
    ) -> Self:
        """Load a model and its tokenizer; the text side of a joint model, the encoder of an encoder-decoder.

        Parameters
        ----------
        name : str or Path
            Name on the Hugging Face Hub, or a local folder.
        revision : str, optional
            Branch, tag or commit. The commit that was loaded is recorded.
        pooling : str
            "mean": of all tokens but padding; "cls": the first token; "last": the last token, for decoders; "pooler":
            the model's pooler output; "projection": ``get_text_features`` of a joint model (CLIP, SigLIP).
        normalize : bool
            Scale every row to unit length. The choice is recorded.
        max_length : int, optional
            Tokens kept of a text. Default: what the tokenizer or the model says.

        Raises
        ------
        FileNotFoundError
            If there is no such model.
        ValueError
            If the model cannot be loaded, brings code of its own, is no text encoder, or has no such pooling.

        Examples
        --------
        >>> from canonsim.encoders import TextEncoder
        >>> encoder = TextEncoder.from_pretrained("sentence-transformers/all-MiniLM-L6-v2")  # doctest: +SKIP
        >>> encoder.encode(["a dog on a beach", "two red cars"]).shape  # doctest: +SKIP
        (2, 384)
        """
        from transformers import AutoTokenizer

        cls._check_pooling(pooling)
        name = resolve(name)
        model, found = load_model(name, revision, pooling, "text_model")
        tokenizer = load(AutoTokenizer, name, found)
        if tokenizer.pad_token is None:
            if tokenizer.eos_token is None:
                raise ValueError(f"the tokenizer of {name!r} has neither a padding nor an end token")
            tokenizer.pad_token = tokenizer.eos_token
        length = _max_length(tokenizer, model.config) if max_length is None else max_length
        config = {
            "class": cls.__name__,
            "name": name,
            "revision": found,
            "pooling": pooling,
            "normalize": normalize,
            "max_length": length,
        }
        collate = _CollateTexts(tokenizer, length, full_length=_is_full_length(model))
        return cls(model, collate, kind="text", config=config, probe="a")

    def features(self, batch: Batch) -> torch.Tensor:
        """Pooled features (n, dim), not normalised."""
        assert isinstance(batch, dict)
        model: Any = self.module
        function = model.get_text_features if self.pooling == "projection" else model.forward
        inputs = accepted(function, batch)
        if _is_full_length(model):
            inputs.pop("attention_mask", None)
        if self.pooling == "projection":
            return pool.projected(function(**inputs))
        output = model(**inputs)
        if self.pooling == "pooler":
            return pool.pooler_output(output)
        mask = batch["attention_mask"]
        if self.pooling == "mean":
            return pool.mean_tokens(output.last_hidden_state, mask)
        token = pool.first_token if self.pooling == "cls" else pool.last_token
        return token(output.last_hidden_state, mask)


def _is_full_length(model: Any) -> bool:
    return bool(model.config.model_type.startswith(_FULL_LENGTH))


def _max_length(tokenizer: Any, config: Any) -> int | None:
    if tokenizer.model_max_length < _NO_LENGTH:
        return int(tokenizer.model_max_length)
    length = getattr(getattr(config, "text_config", config), "max_position_embeddings", None)
    return None if length is None else int(length)


@dataclass(frozen=True)
class _CollateTexts:
    tokenizer: Any
    max_length: int | None
    full_length: bool

    def __call__(self, items: Sequence[Any]) -> dict[str, torch.Tensor]:
        for item in items:
            if not isinstance(item, str):
                raise TypeError(f"a text must be a str, got {type(item).__name__}: {item!r}")
        batch = dict(
            self.tokenizer(
                list(items),
                padding="max_length" if self.full_length else "longest",
                truncation=self.max_length is not None,
                max_length=self.max_length,
                return_attention_mask=True,
                return_tensors="pt",
            )
        )
        empty = batch["attention_mask"].sum(dim=1) == 0
        if empty.any():
            raise ValueError(f"the text {items[int(empty.int().argmax())]!r} has no tokens")
        return batch
