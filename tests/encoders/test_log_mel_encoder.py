"""The statistics of a log-mel spectrogram agree with a plain numpy computation in float64."""

import json
import math
import pickle

import numpy as np
import pytest
import soundfile
import torch

from canonsim.data import resample
from canonsim.encoders import LogMelEncoder, from_config

STATISTICS = ("mean", "std", "delta_mean", "delta_std")


def reference(samples, rate, n_mels, segments, mean_normalize=False):
    """(4, segments, n_mels) by loops, from the formulas of the docstring."""
    window, hop = round(0.025 * rate), round(0.01 * rate)
    width = 2 ** math.ceil(math.log2(window))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    starts = range(0, len(samples) - window + 1, hop)
    spectra = np.array([np.abs(np.fft.rfft(samples[s : s + window] * hann, width)) ** 2 for s in starts])

    edges = np.linspace(0, 2595 * np.log10(1 + rate / 2 / 700), n_mels + 2)
    edges = 700 * (10 ** (edges / 2595) - 1)
    frequencies = np.arange(width // 2 + 1) * rate / width
    bands = np.empty((len(spectra), n_mels))
    for band, (low, centre, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        triangle = np.interp(frequencies, [low, centre, high], [0.0, 1.0, 0.0])
        bands[:, band] = spectra @ triangle
    frames = np.log(np.maximum(bands, 1e-10))
    frames = np.maximum(frames, frames.max() - 8 * np.log(10))
    if mean_normalize:
        frames = frames - frames.mean(axis=0)

    count = len(frames)
    at = [frames[np.clip(np.arange(count) + shift, 0, count - 1)] for shift in (-2, -1, 1, 2)]
    deltas = (2 * (at[3] - at[0]) + at[2] - at[1]) / 10
    rows = np.empty((4, segments, n_mels))
    for segment in range(segments):
        part = slice(segment * count // segments, -(-(segment + 1) * count // segments))
        for row, values in ((0, frames), (2, deltas)):
            rows[row, segment] = values[part].mean(axis=0)
            rows[row + 1, segment] = values[part].std(axis=0)
    return rows


def sound(rate, seconds, seed=0):
    time = np.arange(round(rate * seconds)) / rate
    noise = np.random.default_rng(seed).normal(size=len(time))
    chirp = np.sin(2 * np.pi * (200 * time + 0.3 * rate * time**2 / seconds / 2))
    return (0.3 * chirp * (1 + np.sin(9 * time)) + 0.01 * noise).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 16000, 22050])
@pytest.mark.parametrize("segments", [1, 3, 8])
@pytest.mark.parametrize("mean_normalize", [False, True])
def test_statistics_are_those_of_the_formulas(rate, segments, mean_normalize):
    samples = sound(rate, 0.7)
    encoder = LogMelEncoder(rate, n_mels=20, segments=segments, mean_normalize=mean_normalize)
    found = encoder.encode([(samples, rate)]).reshape(4, segments, 20)
    np.testing.assert_allclose(
        found, reference(samples.astype(np.float64), rate, 20, segments, mean_normalize), rtol=1e-5, atol=2e-5
    )


def test_statistics_can_be_chosen():
    samples = sound(16000, 0.5)
    every = LogMelEncoder(segments=2).encode([(samples, 16000)]).reshape(4, 2, 40)
    for chosen in (("mean",), ("delta_std", "mean")):
        encoder = LogMelEncoder(segments=2, statistics=chosen)
        assert encoder.dim == len(chosen) * 80
        expected = every[[STATISTICS.index(name) for name in chosen]].ravel()
        np.testing.assert_array_equal(encoder.encode([(samples, 16000)])[0], expected)


def test_a_tone_is_in_its_band_and_at_its_time():
    rate = 16000
    time = np.arange(rate) / rate
    tones = np.where(time < 0.5, np.sin(2 * np.pi * 500 * time), np.sin(2 * np.pi * 3000 * time))
    means = LogMelEncoder(segments=4, statistics=("mean",)).encode([(tones, rate)]).reshape(4, 40)
    mel = 2595 * np.log10(1 + np.array([500, 3000]) / 700) / (2595 * np.log10(1 + 8000 / 700))
    expected = np.round(mel * 41 - 1)
    assert np.abs(means.argmax(axis=1) - expected[[0, 0, 1, 1]]).max() <= 1


def test_mean_normalisation_takes_out_level_and_a_filter_of_the_whole_clip():
    samples = sound(16000, 0.6)
    # A zero-phase equaliser that falls smoothly to a fifth at 8 kHz.
    coloured = np.fft.irfft(np.fft.rfft(samples) * np.geomspace(1, 0.2, len(samples) // 2 + 1), len(samples))
    plain, normalised = (
        LogMelEncoder(segments=4, statistics=("mean",), mean_normalize=on).encode(
            [(samples, 16000), (0.1 * samples, 16000), (coloured, 16000)]
        )
        for on in (False, True)
    )
    np.testing.assert_allclose(normalised[1], normalised[0], atol=1e-3)
    np.testing.assert_allclose(plain[1] - plain[0], 2 * np.log(0.1), atol=1e-3)
    assert np.abs(normalised[2] - normalised[0]).max() < 0.1 * np.abs(plain[2] - plain[0]).max()


def test_files_are_resampled_and_cut(tmp_path):
    samples = sound(44100, 0.5)
    soundfile.write(tmp_path / "a.wav", samples, 44100, subtype="FLOAT")
    encoder = LogMelEncoder(max_seconds=0.2)
    expected = encoder.encode([(resample(samples[:8820], 44100, 16000), 16000)])
    np.testing.assert_allclose(encoder.encode([tmp_path / "a.wav"]), expected, atol=1e-5)


@pytest.mark.parametrize(
    "samples",
    [np.zeros(4000), np.r_[np.zeros(2000), 1.0, np.zeros(2000)], np.ones(400), sound(16000, 0.026)],
    ids=["silence", "click", "constant", "one window"],
)
def test_any_clip_gives_finite_statistics(samples):
    for segments in (1, 7):
        features = LogMelEncoder(segments=segments).encode([(samples, 16000)])
        assert features.shape == (1, 160 * segments)
        assert np.isfinite(features).all()


def test_a_clip_cut_to_less_than_a_window_by_rounding_is_one_window():
    # 1102 samples at 44.1 kHz are 2499 at 100 kHz; a window has 2500.
    features = LogMelEncoder(100_000, max_seconds=0.025).encode([(sound(44100, 0.1), 44100)])
    assert np.isfinite(features).all()


def test_config_and_pickle():
    clips = [(sound(16000, 0.3, seed), 16000) for seed in range(3)]
    encoder = LogMelEncoder(8000, 24, 2, ("mean", "delta_std"), mean_normalize=True, max_seconds=1.5, normalize=True)
    assert (encoder.kind, encoder.dim) == ("audio", 96)
    again = from_config(json.loads(json.dumps(encoder.config)))
    assert again.config == encoder.config
    assert encoder.config["class"] == "LogMelEncoder"
    features = encoder.encode(clips)
    np.testing.assert_array_equal(again.encode(clips), features)
    np.testing.assert_array_equal(encoder.encode(clips[::-1], batch_size=1)[::-1], features)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
    torch.testing.assert_close(pickle.loads(pickle.dumps(encoder.collate))(clips), encoder.collate(clips))


def test_too_short_clips_are_named(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(160), 16000)
    with pytest.raises(ValueError, match=r"a.wav lasts 0.0100 s, less than 0.025 s"):
        LogMelEncoder().encode([tmp_path / "a.wav"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampling_rate": 10}, "sampling_rate must be at least 1000, got 10"),
        ({"n_mels": 0}, "n_mels must be at least 1, got 0"),
        ({"segments": 0}, "segments must be at least 1, got 0"),
        ({"statistics": ()}, "statistics must be some of mean, std"),
        ({"statistics": ("mean", "mean")}, r"each once, got \['mean', 'mean'\]"),
        ({"statistics": ("mean", "median")}, r"got \['mean', 'median'\]"),
        ({"n_mels": 200}, "n_mels=200 filters at 16000 Hz are narrower than a bin of 31.2 Hz"),
        ({"max_seconds": 0.01}, "max_seconds must be at least 0.025, got 0.01"),
        ({"max_seconds": float("nan")}, "max_seconds must be at least"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LogMelEncoder(**options)
