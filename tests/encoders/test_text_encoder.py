"""Text features do not depend on the batch, and every pooling is the one it is called."""

import json
import pickle

import numpy as np
import pytest
import torch

from canonsim.encoders import TextEncoder

TEXTS = ["a dog", "two red cars on the beach", "dog", "the beach a dog a dog"]


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5", "clip"])
@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_features_do_not_depend_on_the_batch(model_folder, name, pooling):
    encoder = TextEncoder.from_pretrained(model_folder(name), pooling=pooling)
    together = encoder.encode(TEXTS)
    assert together.shape == (4, encoder.dim)
    np.testing.assert_allclose(together, np.vstack([encoder.encode([text]) for text in TEXTS]), atol=1e-5)
    assert len(np.unique(together.round(4), axis=0)) == (1 if (name, pooling) == ("clip", "cls") else 4)


def test_mean_cls_and_pooler_are_those_of_the_model(model_folder):
    for pooling in ("mean", "cls", "pooler"):
        encoder = TextEncoder.from_pretrained(model_folder("bert"), pooling=pooling)
        batch = encoder.collate(["two red cars"])
        output = encoder.module(**batch)
        expected = {
            "mean": output.last_hidden_state.mean(1),
            "cls": output.last_hidden_state[:, 0],
            "pooler": output.pooler_output,
        }
        torch.testing.assert_close(encoder(batch), expected[pooling])


def test_projection_takes_both_shapes_of_answers(model_folder, monkeypatch):
    encoder = TextEncoder.from_pretrained(model_folder("clip"), pooling="projection")
    assert encoder.dim == 6
    expected = encoder.encode(TEXTS)
    answer = encoder.module.get_text_features

    def as_tensor(input_ids=None, attention_mask=None):
        output = answer(input_ids=input_ids, attention_mask=attention_mask)
        return output if isinstance(output, torch.Tensor) else output.pooler_output

    monkeypatch.setattr(encoder.module, "get_text_features", as_tensor)
    np.testing.assert_array_equal(encoder.encode(TEXTS), expected)


def test_siglip_gets_text_padded_to_full_length_and_no_mask(model_folder):
    encoder = TextEncoder.from_pretrained(model_folder("siglip"), pooling="projection")
    batch = encoder.collate(["a dog"])
    assert batch["input_ids"].shape == (1, 16)
    expected = encoder.module.get_text_features(input_ids=batch["input_ids"]).pooler_output
    torch.testing.assert_close(encoder(batch), expected)


def test_the_config_says_how_the_encoder_was_made(model_folder):
    encoder = TextEncoder.from_pretrained(model_folder("bert"), pooling="cls", normalize=True, max_length=5)
    assert json.loads(json.dumps(encoder.config)) == {
        "class": "TextEncoder",
        "name": str(model_folder("bert")),
        "revision": None,
        "pooling": "cls",
        "normalize": True,
        "max_length": 5,
    }
    assert encoder.collate(TEXTS)["input_ids"].shape == (4, 5)


def test_the_commit_that_was_loaded_is_recorded(model_folder, monkeypatch):
    from transformers import AutoModel

    load = AutoModel.from_pretrained

    def with_commit(*args, revision, **options):
        assert revision == "main"
        model, loading = load(*args, **options)
        model.config._commit_hash = "0123abc"
        return model, loading

    monkeypatch.setattr(AutoModel, "from_pretrained", with_commit)
    encoder = TextEncoder.from_pretrained(model_folder("bert"), revision="main")
    assert encoder.config["revision"] == "0123abc"


def test_weights_saved_in_half_precision_are_computed_in_f32(model_folder, tmp_path):
    from transformers import AutoModel, AutoTokenizer

    AutoModel.from_pretrained(model_folder("bert")).to(torch.float16).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(model_folder("bert")).save_pretrained(tmp_path)
    encoder = TextEncoder.from_pretrained(tmp_path)
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}


def test_the_collate_pickles_without_the_weights(model_folder):
    encoder = TextEncoder.from_pretrained(model_folder("bert"))
    collate = pickle.loads(pickle.dumps(encoder.collate))
    assert not any(isinstance(value, torch.nn.Module) for value in vars(collate).values())
    torch.testing.assert_close(collate(TEXTS), encoder.collate(TEXTS))


def test_a_pooler_without_trained_weights_is_refused(model_folder):
    with pytest.raises(ValueError, match="has no trained pooler"):
        TextEncoder.from_pretrained(model_folder("bert_without_pooler"), pooling="pooler")
    assert TextEncoder.from_pretrained(model_folder("bert_without_pooler")).dim == 8


def test_what_is_no_text_is_refused(model_folder):
    encoder = TextEncoder.from_pretrained(model_folder("bert"))
    with pytest.raises(TypeError, match="a text must be a str, got int: 7"):
        encoder.encode(["a dog", 7])
    with pytest.raises(ValueError, match="the text '' has no tokens"):
        TextEncoder.from_pretrained(model_folder("gpt2")).encode(["a dog", ""])


def test_models_that_do_not_fit_are_refused(model_folder, tmp_path):
    with pytest.raises(ValueError, match=r"pooling must be one of mean, .*, got 'max'"):
        TextEncoder.from_pretrained(model_folder("bert"), pooling="max")
    with pytest.raises(ValueError, match=r"\(BertModel\) does not encode text with pooling='projection'"):
        TextEncoder.from_pretrained(model_folder("bert"), pooling="projection")
    with pytest.raises(ValueError, match=r"\(GPT2Model\) does not encode text with pooling='pooler'.*no pooler output"):
        TextEncoder.from_pretrained(model_folder("gpt2"), pooling="pooler")
    with pytest.raises((ValueError, FileNotFoundError), match=r"cannot load .*vit|does not encode text"):
        TextEncoder.from_pretrained(model_folder("vit"))
    with pytest.raises(FileNotFoundError, match="gone: no such folder"):
        TextEncoder.from_pretrained(tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match="cannot load 'nobody/nothing'"):
        TextEncoder.from_pretrained("nobody/nothing")
    with pytest.raises(ValueError, match="cannot load"):
        TextEncoder.from_pretrained(tmp_path)


def test_code_beside_the_weights_is_never_run(model_folder, tmp_path):
    ran = tmp_path / "ran"
    (tmp_path / "configuration_custom.py").write_text(f"open({str(ran)!r}, 'w')")
    config = {"model_type": "custom", "auto_map": {"AutoConfig": "configuration_custom.CustomConfig"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="cannot load"):
        TextEncoder.from_pretrained(tmp_path)
    assert not ran.exists()
