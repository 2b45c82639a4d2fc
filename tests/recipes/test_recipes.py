"""Every recipe that ships opens; one with a mistake is refused with its file and the key; data keep their rules."""

import inspect
import subprocess
import sys
import typing

import numpy as np
import pytest

from canonsim.recipes import Captioned, Items, Labelled, Recipe, TwiceCaptioned, make_encoder, names

GOOD = """
title = "Mine"
protocol = "retrieval"
sizes = [10, 20]
notes = ["a note"]
[data]
reader = "features"
how_to_get = "Ask me."
[y]
class = "TextEncoder"
name = "somewhere"
[[published]]
method = "CSA"
measure = "R@1"
value = 1
source = "a paper"
same_protocol = true
why = "the same"
"""


@pytest.fixture
def write(tmp_path):
    def written(content):
        path = tmp_path / "mine.toml"
        path.write_text(content)
        return path

    return written


def test_the_shipped_recipes_are_those_of_the_paper_and_the_small_ones():
    assert names() == [
        "clipart",
        "cosmos",
        "digits",
        "features",
        "flickr30k",
        "handwriting",
        "imagenet",
        "imagenet-mislabelled",
        "kitti-lidar",
        "leafy-spurge",
        "musiccaps",
    ]


@pytest.mark.parametrize("name", names())
def test_a_shipped_recipe_opens_and_its_encoders_exist(name):
    from canonsim.encoders.configuration import _CLASSES

    recipe = Recipe.open(name)
    assert recipe.name == name
    assert recipe.protocol in typing.get_args(typing.get_type_hints(Recipe)["protocol"])
    assert recipe.notes
    for published in recipe.published:
        assert 0 < published.value < 1
        assert published.why
    for config in (recipe.x, recipe.y):
        if config is not None and config["class"] not in ("DemoImageEncoder", "DemoTextEncoder"):
            options = {key: value for key, value in config.items() if key != "class"}
            inspect.signature(_CLASSES[config["class"]]).bind(**options)


def test_the_lidar_recipe_says_that_the_published_figure_is_chance():
    (published,) = Recipe.open("kitti-lidar").published
    assert (published.value, published.same_protocol) == (0.328, False)
    assert "chance, 32.4 %" in published.why


def test_opening_imports_no_torch():
    code = (
        "import sys; from canonsim.recipes import Recipe, names; [Recipe.open(n) for n in names()]; "
        "print('torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


def test_a_recipe_of_ones_own_is_read_from_a_path(write, tmp_path):
    recipe = Recipe.open(write(GOOD))
    assert (recipe.name, recipe.sizes, recipe.x, recipe.y) == (
        "mine",
        (10, 20),
        None,
        {"class": "TextEncoder", "name": "somewhere"},
    )
    (published,) = recipe.published
    assert (published.method, published.pairs, published.value) == ("CSA", None, 1.0)
    assert recipe.needs_folder
    with pytest.raises(ValueError, match=r"recipe 'mine' needs the folder of its data. Ask me."):
        recipe.read()
    np.save(tmp_path / "x.npy", np.eye(10))
    np.save(tmp_path / "y.npy", np.eye(10))
    assert len(recipe.read(tmp_path).x) == 10


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("title =", "titel =", "mine.toml: unknown key 'titel'"),
        ('title = "Mine"', "", "mine.toml: the key 'title' is missing"),
        ('"Mine"', "5", "mine.toml: title must be str, got 5"),
        ('"retrieval"', '"retrieving"', "mine.toml: protocol must be .*, got 'retrieving'"),
        ("[10, 20]", '["10"]', r"mine.toml: sizes must be list, got \['10'\]"),
        ("[10, 20]", "[10, true]", "mine.toml: sizes must be list"),
        ("[10, 20]", "[20, 10]", "mine.toml: sizes must be positive and increasing"),
        ("[10, 20]", "[0, 10]", "mine.toml: sizes must be positive and increasing"),
        ("[10, 20]", "[]", "mine.toml: sizes must be positive and increasing"),
        ("notes =", "templates = ['a {}']\nnotes =", "templates must be given where there are classes, and only there"),
        ("notes =", "templates = ['a cat']\nnotes =", "templates must have {}"),
        ('"features"', '"feature"', "mine.toml, data: there is no reader 'feature'; there are .*features"),
        ('how_to_get = "Ask me."', "", "mine.toml, data: how_to_get must be a text, got None"),
        ('"Ask me."', '"Ask me."\nz = "z.npy"', "mine.toml, data: unknown key 'z'"),
        ('"Ask me."', '"Ask me."\nx = 5', "mine.toml, data: x must be str, got 5"),
        ('class = "TextEncoder"', "", "mine.toml: y must name the class of an encoder"),
        ('source = "a paper"', "", "mine.toml, published: the key 'source' is missing"),
        ("same_protocol = true", 'same_protocol = "yes"', "mine.toml, published: same_protocol must be bool"),
        ("value = 1", "value = '1'", "mine.toml, published: value must be float"),
        ("[data]", "[data", "mine.toml is no TOML"),
    ],
)
def test_a_mistake_is_named_with_its_file_and_key(write, old, new, message):
    assert old in GOOD
    with pytest.raises(ValueError, match=message):
        Recipe.open(write(GOOD.replace(old, new, 1)))


