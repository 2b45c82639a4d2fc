"""CLIP and SigLIP as baselines: what transformers itself computes, in the face of the other methods."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from canonsim import metrics
from canonsim.baselines import Baseline, ClipBaseline
from canonsim.encoders import ImageEncoder, TextEncoder
from tiny_models import MODELS

TEXTS = ["a dog", "two red cars on the beach", "dog", "the beach a dog a dog", "red cars"]


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (20, 30, 3), dtype=np.uint8) for _ in range(5)]


@pytest.fixture(scope="module", params=["clip", "siglip"])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def folder(tmp_path_factory, name):
    """A tiny model whose logits have a scale, and a bias where the kind has one."""
    folder = tmp_path_factory.mktemp(name)
    torch.manual_seed(0)
    model, *processors = MODELS[name]()
    with torch.no_grad():
        model.logit_scale.fill_(1.5)
        if name == "siglip":
            model.logit_bias.fill_(-2.0)
    for part in (model, *processors):
        part.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip(folder):
    return ClipBaseline.from_pretrained(folder, batch_size=2)


@pytest.fixture(scope="module")
def logits(folder, name, pictures):
    """What transformers says, (5 pictures, 5 texts)."""
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    padding = "max_length" if name == "siglip" else "longest"
    texts = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=padding, return_tensors="pt")
    # SigLIP was trained on padded texts without a mask.
    for other in ("token_type_ids", *(["attention_mask"] if name == "siglip" else [])):
        texts.pop(other, None)
    images = AutoImageProcessor.from_pretrained(folder)([Image.fromarray(one) for one in pictures], return_tensors="pt")
    with torch.no_grad():
        return AutoModel.from_pretrained(folder)(**texts, **images).logits_per_image.numpy()


def test_scores_are_the_logits_of_the_model_up_to_scale_and_bias(clip, name, pictures, logits):
    assert isinstance(clip, Baseline)
    assert clip.logit_scale == pytest.approx(np.exp(1.5))
    assert clip.logit_bias == (-2.0 if name == "siglip" else 0.0)
    scores = clip.fit(pictures, TEXTS).score(pictures, TEXTS)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(clip.logit_scale * scores + clip.logit_bias, logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(clip.score_pairwise(pictures, TEXTS), np.diag(scores), atol=1e-12)
    np.testing.assert_array_equal(clip.similarity(pictures, TEXTS), scores)
    np.testing.assert_array_equal(clip.similarity_pairwise(pictures, TEXTS), clip.score_pairwise(pictures, TEXTS))


def test_vectors_stand_for_what_they_were_made_of(clip, pictures):
    x, y = clip.embed_x(pictures), clip.embed_y(TEXTS)
    assert x.shape == y.shape == (5, clip.dim)
    for side in (x, y):
        np.testing.assert_allclose(np.linalg.norm(side, axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(clip.score(x, y), clip.score(pictures, TEXTS), atol=1e-12)
    np.testing.assert_allclose(clip.embed_y(3 * y.astype(np.float32)), y, atol=1e-6)


def test_the_evaluation_of_the_other_methods_takes_it(clip, pictures, logits):
    x, y = clip.embed_x(pictures), clip.embed_y(TEXTS)
    found = metrics.retrieval_summary(clip.score, x, y, ks=(1,), block=2)
    assert found["x_to_y"]["R@1"] == metrics.retrieval_recall(logits, 1)
    assert found["y_to_x"]["R@1"] == metrics.retrieval_recall(logits.T, 1)
    assert 0 <= metrics.mismatch_auc(clip.score_pairwise, x, y) <= 1
    ids = [0, 0, 1, 1, 2]
    many = metrics.many_to_many_summary(clip.score, x[:3], y, range(3), ids)
    assert many["x_to_y"]["mAP"] == pytest.approx(metrics.mean_average_precision(logits[:3], range(3), ids))


def test_classes_are_means_of_their_prompts(clip, pictures):
    classes = clip.embed_classes([TEXTS[:1], TEXTS[1:4], TEXTS[4:]])
    y = clip.embed_y(TEXTS)
    means = np.array([y[0], y[1:4].mean(axis=0), y[4]])
    np.testing.assert_allclose(classes, means / np.linalg.norm(means, axis=1, keepdims=True), atol=1e-12)
    best = clip.score(pictures, classes).argmax(axis=1)
    np.testing.assert_array_equal(best, (clip.embed_x(pictures) @ classes.T).argmax(axis=1))


def test_batches_and_files_do_not_change_vectors(clip, pictures, tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for path, picture in zip(paths, pictures, strict=True):
        Image.fromarray(picture).save(path)
    single = np.vstack([clip.embed_x([picture]) for picture in pictures])
    np.testing.assert_allclose(clip.embed_x(paths), single, atol=1e-5)
    np.testing.assert_allclose(clip.embed_y(np.array(TEXTS)), np.vstack([clip.embed_y([t]) for t in TEXTS]), atol=1e-5)


def test_the_model_is_frozen_and_held_once(clip):
    assert clip.x_encoder.module is clip.y_encoder.module
    assert not any(parameter.requires_grad for parameter in clip.x_encoder.parameters())
    assert not clip.x_encoder.module.training
    assert clip.x_encoder.config["pooling"] == clip.y_encoder.config["pooling"] == "projection"


def test_bad_input_is_named(clip, pictures):
    with pytest.raises(ValueError, match=rf"\(n, {clip.dim}\), got \(4, 3\)"):
        clip.embed_y(np.ones((4, 3)))
    with pytest.raises(ValueError, match="row 1 contains NaN"):
        clip.embed_x(np.array([[0.0] * clip.dim, [np.nan] * clip.dim]))
    with pytest.raises(TypeError, match="the single item 'a dog'"):
        clip.embed_y("a dog")
    with pytest.raises(TypeError, match="a text must be a str"):
        clip.embed_y(pictures)
    with pytest.raises(ValueError, match="got 5 and 4"):
        clip.score_pairwise(pictures, TEXTS[:4])
    with pytest.raises(TypeError, match="the single text 'a dog'"):
        clip.embed_classes(TEXTS)
    for empty in ([], [[], ["a dog"]]):
        with pytest.raises(ValueError, match="at least one class, and one text of each"):
            clip.embed_classes(empty)
    with pytest.raises(ValueError, match="expected rows"):
        clip.embed_y([])


def test_models_that_do_not_fit_are_refused(model_folder, tmp_path):
    with pytest.raises(ValueError, match="does not encode image with pooling='projection'"):
        ClipBaseline.from_pretrained(model_folder("vit"))
    with pytest.raises(FileNotFoundError):
        ClipBaseline.from_pretrained(tmp_path / "none")
    folder = model_folder("clip")
    x, y = (kind.from_pretrained(folder, pooling="projection") for kind in (ImageEncoder, TextEncoder))
    with pytest.raises(ValueError, match="pooling='projection', got 'mean'"):
        ClipBaseline(x, TextEncoder.from_pretrained(folder, pooling="mean"))
    with pytest.raises(ValueError, match="same width, got 6 and 8"):
        ClipBaseline(x, TextEncoder.from_pretrained(model_folder("siglip"), pooling="projection"))
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        ClipBaseline(x, y, batch_size=0)
    x.module.logit_scale = None
    with pytest.raises(ValueError, match="CLIPModel has no logit_scale"):
        ClipBaseline(x, y)
