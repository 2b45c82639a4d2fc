"""`canonsim classify` on features of known classes, and on pictures encoded by tiny random models."""

import json

import numpy as np
import pytest
from PIL import Image

import canonsim
from canonsim.cli import main

NAMES = ["cat", "dog", "owl", "eel"]
COLOURS = {"red": (200, 30, 30), "dog": (90, 60, 30), "beach": (230, 210, 150), "cars": (40, 40, 90)}


def run(*arguments):
    return main([str(argument) for argument in arguments])


@pytest.fixture
def features(tmp_path, monkeypatch):
    """A model of pairs of four classes, 200 new rows of x with their labels, and texts of the classes."""
    rng = np.random.default_rng(0)
    looks, texts, shown = rng.standard_normal((4, 10)), rng.standard_normal((4, 6)), rng.integers(0, 4, 800)
    x = looks[shown] + 0.4 * rng.standard_normal((800, 10))
    moments = canonsim.PairedMoments(10, 6)
    moments.update(x[:600], texts[shown[:600]])
    monkeypatch.chdir(tmp_path)
    canonsim.fit(moments).save_pretrained("model")
    np.save("x.npy", x[600:].astype(np.float32))
    np.save("texts.npy", texts)
    (tmp_path / "classes.txt").write_text("\n".join(NAMES) + "\n")
    labels = [NAMES[i] for i in shown[600:]]
    (tmp_path / "labels.txt").write_text("\n".join(labels) + "\n")
    return labels


READY = ("classify", "model", "x.npy", "--class-features", "texts.npy", "--classes")


@pytest.mark.parametrize("score", ["log_odds", "similarity"])
def test_ready_features_are_classified_as_in_python(score, features, capsys):
    arguments = (*READY, "classes.txt", "--labels", "labels.txt", "--score", score, "--json", "--k", "2")
    assert run(*arguments) == 0
    found = json.loads(capsys.readouterr().out)
    space = canonsim.CanonicalSpace.from_pretrained("model")
    classifier = canonsim.tasks.ZeroShotClassifier(space, score).fit(np.load("texts.npy"), NAMES)
    names, shares = classifier.top_k(np.load("x.npy"), 2)
    assert [item["classes"] for item in found["predictions"]] == names.tolist()
    np.testing.assert_allclose([item["probabilities"] for item in found["predictions"]], shares, rtol=1e-6)
    right = np.array(features) == names[:, 0]
    assert found["accuracy"] == pytest.approx(right.mean())
    assert found["accuracy"] > 0.9
    assert (found["chance"], found["classes"], found["items"]) == (0.25, 4, 200)


def test_a_list_of_names_and_its_order(features, capsys):
    assert run(*READY, "cat, dog,owl,eel", "-k", "9") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 200
    assert lines[7].startswith(f"row 7: {features[7]} ")
    assert sorted(part.split()[0] for part in lines[7].removeprefix("row 7: ").split(", ")) == sorted(NAMES)