def test_a_recipe_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"there is no recipe 'imagnet'; there are .*imagenet"):
        Recipe.open("imagnet")
    with pytest.raises(FileNotFoundError, match=r"mine.toml: no such recipe"):
        Recipe.open(tmp_path / "mine.toml")


def test_data_of_another_form_than_the_protocol_needs_are_refused(write, tmp_path):
    np.save(tmp_path / "x.npy", np.eye(10))
    np.save(tmp_path / "y.npy", np.eye(10))
    recipe = Recipe.open(write(GOOD.replace('"retrieval"', '"misleading"')))
    with pytest.raises(ValueError, match="'misleading' needs TwiceCaptioned data, but the reader 'features'"):
        recipe.read(tmp_path)


def test_a_folder_that_is_of_no_use_is_refused(tmp_path):
    with pytest.raises(ValueError, match="recipe 'digits' takes no folder"):
        Recipe.open("digits").read(tmp_path)


def test_encoders_are_made_from_their_configs(write):
    content = GOOD.replace('class = "TextEncoder"\nname = "somewhere"', 'class = "PointCloudEncoder"')
    x, y = Recipe.open(write(content)).encoders()
    assert x is None
    assert (y.kind, y.dim) == ("points", 97)
    text = make_encoder({"class": "DemoTextEncoder"})
    assert text.encode(["a cat"]).shape == (1, 384)
    with pytest.raises(ValueError, match="DemoTextEncoder has no options"):
        make_encoder({"class": "DemoTextEncoder", "name": "a"})
    with pytest.raises(ValueError, match="no encoder has the class None"):
        make_encoder({})


def test_the_clip_arts_are_read_without_a_folder():
    recipe = Recipe.open("clipart")
    data = recipe.read()
    assert {part: len(rows) for part, rows in data.parts.items()} == {"train": 800, "val": 100, "test": 300}
    assert (data.x.kind, data.y.kind, len(data.y)) == ("image", "text", 1200)
    assert data.y.items[900:902] != data.y.items[:2]
    assert all(path.is_file() for path in data.x.items)
    assert not np.array_equal(data.parts["train"], np.sort(data.parts["train"]))
    np.testing.assert_array_equal(recipe.read().parts["train"], data.parts["train"])


def test_the_digits_are_read_without_a_folder():
    data = Recipe.open("digits").read()
    assert data.x.items.shape == (1797, 64)
    assert (data.x.items.min(), data.x.items.max()) == (0, 1)
    assert data.names[data.labels[0]] == "zero"
    assert data.texts[3] == ["a handwritten digit three", "the number three"]
    assert sum(map(len, data.parts.values())) == 1797
    # A nearest mean tells most digits apart: pictures and labels belong together.
    train, test = data.parts["train"], data.parts["test"]
    means = np.stack([data.x.items[train][data.labels[train] == digit].mean(axis=0) for digit in range(10)])
    distances = ((data.x.items[test][:, None] - means) ** 2).sum(axis=2)
    assert (distances.argmin(axis=1) == data.labels[test]).mean() > 0.8


def captioned():
    owners = np.repeat(np.arange(20), 2)
    parts = {"train": np.arange(0, 14), "val": np.arange(14, 16), "test": np.arange(16, 20)}
    x = Items("text", [f"x{row}" for row in range(20)])
    return Captioned(x, Items("text", [f"y{row // 2}" for row in range(40)]), owners, parts)


def test_a_limit_keeps_pairs_together():
    some = captioned().limit(3, seed=1)
    assert {part: len(rows) for part, rows in some.parts.items()} == {"train": 3, "val": 2, "test": 3}
    assert len(some.x) == 8
    assert len(some.y) == 16
    for text, owner in zip(some.y.items, some.owners, strict=True):
        assert some.x.items[owner][1:] == text[1:]
    for part, rows in some.parts.items():
        numbers = {int(some.x.items[row][1:]) for row in rows}
        assert numbers <= set(captioned().parts[part].tolist())
    assert some.limit(100).x.items == some.x.items
    assert captioned().limit(3, seed=2).x.items != some.x.items
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        captioned().limit(0)


