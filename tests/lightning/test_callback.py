"""CSACallback in Trainer.predict on one process: exact, and clear about what it cannot do."""

import lightning.pytorch as pl
import numpy as np
import passes
import pytest
import torch
from lightning.pytorch.strategies import DDPStrategy, FSDPStrategy
from torch.utils.data import DataLoader

import canonsim
from canonsim.data import FeaturePairs, PairDataModule
from canonsim.lightning import CSACallback, DualEncoder


@pytest.mark.parametrize("settings", [{}, {"ridge": (0.5, 2.0), "weights": "training", "n_components": 3}])
def test_one_pass_gives_the_space_of_all_rows(settings):
    callback = passes.predict(CSACallback(**settings))
    space, moments = passes.expected(**settings)
    assert callback.moments.count == moments.count
    assert callback.space.ridge == space.ridge
    np.testing.assert_allclose(callback.space.correlations, space.correlations, rtol=0, atol=1e-9)
    np.testing.assert_allclose(callback.space.held_out_correlations, space.held_out_correlations, rtol=0, atol=1e-9)


def test_folds_follow_the_data_set_index_in_any_order():
    order = np.random.default_rng(0).permutation(passes.ROWS)
    rows = passes.items()
    in_batch = passes.predict(CSACallback(), data=[rows[i] for i in order], batch_size=7)
    assert in_batch.moments.fold_counts.tolist() == passes.expected()[1].fold_counts.tolist()
    from_loader = passes.predict(CSACallback(), data=passes.items(ids=False), batch_size=7)
    assert from_loader.moments.fold_counts.tolist() == passes.expected()[1].fold_counts.tolist()


def test_rows_with_one_id_share_a_fold():
    rows = [{**row, "image": 3} for row in passes.items()]
    callback = CSACallback(ids="image", ridge=1.0, weights="training")
    assert sorted(passes.predict(callback, data=rows).moments.fold_counts) == [0, 0, 0, 0, passes.ROWS]


def test_a_data_module_gives_the_same_space(tmp_path):
    x, y = passes.features()
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    data = PairDataModule(FeaturePairs(tmp_path / "x.npy", tmp_path / "y.npy"), batch_size=16)
    callback = CSACallback(dirpath=tmp_path / "model")
    passes.trainer(callback).predict(DualEncoder(None, None), datamodule=data, return_predictions=False)
    np.testing.assert_allclose(callback.space.correlations, passes.expected()[0].correlations, rtol=0, atol=1e-9)


def test_a_second_pass_begins_anew():
    callback = passes.predict(passes.predict(CSACallback()))
    assert callback.moments.count == passes.ROWS


def test_the_space_outlives_other_runs_of_the_trainer():
    class Tested(DualEncoder):
        def test_step(self, batch, batch_idx):
            pass

    callback = passes.predict(CSACallback())
    passes.trainer(callback).test(Tested(None, None), DataLoader(passes.items(), batch_size=4), verbose=False)
    assert callback.space is not None


def test_bf16_features_keep_their_moments_in_f64():
    callback = passes.predict(CSACallback(), precision="bf16-true")
    x, _ = passes.features()
    rounded = torch.from_numpy(x).bfloat16().double().numpy()
    np.testing.assert_allclose(callback.moments.x_mean, rounded.mean(0), rtol=1e-12)
    scatter = (rounded - rounded.mean(0)).T @ (rounded - rounded.mean(0))
    np.testing.assert_allclose(callback.moments.scatter_xx, scatter, rtol=1e-5, atol=1e-3)


class Towers(pl.LightningModule):
    """Two towers whose features do not appear in the output of the step."""

    def __init__(self, runs=1):
        super().__init__()
        self.image = torch.nn.Identity()
        self.towers = torch.nn.ModuleDict({"text": torch.nn.Identity()})
        self.runs = runs

    def predict_step(self, batch):
        for _ in range(self.runs):
            self.image(batch["x"])
        return self.towers["text"](batch["y"]).sum()


def test_submodules_are_tapped_and_the_taps_removed():
    model = Towers()
    callback = passes.predict(CSACallback("image", "towers.text"), model)
    assert callback.moments.count == passes.ROWS
    np.testing.assert_allclose(callback.space.correlations, passes.expected()[0].correlations, rtol=0, atol=1e-9)
    assert not any(module._forward_hooks for module in model.modules())


def test_taps_are_removed_when_a_pass_fails():
    model = Towers(runs=2)
    with pytest.raises(ValueError, match="x='image': the submodule ran 2 times in a step"):
        passes.predict(CSACallback("image", "towers.text"), model)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_missing_name_is_named():
    with pytest.raises(ValueError, match=r"x='imag' is neither the name of a submodule nor a key .*\['x', 'y'\]"):
        passes.predict(CSACallback("imag", "y"))


