"""A config makes the same encoder again; what no config can hold is said."""

import json

import numpy as np
import pytest
import torch

from canonsim.encoders import AudioEncoder, Encoder, ImageEncoder, PointCloudEncoder, TextEncoder, from_config


def test_pretrained_encoders_are_made_again(model_folder, pictures, clips, monkeypatch, tmp_path):
    folder = model_folder("bert")
    monkeypatch.chdir(folder.parent)
    made = [
        (
            TextEncoder.from_pretrained(folder.name, pooling="last", normalize=True, max_length=4),
            ["a dog", "two red cars"],
        ),
        (ImageEncoder.from_pretrained(model_folder("clip"), pooling="projection"), pictures),
        (AudioEncoder.from_pretrained(model_folder("wav2vec2"), max_seconds=0.2), clips),
        (PointCloudEncoder(max_range=20.0, normalize=True), [np.ones((5, 3))]),
    ]
    monkeypatch.chdir(tmp_path)
    for encoder, items in made:
        again = from_config(json.loads(json.dumps(encoder.config)))
        assert type(again) is type(encoder)
        assert again.config == encoder.config
        np.testing.assert_array_equal(again.encode(items), encoder.encode(items))


def test_an_encoder_of_a_module_must_be_made_again_by_hand():
    config = Encoder.from_module(torch.nn.Linear(3, 2), dim=2).config
    with pytest.raises(ValueError, match=r"made of 'torch.nn.modules.linear.Linear', which a config cannot hold"):
        from_config(config)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "no encoder has the class None"),
        ({"class": "os.system"}, "no encoder has the class 'os.system'; there are AudioEncoder"),
        ({"class": ["TextEncoder"]}, "no encoder has the class"),
        ({"class": "TextEncoder"}, "no config of a TextEncoder: missing a required argument: 'name'"),
        ({"class": "PointCloudEncoder", "rings": 8}, "no config of a PointCloudEncoder: .*'rings'"),
    ],
)
def test_foreign_configs_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        from_config(config)
