"""Trainings of a small two-tower module, as test processes run them."""

import lightning.pytorch as pl
import passes
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from canonsim.lightning import CSACallback
from processes import kill_myself

EPOCHS, BATCHES = 3, 13  # 97 rows in batches of 8


class Resumable(DataLoader):
    """Shuffles each epoch in its own way and resumes inside one."""

    def __init__(self, data):
        super().__init__(data, batch_size=8, shuffle=True, generator=torch.Generator())
        self.epoch, self.delivered = 0, 0

    def __iter__(self):
        self.generator.manual_seed(self.epoch)
        for number, batch in enumerate(super().__iter__()):
            if number >= self.delivered:
                last = number + 1 == len(self)
                self.epoch, self.delivered = (self.epoch + 1, 0) if last else (self.epoch, number + 1)
                yield batch

    def state_dict(self):
        return {"epoch": self.epoch, "delivered": self.delivered}

    def load_state_dict(self, state):
        self.epoch, self.delivered = state["epoch"], state["delivered"]


class Plain(DataLoader):
    """Starts over when it is resumed, as most loaders do."""

    def __init__(self, data):
        super().__init__(data, batch_size=8)


class TwoTowers(pl.LightningModule):
    """Learns to make the two sides agree; kills its process before one of the steps."""

    def __init__(self, *, returns_features=False, rate=0.01, dies_at=None):
        super().__init__()
        torch.manual_seed(1)
        self.x_tower = torch.nn.Linear(8, 5, dtype=torch.float64)
        self.towers = torch.nn.ModuleDict({"y": torch.nn.Linear(6, 4, dtype=torch.float64)})
        self.returns_features, self.rate, self.dies_at = returns_features, rate, dies_at

    def training_step(self, batch, batch_idx):
        if (self.current_epoch, batch_idx) == self.dies_at:
            kill_myself()
        x, y = self.x_tower(batch["x"] - 1000), self.towers["y"](batch["y"] + 30)
        loss = (x[:, :4] - y).square().mean()
        return {"loss": loss, "x": x, "y": y} if self.returns_features else loss

    def predict_step(self, batch, batch_idx):
        return self.x_tower(batch["x"] - 1000), self.towers["y"](batch["y"] + 30)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.rate)


class Counts(pl.Callback):
    """Rows that each epoch's moments hold."""

    def __init__(self, followed):
        self.followed, self.rows = followed, {}

    def on_train_epoch_end(self, trainer, pl_module):
        self.rows[trainer.current_epoch] = self.followed.moments.count


def train(folder, model=None, loader=Resumable, ids=True, resume=False, callbacks=(), epochs=EPOCHS, **settings):
    """Train with a checkpoint after every second step; with ``resume``, from the newest of them."""
    callback = CSACallback("x_tower", "towers.y", **settings)
    counts = Counts(callback)
    checkpoints = ModelCheckpoint(folder, filename="{step}", every_n_train_steps=2, save_top_k=-1)
    trainer = pl.Trainer(
        max_epochs=epochs,
        callbacks=[callback, counts, checkpoints, *callbacks],
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    saved = sorted(folder.glob("*.ckpt"), key=lambda path: int(path.stem.split("=")[1]))
    model = TwoTowers() if model is None else model
    trainer.fit(model, loader(passes.items(ids=ids)), ckpt_path=saved[-1] if resume else None, weights_only=True)
    return callback, counts.rows, trainer


def train_and_die(folder, dies_at, loader=Resumable, ids=True, rate=0.01):
    train(folder, TwoTowers(dies_at=dies_at, rate=rate), loader, ids)
