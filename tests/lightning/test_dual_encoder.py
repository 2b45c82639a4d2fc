"""DualEncoder is frozen, passes features through where there is no encoder, and skips counted batches."""

import pytest
import torch

from canonsim.lightning import DualEncoder

BATCH = {"x": torch.ones(3, 8), "y": torch.ones(3, 2)}


def test_encodes_each_side_or_passes_it_through():
    encoder = torch.nn.Linear(8, 4)
    features = DualEncoder(encoder, None).predict_step(BATCH, 0)
    assert set(features) == {"x", "y"}
    torch.testing.assert_close(features["x"], encoder(BATCH["x"]).detach())
    assert features["y"] is BATCH["y"]


def test_stays_frozen_and_in_evaluation_mode():
    model = DualEncoder(torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.Dropout()), None)
    model.train()
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not model.predict_step(BATCH, 0)["x"].requires_grad


def test_does_not_encode_batches_before_the_first():
    model = DualEncoder(torch.nn.Linear(8, 4), None)
    model.first_batch = 2
    assert model.predict_step(BATCH, 1) == {}
    assert set(model.predict_step(BATCH, 2)) == {"x", "y"}


def test_refuses_what_is_no_module_and_batches_without_the_keys():
    with pytest.raises(TypeError, match=r"y_encoder must be a torch\.nn\.Module or None, got str"):
        DualEncoder(None, "resnet50")
    with pytest.raises(ValueError, match=r"'y' is not in \['x'\]"):
        DualEncoder(None, None).predict_step({"x": BATCH["x"]}, 0)
    with pytest.raises(ValueError, match="got a list"):
        DualEncoder(None, None).predict_step([BATCH["x"]], 0)
