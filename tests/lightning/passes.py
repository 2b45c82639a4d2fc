"""Passes of Trainer.predict on one data set, as test processes run them."""

from datetime import timedelta

import numpy as np
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset

import canonsim
from canonsim.lightning import CSACallback, DualEncoder
from processes import kill_myself

# On two ranks: 49 rows in 13 batches on rank 0, 48 in 12 on rank 1.
ROWS, BATCH = 97, 4


def features(rows=ROWS):
    """Correlated sides far from the origin."""
    rng = np.random.default_rng(7)
    z = rng.standard_normal((rows, 3))
    x = z @ rng.standard_normal((3, 8)) + 0.5 * rng.standard_normal((rows, 8)) + 1000
    y = z @ rng.standard_normal((3, 6)) + 0.5 * rng.standard_normal((rows, 6)) - 30
    return x, y


def expected(**settings):
    """The space and the moments of all rows at once."""
    x, y = features()
    moments = canonsim.PairedMoments(8, 6)
    moments.update(x, y, np.arange(ROWS))
    return canonsim.fit(moments, **settings), moments


def items(*, ids=True):
    x, y = (torch.from_numpy(side) for side in features())
    return [{"x": x[i], "y": y[i], **({"index": i} if ids else {})} for i in range(ROWS)]


class WithUnpaired(CSACallback):
    """Adds rows of x without a partner, other ones on each rank."""

    def on_predict_epoch_end(self, trainer, pl_module):
        x, _ = features()
        self.moments.update_x(x[trainer.global_rank :: 2] + trainer.global_rank)
        super().on_predict_epoch_end(trainer, pl_module)


class Shards(IterableDataset):
    """All rows on rank 0 and none on rank 1, or all rows on both."""

    def __init__(self, *, on_both):
        self.on_both = on_both

    def __iter__(self):
        return iter(items() if self.on_both or torch.distributed.get_rank() == 0 else [])


class Stops(DualEncoder):
    """Passes features through, counts the batches it encodes, and stops before one of them."""

    def __init__(self, stop=None, stop_at=None, rank=0):
        super().__init__(None, None)
        self.stop, self.stop_at, self.rank = stop, stop_at, rank
        self.encoded = []

    def predict_step(self, batch, batch_idx):
        if batch_idx == self.stop_at and self.global_rank == self.rank:
            self.stop()
        found = super().predict_step(batch, batch_idx)
        if found:
            self.encoded.append(batch_idx)
        return found


def trainer(callback, **settings):
    return Trainer(
        callbacks=callback,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        **settings,
    )


def predict(callback, model=None, data=None, batch_size=BATCH, **settings):
    """One pass on this process."""
    model = DualEncoder(None, None) if model is None else model
    loader = DataLoader(items() if data is None else data, batch_size=batch_size)
    trainer(callback, **settings).predict(model, loader, return_predictions=False)
    return callback


def predict_on_ranks(folder, scenarios):
    """The passes of one rank of two; what each gives or raises is written to ``folder/SCENARIO-RANK``."""
    for scenario in scenarios:
        run_on_ranks(folder, scenario)


def run_on_ranks(folder, scenario):
    data = {"empty-rank": Shards(on_both=False), "same-rows": Shards(on_both=True), "no-ids": items(ids=False)}
    model = {
        "fails": Stops(fail, 5, rank=1),
        "killed": Stops(kill_myself, 8, rank=1),
        "no-ids-known": NoIndices(),
    }.get(scenario, Stops())
    written = scenario in ("ids", "empty-rank", "fails", "killed", "resumed")
    kept = folder / ("killed" if scenario == "resumed" else scenario)
    kind = WithUnpaired if scenario == "unpaired" else CSACallback
    callback = kind(dirpath=kept if written else None, every_n_batches=3)
    strategy = DDPStrategy(timeout=timedelta(seconds=60))
    precision = "bf16-true" if scenario == "bf16" else "32-true"
    run = trainer(callback, devices=2, strategy=strategy, precision=precision)
    file = folder / f"{scenario}-{run.global_rank}"
    rows = data.get(scenario, items())
    sampler = DistributedSampler(rows, 2, run.global_rank, shuffle=False) if scenario == "padded" else None
    loader = DataLoader(rows, batch_size=BATCH, shuffle=scenario == "shuffled" or None, sampler=sampler)
    try:
        run.predict(model, loader, return_predictions=False)
    except ValueError as error:
        file.with_suffix(".txt").write_text(str(error))
        return
    found = {name: getattr(callback.space, name) for name in ("correlations", "held_out_correlations", "ridge")}
    np.savez(file.with_suffix(".npz"), encoded=model.encoded, **found, **callback.moments.state())


class NoIndices(DualEncoder):
    """Splits batches of a loader that says nothing about the rows in them."""

    def __init__(self):
        super().__init__(None, None)

    def predict_step(self, batch, batch_idx):
        return {name: batch[name][:-1] for name in ("x", "y")}

    def on_after_batch_transfer(self, batch, dataloader_idx):
        return {name: batch[name] for name in ("x", "y")}


def fail():
    raise RuntimeError("this rank fails")
