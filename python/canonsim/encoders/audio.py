"""Sound by transformers models."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import torch

from canonsim.data.audio import read_clip
from canonsim.encoders import pooling as pool
from canonsim.encoders.pretrained import Name, PretrainedEncoder, load, load_model, resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from canonsim.encoders.encoder import Batch

AudioPooling = Literal["mean", "pooler"]

# The analysis window of speech models; below it they have not one frame.
_MIN_SECONDS = 0.025


class AudioEncoder(PretrainedEncoder):
    """Audio encoder: a frozen transformers model (``AutoModel``) with its feature extractor; see `from_pretrained`.

    Models of variable length (wav2vec 2.0, HuBERT, WavLM) never see padding: clips of one length go through together.
    So the features of a clip do not depend on the others of its batch, even where a model was trained without a mask.
    """

    poolings: ClassVar[tuple[str, ...]] = ("mean", "pooler")

    @classmethod
    def from_pretrained(
        cls,
        name: Name,
        *,
        revision: str | None = None,
        pooling: AudioPooling = "mean",
        normalize: bool = False,
        max_seconds: float | None = None,
    ) -> Self:
        """Load a model and its feature extractor; of an encoder-decoder (Whisper) the encoder.

        Clips of another sampling rate are resampled to the model's.

        Parameters
        ----------
        name : str or Path
            Name on the Hugging Face Hub, or a local folder.
        revision : str, optional
            Branch, tag or commit. The commit that was loaded is recorded.
        pooling : str
            "mean": of all frames but padding; "pooler": the model's pooler output.
        normalize : bool
            Scale every row to unit length. The choice is recorded.
        max_seconds : float, optional
            Longer clips are cut to their beginning. Default: whole clips, as far as the model takes them (Whisper takes
            30 s).

        Raises
        ------
        FileNotFoundError
            If there is no such model.
        ValueError
            If the model cannot be loaded, brings code of its own, is no audio encoder, or has no such pooling.

        Examples
        --------
        >>> from canonsim.encoders import AudioEncoder
        >>> encoder = AudioEncoder.from_pretrained("facebook/wav2vec2-base")  # doctest: +SKIP
        >>> encoder.encode(["rain.wav", "bell.flac"]).shape  # doctest: +SKIP
        (2, 768)
        """
        from transformers import AutoFeatureExtractor

        cls._check_pooling(pooling)
        if max_seconds is not None and max_seconds < _MIN_SECONDS:
            raise ValueError(f"max_seconds must be at least {_MIN_SECONDS}, got {max_seconds}")
        name = resolve(name)
        model, found = load_model(name, revision, pooling, "audio_model")
        extractor = load(AutoFeatureExtractor, name, found)
        config = {
            "class": cls.__name__,
            "name": name,
            "revision": found,
            "pooling": pooling,
            "normalize": normalize,
            "max_seconds": max_seconds,
        }
        rate = extractor.sampling_rate
        probe = (np.zeros(rate, dtype=np.float32), rate)
        return cls(model, _CollateAudio(extractor, max_seconds), kind="audio", config=config, probe=probe)

    def features(self, batch: Batch) -> torch.Tensor:
        """Pooled features (n, dim), not normalised."""
        assert isinstance(batch, dict)
        mask = batch.get("attention_mask")
        name = next(name for name in batch if name not in ("attention_mask", "lengths"))
        inputs = batch[name]
        if "lengths" not in batch:
            return self._pool(self.module(**{name: inputs}), mask)
        rows = torch.empty(0)
        for length in sorted(set(batch["lengths"].tolist())):
            alike = batch["lengths"] == length
            pooled = self._pool(self.module(**{name: inputs[alike, :length]}), None)
            if not len(rows):
                rows = pooled.new_empty(len(inputs), pooled.shape[1])
            rows[alike] = pooled
        return rows

    def _pool(self, output: Any, mask: torch.Tensor | None) -> torch.Tensor:
        if self.pooling == "pooler":
            return pool.pooler_output(output)
        hidden: torch.Tensor = output.last_hidden_state
        if mask is not None:
            frames = hidden.shape[1]
            kept = torch.ceil(mask.sum(dim=1) * (frames / mask.shape[1]))
            mask = torch.arange(frames, device=hidden.device) < kept.unsqueeze(1)
        return pool.mean_tokens(hidden, mask)


@dataclass(frozen=True)
class _CollateAudio:
    extractor: Any
    max_seconds: float | None

    def __call__(self, items: Sequence[Any]) -> dict[str, torch.Tensor]:
        rate = self.extractor.sampling_rate
        waveforms = [read_clip(item, rate, _MIN_SECONDS, self.max_seconds) for item in items]
        # An extractor that pads by itself, to the one length its model takes, or to none, is left to do so.
        parameter = inspect.signature(self.extractor.__call__).parameters.get("padding")
        variable = parameter is not None and parameter.default in (False, True)
        padding = {"padding": True} if variable else {}
        batch = dict(
            self.extractor(waveforms, sampling_rate=rate, return_attention_mask=True, return_tensors="pt", **padding)
        )
        if variable:
            batch["lengths"] = batch.pop("attention_mask").sum(dim=1)
        return batch
