"""Sound comes as one channel at the rate asked for; a damaged file is refused by name."""

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from canonsim.data import read_audio, resample


def tone(rate, hertz=440.0, seconds=0.5):
    return np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate).astype(np.float32) * 0.5


def test_channels_are_averaged(tmp_path):
    left = tone(8000)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, np.zeros_like(left)], axis=1), 8000, subtype="FLOAT")
    waveform, rate = read_audio(tmp_path / "stereo.wav")
    assert rate == 8000
    np.testing.assert_allclose(waveform, left / 2, atol=1e-7)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff"])
def test_formats_are_read_whole(tmp_path, suffix):
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, tone(16000), 16000)
    waveform, rate = read_audio(path)
    assert (rate, waveform.dtype) == (16000, np.float32)
    assert abs(len(waveform) - 8000) < 1200


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused_by_name(tmp_path, suffix, share):
    path = tmp_path / f"noise.{suffix}"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 64_000).astype(np.float32), 16000)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=rf"noise.{suffix}"):
        read_audio(path)


def test_a_stream_of_unknown_length_is_read(tmp_path):
    path = tmp_path / "stream.wav"
    soundfile.write(path, tone(8000), 8000)
    content = bytearray(path.read_bytes())
    content[4:8] = b"\xff" * 4
    path.write_bytes(content)
    assert len(read_audio(path)[0]) == 4000


def test_what_is_no_sound_is_refused(tmp_path):
    (tmp_path / "text.wav").write_text("no sound at all")
    with pytest.raises(ValueError, match=r"text.wav \(15 bytes\) is no readable sound file"):
        read_audio(tmp_path / "text.wav")
    with pytest.raises(FileNotFoundError, match=r"gone.wav: no such sound file"):
        read_audio(tmp_path / "gone.wav")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, dtype=np.float32), 8000)
    with pytest.raises(ValueError, match=r"empty.wav holds no samples"):
        read_audio(tmp_path / "empty.wav")
    broken = tone(8000)
    broken[7] = np.nan
    soundfile.write(tmp_path / "nan.wav", broken, 8000, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"nan.wav: sample 7 is NaN or infinite"):
        read_audio(tmp_path / "nan.wav")
    with pytest.raises(TypeError, match="got int"):
        read_audio(7)
    with pytest.raises(ValueError, match=r"shape \(2, 5\)"):
        read_audio((np.zeros((2, 5)), 8000))


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 44101, 48000])
def test_a_tone_stays_the_same_tone(rate):
    resampled = resample(tone(rate), rate, 16000)
    assert len(resampled) == -(-len(tone(rate)) * 16000 // rate)
    expected = 0.5 * np.sin(2 * np.pi * 440.0 * np.arange(len(resampled)) / 16000)
    np.testing.assert_allclose(resampled[400:-400], expected[400:-400], atol=1e-3)


def test_what_the_new_rate_cannot_hold_is_filtered_out():
    assert np.abs(resample(tone(48000, hertz=11_000.0), 48000, 16000)[400:-400]).max() < 1e-3


def test_long_sounds_are_resampled_in_blocks_without_seams():
    seconds = 10.0
    resampled = resample(tone(44100, seconds=seconds), 44100, 16000)
    expected = 0.5 * np.sin(2 * np.pi * 440.0 * np.arange(len(resampled)) / 16000)
    np.testing.assert_allclose(resampled[400:-400], expected[400:-400], atol=1e-3)


@settings(deadline=None)
@given(length=st.integers(1, 200), rate=st.integers(1, 60), target=st.integers(1, 60))
def test_any_two_rates_give_the_right_length(length, rate, target):
    resampled = resample(np.ones(length, dtype=np.float32), rate, target)
    assert len(resampled) == -(-length * target // rate)
    assert np.isfinite(resampled).all()


def test_rates_must_be_positive():
    with pytest.raises(ValueError, match="rates must be positive, got 0 and 16000"):
        resample(tone(8000), 0, 16000)
