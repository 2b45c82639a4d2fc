"""`canonsim check` on pairs some of which are known to be wrong."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

import canonsim
from canonsim.cli import main
from synthetic import related

WRONG = 150


def run(*arguments):
    return main([str(argument) for argument in arguments])


@pytest.fixture
def shuffled(tmp_path):
    """1500 pairs; y of a random tenth of them moved to another pair of that tenth."""
    x, y = related(n=2500, noise=0.3)
    rows = np.random.default_rng(1).permutation(1500)[:WRONG]
    moments = canonsim.PairedMoments(12, 8)
    moments.update(x[1500:], y[1500:])
    canonsim.fit(moments).save_pretrained(tmp_path / "model")
    y[rows] = y[np.roll(rows, 1)]
    np.save(tmp_path / "x.npy", x[:1500].astype(np.float32))
    np.save(tmp_path / "y.npy", y[:1500].astype(np.float32))
    return tmp_path, set(rows.tolist())


@pytest.mark.parametrize("model", [False, True], ids=["by each other", "by a model"])
def test_shuffled_pairs_come_first(model, shuffled, capsys):
    folder, wrong = shuffled
    arguments = ["check", folder / "x.npy", folder / "y.npy", *(["--model", folder / "model"] if model else [])]
    assert run(*arguments, "-k", WRONG, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    rows = [pair["row"] for pair in found["most_suspicious"]]
    assert len(wrong & set(rows[:50])) >= 49
    assert len(wrong & set(rows)) > 0.9 * WRONG
    odds = [pair["log_odds"] for pair in found["most_suspicious"]]
    assert odds == sorted(odds)
    assert found["pairs"] == 1500
    low, high = found["noise_rate_interval"]
    assert low < 0.1 < high
    assert low < found["noise_rate"] < high


def test_the_flagged_are_as_precise_as_wanted(shuffled, capsys):
    folder, wrong = shuffled
    table = folder / "all.csv"
    flagged = []
    for precision in (0.7, 0.95):
        arguments = ["check", folder / "x.npy", folder / "y.npy", "-o", table, "--json", "--precision", precision]
        assert run(*arguments) == 0
        found = json.loads(capsys.readouterr().out)
        rows = [row for row, odds, _ in read(table) if odds < found["threshold"]]
        assert abs(len(rows) - found["flagged"]) <= 1  # the file holds 6 digits
        assert len(wrong & set(rows)) / len(rows) == pytest.approx(precision, abs=0.06)
        assert found["flagged_wrong"] / found["flagged"] >= precision
        flagged.append(found["flagged"])
    assert flagged[0] > flagged[1]


def read(table):
    with table.open(newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["row", "log_odds", "probability"]
    return [(int(row), float(odds), float(probability)) for row, odds, probability in lines]


def test_the_file_holds_all_pairs_in_their_order(shuffled, capsys):
    folder, wrong = shuffled
    table = folder / "all.csv"
    table.write_text("old")
    assert run("check", folder / "x.npy", folder / "y.npy", "-o", table, "-k", "1") == 0
    assert str(table) in capsys.readouterr().out
    rows, odds, probabilities = map(np.array, zip(*read(table), strict=True))
    np.testing.assert_array_equal(rows, np.arange(1500))
    detector = canonsim.tasks.MismatchDetector().fit(np.load(folder / "x.npy"), np.load(folder / "y.npy"))
    np.testing.assert_allclose(odds, detector.scores_, rtol=1e-5, atol=1e-9)
    assert 1 - probabilities.mean() == pytest.approx(detector.noise_rate_, abs=0.01)
    assert probabilities[sorted(wrong)].mean() < 0.3
    assert [path.name for path in folder.glob(".all*")] == []


def test_pairs_without_a_relation_are_not_judged(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for side in "xy":
        np.save(tmp_path / f"{side}.npy", rng.standard_normal((300, 4)))
    assert run("check", tmp_path / "x.npy", tmp_path / "y.npy", "-o", tmp_path / "all.csv") == 0
    printed = capsys.readouterr().out
    assert "show nothing of each other" in printed
    assert "P(true)" not in printed


def test_a_table_shows_files_and_texts(tmp_path, model_folder, capsys):
    colours = {"red": (200, 30, 30), "beach": (230, 210, 150), "cars": (40, 40, 90)}
    rng = np.random.default_rng(0)
    lines = ["file,caption"]
    for i in range(60):
        word = list(colours)[i % 3]
        pixels = np.clip(np.array(colours[word]) + rng.normal(0, 20, (16, 16, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i:02}.png")
        # Two captions of each picture; the second of 05.png is wrong.
        lines += [f"{i:02}.png,a {word}", f"{i:02}.png,the {'red' if i == 5 else word}"]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    table = [tmp_path / "table.csv", "--x", "image:file", "--y", "text:caption"]
    encoders = ["--x-encoder", model_folder("vit"), "--y-encoder", model_folder("bert")]
    assert run("check", *table, *encoders, "-k", "2") == 0
    printed = capsys.readouterr().out
    assert "120 pairs" in printed
    assert "05.png  the red" in printed
    assert str(tmp_path) not in printed

    assert run("fit", *table, *encoders, "-o", tmp_path / "model") == 0
    capsys.readouterr()
    assert run("check", *table, "--model", tmp_path / "model", "-k", "1", "--json") == 0
    first = json.loads(capsys.readouterr().out)["most_suspicious"][0]
    assert (first["row"], first["x"], first["y"]) == (11, "05.png", "the red")
    assert run("check", *table, *encoders, "--model", tmp_path / "model") == 2
    assert "says which encoders" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.npy", "y.npy"], "no such file"),
        (["x.npy"], "DATA is"),
        (["x.npy", "y.npy", "--model", "none"], "no canonical space"),
        (["x.npy", "y.npy", "-k", "0"], "-k must be at least 1, got 0"),
        (["x.npy", "y.npy", "--precision", "1.5"], "--precision must lie above 0 and be at most 1, got 1.5"),
        (["x.npy", "y.npy", "-o", "none/all.csv"], "-o"),
        (["x.npy", "y.npy", "--x-encoder", "eyes"], "ready features"),
        (["bad.npy", "y.npy"], "row 3"),
        (["y.npy", "x.npy", "--model", "model"], "x has 8 columns, expected 12"),
    ],
)
def test_bad_input_is_one_line_and_code_2(arguments, message, shuffled, monkeypatch, capsys):
    folder, _ = shuffled
    monkeypatch.chdir(folder)
    bad = np.load("x.npy")
    bad[3, 0] = np.nan
    np.save("bad.npy", bad)
    assert run("check", *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    line = captured.err.strip().splitlines()[-1]
    assert line.startswith("canonsim check: ")
    assert message in line