def test_confusions_count_which_class_is_taken_for_which(features, capsys, tmp_path):
    spoilt = ["dog" if label == "cat" else label for label in features]
    (tmp_path / "labels.txt").write_text("\n".join(spoilt))
    assert run(*READY, "classes.txt", "--labels", "labels.txt", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    predicted = [item["classes"][0] for item in found["predictions"]]
    taken = sum(pair == ("dog", "cat") for pair in zip(spoilt, predicted, strict=True))
    first = {"label": "dog", "taken_for": "cat", "items": taken, "of": spoilt.count("dog")}
    assert found["confusions"][0] == first
    assert found["most_frequent_label"] == spoilt.count("dog") / 200
    assert run(*READY, "classes.txt", "--labels", "labels.txt") == 0
    printed = capsys.readouterr().out
    assert "chance 0.250" in printed
    assert f"{taken} of {spoilt.count('dog')} dog for cat" in printed


@pytest.fixture
def pictures(tmp_path, model_folder):
    """60 pictures of one colour and noise, a table with the word for each, and a model of them."""
    rng = np.random.default_rng(0)
    lines = ["file,caption,word"]
    (tmp_path / "pictures").mkdir()
    for i in range(60):
        word = list(COLOURS)[i % 4]
        pixels = np.clip(np.array(COLOURS[word]) + rng.normal(0, 20, (16, 16, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{i:02}.png")
        lines.append(f"pictures/{i:02}.png,{('a', 'the')[i // 4 % 2]} {word},{word}")
    table = tmp_path / "table.csv"
    table.write_text("\n".join(lines) + "\n")
    encoders = ["--x-encoder", model_folder("vit"), "--y-encoder", model_folder("bert")]
    assert run("fit", table, "--x", "image:file", "--y", "text:caption", *encoders, "-o", tmp_path / "model") == 0
    return tmp_path


def test_pictures_of_a_folder_and_of_a_table(pictures, capsys):
    templates = ["--template", "a {}", "--template", "the {}", "--classes", ",".join(COLOURS)]
    model = pictures / "model"
    capsys.readouterr()
    table = [pictures / "table.csv", "--x", "image:file", "--labels", "word"]
    assert run("classify", model, *table, *templates, "--json") == 0
    of_table = json.loads(capsys.readouterr().out)
    assert of_table["accuracy"] > 0.9
    assert of_table["predictions"][3]["item"] == "pictures/03.png"

    assert run("classify", model, pictures / "pictures", *templates, "--json") == 0
    of_folder = json.loads(capsys.readouterr().out)
    assert "accuracy" not in of_folder
    assert of_folder["predictions"][3]["item"] == "03.png"
    found = [[item["classes"] for item in part["predictions"]] for part in (of_table, of_folder)]
    assert found[0] == found[1]


def test_several_templates_are_averaged(pictures, capsys):
    space = canonsim.CanonicalSpace.from_pretrained(pictures / "model")
    x_encoder, y_encoder = (canonsim.encoders.from_config(space.metadata[f"{side}_encoder"]) for side in "xy")
    texts = y_encoder.encode([text.format(word) for word in COLOURS for text in ("a {}", "the {}")])
    classifier = canonsim.tasks.ZeroShotClassifier(space).fit(texts.reshape(4, 2, -1), list(COLOURS))
    features = x_encoder.encode(sorted((pictures / "pictures").iterdir()))
    np.save(pictures / "features.npy", features)
    capsys.readouterr()
    templates = ["--template", "a {}", "--template", "the {}", "--classes", ",".join(COLOURS)]
    assert run("classify", pictures / "model", pictures / "features.npy", *templates, "-k", "1", "--json") == 0
    found = json.loads(capsys.readouterr().out)["predictions"]
    shares = classifier.predict_proba(features).max(axis=1)
    np.testing.assert_allclose([item["probabilities"][0] for item in found], shares, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x.npy", "--classes", "cat,dog"], "does not say which encoders"),
        (["none.npy", "--classes", "classes.txt", "--class-features", "texts.npy"], "no such file"),
        (["x.npy", "--classes", "none.txt", "--class-features", "texts.npy"], "none.txt: no such file"),
        (["x.npy", "--classes", " , ", "--class-features", "texts.npy"], "holds no names"),
        (["x.npy", "--classes", "cat,cat,owl,eel", "--class-features", "texts.npy"], "'cat' twice"),
        (["x.npy", "--classes", "cat,dog", "--class-features", "texts.npy"], "4 rows, but there are 2 classes"),
        (["x.npy", "--classes", "classes.txt", "--class-features", "texts.npy", "--template", "a {}"], "--template"),
        (["x.npy", "--classes", "classes.txt", "--template", "a photo"], "'a photo'"),
        (["x.npy", "--classes", "classes.txt", "--class-features", "texts.npy", "-k", "0"], "-k must be at least 1"),
        (["x.npy", "--classes", "classes.txt", "--labels", "none.txt"], "--labels none.txt: no such file"),
        (["x.npy", "--classes", "classes.txt", "--labels", "classes.txt"], "4 lines, but there are 200 items"),
        (["x.npy", "--classes", "cat,dog", "--labels", "labels.txt"], "none of the classes"),
        (["texts.npy", "--classes", "classes.txt", "--class-features", "texts.npy"], "x has 6 columns, expected 10"),
        (["table.csv", "--classes", "classes.txt"], "does not say which encoders"),
        ([".", "--classes", "classes.txt"], "does not say which encoders"),
    ],
)
def test_bad_input_is_one_line_and_code_2(arguments, message, features, capsys):
    assert run("classify", "model", *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    line = captured.err.strip().splitlines()[-1]
    assert line.startswith("canonsim classify: ")
    assert message in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table.csv"], "needs --x KIND:COLUMN"),
        (["table.csv", "--x", "text:caption"], "encodes image items"),
        (["table.csv", "--x", "image:file", "--labels", "sort"], "'sort'"),
        (["pictures", "--x", "image:file"], "is a folder"),
        (["nowhere"], "no file of features"),
    ],
)
def test_bad_items_are_named(arguments, message, pictures, monkeypatch, capsys):
    monkeypatch.chdir(pictures)
    capsys.readouterr()
    assert run("classify", "model", *arguments, "--classes", ",".join(COLOURS)) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