def test_mixed_training_rows_are_the_same_rows():
    mixed = captioned().mixed()
    assert sorted(mixed.parts["train"]) == list(range(14))
    assert mixed.parts["train"].tolist() != list(range(14))
    np.testing.assert_array_equal(mixed.parts["test"], captioned().parts["test"])


def labelled(**changes):
    fields = {
        "x": Items("features", np.arange(30.0).reshape(30, 1)),
        "labels": np.array([0] * 20 + [1] * 3 + [2] * 3 + [0, 1, 2, 0]),
        "names": ["a", "b", "c"],
        "texts": [["an a"], ["a b"], ["a c"]],
        "parts": {"train": np.arange(26), "test": np.arange(26, 30)},
        "true_labels": np.array([-1] + [0] * 19 + [1] * 3 + [2] * 3 + [0, 1, 2, 0]),
    }
    return Labelled(**(fields | changes))


def test_a_limit_takes_from_every_class_in_turn():
    some = labelled().limit(9)
    assert np.bincount(some.labels[some.parts["train"]]).tolist() == [3, 3, 3]
    assert len(some.parts["test"]) == 4
    kept = some.x.items[:, 0].astype(int)
    np.testing.assert_array_equal(some.labels, labelled().labels[kept])
    np.testing.assert_array_equal(some.true_labels, labelled().true_labels[kept])
    # A class that has no more rows leaves its share to the others.
    assert np.bincount(labelled().limit(12).labels[:12]).tolist() == [6, 3, 3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.zeros(29, dtype=np.int64)}, r"labels must be \(30,\) int64, got \(29,\)"),
        ({"labels": np.zeros(30)}, r"labels must be \(30,\) int64, got \(30,\) float64"),
        ({"labels": np.full(30, 3)}, "labels must be from 0 to 2, got 3 at 0"),
        ({"true_labels": np.full(30, -2)}, "true_labels must be from -1 to 2, got -2"),
        ({"names": ["a", "b"]}, "texts must be those of 2 classes, got 3"),
        ({"names": ["a", "b", "a"]}, "names must be different, got 'a'"),
        ({"texts": [["a"], ["b"], ["c", "d"]]}, r"same number of texts, at least 1, got \[1, 2\]"),
        ({"parts": {"train": np.arange(5), "test": np.arange(4, 9)}}, "row 4 is in the parts 2 times"),
        ({"parts": {"train": np.arange(5), "test": np.array([30])}}, "part 'test' must be from 0 to 29, got 30"),
        ({"parts": {"train": np.arange(5), "dev": np.array([9])}}, "parts must be among train, val, test, with train"),
        ({"parts": {"test": np.arange(5)}}, "with train, got test"),
        ({"parts": {"train": np.arange(5), "test": np.arange(0)}}, "part 'test' has no rows"),
        ({"x": Items("features", np.zeros((29, 1)))}, r"labels must be \(29,\) int64"),
    ],
)
def test_labelled_data_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        labelled(**changes)


def test_items_and_owners_that_do_not_fit_are_refused():
    with pytest.raises(TypeError, match="got the single text 'a cat'"):
        Items("text", "a cat")
    with pytest.raises(ValueError, match=r"must be an array \(n, p\), got shape \(3,\)"):
        Items("features", np.zeros(3))
    with pytest.raises(ValueError, match="owners must be from 0 to 1, got 2 at 1"):
        Captioned(Items("text", ["a", "b"]), Items("text", ["c", "d"]), np.array([0, 2]), {"train": np.array([0])})


def test_items_with_two_captions_must_have_both():
    texts = Items("text", ["a", "b", "c"])
    twice = TwiceCaptioned(captioned(), texts, texts, texts, np.array([True, False, True]))
    some = twice.limit(2)
    assert len(some.x) == len(some.first) == len(some.second) == len(some.misleading) == 2
    assert len(some.pairs.parts["train"]) == 2
    with pytest.raises(ValueError, match="must have the same length, at least 1, got 3, 3, 2 and 3"):
        TwiceCaptioned(captioned(), texts, texts, Items("text", ["a", "b"]), np.array([True, False, True]))
    with pytest.raises(ValueError, match=r"misleading must be \(n,\) bool"):
        TwiceCaptioned(captioned(), texts, texts, texts, np.array([1, 0, 1]))
