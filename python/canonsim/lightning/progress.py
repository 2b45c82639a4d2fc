"""What a killed pass leaves behind, so that the next one goes on where it stopped."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sized
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from canonsim.files import pack, unpack, write_atomically
from canonsim.lightning.dual_encoder import DualEncoder
from canonsim.moments import PairedMoments

if TYPE_CHECKING:
    from pathlib import Path

    import lightning.pytorch as pl

_FORMAT = "canonsim.progress"
# Elements read of each tensor, evenly spread: enough to tell data sets and weights apart at no cost worth naming.
_SAMPLE = 4096


class Progress:
    """The progress file of one rank: the moments of the batches counted so far, and what they were counted from.

    Parameters
    ----------
    directory : Path
        The folder of the pass; the file lies in its folder ``progress``.
    settings : dict
        JSON-able: what the pass must have in common with the one it goes on with.
    rank, world_size : int
    """

    def __init__(self, directory: Path, settings: dict[str, Any], rank: int, world_size: int) -> None:
        self._folder = directory / "progress"
        self._path = self._folder / f"rank-{rank}-of-{world_size}.safetensors"
        self._world_size = world_size
        self._settings: dict[str, Any] = json.loads(json.dumps({**settings, "world_size": world_size}, default=str))
        self._seen = hashlib.blake2b()
        self._counted_from = ""
        self.batches = 0

    def load(self) -> PairedMoments | None:
        """Read the moments of a killed pass, and into `batches` how many batches they hold; None and 0 without one.

        Raises
        ------
        ValueError
            If the file is damaged, or is that of a pass with other settings; the message names them.
        """
        for other in sorted(self._folder.glob("rank-*-of-*.safetensors")):
            if not other.stem.endswith(f"-of-{self._world_size}"):
                raise ValueError(f"{other} is the progress of a pass on another number of ranks; {self._way_out}")
        if not self._path.exists():
            return None
        tensors, entries = unpack(self._path.read_bytes(), _FORMAT, str(self._path))
        settings = json.loads(entries["settings"])
        changed = [
            f"{name} was {settings.get(name)!r} and is {self._settings.get(name)!r}"
            for name in sorted(settings.keys() | self._settings.keys())
            if settings.get(name) != self._settings.get(name)
        ]
        if changed:
            raise ValueError(f"{self._path} is the progress of another pass: {'; '.join(changed)}; {self._way_out}")
        self.batches = int(entries["batches"])
        self._counted_from = entries["counted_from"]
        return PairedMoments.from_state(tensors) if tensors else None

    @property
    def _way_out(self) -> str:
        return f"run with the settings of that pass, or delete {self._folder} to start over"

    def see(self, batch: Any, batch_idx: int) -> bool:
        """Take note of a batch; whether the killed pass has counted it.

        Batches are compared by up to 4,096 values, evenly spread, of each of their tensors.

        Raises
        ------
        ValueError
            If the batches up to the last one counted are not those that were counted.
        """
        _digest(self._seen, batch)
        if batch_idx == self.batches - 1 and self._seen.hexdigest() != self._counted_from:
            raise ValueError(
                f"{self._path} was counted from other data: the first {self.batches} batches differ now; "
                f"{self._way_out}"
            )
        return batch_idx < self.batches

    def check_end(self, batches: int) -> None:
        """Refuse a pass that ended, after ``batches`` batches, before all counted ones had come.

        Raises
        ------
        ValueError
            If fewer batches came than were counted.
        """
        if batches < self.batches:
            raise ValueError(
                f"{self._path} counted {self.batches} batches, but the pass has only {batches}; {self._way_out}"
            )

    def save(self, moments: PairedMoments | None, batches: int) -> None:
        """Write the moments of the first ``batches`` batches."""
        entries = {
            "settings": json.dumps(self._settings),
            "batches": str(batches),
            "counted_from": self._seen.hexdigest(),
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path, pack({} if moments is None else moments.state(), _FORMAT, entries))

    def remove(self) -> None:
        """Delete the file, what a pass killed while writing left beside it, and the folder once it is empty."""
        for unfinished in self._folder.glob(f".{self._path.name}.*"):
            unfinished.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._folder.rmdir()


def pass_settings(trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, Any]:
    """Collect what decides the features of a pass and their order: data, batches, encoders, weights, precision."""
    loader = trainer.predict_dataloaders
    dataset = getattr(loader, "dataset", None)
    rows = len(dataset) if isinstance(dataset, Sized) else None
    # Trainer.predict puts its own batch sampler into the loader, which then has no batch size of its own.
    batches = getattr(loader, "batch_sampler", None)
    weights = hashlib.blake2b(digest_size=16)
    _digest(weights, module.state_dict())
    return {
        "data set": [type(dataset).__qualname__, rows],
        "batch size": getattr(loader if batches is None else batches, "batch_size", None),
        "module": type(module).__qualname__,
        "encoders": encoder_configs(module),
        "weights": weights.hexdigest(),
        "precision": str(trainer.precision),
    }


def encoder_configs(module: pl.LightningModule) -> dict[str, Any]:
    """Collect the configs of a `DualEncoder`'s encoders under ``x_encoder`` and ``y_encoder``, where they have one."""
    if not isinstance(module, DualEncoder):
        return {}
    encoders = {"x_encoder": module.x_encoder, "y_encoder": module.y_encoder}
    configs = {name: getattr(encoder, "config", None) for name, encoder in encoders.items()}
    return {name: config for name, config in configs.items() if isinstance(config, dict)}


def _digest(digest: Any, value: Any) -> None:
    """Feed a batch or the state of a module to a digest; objects of unknown kinds by their type alone."""
    if isinstance(value, torch.Tensor):
        digest.update(f"{value.dtype} {tuple(value.shape)}".encode())
        if value.layout == torch.strided:
            elements = value.detach().reshape(-1)
            sample = elements[:: max(1, len(elements) // _SAMPLE)].contiguous().cpu()
            digest.update(sample.view(torch.uint8).numpy().tobytes())
    elif isinstance(value, np.ndarray):
        digest.update(f"{value.dtype} {value.shape}".encode())
        _digest(digest, value.reshape(-1)[:: max(1, value.size // _SAMPLE)].tolist())
    elif isinstance(value, Mapping):
        for key in value:
            digest.update(repr(key).encode())
            _digest(digest, value[key])
    elif isinstance(value, (list, tuple)):
        for item in value:
            _digest(digest, item)
    elif isinstance(value, (str, bytes, int, float, complex, np.generic, type(None))):
        digest.update(repr(value).encode())
    else:
        digest.update(type(value).__qualname__.encode())
        if is_dataclass(value) and not isinstance(value, type):
            _digest(digest, {field.name: getattr(value, field.name) for field in fields(value)})
