"""The heads of contrastive learning and their training, in Lightning."""

from __future__ import annotations

import copy
import logging
import math
import warnings
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from torch import nn
from torch.nn.functional import cross_entropy, normalize
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler, TensorDataset

Pairs = tuple[torch.Tensor, torch.Tensor]

_LOSS = "validation_loss"
_ADVICE = (".*does not have many workers", "GPU available but not used", ".*isinstance.treespec, LeafSpec")


class Heads(pl.LightningModule):
    """A head for each side, trained with the symmetric InfoNCE loss and a learned temperature.

    Parameters
    ----------
    x_dim, y_dim : int
        Widths p and q of the sides.
    hidden : int or None
        Width of the hidden layers; None for linear heads.
    dim : int
        Width of the common space.
    dropout, learning_rate, weight_decay : float
        As of `canonsim.baselines.ContrastiveHeads`.
    """

    def __init__(
        self,
        x_dim: int,
        y_dim: int,
        *,
        hidden: int | None,
        dim: int,
        dropout: float,
        learning_rate: float,
        weight_decay: float,
    ) -> None:
        super().__init__()
        self.x = _head(x_dim, hidden, dim, dropout)
        self.y = _head(y_dim, hidden, dim, dropout)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay

    def loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """InfoNCE of rows x (n, p) and y (n, q) in both directions, each row against all others of the batch."""
        # CLIP's bound on the scale, which keeps the training stable.
        scale = self.log_scale.clamp(max=math.log(100.0)).exp()
        logits = scale * normalize(self.x(x)) @ normalize(self.y(y)).T
        partners = torch.arange(len(x))
        return (cross_entropy(logits, partners) + cross_entropy(logits.T, partners)) / 2

    def training_step(self, batch: Pairs, *_: Any) -> torch.Tensor:
        """Return the loss of a batch."""
        return self.loss(*batch)

    def validation_step(self, batch: Pairs, *_: Any) -> None:
        """Log the loss of a batch; that of the epoch is the mean over pairs."""
        self.log(_LOSS, self.loss(*batch), batch_size=len(batch[0]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; the temperature does not decay."""
        weights = [*self.x.parameters(), *self.y.parameters()]
        groups = [
            {"params": weights, "weight_decay": self.weight_decay},
            {"params": [self.log_scale], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.learning_rate)


class KeepBest(Callback):
    """Keep, in memory, the weights of the epoch with the smallest loss on the validation part."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.weights: dict[str, Any] = {}

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Copy the weights if this epoch is the best."""
        loss = float(trainer.callback_metrics[_LOSS])
        if not self.losses or loss < min(self.losses):
            self.weights = copy.deepcopy(pl_module.state_dict())
        self.losses.append(loss)


def train(
    heads: Heads, training: Pairs, validation: Pairs, *, batch_size: int, max_epochs: int, patience: int
) -> list[float]:
    """Train the heads on the CPU and give them the weights of their best epoch.

    Parameters
    ----------
    heads : Heads
    training, validation : pair of float32 tensors (n, p), (n, q)
    batch_size, max_epochs, patience : int
        As of `canonsim.baselines.ContrastiveHeads`.

    Returns
    -------
    list of float
        Loss on the validation part after each epoch.
    """
    kept = KeepBest()
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for message in _ADVICE:
                warnings.filterwarnings("ignore", message=message)
            trainer = pl.Trainer(
                accelerator="cpu",
                devices=1,
                max_epochs=max_epochs,
                callbacks=[kept, EarlyStopping(_LOSS, patience=patience)],
                num_sanity_val_steps=0,
                log_every_n_steps=1,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            trainer.fit(heads, _batches(training, batch_size, shuffled=True), _batches(validation, batch_size))
    finally:
        logger.setLevel(level)
    heads.load_state_dict(kept.weights)
    heads.eval()
    return kept.losses


def _head(width: int, hidden: int | None, dim: int, dropout: float) -> nn.Sequential:
    if hidden is None:
        return nn.Sequential(nn.Dropout(dropout), nn.Linear(width, dim))
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim))


def _batches(pairs: Pairs, batch_size: int, *, shuffled: bool = False) -> DataLoader[Any]:
    """Whole batches at a time, which is faster than row by row."""
    rows = TensorDataset(*pairs)
    order = RandomSampler(rows) if shuffled else SequentialSampler(rows)
    return DataLoader(rows, sampler=BatchSampler(order, batch_size, drop_last=False), batch_size=None)
