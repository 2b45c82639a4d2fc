"""CSACallback in Trainer.fit: follows any module, logs held-out correlations, and survives a killed process."""

import lightning.pytorch as pl
import numpy as np
import passes
import pytest
import torch
import trainings
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch.utils.data import DataLoader

import canonsim
import processes
from canonsim.lightning import CSACallback

# A resumed training writes its checkpoints beside those of the killed one.
pytestmark = pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
RESTARTS = "ignore:You're resuming from a checkpoint that ended before the epoch ended"
STARTS_OVER = "its loader starts over: CSACallback counts no row twice"


def assert_same_space(found, expected):
    assert found.ridge == expected.ridge
    np.testing.assert_allclose(found.correlations, expected.correlations, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.held_out_correlations, expected.held_out_correlations, rtol=0, atol=1e-9)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return trainings.train(tmp_path_factory.mktemp("whole"))


def test_each_epoch_counts_every_row_once(uninterrupted):
    _, rows, _ = uninterrupted
    assert rows == dict.fromkeys(range(trainings.EPOCHS), passes.ROWS)


def test_taps_give_the_features_the_step_computed(tmp_path):
    callback, _, trainer = trainings.train(tmp_path, trainings.TwoTowers(rate=0.0), epochs=1)
    model = trainer.lightning_module
    x, y = (torch.from_numpy(side) for side in passes.features())
    moments = canonsim.PairedMoments(5, 4)
    moments.update(model.x_tower(x - 1000).detach(), model.towers["y"](y + 30).detach(), np.arange(passes.ROWS))
    assert_same_space(callback.space, canonsim.fit(moments))
    assert not any(module._forward_hooks for module in model.modules())


def test_keys_of_the_step_give_what_taps_give(tmp_path, uninterrupted):
    callback = CSACallback()
    trainer = pl.Trainer(
        max_epochs=trainings.EPOCHS,
        callbacks=callback,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(trainings.TwoTowers(returns_features=True), trainings.Resumable(passes.items()))
    assert_same_space(callback.space, uninterrupted[0].space)


def test_logs_what_was_held_out(uninterrupted):
    callback, _, trainer = uninterrupted
    rho = callback.space.held_out_correlations
    logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert logged["csa_held_out_1"] == pytest.approx(rho[0], rel=1e-6)
    assert logged["csa_held_out_mean"] == pytest.approx(rho.mean(), rel=1e-6)
    assert logged["csa_held_out_information"] == pytest.approx(-0.5 * np.log(1 - rho**2).sum(), rel=1e-6)


def test_checkpoints_and_early_stopping_can_monitor_it(tmp_path):
    best = ModelCheckpoint(tmp_path / "best", monitor="csa_held_out_mean", mode="max", save_on_train_epoch_end=True)
    stopping = EarlyStopping("csa_held_out_information", mode="max", patience=0, min_delta=1e9)
    _, rows, _ = trainings.train(tmp_path, callbacks=[best, stopping])
    assert best.best_model_score is not None
    assert sorted(rows) == [0, 1]


def test_the_space_is_written_at_the_end(tmp_path):
    callback, _, _ = trainings.train(tmp_path, epochs=1, dirpath=tmp_path / "model")
    assert_same_space(canonsim.CanonicalSpace.from_pretrained(tmp_path / "model"), callback.space)


def test_the_checkpoint_holds_tensors_and_plain_values(tmp_path):
    trainings.train(tmp_path, epochs=1)
    state = torch.load(tmp_path / "step=4.ckpt", weights_only=True)["callbacks"]
    (mine,) = (value for key, value in state.items() if key.startswith("CSACallback"))
    assert mine["epoch"] == 0
    assert mine["moments"]["counts"].sum() == 32
    assert len(mine["ids"]) == 32


@pytest.mark.parametrize("dies_at", [(0, 5), (1, 6), (2, 3), (2, 12)])
def test_a_killed_training_resumes_to_the_same_space(tmp_path, uninterrupted, dies_at):
    assert processes.exit_codes(processes.start(trainings.train_and_die, tmp_path, dies_at)) == [-9]
    callback, rows, _ = trainings.train(tmp_path, resume=True)
    assert set(rows.values()) == {passes.ROWS}
    assert_same_space(callback.space, uninterrupted[0].space)


def test_a_finished_training_resumes_to_its_space(tmp_path):
    whole, _, _ = trainings.train(tmp_path, epochs=2)
    callback, rows, _ = trainings.train(tmp_path, epochs=2, resume=True)
    assert rows == {}
    assert_same_space(callback.space, whole.space)


@pytest.mark.filterwarnings(RESTARTS)
@pytest.mark.parametrize("ids", [True, False])
def test_a_loader_that_starts_over_repeats_no_row(tmp_path, ids):
    dead = processes.start(trainings.train_and_die, tmp_path, (1, 6), trainings.Plain, ids, 0.0)
    assert processes.exit_codes(dead) == [-9]
    model = trainings.TwoTowers(rate=0.0)
    with pytest.warns(UserWarning, match=STARTS_OVER):
        callback, rows, _ = trainings.train(tmp_path, model, trainings.Plain, ids, resume=True)
    # 5 batches were counted; of the 8 that Lightning still delivers, the first 5 are the same ones.
    assert rows == {1: 64, 2: passes.ROWS}
    whole, _, _ = trainings.train(tmp_path / "whole", trainings.TwoTowers(rate=0.0), trainings.Plain, ids)
    assert_same_space(callback.space, whole.space)


def test_other_folds_than_those_of_the_checkpoint_are_refused(tmp_path):
    trainings.train(tmp_path, epochs=1)
    with pytest.raises(ValueError, match="the checkpoint holds moments of 5 folds, but folds=3"):
        trainings.train(tmp_path, resume=True, folds=3)


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
def test_a_pass_from_a_checkpoint_has_folds_of_its_own(tmp_path):
    trainings.train(tmp_path, epochs=1)
    callback = CSACallback("x_tower", "towers.y", folds=3)
    loader = DataLoader(passes.items(), batch_size=8)
    passes.trainer(callback).predict(
        trainings.TwoTowers(), loader, ckpt_path=tmp_path / "step=4.ckpt", return_predictions=False, weights_only=True
    )
    assert callback.moments.folds == 3
    assert callback.moments.count == passes.ROWS


def test_several_devices_and_single_folds_are_refused():
    trainer = passes.trainer(CSACallback(), devices=2, strategy="ddp")
    with pytest.raises(ValueError, match=r"follows Trainer.fit on one device, not on 2.*Trainer.predict"):
        CSACallback().setup(trainer, trainings.TwoTowers(), "fit")
    with pytest.raises(ValueError, match="folds must be at least 2, got 1"):
        CSACallback(folds=1, weights="training", ridge=1.0).setup(
            passes.trainer(CSACallback()), trainings.TwoTowers(), "fit"
        )
