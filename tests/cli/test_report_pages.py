"""The pages of `canonsim evaluate`, `check` and `classify`: whole, self-contained, and about the right rows."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

import canonsim
from canonsim.cli import main
from markup import parse
from synthetic import related

COLOURS = {"red": (200, 30, 30), "dog": (90, 60, 30), "beach": (230, 210, 150), "cars": (40, 40, 90)}
EVIL = "<script>x</script>"
TABLE = ("table.csv", "--x", "image:file", "--y", "text:caption")
CLASSES = ("--classes", ",".join(COLOURS), "--template", f"a {{}} {EVIL}")


def run(*arguments):
    return main([str(argument) for argument in arguments])


def read(path):
    """A page: well formed, with all that it shows in it, and no caption that could do something."""
    markup = path.read_text(encoding="utf-8")
    assert "<script" not in markup
    assert not re.search(r"https?://|@import|url\(", markup)
    page = parse(markup)
    assert all(source.startswith("data:image/webp;base64,") for source in page.sources)
    return page


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, model_folder):
    """120 pairs of 60 pictures with two captions each, one of them wrong, and a model of them."""
    folder = tmp_path_factory.mktemp("pages")
    rng = np.random.default_rng(0)
    lines = ["file,caption,word"]
    (folder / "pictures").mkdir()
    for i in range(60):
        word = list(COLOURS)[i % 4]
        pixels = np.clip(np.array(COLOURS[word]) + rng.normal(0, 20, (16, 16, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "pictures" / f"{i:02}.png")
        # The picture of row 13 is one of a dog.
        captions = [f"a {word} {EVIL}", f"the {'red' if i == 6 else word} {EVIL}"]
        lines += [f"pictures/{i:02}.png,{caption},{word}" for caption in captions]
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    encoders = ["--x-encoder", model_folder("vit"), "--y-encoder", model_folder("bert")]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run("fit", *TABLE, *encoders, "-o", "model") == 0
    return folder


@pytest.fixture
def here(pictures, monkeypatch):
    monkeypatch.chdir(pictures)
    return pictures


@pytest.fixture
def features(tmp_path, monkeypatch):
    """A model of 700 pairs, and 200 others."""
    x, y = related(n=900)
    moments = canonsim.PairedMoments(12, 8)
    moments.update(x[:700], y[:700])
    monkeypatch.chdir(tmp_path)
    canonsim.fit(moments).save_pretrained("model")
    np.save("x.npy", x[700:].astype(np.float32))
    np.save("y.npy", y[700:].astype(np.float32))
    return tmp_path


def test_check_shows_the_wrong_pair_first(here, tmp_path, capsys):
    page, table = tmp_path / "page.html", tmp_path / "all.csv"
    assert run("check", *TABLE, "--model", "model", "-o", page, "-o", table) == 0
    captured = capsys.readouterr()
    assert str(page) in captured.out
    assert str(table) in captured.out
    assert f"Writing {page}" in captured.err
    shown = read(page)
    cards = shown.text[shown.text.index("Most suspicious first") :]
    captions = [text for text in cards if text.startswith(("a ", "the "))]
    assert captions[0] == f"the red {EVIL}"
    assert any(text == "row 13, pictures/06.png" for text in cards)
    assert len(captions) == len(shown.sources) == 60
    assert str(here) not in "".join(shown.text)
    assert page.stat().st_size < 500_000
    assert len(table.read_text().splitlines()) == 121


def test_evaluate_shows_searches_both_ways(here, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert run("evaluate", "model", *TABLE, "-o", page, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    shown = read(page)
    text = " ".join(shown.text)
    assert f"{found['log odds']['x_to_y']['R@1']:.3f}" in text
    assert f"{found['log odds']['mismatch_auc']:.3f}" in text
    assert "Image to text" in text
    assert "Text to image" in text
    assert "120 pairs of table.csv" in text
    assert shown.sources
    assert any("pictures/" in part for part in shown.text)
    assert str(here) not in text


def test_classify_shows_confusions_and_pictures(here, tmp_path, capsys):
    page = tmp_path / "page.html"
    # Every item of one class has the name of another.
    words = [line.rsplit(",", 1)[1] for line in (here / "table.csv").read_text().splitlines()[1:]]
    (tmp_path / "spoilt.csv").write_text(
        "file,word\n"
        + "".join(
            f"{here}/pictures/{i // 2:02}.png,{'dog' if word == 'red' else word}\n" for i, word in enumerate(words)
        )
    )
    table = (tmp_path / "spoilt.csv", "--x", "image:file", "--labels", "word")
    assert run("classify", "model", *table, *CLASSES, "-o", page, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert 0.65 < found["accuracy"] < 0.8
    shown = read(page)
    text = " ".join(shown.text)
    assert f"{found['accuracy']:.1%}" in text
    assert "chance 25.0%, always dog 50.0%" in text
    assert "cannot be known from the data" in text
    sure = shown.text[shown.text.index("Wrong and sure of it") : shown.text.index("Least sure")]
    assert sure.count("dog taken for red") == 18
    assert len(shown.sources) == 36


def test_classify_without_labels_shows_examples_of_each_class(here, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert run("classify", "model", "pictures", *CLASSES, "-o", page) == 0
    printed = capsys.readouterr().out
    shown = read(page)
    assert "accuracy" not in " ".join(shown.text)
    for name in COLOURS:
        count = sum(re.match(rf"\d\d.png: {name} ", line) is not None for line in printed.splitlines())
        assert f"{name} ({count})" in shown.text
    assert any(part.endswith("03.png") for part in shown.text)


def test_ready_features_are_rows(features, capsys):
    assert run("evaluate", "model", "x.npy", "y.npy", "-o", "evaluate.html") == 0
    assert run("check", "x.npy", "y.npy", "--model", "model", "-o", "check.html") == 0
    labels = ["one", "two"] * 100
    (features / "labels.txt").write_text("\n".join(labels))
    arguments = ("--class-features", "y.npy", "--classes", ",".join(str(i) for i in range(200)))
    assert run("classify", "model", "x.npy", *arguments, "-o", "classify.html") == 0
    numbers = re.compile(r"(\(\d+\) )?row \d+")
    for name, least in (("evaluate", 80), ("check", 60), ("classify", 30)):
        shown = read(features / f"{name}.html")
        assert sum(numbers.fullmatch(text) is not None for text in shown.text) >= least
        assert shown.sources == []


def test_the_order_of_the_rows_changes_nothing_measured(features, capsys):
    order = np.random.default_rng(0).permutation(200)
    for side in "xy":
        np.save(f"{side}2.npy", np.load(f"{side}.npy")[order])
    found = []
    for number in ("", "2"):
        assert run("evaluate", "model", f"x{number}.npy", f"y{number}.npy", "--json") == 0
        found.append(json.loads(capsys.readouterr().out))
    for score in ("log odds", "similarity"):
        one, other = found[0][score], found[1][score]
        assert other["mismatch_auc"] == pytest.approx(one["mismatch_auc"], abs=1e-6)
        for direction in ("x_to_y", "y_to_x"):
            assert other[direction] == pytest.approx(one[direction])
            assert other["hubness"][direction] == pytest.approx(one["hubness"][direction])


def test_scans_are_named(tmp_path, model_folder, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    for name in ("velodyne", "image_2"):
        (tmp_path / name).mkdir()
    for i in range(40):
        near = i % 2
        rng.normal(0, 1 + 10 * near, (200, 4)).astype(np.float32).tofile(tmp_path / "velodyne" / f"{i:06}.bin")
        pixels = rng.integers(0, 100 + 100 * near, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "image_2" / f"{i:06}.png")
    monkeypatch.chdir(tmp_path)
    assert run("check", ".", "--y-encoder", model_folder("vit"), "-o", "page.html") == 0
    shown = read(tmp_path / "page.html")
    assert len(shown.sources) == 40
    assert "velodyne/000007.bin" in shown.text
    assert "row 7, image_2/000007.png" in shown.text


def test_pairs_without_a_relation_have_a_page_that_says_so(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    monkeypatch.chdir(tmp_path)
    for side in "xy":
        np.save(f"{side}.npy", rng.standard_normal((300, 4)))
    assert run("check", "x.npy", "y.npy", "-o", "page.html") == 0
    shown = read(tmp_path / "page.html")
    assert "nothing can be said" in " ".join(shown.text)
    assert not any(text.startswith("row ") for text in shown.text)


def test_thumbnails_are_small_and_upright(tmp_path):
    from canonsim.pages.contents import Contents, thumbnail

    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (900, 1500, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    noise.save(tmp_path / "noise.tiff", exif=exif)
    uri = thumbnail(tmp_path / "noise.tiff")
    assert len(uri) < 100_000
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as small:
        assert (small.format, small.size) == ("WEBP", (192, 320))
    assert Contents("image", {0: tmp_path / "noise.tiff"}.__getitem__, tmp_path).name(0) == "noise.tiff"


@pytest.mark.parametrize(
    ("command", "output", "message"),
    [
        ("evaluate", ["page.txt"], "-o page.txt: must end in .html"),
        ("evaluate", ["scores.csv"], "-o scores.csv: must end in .html"),
        ("evaluate", ["none/page.html"], "-o none/page.html: no file of an existing folder"),
        ("classify", ["folder.html"], "-o folder.html: no file"),
        ("check", ["page"], "-o page: must end in .csv or .html"),
        ("check", ["a.html", "b.html"], "-o b.html: there is a.html already"),
    ],
)
def test_bad_outputs_are_refused_before_any_work(command, output, message, features, capsys):
    # What the commands would otherwise fail at: neither model nor data are there.
    arguments = {
        "evaluate": ["none", "none.npy", "none.npy"],
        "classify": ["none", "none.npy", "--classes", "none.txt"],
        "check": ["none.npy", "none.npy", "--model", "none"],
    }[command]
    (features / "folder.html").mkdir()
    before = sorted(features.iterdir())
    assert run(command, *arguments, *(part for name in output for part in ("-o", name))) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert sorted(features.iterdir()) == before
