"""The shipped clip-arts: complete, small, and split so that nothing is seen twice."""

from __future__ import annotations

import csv
import hashlib
import itertools

import numpy as np
import pytest
from PIL import Image

from canonsim.demo.images import CLIPART


def rows(split):
    with (CLIPART / f"{split}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_there_are_1200_pictures_of_one_size_and_little_weight():
    named = [row["image"] for split in ("train", "test") for row in rows(split)]
    assert len(named) == len(set(named)) == 1200
    files = sorted(CLIPART.glob("images/*"))
    assert sorted(named) == [f"images/{path.name}" for path in files]
    assert sum(path.stat().st_size for path in files) < 4e6
    for path in files:
        with Image.open(path) as picture:
            assert (picture.format, picture.size, picture.mode) == ("WEBP", (128, 128), "RGB")


def test_captions_are_distinct_and_say_something():
    captions = [row["caption"] for split in ("train", "test") for row in rows(split)]
    assert len(set(captions)) == 1200
    assert all(3 <= len(caption) <= 90 and caption == caption.strip().lower() for caption in captions)


def test_the_split_parts_no_group_and_repeats_no_picture():
    train, test = rows("train"), rows("test")
    assert (len(train), len(test)) == (900, 300)
    assert not {row["group"] for row in train} & {row["group"] for row in test}
    sums = [hashlib.sha256((CLIPART / row["image"]).read_bytes()).digest() for row in train + test]
    assert len(set(sums)) == 1200


def test_no_test_picture_nearly_repeats_a_training_picture():
    def grey(split):
        pixels = []
        for row in rows(split):
            with Image.open(CLIPART / row["image"]) as picture:
                pixels.append(np.asarray(picture.reduce(4), dtype=float).mean(axis=2).ravel())
        centred = np.array(pixels) - np.mean(pixels, axis=1, keepdims=True)
        return centred / np.linalg.norm(centred, axis=1, keepdims=True)

    assert (grey("test") @ grey("train").T).max() < 0.9


@pytest.mark.parametrize("split", ["train", "test"])
def test_categories_are_mixed(split):
    categories = [row["category"] for row in rows(split)]
    assert len(set(categories)) >= 15
    # Neighbours are no more alike than chance has it: the next row is a fair mismatch.
    same = np.mean([a == b for a, b in itertools.pairwise(categories)])
    assert same < 2 * sum((categories.count(name) / len(categories)) ** 2 for name in set(categories))
