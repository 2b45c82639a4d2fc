"""Canonical similarity analysis as a callback: the exact pass in Trainer.predict, a monitor in Trainer.fit."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import lightning.pytorch as pl
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch.utils.data import IterableDataset
from typing_extensions import override

from canonsim.canonical import Ridge, checked_rank, checked_ridge, fit
from canonsim.lightning.dual_encoder import DualEncoder
from canonsim.lightning.epoch import EpochMoments
from canonsim.lightning.monitor import held_out_scores
from canonsim.lightning.progress import Progress, encoder_configs, pass_settings
from canonsim.lightning.reduction import all_reduce
from canonsim.lightning.row_ids import DEFAULT_KEY, given_ids, loader_ids
from canonsim.lightning.strategies import (
    check_fit,
    check_loader,
    check_predict,
    check_trainer,
    resumes_inside_an_epoch,
)
from canonsim.lightning.taps import Taps
from canonsim.maps import FeatureMap
from canonsim.maps.feature_map import check_is_map
from canonsim.moments import PairedMoments
from canonsim.rows import check_rows
from canonsim.scoring import Weights

if TYPE_CHECKING:
    import torch

    from canonsim.space import CanonicalSpace


class CSACallback(pl.Callback):
    """Accumulate the moments of paired features while a Trainer runs, and fit their canonical space.

    In ``Trainer.predict(..., return_predictions=False)`` it makes one exact pass: every row counts once, on one device
    or under DDP, and any sharding of the same rows gives the same space. With ``dirpath``, a pass that was killed goes
    on where it stopped when it is run again, unless its data, encoders or settings changed, which is an error; a
    `DualEncoder` does not encode the counted batches a second time.

    In ``Trainer.fit`` of any module, on one device, it accumulates each training epoch, fits at the epoch's end and
    logs ``csa_held_out_1`` to ``csa_held_out_3``, ``csa_held_out_mean`` (over as many directions as there are) and
    ``csa_held_out_information`` (nats; the one to monitor), which loggers,
    ``ModelCheckpoint(monitor=..., save_on_train_epoch_end=True)`` and
    ``EarlyStopping(monitor=..., check_on_train_epoch_end=True)`` see. Its state is part of the checkpoint, to which it
    adds about ``4 * folds * (p + q)**2`` bytes.

    Note
    ----
    Lightning resumes an epoch at the right row only if the training loader has ``state_dict`` and ``load_state_dict``.
    Any other loader starts over in the middle of the epoch: rows counted before then are not counted again (which takes
    row ids), rows that Lightning no longer delivers are missing from that one epoch, and a warning says so. Epochs that
    begin after the resumption are whole.

    An ``IterableDataset`` gets no sampler from Lightning: under DDP it must give each rank its own rows.

    Parameters
    ----------
    x, y : str
        Where the features (n, p) and (n, q) are found: the name of a submodule, tapped by a forward hook, or a key of
        the dict that the step returns.
    ids : str
        Key of the row ids, integers (n,), in the step's output or the batch: a row's fold is a hash of its id. Where
        the default ``"index"`` is in neither, the data set index is taken from the predict loader, or else, on one
        device, the running row number. Any other key must be there.
    folds : int
        Folds kept apart, for held-out numbers.
    n_components, ridge, weights
        As in `canonsim.fit`.
    x_map, y_map : FeatureMap, optional
        What features pass through before they are counted (see `canonsim.maps`); the space maps rows itself.
    dirpath : path, optional
        Folder for the fitted space (`canonsim.CanonicalSpace.from_pretrained`) and ``moments.safetensors``, written on
        rank zero; during a predict pass also for its progress.
    every_n_batches : int
        How often a predict pass writes its progress to ``dirpath``, about ``4 * folds * (p + q)**2`` bytes.

    Attributes
    ----------
    moments : PairedMoments or None
        After the pass, on every rank: the moments of all rows; in training, those of the last finished epoch.
    space : CanonicalSpace or None
        The space fitted on them.

    Raises
    ------
    TypeError
        For parameters of another type, or a Trainer that is not of ``lightning.pytorch``.
    ValueError
        For values out of range; in `setup`, for strategies other than a single device and DDP.

    Examples
    --------
    >>> import torch
    >>> from lightning.pytorch import Trainer
    >>> from torch.utils.data import DataLoader
    >>> from canonsim.lightning import CSACallback, DualEncoder
    >>> z = torch.randn(200, 3)
    >>> pairs = [{"x": z[i], "y": z[i, :2], "index": i} for i in range(200)]
    >>> csa = CSACallback(ridge=0.0)
    >>> trainer = Trainer(callbacks=csa, accelerator="cpu", logger=False, enable_progress_bar=False)
    >>> model = DualEncoder(None, None)  # or encoders, such as DualEncoder(ImageEncoder(...), TextEncoder(...))
    >>> trainer.predict(model, DataLoader(pairs, batch_size=32), return_predictions=False)
    >>> csa.space.correlations.round(3)
    array([1., 1.])
    """

    def __init__(
        self,
        x: str = "x",
        y: str = "y",
        *,
        ids: str = DEFAULT_KEY,
        folds: int = 5,
        n_components: int | Literal["auto"] | None = "auto",
        ridge: Ridge = "auto",
        weights: Weights = "held-out",
        x_map: FeatureMap | None = None,
        y_map: FeatureMap | None = None,
        dirpath: str | Path | None = None,
        every_n_batches: int = 100,
    ) -> None:
        super().__init__()
        for argument, name in (("x", x), ("y", y), ("ids", ids)):
            if not isinstance(name, str) or not name:
                raise TypeError(f"{argument} must be the name of a submodule or a key, got {name!r}")
        if x == y:
            raise ValueError(f"x and y must be different names, got {x!r} for both")
        for argument, value in (("folds", folds), ("every_n_batches", every_n_batches)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{argument} must be an integer of at least 1, got {value!r}")
        if weights not in get_args(Weights):
            raise ValueError(f"weights must be one of {get_args(Weights)}, got {weights!r}")
        for argument, feature_map in (("x_map", x_map), ("y_map", y_map)):
            check_is_map(feature_map, argument)
        checked_rank(n_components, sys.maxsize)
        checked_ridge(ridge)
        if folds == 1 and (weights == "held-out" or ridge == "auto"):
            raise ValueError("folds=1 holds nothing out: pass weights='training' and a number as ridge, or more folds")
        self.x = x
        self.y = y
        self.ids = ids
        self.folds = folds
        self.n_components = n_components
        self.ridge = ridge
        self.weights: Weights = weights
        self.x_map = x_map
        self.y_map = y_map
        self.dirpath = None if dirpath is None else Path(dirpath)
        self.every_n_batches = every_n_batches
        self.moments: PairedMoments | None = None
        self.space: CanonicalSpace | None = None
        self._taps: Taps | None = None
        self._progress: Progress | None = None
        self._batches = 0
        self._in_fit = False
        self._epoch: EpochMoments | None = None

    @property
    @override
    def state_key(self) -> str:
        return self._generate_state_key(x=self.x, y=self.y)

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        check_trainer(trainer)
        self._in_fit = stage == "fit"
        if stage == "fit":
            check_fit(trainer, self.folds)
        elif stage == "predict":
            check_predict(trainer, pl_module, self.dirpath)
        else:
            return
        # The state of a checkpoint comes after this hook.
        self.moments = self.space = self._epoch = None

    @override
    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.moments = self.space = self._epoch = None
        self._batches = 0
        if trainer.predict_loop.num_dataloaders != 1:
            raise ValueError(
                f"CSACallback takes one predict loader, got {trainer.predict_loop.num_dataloaders}: "
                "join the data sets with torch.utils.data.ConcatDataset"
            )
        check_loader(trainer.predict_dataloaders, trainer.world_size)
        self._taps = Taps(pl_module, self.x, self.y)
        if self.dirpath is not None:
            settings = {"x": self.x, "y": self.y, "ids": self.ids, "folds": self.folds}
            settings |= self._map_fingerprints() | pass_settings(trainer, pl_module)
            self._progress = Progress(self.dirpath, settings, trainer.global_rank, trainer.world_size)
            self.moments = self._progress.load()
            if self._progress.batches:
                rank_zero_info(f"CSACallback goes on with the pass in {self.dirpath} at batch {self._progress.batches}")
            if isinstance(pl_module, DualEncoder):
                pl_module.first_batch = self._progress.batches

    @override
    def on_predict_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if self._taps is not None:
            self._taps.start()

    @override
    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._batches = batch_idx + 1
        if self._progress is not None and self._progress.see(batch, batch_idx):
            return
        x, y = self._features(outputs)
        ids = given_ids(self.ids, outputs, batch, len(x))
        if ids is None:
            ids = loader_ids(trainer.predict_dataloaders, batch_idx, len(x), needed=trainer.world_size > 1)
        if self.moments is None:
            self.moments = PairedMoments(x.shape[1], y.shape[1], self.folds)
        self.moments.update(x, y, ids)
        if self._progress is not None and self._batches % self.every_n_batches == 0:
            self._progress.save(self.moments, self._batches)

    def _features(self, outputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        assert self._taps is not None
        x, y = self._taps.take(outputs)
        check_rows(x, self.x)
        check_rows(y, self.y)
        if self.x_map is not None:
            x = self.x_map(x, self.x)
        if self.y_map is not None:
            y = self.y_map(y, self.y)
        return x, y

    def _map_fingerprints(self) -> dict[str, str | None]:
        maps = {"x_map": self.x_map, "y_map": self.y_map}
        return {name: None if each is None else each.fingerprint for name, each in maps.items()}

    @override
    def on_predict_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._progress is not None:
            self._progress.check_end(self._batches)
            # Should another rank fail from here on, nothing this one counted is lost.
            self._progress.save(self.moments, self._batches)
        iterable = isinstance(getattr(trainer.predict_dataloaders, "dataset", None), IterableDataset)
        self.moments = all_reduce(self.moments, self.folds, trainer, disjoint=not iterable)
        self.space = self._fit(self.moments, pl_module)
        failure: OSError | None = None
        if trainer.is_global_zero:
            try:
                self._write()
            except OSError as error:
                failure = error
        if not trainer.strategy.reduce_boolean_decision(failure is None):
            raise failure or RuntimeError(f"rank zero could not write the space to {self.dirpath}")
        if self._progress is not None:
            self._progress.remove()

    def _fit(self, moments: PairedMoments, pl_module: pl.LightningModule) -> CanonicalSpace:
        space = fit(
            moments,
            n_components=self.n_components,
            ridge=self.ridge,
            weights=self.weights,
            x_map=self.x_map,
            y_map=self.y_map,
        )
        space.metadata.update(encoder_configs(pl_module))
        return space

    def _write(self) -> None:
        if self.dirpath is not None and self.moments is not None and self.space is not None:
            self.dirpath.mkdir(parents=True, exist_ok=True)
            self.moments.save(self.dirpath / "moments.safetensors")
            self.space.save_pretrained(self.dirpath)

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._taps = Taps(pl_module, self.x, self.y)
        if self._epoch is None or self._epoch.epoch != trainer.current_epoch:
            return
        if not resumes_inside_an_epoch(trainer.train_dataloader):
            self._epoch.start_over()
            rank_zero_warn(
                f"epoch {trainer.current_epoch} is resumed, but its loader starts over: CSACallback counts no row "
                "twice and misses those that Lightning no longer delivers in this epoch; a loader with state_dict and "
                "load_state_dict resumes exactly"
            )

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._taps is not None:
            self._taps.start()

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._epoch is None or self._epoch.epoch != trainer.current_epoch:
            self._epoch = EpochMoments(trainer.current_epoch, self.folds)
        x, y = self._features(outputs)
        self._epoch.count(x, y, given_ids(self.ids, outputs, batch, len(x)))

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._epoch is None or self._epoch.epoch != trainer.current_epoch or self._epoch.moments is None:
            return
        self.moments = self._epoch.moments
        self.space = self._fit(self.moments, pl_module)
        pl_module.log_dict(held_out_scores(self.space), on_step=False, on_epoch=True)

    @override
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.space is None and self._epoch is not None and self._epoch.moments is not None:
            self.moments = self._epoch.moments
            self.space = self._fit(self.moments, pl_module)
        if trainer.is_global_zero:
            self._write()

    @override
    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._release(pl_module)

    @override
    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._release(pl_module)

    def _release(self, pl_module: pl.LightningModule) -> None:
        if self._taps is not None:
            self._taps.remove()
        self._taps = self._progress = None
        if isinstance(pl_module, DualEncoder):
            pl_module.first_batch = 0

    @override
    def state_dict(self) -> dict[str, Any]:
        return {} if self._epoch is None else self._epoch.state() | self._map_fingerprints()

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # Trainer.predict restores callbacks too, and its pass has nothing to do with the epoch of a training.
        if self._in_fit:
            for name, fingerprint in self._map_fingerprints().items():
                if state_dict.get(name) != fingerprint:
                    raise ValueError(f"the checkpoint holds moments of features with another {name}")
            self._epoch = EpochMoments.from_state(state_dict, self.folds)
