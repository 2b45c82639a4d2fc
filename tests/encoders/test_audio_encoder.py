"""Audio features depend neither on the batch nor on padding, at any sampling rate."""

import pickle

import numpy as np
import pytest
import soundfile
import torch

from canonsim.data import resample
from canonsim.encoders import AudioEncoder


@pytest.mark.parametrize("name", ["wav2vec2", "wav2vec2_without_mask", "whisper", "spectrogram"])
def test_features_do_not_depend_on_the_batch(model_folder, clips, name):
    encoder = AudioEncoder.from_pretrained(model_folder(name))
    together = encoder.encode(clips)
    assert together.shape == (5, 8)
    np.testing.assert_allclose(together, np.vstack([encoder.encode([clip]) for clip in clips]), atol=1e-5)
    np.testing.assert_allclose(encoder.encode(clips[::-1], batch_size=2)[::-1], together, atol=1e-5)


@pytest.mark.parametrize("name", ["wav2vec2", "wav2vec2_without_mask"])
def test_the_mean_is_over_the_frames_of_the_clip_alone(model_folder, clips, name):
    encoder = AudioEncoder.from_pretrained(model_folder(name))
    for clip, features in zip(clips, encoder.encode(clips), strict=True):
        scaled = (clip[0] - clip[0].mean()) / np.sqrt(clip[0].var() + 1e-7)
        hidden = encoder.module(torch.from_numpy(scaled)[None]).last_hidden_state
        np.testing.assert_allclose(features, hidden.mean(1)[0], atol=1e-4)


def test_whisper_averages_the_frames_that_hold_sound(model_folder, clips):
    encoder = AudioEncoder.from_pretrained(model_folder("whisper"))
    batch = encoder.collate([clips[0]])
    assert batch["input_features"].shape == (1, 8, 100)
    hidden = encoder.module(batch["input_features"]).last_hidden_state
    assert hidden.shape == (1, 50, 8)
    torch.testing.assert_close(encoder(batch), hidden[:, :13].mean(1))


def test_pooler_is_that_of_the_model(model_folder, clips):
    encoder = AudioEncoder.from_pretrained(model_folder("spectrogram"), pooling="pooler")
    batch = encoder.collate(clips)
    torch.testing.assert_close(encoder(batch), encoder.module(**batch).pooler_output)


def test_files_are_resampled_and_cut(model_folder, clips, tmp_path):
    waveform = clips[-1][0]
    soundfile.write(tmp_path / "a.wav", waveform, 44100, subtype="FLOAT")
    encoder = AudioEncoder.from_pretrained(model_folder("wav2vec2"), max_seconds=0.1)
    expected = resample(waveform[:4410], 44100, 16000)
    np.testing.assert_allclose(encoder.encode([tmp_path / "a.wav"]), encoder.encode([(expected, 16000)]), atol=1e-5)
    assert encoder.config["max_seconds"] == 0.1


def test_the_collate_pickles(model_folder, clips):
    encoder = AudioEncoder.from_pretrained(model_folder("wav2vec2"))
    torch.testing.assert_close(pickle.loads(pickle.dumps(encoder.collate))(clips), encoder.collate(clips))


def test_damaged_and_too_short_clips_are_named(model_folder, clips, tmp_path):
    encoder = AudioEncoder.from_pretrained(model_folder("wav2vec2"))
    path = tmp_path / "a.wav"
    soundfile.write(path, clips[0][0], 16000)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"a.wav is truncated"):
        encoder.encode([path])
    soundfile.write(path, clips[0][0][:160], 16000)
    with pytest.raises(ValueError, match=r"a.wav lasts 0.0100 s, less than 0.025 s"):
        encoder.encode([path])


def test_models_that_do_not_fit_are_refused(model_folder):
    with pytest.raises(ValueError, match=r"does not encode audio with pooling='pooler'.*no pooler output"):
        AudioEncoder.from_pretrained(model_folder("wav2vec2"), pooling="pooler")
    with pytest.raises(ValueError, match="pooling must be one of mean, pooler, got 'cls'"):
        AudioEncoder.from_pretrained(model_folder("wav2vec2"), pooling="cls")
    with pytest.raises(ValueError, match="max_seconds must be at least"):
        AudioEncoder.from_pretrained(model_folder("wav2vec2"), max_seconds=0.0)