def test_missing_ids_are_named():
    with pytest.raises(ValueError, match="ids='row' is a key of neither the step's output nor the batch"):
        passes.predict(CSACallback(ids="row"))


def test_features_that_are_no_matrix_are_refused():
    rows = [{**row, "x": row["x"][:6].reshape(2, 3)} for row in passes.items()]
    with pytest.raises(ValueError, match=r"x must have two dimensions .* got shape \(4, 2, 3\)"):
        passes.predict(CSACallback(), data=rows)


def test_several_loaders_are_refused():
    loaders = [DataLoader(passes.items(), batch_size=4)] * 2

    class Step(DualEncoder):
        def predict_step(self, batch, batch_idx, dataloader_idx):
            return batch

    with pytest.raises(ValueError, match="CSACallback takes one predict loader, got 2"):
        passes.trainer(CSACallback()).predict(Step(None, None), loaders, return_predictions=False)


def test_writes_the_space_with_the_encoders_that_made_it(tmp_path):
    encoder = torch.nn.Identity()
    encoder.config = {"class": "Identity", "normalize": False}
    passes.predict(CSACallback(dirpath=tmp_path / "model"), DualEncoder(encoder, None))
    space = canonsim.CanonicalSpace.from_pretrained(tmp_path / "model")
    np.testing.assert_allclose(space.correlations, passes.expected()[0].correlations, rtol=0, atol=1e-9)
    assert space.metadata == {"x_encoder": encoder.config}
    assert canonsim.PairedMoments.load(tmp_path / "model" / "moments.safetensors").count == passes.ROWS


def test_an_unwritable_folder_is_reported(tmp_path):
    (tmp_path / "model").write_text("a file")
    with pytest.raises(OSError, match="model"):
        passes.predict(CSACallback(dirpath=tmp_path / "model"))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"x": ""}, TypeError, "x must be the name of a submodule or a key, got ''"),
        ({"x": "y"}, ValueError, "x and y must be different names, got 'y' for both"),
        ({"ids": None}, TypeError, "ids must be the name"),
        ({"folds": 0}, ValueError, "folds must be an integer of at least 1, got 0"),
        ({"every_n_batches": 0.5}, ValueError, "every_n_batches must be an integer of at least 1, got 0.5"),
        ({"weights": "held_out"}, ValueError, r"weights must be one of \('held-out', 'training', 'equal'\)"),
        ({"ridge": -1.0}, ValueError, "ridge must be finite and at least 0, got -1.0"),
        ({"ridge": "best"}, ValueError, "'auto', 'oas' or 'ledoit-wolf', got 'best'"),
        ({"n_components": 0}, ValueError, "n_components must lie between 1"),
        ({"folds": 1}, ValueError, "folds=1 holds nothing out"),
        ({"folds": 1, "weights": "training"}, ValueError, "folds=1 holds nothing out"),
    ],
)
def test_parameters_out_of_range_are_refused_at_once(settings, error, message):
    with pytest.raises(error, match=message):
        CSACallback(**settings)


def test_one_fold_is_enough_where_nothing_is_held_out():
    callback = passes.predict(CSACallback(folds=1, weights="training", ridge=1.0))
    assert callback.space.held_out_correlations is None


def test_strategies_it_cannot_follow_are_refused():
    callback = CSACallback()
    trainer = passes.trainer(callback)
    trainer.strategy.__class__ = FSDPStrategy
    with pytest.raises(ValueError, match=r"supports the strategies .*'ddp', got FSDPStrategy"):
        callback.setup(trainer, DualEncoder(None, None), "predict")
    spawning = passes.trainer(callback, strategy=DDPStrategy(start_method="spawn"), devices=2)
    with pytest.raises(ValueError, match=r"set CSACallback\(dirpath=\.\.\.\) and read the space from there"):
        callback.setup(spawning, DualEncoder(None, None), "predict")


def test_an_empty_rank_that_lightning_would_skip_is_refused():
    model = DualEncoder(None, None)
    model.allow_zero_length_dataloader_with_multiple_devices = True
    callback = CSACallback()
    trainer = passes.trainer(callback, strategy="ddp", devices=2)
    with pytest.raises(ValueError, match=r"lets a rank leave Trainer\.predict before the moments are reduced"):
        callback.setup(trainer, model, "predict")


def test_the_other_import_name_is_refused():
    other = pytest.importorskip("pytorch_lightning")
    trainer = other.Trainer(
        callbacks=[CSACallback()],
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
    )

    class Step(other.LightningModule):
        def predict_step(self, batch):
            return batch

    with pytest.raises(
        TypeError, match=r"works with lightning\.pytorch\.Trainer, got the Trainer of pytorch_lightning"
    ):
        trainer.predict(Step(), DataLoader(passes.items(), batch_size=4), return_predictions=False)
