"""The commands on pictures, scans and texts, encoded by tiny random models."""

import json

import numpy as np
import pytest
from PIL import Image

import canonsim
from canonsim.cli import main

COLOURS = {"red": (200, 30, 30), "dog": (90, 60, 30), "beach": (230, 210, 150), "cars": (40, 40, 90)}


@pytest.fixture
def table(tmp_path):
    """60 pictures of one colour and noise, with the word for it."""
    rng = np.random.default_rng(0)
    lines = ["file,caption"]
    (tmp_path / "pictures").mkdir()
    for i in range(60):
        word = list(COLOURS)[i % 4]
        pixels = np.clip(np.array(COLOURS[word]) + rng.normal(0, 20, (16, 16, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{i:02}.png")
        lines.append(f"pictures/{i:02}.png,a {word}")
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def fit(table, model_folder):
    """Arguments of a fit, and the folder of its model."""
    encoders = ["--x-encoder", str(model_folder("vit")), "--y-encoder", str(model_folder("bert"))]
    model = table.parent / "model"
    return ["fit", str(table), "--x", "image:file", "--y", "text:caption", *encoders, "-o", str(model)], model


def test_fit_evaluate_search(fit, table, capsys):
    arguments, model = fit
    assert main([*arguments, "--workers", "1"]) == 0
    assert "60 pairs" in capsys.readouterr().out
    space = canonsim.CanonicalSpace.from_pretrained(model)
    assert space.metadata["x_encoder"]["class"] == "ImageEncoder"
    assert space.metadata["data"] == ["table.csv"]
    assert space.held_out_correlations[0] > 0.5

    assert main(["evaluate", str(model), str(table), "--x", "image:file", "--y", "text:caption", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pairs"] == 60

    assert main(["search", str(model), str(table.parent / "pictures"), "a beach", "a red", "-k", "3"]) == 0
    printed = capsys.readouterr().out.split("\na red\n")
    found = [
        [int(line.split()[1].removesuffix(".png")) for line in part.splitlines() if ".png" in line] for part in printed
    ]
    assert [len(files) for files in found] == [3, 3]
    words = [[list(COLOURS)[i % 4] for i in files] for files in found]
    assert words == [["beach"] * 3, ["red"] * 3]


def test_a_folder_of_scans(tmp_path, model_folder, capsys):
    rng = np.random.default_rng(0)
    for name in ("velodyne", "image_2"):
        (tmp_path / name).mkdir()
    for i in range(30):
        near = i % 2
        points = rng.normal(0, 1 + 10 * near, (200, 4)).astype(np.float32)
        points.tofile(tmp_path / "velodyne" / f"{i:06}.bin")
        Image.fromarray(rng.integers(0, 100 + 100 * near, (16, 16, 3), dtype=np.uint8)).save(
            tmp_path / "image_2" / f"{i:06}.png"
        )
    model = tmp_path / "model"
    assert main(["fit", str(tmp_path), "--y-encoder", str(model_folder("vit")), "-o", str(model)]) == 0
    assert "30 pairs" in capsys.readouterr().out
    assert canonsim.CanonicalSpace.from_pretrained(model).metadata["x_encoder"]["class"] == "PointCloudEncoder"
    assert main(["search", str(model), str(tmp_path), "a dog"]) == 2
    assert "no text side" in capsys.readouterr().err


def _cut_in_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "pictures" / "07.png").unlink(), "07.png"),
        (lambda folder: (folder / "pictures" / "07.png").write_text("no picture"), "row 7"),
        (lambda folder: _cut_in_half(folder / "pictures" / "07.png"), "row 7"),
        (lambda folder: (folder / "table.csv").write_text("name,caption\na,b\n"), "'file'"),
        (lambda folder: (folder / "table.csv").write_text("file,caption\n"), "no rows"),
    ],
    ids=["missing", "foreign", "truncated", "no column", "no rows"],
)
def test_bad_rows_are_named(spoil, message, fit, table, capsys):
    arguments, model = fit
    spoil(table.parent)
    assert main(arguments) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert not model.exists()


def test_a_missing_gallery(fit, tmp_path, capsys):
    arguments, model = fit
    assert main(arguments) == 0
    assert main(["search", str(model), str(tmp_path / "nowhere"), "a dog"]) == 2
    assert "no such folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["search", str(model), str(tmp_path / "empty"), "a dog"]) == 2
    assert "holds no image files" in capsys.readouterr().err
