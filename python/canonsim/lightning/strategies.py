"""Which runs of a Trainer the callback can follow exactly, and which it refuses before they begin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher
from lightning.pytorch.utilities import CombinedLoader
from torch.utils.data import DistributedSampler

if TYPE_CHECKING:
    from pathlib import Path


def check_trainer(trainer: pl.Trainer) -> None:
    """Refuse a Trainer of the other import name, whose classes are different ones.

    Raises
    ------
    TypeError
        If it is not one of ``lightning.pytorch``.
    """
    if not isinstance(trainer, pl.Trainer):
        package = type(trainer).__module__.split(".")[0]
        raise TypeError(
            f"CSACallback works with lightning.pytorch.Trainer, got the Trainer of {package}, another class: "
            "import Trainer from lightning.pytorch"
        )


def check_fit(trainer: pl.Trainer, folds: int) -> None:
    """Refuse a training on several devices, and one that could log nothing.

    Raises
    ------
    ValueError
    """
    if trainer.world_size > 1:
        raise ValueError(
            f"CSACallback follows Trainer.fit on one device, not on {trainer.world_size}, where samplers repeat rows; "
            "Trainer.predict(..., return_predictions=False) gives exact moments on any number"
        )
    if folds == 1:
        raise ValueError("CSACallback logs held-out correlations in Trainer.fit: folds must be at least 2, got 1")


def check_predict(trainer: pl.Trainer, module: pl.LightningModule, dirpath: Path | None) -> None:
    """Refuse a pass that would not be exact, would not end, or whose result would be lost.

    Raises
    ------
    ValueError
    """
    strategy = trainer.strategy
    supported = isinstance(strategy, (SingleDeviceStrategy, DDPStrategy))
    if not supported:
        raise ValueError(
            f"CSACallback supports the strategies 'auto' on one device and 'ddp', got {type(strategy).__name__}"
        )
    if dirpath is None and isinstance(strategy.launcher, _MultiProcessingLauncher):
        raise ValueError(
            "a strategy that spawns or forks keeps the result in its own processes: set CSACallback(dirpath=...) and "
            "read the space from there, or use strategy='ddp'"
        )
    sources = (module, getattr(trainer, "datamodule", None))
    allowed = "allow_zero_length_dataloader_with_multiple_devices"
    if trainer.world_size > 1 and any(getattr(source, allowed, False) for source in sources):
        raise ValueError(
            f"{allowed} lets a rank leave Trainer.predict before the moments are reduced: give that rank a loader "
            "without a length (of an IterableDataset) instead"
        )


def check_loader(loader: Any, world_size: int) -> None:
    """Refuse a predict loader whose ranks, taken together, would not deliver each row once.

    Raises
    ------
    ValueError
    """
    sampler = getattr(getattr(loader, "batch_sampler", None), "sampler", None)
    if world_size == 1 or not isinstance(sampler, DistributedSampler):
        return
    if isinstance(sampler, UnrepeatedDistributedSampler):
        if sampler.shuffle:
            raise ValueError(
                "the predict loader shuffles, and each rank would shuffle in its own way, repeating some rows and "
                "missing others: pass shuffle=False"
            )
    elif sampler.total_size != len(sampler.dataset):  # type: ignore[arg-type]
        raise ValueError(
            f"the loader's DistributedSampler delivers {sampler.total_size} rows for {len(sampler.dataset)}: "  # type: ignore[arg-type]
            "leave the sampler to Trainer.predict, which repeats none"
        )


def resumes_inside_an_epoch(loader: Any) -> bool:
    """Tell whether Lightning can resume a training loader (or a collection of them) where it stopped."""
    loaders = CombinedLoader(loader).flattened
    return all(hasattr(part, "state_dict") and hasattr(part, "load_state_dict") for part in loaders)
