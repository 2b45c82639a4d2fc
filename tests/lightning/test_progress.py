"""A killed pass goes on where it stopped, counts each row once, and never mixes two passes."""

import numpy as np
import passes
import pytest
import torch

import processes
from canonsim.lightning import CSACallback, DualEncoder


def killed(folder, stop_at=17):
    callback = CSACallback(dirpath=folder, every_n_batches=5)
    passes.predict(callback, passes.Stops(processes.kill_myself, stop_at))


@pytest.fixture
def folder(tmp_path):
    """The folder of a pass killed before batch 17 of 25, with 15 counted."""
    process = processes.start(killed, tmp_path / "model")
    assert processes.exit_codes(process) == [-9]
    assert not (tmp_path / "model" / "config.json").exists()
    return tmp_path / "model"


def resume(folder, model=None, settings=None, **others):
    model = passes.Stops() if model is None else model
    return passes.predict(CSACallback(dirpath=folder, every_n_batches=5, **(settings or {})), model, **others), model


def test_counts_each_row_once_and_encodes_no_counted_batch(folder):
    callback, model = resume(folder)
    assert model.encoded == list(range(15, 25))
    space, moments = passes.expected()
    np.testing.assert_array_equal(callback.moments.fold_counts, moments.fold_counts)
    np.testing.assert_allclose(callback.moments.scatter_xy, moments.scatter_xy, rtol=1e-9)
    np.testing.assert_allclose(callback.space.held_out_correlations, space.held_out_correlations, rtol=0, atol=1e-9)
    assert model.first_batch == 0


def test_the_progress_is_gone_once_the_space_is_written(folder):
    # What a process killed while it wrote leaves behind.
    (folder / "progress" / ".rank-0-of-1.safetensors.x7").write_text("half of it")
    resume(folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "moments.safetensors",
    ]
    _, model = resume(folder)
    assert model.encoded == list(range(25))


def test_a_pass_can_be_killed_again_and_again(folder):
    for stop_at in (21, 22):
        assert processes.exit_codes(processes.start(killed, folder, stop_at)) == [-9]
    callback, model = resume(folder)
    assert model.encoded == list(range(20, 25))
    assert callback.moments.count == passes.ROWS


def test_the_fit_may_change_between_the_passes(folder):
    callback, _ = resume(folder, settings={"ridge": 2.0, "weights": "training", "n_components": 2})
    assert callback.space.ridge == (2.0, 2.0)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"batch_size": 5}, "batch size was 4 and is 5"),
        ({"settings": {"folds": 3}}, "folds was 5 and is 3"),
        ({"settings": {"ids": "row"}}, "ids was 'index' and is 'row'"),
        ({"precision": "bf16-true"}, "precision was '32-true' and is 'bf16-true'"),
        ({"data": passes.items()[:96]}, r"data set was \['list', 97\] and is \['list', 96\]"),
        ({"data": passes.items()[::-1]}, "was counted from other data: the first 15 batches differ"),
        ({"limit_predict_batches": 6}, "counted 15 batches, but the pass has only 6"),
        ({"model": DualEncoder(torch.nn.Linear(8, 8).double(), None)}, "weights was"),
    ],
)
def test_another_pass_is_refused_and_the_progress_kept(folder, others, message):
    with pytest.raises(ValueError, match=message) as caught:
        resume(folder, **others)
    assert "delete" in str(caught.value)
    assert not (folder / "config.json").exists()
    assert resume(folder)[1].encoded == list(range(15, 25))


def test_a_changed_row_among_the_counted_ones_is_noticed(folder):
    data = passes.items()
    data[30]["y"] = data[30]["y"] + 1e-6
    with pytest.raises(ValueError, match="was counted from other data"):
        resume(folder, data=data)


def test_other_weights_of_the_same_encoders_are_refused(tmp_path):
    def model(scale):
        encoder = torch.nn.Linear(8, 8, bias=False, dtype=torch.float64)
        torch.nn.init.constant_(encoder.weight, scale)
        return DualEncoder(encoder, None)

    class Interrupted(Exception):
        pass

    def interrupt():
        raise Interrupted

    stopped = passes.Stops(interrupt, 7)
    stopped.x_encoder = model(1.0).x_encoder
    with pytest.raises(Interrupted):
        resume(tmp_path, stopped)
    other = passes.Stops()
    other.x_encoder = model(2.0).x_encoder
    with pytest.raises(ValueError, match="weights was"):
        resume(tmp_path, other)


def test_the_progress_of_other_ranks_is_refused(folder):
    path = folder / "progress" / "rank-0-of-1.safetensors"
    path.rename(path.with_name("rank-0-of-2.safetensors"))
    with pytest.raises(ValueError, match="is the progress of a pass on another number of ranks"):
        resume(folder)


def test_a_damaged_progress_file_is_refused(folder):
    path = folder / "progress" / "rank-0-of-1.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"rank-0-of-1\.safetensors is no safetensors file, or is truncated"):
        resume(folder)


def test_nothing_is_written_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    passes.predict(CSACallback(every_n_batches=1))
    assert list(tmp_path.iterdir()) == []
