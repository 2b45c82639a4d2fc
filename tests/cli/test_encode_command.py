"""`canonsim encode` on pictures with several captions, by tiny random models; killed, resumed, fitted."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import canonsim
import processes
from canonsim.cli import main
from canonsim.encoders import Encoder, ImageEncoder, TextEncoder

COLOURS = {"red": (200, 30, 30), "dog": (90, 60, 30), "beach": (230, 210, 150), "cars": (40, 40, 90)}


@pytest.fixture
def table(tmp_path):
    """30 pictures of one colour and noise, each with two captions."""
    rng = np.random.default_rng(0)
    lines = ["file,caption"]
    for i in range(30):
        word = list(COLOURS)[i % 4]
        pixels = np.clip(np.array(COLOURS[word]) + rng.normal(0, 20, (16, 16, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i:02}.png")
        lines += [f"{i:02}.png,a {word}", f"{i:02}.png,the {word}"]
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def encode(table, model_folder):
    """Arguments of the command, and the folder that it writes."""
    encoders = ["--x-encoder", str(model_folder("vit")), "--y-encoder", str(model_folder("bert"))]
    folder = table.parent / "features"
    return ["encode", str(table), "--x", "image:file", "--y", "text:caption", *encoders, "-o", str(folder)], folder


@pytest.fixture
def calls(monkeypatch):
    """How many rows were encoded, by kind."""
    rows, encode_batch = {}, Encoder.encode_batch

    def counted(self, batch):
        features = encode_batch(self, batch)
        rows[self.kind] = rows.get(self.kind, 0) + len(features)
        return features

    monkeypatch.setattr(Encoder, "encode_batch", counted)
    return rows


def test_encode_then_fit(encode, table, calls, model_folder, capsys):
    arguments, folder = encode
    assert main([*arguments, "--batch-size", "16"]) == 0
    assert "60 rows of 8, of 30 different items" in capsys.readouterr().out
    # Of eight different captions.
    assert calls == {"image": 30, "text": 8}
    x, y = (np.load(folder / f"{side}.npy", mmap_mode="r") for side in "xy")
    assert (x.dtype, y.dtype) == (np.float32, np.float32)
    pairs = canonsim.data.TablePairs(table, x="image:file", y="text:caption")
    for side, features, encoder in (
        ("x", x, ImageEncoder.from_pretrained(model_folder("vit"))),
        ("y", y, TextEncoder.from_pretrained(model_folder("bert"))),
    ):
        np.testing.assert_allclose(features, encoder.encode([pair[side] for pair in pairs]), atol=1e-5)
        assert json.loads((folder / "features.json").read_text())[f"{side}_encoder"] == encoder.config
    described = json.loads((folder / "features.json").read_text())
    assert (described["data"], described["rows"]) == (["table.csv"], 60)

    assert main(["fit", str(folder / "x.npy"), str(folder / "y.npy"), "-o", str(folder / "model")]) == 0
    assert canonsim.CanonicalSpace.from_pretrained(folder / "model").held_out_correlations[0] > 0.5

    calls.clear()
    written = (folder / "x.npy").read_bytes()
    assert main([*arguments, "--workers", "1"]) == 0
    assert calls == {}
    assert (folder / "x.npy").read_bytes() == written


def test_a_limit_takes_the_first_pairs(encode, calls):
    arguments, folder = encode
    assert main([*arguments, "--limit", "5"]) == 0
    assert calls == {"image": 3, "text": 5}
    x = np.load(folder / "x.npy")
    assert x.shape == (5, 8)
    np.testing.assert_array_equal(x[0], x[1])
    assert main([*arguments, "--limit", "500"]) == 0
    assert len(np.load(folder / "y.npy")) == 60


def killed(arguments, renames):
    """Run the command until it is about to rename a file for the nth time."""
    left, replace = iter(range(renames)), Path.replace

    def counted(self, target):
        if next(left, None) is None:
            processes.kill_myself()
        return replace(self, target)

    Path.replace = counted
    main(arguments)


# For each side the description of the encoder, one block and the finished file; then x.npy, y.npy and features.json.
@pytest.mark.parametrize(
    ("renames", "again"), [(1, {"image": 30, "text": 8}), (2, {"text": 8}), (4, {"text": 8}), (5, {}), (7, {})]
)
def test_the_same_command_goes_on_after_a_kill(renames, again, encode, calls):
    arguments, folder = encode
    process = processes.start(killed, arguments, renames)
    assert processes.exit_codes(process) == [-9]
    assert not (folder / "features.json").exists()
    assert main(arguments) == 0
    assert calls == again
    uninterrupted = folder.with_name("uninterrupted")
    assert main([*arguments[:-1], str(uninterrupted)]) == 0
    for name in ("x.npy", "y.npy", "features.json"):
        assert (folder / name).read_bytes() == (uninterrupted / name).read_bytes()
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_an_unreadable_picture_is_named_by_its_row_in_the_table(encode, table, capsys):
    arguments, folder = encode
    (table.parent / "07.png").write_text("no picture")
    assert main(arguments) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("canonsim encode: row 14: ")
    assert "07.png (10 bytes) is no picture" in line
    assert not (folder / "x.npy").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{}/x.npy", "{}/x.npy"], "are features already: canonsim fit takes them"),
        (["{}/table.csv"], "needs --x KIND:COLUMN"),
        (["{}/table.csv", "--x", "image:file", "--y", "text:caption"], "--x-encoder is missing"),
        (
            ["{}/table.csv", "--x", "image:file", "--y", "text:caption", "--limit", "0"],
            "--limit must be at least 1, got 0",
        ),
    ],
)
def test_bad_input_is_one_line_and_code_2(arguments, message, table, capsys):
    np.save(table.parent / "x.npy", np.ones((3, 2), dtype=np.float32))
    folder = table.parent / "features"
    assert main(["encode", *(argument.format(table.parent) for argument in arguments), "-o", str(folder)]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("canonsim encode: ")
    assert message in line
    assert not folder.exists()


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit):
        main(["encode", "--help"])
    assert "canonsim encode captions.csv" in capsys.readouterr().out
