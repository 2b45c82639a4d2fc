"""An encoder is frozen, keeps the order of its items, and answers with the width it promises."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from canonsim.encoders import Encoder

ROWS = np.random.default_rng(0).standard_normal((7, 4)).astype(np.float32)


def make(**options):
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Dropout(0.5))
    return Encoder.from_module(module, dim=3, **options)


def test_an_encoder_stays_frozen_and_in_evaluation_mode():
    encoder = make()
    for switch in (encoder.train, lambda: torch.nn.ModuleList([encoder]).train()):
        switch()
        assert not any(module.training for module in encoder.modules())
        assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert not encoder(torch.ones(2, 4)).requires_grad


def test_encode_keeps_order_for_any_batch_size():
    encoder = make()
    expected = encoder.module[0](torch.from_numpy(ROWS)).detach().numpy()
    for batch_size in (1, 3, 7, 100):
        features = encoder.encode(ROWS, batch_size=batch_size)
        assert features.dtype == np.float32
        np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)
    assert encoder.encode([]).shape == (0, 3)


def test_progress_goes_to_stderr(capsys):
    make().encode(ROWS, progress=True)
    captured = capsys.readouterr()
    assert "Encoding features: 100%" in captured.err
    assert captured.out == ""


def test_normalised_rows_have_unit_length_and_the_config_says_so():
    encoder = make(normalize=True)
    np.testing.assert_allclose(np.linalg.norm(encoder.encode(ROWS), axis=1), 1, rtol=1e-6)
    assert encoder.config["normalize"] is True
    assert make().config["normalize"] is False


def test_batches_are_cast_to_the_precision_of_the_module():
    encoder = make().to(torch.bfloat16)
    assert encoder(torch.ones(2, 4)).dtype == torch.bfloat16
    assert encoder.encode(ROWS).dtype == np.float32


def test_a_module_of_another_width_is_refused():
    with pytest.raises(ValueError, match=r"features of shape \(2, 3\), expected \(n, 5\)"):
        Encoder.from_module(torch.nn.Linear(4, 3), dim=5)(torch.ones(2, 4))
    with pytest.raises(ValueError, match=r"features of shape \(2, 4, 3\)"):
        Encoder.from_module(torch.nn.Linear(4, 3), dim=3)(torch.ones(2, 4, 4))


def test_wrong_arguments_are_refused():
    with pytest.raises(TypeError, match="got the single item 'a dog'"):
        make().encode("a dog")
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        make().encode(ROWS, batch_size=0)
    with pytest.raises(ValueError, match=r"kind must be one of image, .*, got 'film'"):
        Encoder.from_module(torch.nn.Identity(), torch.as_tensor, dim=3, kind="film")
    with pytest.raises(ValueError, match="dim must be at least 1"):
        Encoder.from_module(torch.nn.Identity(), dim=0)
    with pytest.raises(ValueError, match="encodes image needs its preprocess"):
        Encoder.from_module(torch.nn.Identity(), dim=3, kind="image")
    with pytest.raises(ValueError, match=r"tensors of different shapes: \(2,\), \(3,\)"):
        make().encode([np.ones(2), np.ones(3)])


def mean_colour(picture):
    assert isinstance(picture, Image.Image)
    return torch.from_numpy(np.asarray(picture, dtype=np.float32)).mean(dim=(0, 1))


def test_preprocessing_gets_pictures_from_paths(tmp_path):
    Image.new("RGB", (4, 5), (10, 20, 30)).save(tmp_path / "a.png")
    encoder = Encoder.from_module(torch.nn.Identity(), mean_colour, dim=3, kind="image")
    assert encoder.encode([tmp_path / "a.png", str(tmp_path / "a.png")]).tolist() == [[10, 20, 30]] * 2
    assert pickle.loads(pickle.dumps(encoder.collate))([tmp_path / "a.png"]).tolist() == [[10, 20, 30]]


def test_preprocessing_gets_sounds_and_points_as_arrays(tmp_path):
    np.ones((6, 4), dtype=np.float32).tofile(tmp_path / "a.bin")
    points = Encoder.from_module(torch.nn.Identity(), lambda cloud: cloud.sum(axis=0), dim=4, kind="points")
    assert points.encode([tmp_path / "a.bin"]).tolist() == [[6, 6, 6, 6]]
    sounds = Encoder.from_module(torch.nn.Identity(), lambda item: [float(item[1])], dim=1, kind="audio")
    assert sounds.encode([(np.ones(5), 8000)]).tolist() == [[8000]]
