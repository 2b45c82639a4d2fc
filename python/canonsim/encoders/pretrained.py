"""What encoders on transformers models have in common: loading, freezing, and the width of what comes out."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from canonsim.encoders.encoder import Batch, Collate, Encoder

if TYPE_CHECKING:
    from canonsim.data.pairs import Kind

Name = str | os.PathLike[str]


class PretrainedEncoder(Encoder):
    """Encoder on a model of the Hugging Face Hub or of a local folder, computed in f32 until it is cast."""

    poolings: ClassVar[tuple[str, ...]]

    def __init__(self, model: Any, collate: Collate, *, kind: Kind, config: dict[str, Any], probe: Any) -> None:
        super().__init__(model, collate, kind=kind, dim=1, config=config, normalize=config["normalize"])
        self.pooling: str = config["pooling"]
        try:
            with torch.inference_mode():
                self.dim = self.features(collate([probe])).shape[1]
        except (ValueError, TypeError, AttributeError, KeyError, IndexError, RuntimeError) as error:
            reason = str(error).strip().partition("\n")[0]
            what = f"{config['name']} ({type(model).__name__})"
            raise ValueError(f"{what} does not encode {kind} with pooling={self.pooling!r}: {reason}") from error

    @classmethod
    def _check_pooling(cls, pooling: str) -> None:
        if pooling not in cls.poolings:
            raise ValueError(f"pooling must be one of {', '.join(cls.poolings)}, got {pooling!r}")


def load(auto: Any, name: str, revision: str | None, **options: Any) -> Any:
    """Call ``from_pretrained`` of an Auto class; code that lies beside the weights is never run.

    Raises
    ------
    FileNotFoundError
        If there is no such folder or model, or a file of it is missing.
    ValueError
        If the model cannot be loaded.
    """
    try:
        return auto.from_pretrained(name, revision=revision, trust_remote_code=False, **options)
    except OSError as error:
        raise FileNotFoundError(f"cannot load {name!r}: {_first_line(error)}") from error
    except (ValueError, KeyError) as error:
        raise ValueError(f"cannot load {name!r}: {_first_line(error)}") from error


def load_model(name: str, revision: str | None, pooling: str, part: str) -> tuple[Any, str | None]:
    """Load the part of a model that encodes one modality, in f32, and find the revision it came from.

    Of a joint model (CLIP) that is ``part`` ("text_model", "vision_model"), of an encoder-decoder the encoder; with
    pooling="projection" it is the whole joint model.

    Raises
    ------
    FileNotFoundError, ValueError
        As `load`; also if the model's pooler has no trained weights but is asked for.
    """
    from transformers import AutoModel

    model, loading = load(AutoModel, name, revision, output_loading_info=True)
    untrained = sorted(key for key in loading["missing_keys"] if "pooler" in key.split("."))
    if pooling == "pooler" and untrained:
        raise ValueError(f"{name!r} has no trained pooler ({untrained[0]} is missing); choose another pooling")
    revision = getattr(model.config, "_commit_hash", None) or revision
    if pooling != "projection":
        if getattr(model.config, "is_encoder_decoder", False):
            model = model.get_encoder()
        model = getattr(model, part, model)
    return model.float(), revision


def accepted(function: Any, batch: Batch) -> dict[str, torch.Tensor]:
    """Keep the tensors of a batch that a function names among its parameters."""
    names = inspect.signature(function).parameters
    assert isinstance(batch, dict)
    return {name: tensor for name, tensor in batch.items() if name in names}


def resolve(name: Name) -> str:
    """Make the path of a local folder absolute, so that a stored config finds it; leave the name of a Hub model."""
    folder = Path(name)
    if folder.is_dir():
        return str(folder.resolve())
    if isinstance(name, os.PathLike):
        raise FileNotFoundError(f"{folder}: no such folder")
    return name


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
