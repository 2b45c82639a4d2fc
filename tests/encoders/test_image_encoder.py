"""Image features do not depend on the batch, and every pooling is the one it is called."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from canonsim.encoders import ImageEncoder


@pytest.mark.parametrize(
    ("name", "poolings"),
    [
        ("vit", ["cls", "mean", "pooler"]),
        ("dinov2", ["cls", "mean", "pooler"]),
        ("convnext", ["mean", "pooler"]),
        ("clip", ["cls", "mean", "pooler", "projection"]),
        ("siglip", ["mean", "pooler", "projection"]),
    ],
)
def test_features_do_not_depend_on_the_batch(model_folder, pictures, name, poolings):
    for pooling in poolings:
        encoder = ImageEncoder.from_pretrained(model_folder(name), pooling=pooling)
        together = encoder.encode(pictures)
        assert together.shape == (5, 6 if (name, pooling) == ("clip", "projection") else 8)
        np.testing.assert_allclose(together, np.vstack([encoder.encode([one]) for one in pictures]), atol=1e-5)


def test_cls_mean_and_pooler_are_those_of_the_model(model_folder, pictures):
    first_patch = {"vit": 1, "dinov2": 4}
    for name, first in first_patch.items():
        for pooling in ("cls", "mean", "pooler"):
            encoder = ImageEncoder.from_pretrained(model_folder(name), pooling=pooling)
            batch = encoder.collate(pictures)
            output = encoder.module(**batch)
            assert output.last_hidden_state.shape[1] == first + 4
            expected = {
                "cls": output.last_hidden_state[:, 0],
                "mean": output.last_hidden_state[:, first:].mean(1),
                "pooler": output.pooler_output,
            }
            torch.testing.assert_close(encoder(batch), expected[pooling])


def test_the_mean_of_a_convolutional_network_is_over_all_places(model_folder, pictures):
    encoder = ImageEncoder.from_pretrained(model_folder("convnext"), pooling="mean")
    batch = encoder.collate(pictures)
    torch.testing.assert_close(encoder(batch), encoder.module(**batch).last_hidden_state.mean((2, 3)))


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_projection_takes_both_shapes_of_answers(model_folder, pictures, monkeypatch, name):
    encoder = ImageEncoder.from_pretrained(model_folder(name), pooling="projection")
    expected = encoder.encode(pictures)
    answer = encoder.module.get_image_features

    def as_tensor(pixel_values=None):
        output = answer(pixel_values=pixel_values)
        return output if isinstance(output, torch.Tensor) else output.pooler_output

    class Output:
        def __init__(self, pooled):
            self.pooler_output = pooled

    for shape in (as_tensor, lambda pixel_values=None: Output(as_tensor(pixel_values))):
        monkeypatch.setattr(encoder.module, "get_image_features", shape)
        np.testing.assert_array_equal(encoder.encode(pictures), expected)


def test_files_and_arrays_are_the_same_and_the_collate_pickles(model_folder, pictures, tmp_path):
    Image.fromarray(pictures[0]).save(tmp_path / "a.png")
    encoder = ImageEncoder.from_pretrained(model_folder("vit"), normalize=True)
    features = encoder.encode([tmp_path / "a.png", str(tmp_path / "a.png"), pictures[0], Image.fromarray(pictures[0])])
    np.testing.assert_array_equal(features, np.repeat(features[:1], 4, axis=0))
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-6)
    torch.testing.assert_close(pickle.loads(pickle.dumps(encoder.collate))(pictures), encoder.collate(pictures))


def test_a_truncated_file_is_named(model_folder, pictures, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(pictures[0]).save(path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match=r"a.png"):
        ImageEncoder.from_pretrained(model_folder("vit")).encode([pictures[1], path])


def test_the_config_says_how_the_encoder_was_made(model_folder):
    assert ImageEncoder.from_pretrained(model_folder("vit")).config == {
        "class": "ImageEncoder",
        "name": str(model_folder("vit")),
        "revision": None,
        "pooling": "cls",
        "normalize": False,
    }


def test_models_that_do_not_fit_are_refused(model_folder):
    for name in ("convnext", "siglip"):
        with pytest.raises(ValueError, match="has no class token; choose another pooling"):
            ImageEncoder.from_pretrained(model_folder(name))
    with pytest.raises(ValueError, match="does not encode image with pooling='projection'"):
        ImageEncoder.from_pretrained(model_folder("vit"), pooling="projection")
    with pytest.raises(ValueError, match="pooling must be one of cls, mean, pooler, projection, got 'last'"):
        ImageEncoder.from_pretrained(model_folder("vit"), pooling="last")
