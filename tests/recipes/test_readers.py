"""Readers take the files of publishers as they are, and say which file or line is wrong."""

import csv
import json
import sys
import types

import numpy as np
import pytest

from canonsim.recipes import Recipe
from canonsim.recipes.readers import find
from canonsim.recipes.readers.parts import draw, set_aside
from canonsim.recipes.readers.series import read_ts

WNIDS = ("n01440764", "n01443537", "n02012849")
SYNSETS = "n01440764 tench, Tinca tinca\nn01443537 goldfish\nn02012849 crane\n"


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_csv(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def split_of(data):
    """Names of the items in every part."""
    return {part: sorted(data.x.items[row].name for row in rows) for part, rows in data.parts.items()}


# Parts


def test_drawn_parts_have_their_shares_and_keep_groups_together():
    parts = draw(np.arange(1000), {"train": 0.6, "val": 0.1, "test": 0.3})
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 600, "val": 100, "test": 300}
    assert sorted(np.concatenate(list(parts.values()))) == list(range(1000))
    groups = np.arange(1000) // 7
    parts = draw(np.arange(1000), {"train": 0.6, "test": 0.4}, groups)
    assert not set(groups[parts["train"]]) & set(groups[parts["test"]])
    assert abs(len(parts["train"]) - 600) <= 7
    with pytest.raises(ValueError, match="must be positive and add up to 1"):
        draw(np.arange(10), {"train": 0.6, "test": 0.6})


def test_a_part_that_gets_no_rows_is_left_out():
    assert list(draw(np.arange(4), {"train": 0.7, "val": 0.1, "test": 0.2})) == ["train", "test"]


def test_a_share_is_set_aside_from_training_rows_alone():
    parts = set_aside({"train": np.arange(10, 20), "test": np.arange(10)}, 0.2)
    assert len(parts["val"]) == 2
    assert set(parts["val"]) < set(range(10, 20))
    assert set_aside(parts, 0.5) is parts


# Pictures in folders


@pytest.fixture
def imagenet(tmp_path):
    for wnid in WNIDS:
        for number in range(4):
            touch(tmp_path / "train" / wnid / f"{wnid}_{number}.JPEG")
    for number, wnid in enumerate(("n02012849", "n01440764", "n01443537"), start=1):
        touch(tmp_path / "val" / wnid / f"ILSVRC2012_val_{number:08}.JPEG")
    (tmp_path / "LOC_synset_mapping.txt").write_text(SYNSETS)
    return tmp_path


def test_imagenet_is_read_from_its_folders(imagenet):
    data = find("image-folders")(
        imagenet, templates=("an image of {}.",), test="val", train_per_class=3, val_share=1 / 3
    )
    assert data.names == ["tench, Tinca tinca", "goldfish", "crane"]
    assert data.texts[1] == ["an image of goldfish."]
    assert {part: len(rows) for part, rows in data.parts.items()} == {"train": 6, "val": 3, "test": 3}
    for path, label in zip(data.x.items, data.labels, strict=True):
        assert path.parent.name == WNIDS[label]
    assert set(split_of(data)["test"]) == {f"ILSVRC2012_val_0000000{number}.JPEG" for number in (1, 2, 3)}
    assert np.bincount(data.labels[np.concatenate([data.parts["train"], data.parts["val"]])]).tolist() == [3, 3, 3]


def test_the_recipe_of_imagenet_reads_it(imagenet):
    recipe = Recipe.open("imagenet")
    data = recipe.read(imagenet, limit=2)
    assert len(data.parts["test"]) == 2
    assert data.texts[0] == ["An image of tench, Tinca tinca."]


@pytest.mark.parametrize("form", ["val_labels.txt", "LOC_val_solution.csv"])
def test_pictures_that_lie_in_one_folder_have_a_file_of_labels(imagenet, form):
    for path in list(imagenet.glob("val/*/*")):
        path.rename(imagenet / "val" / path.name)
    read = find("image-folders")
    with pytest.raises(FileNotFoundError, match=r"no LOC_val_solution.csv or val_labels.txt: .*meta.mat"):
        read(imagenet, templates=("{}",), test="val")
    if form.endswith("csv"):
        content = "ImageId,PredictionString\n" + "".join(
            f"ILSVRC2012_val_0000000{number},{wnid} 1 2 3 4 {wnid} 5 6 7 8\n" for number, wnid in enumerate(WNIDS, 1)
        )
    else:
        content = "".join(f"ILSVRC2012_val_0000000{number}.JPEG {wnid}\n" for number, wnid in enumerate(WNIDS, 1))
    (imagenet / form).write_text(content)
    data = read(imagenet, templates=("{}",), test="val")
    assert data.labels[data.parts["test"]].tolist() == [0, 1, 2]
    touch(imagenet / "val" / "ILSVRC2012_val_00000009.JPEG")
    with pytest.raises(ValueError, match=r"ILSVRC2012_val_00000009.JPEG has no class"):
        read(imagenet, templates=("{}",), test="val")


def test_the_archive_of_kaggle_is_read_as_it_is(imagenet):
    inside = imagenet / "ILSVRC" / "Data" / "CLS-LOC"
    inside.mkdir(parents=True)
    for part in ("train", "val"):
        (imagenet / part).rename(inside / part)
    assert len(find("image-folders")(imagenet, templates=("{}",), test="val").x) == 15


def test_other_folders_are_their_own_names(tmp_path):
    touch(tmp_path / "train" / "red_apple" / "1.png", tmp_path / "train" / "pear" / "2.jpg")
    touch(tmp_path / "test" / "pear" / "3.webp", tmp_path / "test" / "pear" / "notes.txt")
    data = find("image-folders")(tmp_path, templates=("a {}",))
    assert data.names == ["pear", "red apple"]
    assert split_of(data) == {"train": ["1.png", "2.jpg"], "test": ["3.webp"]}


def test_classes_of_one_name_are_told_apart(imagenet):
    (imagenet / "LOC_synset_mapping.txt").write_text(SYNSETS.replace("goldfish", "crane"))
    data = find("image-folders")(imagenet, templates=("a {}",), test="val")
    assert data.names[1:] == ["crane (n01443537)", "crane (n02012849)"]
    assert data.texts[1:] == [["a crane"], ["a crane"]]


def test_what_image_folders_lack_is_said(imagenet):
    read = find("image-folders")
    with pytest.raises(FileNotFoundError, match=r"has no test: a folder with one folder of pictures for each class"):
        read(imagenet, templates=("{}",))
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        read(imagenet / "nowhere", templates=("{}",))
    (imagenet / "LOC_synset_mapping.txt").write_text(SYNSETS.partition("\n")[2])
    with pytest.raises(ValueError, match=r"LOC_synset_mapping.txt has no name of class 'n01440764'; 1 like this"):
        read(imagenet, templates=("{}",), test="val")
    (imagenet / "LOC_synset_mapping.txt").write_text("n01440764\n")
    with pytest.raises(ValueError, match=r"LOC_synset_mapping.txt, line 1, must be a class, once, and its name"):
        read(imagenet, templates=("{}",), test="val")
    (imagenet / "LOC_synset_mapping.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"no classnames.txt or LOC_synset_mapping.txt"):
        read(imagenet, templates=("{}",), test="val")
    (imagenet / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no pictures"):
        read(imagenet, templates=("{}",), test="empty")


# Mislabelled pictures


def vote(number, wnid, given, guessed, votes):
    return {
        "id": number,
        "url": f"https://labelerrors.com//static/imagenet/val/{wnid}/ILSVRC2012_val_{number:08}.JPEG",
        "given_original_label": given,
        "given_original_label_name": "",
        "our_guessed_label": guessed,
        "our_guessed_label_name": "",
        "mturk": dict(zip(("given", "guessed", "neither", "both"), votes, strict=True)),
    }


@pytest.fixture
def checked(tmp_path):
    for number in range(1, 13):
        touch(tmp_path / "val" / WNIDS[number % 3] / f"ILSVRC2012_val_{number:08}.JPEG")
    (tmp_path / "LOC_synset_mapping.txt").write_text(SYNSETS)
    votes = [
        vote(1, WNIDS[1], 1, 0, (0, 4, 1, 0)),  # the guess is right
        vote(2, WNIDS[2], 2, 0, (5, 0, 0, 0)),  # the given label is right
        vote(3, WNIDS[0], 0, 1, (1, 1, 3, 0)),  # neither
        vote(4, WNIDS[1], 1, 2, (1, 2, 0, 2)),  # both are in the picture
    ]
    (tmp_path / "imagenet_mturk.json").write_text(json.dumps(votes))
    return tmp_path


def true_labels(data):
    return {int(path.stem[-8:]): int(label) for path, label in zip(data.x.items, data.true_labels, strict=True)}


def test_votes_of_people_correct_labels(checked):
    data = find("mislabelled-images")(checked, templates=("{}",))
    right = {number: number % 3 for number in range(1, 13)}
    assert {int(path.stem[-8:]): int(label) for path, label in zip(data.x.items, data.labels, strict=True)} == right
    assert true_labels(data) == right | {1: 0, 3: -1}
    suspected = find("mislabelled-images")(checked, templates=("{}",), mistakes="suspected")
    assert true_labels(suspected) == right | {1: 0, 2: 0, 3: 1, 4: 2}
    assert Recipe.open("imagenet-mislabelled").read(checked).true_labels is not None


def test_pictures_without_a_right_class_are_not_trained_on(checked):
    homes = set()
    for share in (0.2, 0.5, 0.8):
        data = find("mislabelled-images")(checked, templates=("{}",), train_share=share)
        drawn = draw(np.arange(12), {"train": share, "test": 1 - share})
        (unknown,) = np.flatnonzero(data.true_labels < 0)
        np.testing.assert_array_equal(data.parts["test"], drawn["test"])
        np.testing.assert_array_equal(data.parts["train"], drawn["train"][drawn["train"] != unknown])
        homes |= {part for part, rows in drawn.items() if unknown in rows}
    assert homes == {"train", "test"}


def test_reassessed_labels_leave_out_pictures_that_no_class_fits(checked):
    real = [[number % 3] for number in range(1, 13)]
    real[0], real[1], real[2] = [0, 2], [1, 2], []
    (checked / "real.json").write_text(json.dumps(real))
    data = find("mislabelled-images")(checked, templates=("{}",), corrections="real.json")
    assert true_labels(data) == {number: number % 3 for number in range(1, 13)} | {1: 0, 3: -1}
    kept = [data.x.items[row].stem for rows in data.parts.values() for row in rows]
    assert len(kept) == 11
    assert "ILSVRC2012_val_00000003" not in kept


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "imagenet_mturk.json is no JSON"),
        ("{}", "must hold a list, got dict"),
        ("[5]", "entry 0, is no object: 5"),
        (json.dumps([vote(1, WNIDS[1], 0, 2, (5, 0, 0, 0))]), "must have the label 1 of ILSVRC2012_val_00000001.JPEG"),
        (json.dumps([vote(99, WNIDS[1], 0, 2, (5, 0, 0, 0))]), "there is no picture ILSVRC2012_val_00000099.JPEG"),
        (json.dumps([vote(1, WNIDS[1], 1, 3, (5, 0, 0, 0))]), "a guess below 3"),
        (json.dumps([{"url": "a"}]), "entry 0, has no 'given_original_label'; it has url"),
        ("[[0], [1]]", "has 2 lists of labels, numbered as the pictures"),
        (json.dumps([[7]] * 12), "labels of .* must be from 0 to 2, got"),
    ],
)
def test_malformed_corrections_are_refused(checked, content, message):
    (checked / "imagenet_mturk.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        find("mislabelled-images")(checked, templates=("{}",))


# Captions of pictures


def karpathy(names, splits):
    entry = {"sentids": [0, 1], "imgid": 0}
    return {
        "dataset": "flickr30k",
        "images": [
            entry
            | {"filename": name, "split": split, "sentences": [{"raw": f"{name} {i}"} for i in range(2 + row % 2)]}
            for row, (name, split) in enumerate(zip(names, splits, strict=True))
        ],
    }


def test_the_split_of_karpathy_is_read(tmp_path):
    names = [f"{number}.jpg" for number in range(5)]
    touch(*(tmp_path / "flickr30k-images" / name for name in names))
    content = karpathy(names, ["train", "test", "val", "restval", "test"])
    (tmp_path / "dataset_flickr30k.json").write_text(json.dumps(content))
    data = Recipe.open("flickr30k").read(tmp_path)
    assert split_of(data) == {"train": ["0.jpg", "3.jpg"], "val": ["2.jpg"], "test": ["1.jpg", "4.jpg"]}
    assert data.owners.tolist() == [0, 0, 1, 1, 1, 2, 2, 3, 3, 3, 4, 4]
    for text, owner in zip(data.y.items, data.owners, strict=True):
        assert text.startswith(data.x.items[owner].name)
    (tmp_path / "flickr30k-images" / "3.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"row 3 names .*3.jpg, which is no file; 1 file is missing"):
        Recipe.open("flickr30k").read(tmp_path)


def test_coco_has_its_pictures_in_two_folders(tmp_path):
    content = karpathy(["1.jpg", "2.jpg"], ["restval", "test"])
    for entry, folder in zip(content["images"], ("train2014", "val2014"), strict=True):
        entry["filepath"] = folder
        touch(tmp_path / folder / entry["filename"])
    (tmp_path / "dataset_coco.json").write_text(json.dumps(content))
    data = find("caption-files")(tmp_path)
    assert data.x.items == [tmp_path / "train2014" / "1.jpg", tmp_path / "val2014" / "2.jpg"]


@pytest.mark.parametrize("form", ["results_20130124.token", "results.csv"])
def test_captions_one_a_line_need_lists_of_the_parts(tmp_path, form):
    touch(*(tmp_path / "images" / f"{number}.jpg" for number in (10, 20, 30)))
    if form.endswith("csv"):
        # The published file lacks one of its bars in one line.
        content = (
            "image_name| comment_number| comment\n10.jpg| 0| A cat | a dog .\n10.jpg| 4   A cat .\n20.jpg| 0| B .\n"
        )
        content += "30.jpg| 0| C .\n"
    else:
        content = "10.jpg#0\tA cat | a dog .\n10.jpg#1\tA cat .\n20.jpg#0\tB .\n30.jpg#0\tC .\n"
    (tmp_path / form).write_text(content)
    read = find("caption-files")
    with pytest.raises(FileNotFoundError, match=rf"train.txt or .*the pictures of the part 'train', which {form}"):
        read(tmp_path)
    for part, name in (("train", "30"), ("val", "20.jpg"), ("test", "10")):
        (tmp_path / f"{part}.txt").write_text(name + "\n")
    data = read(tmp_path)
    assert data.y.items == ["A cat | a dog .", "A cat .", "B .", "C ."]
    assert data.owners.tolist() == [0, 0, 1, 2]
    assert split_of(data) == {"train": ["30.jpg"], "val": ["20.jpg"], "test": ["10.jpg"]}
    (tmp_path / "val.txt").write_text("40\n")
    with pytest.raises(ValueError, match=r"val.txt lists 40.jpg, which has no caption; 1 like this"):
        read(tmp_path)
    (tmp_path / form).write_text(content + "nothing\n")
    with pytest.raises(ValueError, match=rf"{form}, line \d, holds no picture, number and caption: 'nothing'"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "dev"}, "image 0, must have a split of train, restval, val or test, once, got 'dev' of 0.jpg"),
        ({"filename": ""}, "image 0: 'filename' must be a str and not empty"),
        ({"sentences": []}, "image 0, has no sentences"),
        ({"sentences": [{"tokens": []}]}, "image 0, has no 'raw'; it has tokens"),
        ({"filename": "1.jpg"}, "image 1, .*once, got 'test' of 1.jpg"),
    ],
)
def test_malformed_entries_of_karpathy_are_refused(tmp_path, change, message):
    content = karpathy(["0.jpg", "1.jpg"], ["train", "test"])
    content["images"][0] |= change
    (tmp_path / "dataset_flickr8k.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        find("caption-files")(tmp_path)


def test_a_folder_without_captions_says_what_was_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no dataset_flickr30k.json or .*: captions of pictures"):
        find("caption-files")(tmp_path)


# COSMOS


def news(name, *captions):
    articles = [{"caption": text, "caption_modified": f"{text} PERSON", "article_url": "u"} for text in captions]
    return {"img_local_path": name, "articles": articles, "maskrcnn_bboxes": []}


def two_captions(name, label):
    captions = {f"caption{side}{end}": f"{name} {side}{end}" for side in (1, 2) for end in ("", "_modified")}
    return {"img_local_path": name, **captions, "article_url": "u", **label}


@pytest.fixture
def cosmos(tmp_path):
    write_lines(tmp_path / "train.json", [news("train/0.jpg", "a", "b"), news("train/1.jpg", "c")])
    write_lines(tmp_path / "val_data.json", [news("val/0.jpg", "d", "e")])
    write_lines(
        tmp_path / "annotations" / "test_data.json",
        [two_captions("test/0.jpg", {"context_label": 1}), two_captions("test/1.jpg", {"label": "not-ooc"})],
    )
    touch(*(tmp_path / name for name in ("train/0.jpg", "train/1.jpg", "val/0.jpg", "test/0.jpg", "test/1.jpg")))
    return tmp_path


def test_cosmos_is_read_with_all_captions(cosmos):
    data = find("cosmos")(cosmos)
    assert data.pairs.y.items == ["a", "b", "c", "d", "e"]
    assert data.pairs.owners.tolist() == [0, 0, 1, 2, 2]
    assert {part: rows.tolist() for part, rows in data.pairs.parts.items()} == {"train": [0, 1], "val": [2]}
    assert [path.name for path in data.x.items] == ["0.jpg", "1.jpg"]
    assert data.first.items == ["test/0.jpg 1", "test/1.jpg 1"]
    assert data.second.items == ["test/0.jpg 2", "test/1.jpg 2"]
    assert data.misleading.tolist() == [True, False]


def test_the_recipe_of_cosmos_fits_on_first_captions_of_the_validation_list(cosmos):
    data = Recipe.open("cosmos").read(cosmos)
    assert data.pairs.y.items == ["d PERSON"]
    assert list(data.pairs.parts) == ["train"]
    assert data.second.items == ["test/0.jpg 2_modified", "test/1.jpg 2_modified"]


def test_pictures_of_the_news_that_are_gone_are_counted(cosmos):
    (cosmos / "train" / "0.jpg").unlink()
    with pytest.warns(UserWarning, match=r"1 of the 2 files that .*train.json lists are missing .*train/0.jpg"):
        data = find("cosmos")(cosmos)
    assert data.pairs.y.items == ["c", "d", "e"]
    assert data.pairs.owners.tolist() == [0, 1, 1]
    (cosmos / "train" / "1.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"none of the 2 files that .*train.json lists is there"):
        find("cosmos")(cosmos)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "test_data.json, line 1, is no JSON"),
        ("[]", "test_data.json, line 1, is no object"),
        (json.dumps(two_captions("test/0.jpg", {"context_label": 2})), "line 1: context_label must be 0 or 1"),
        (json.dumps(two_captions("test/0.jpg", {})), "line 1: context_label must be 0 or 1 .*got 'None'"),
        (json.dumps({"img_local_path": "test/0.jpg"}), "line 1, has no 'caption1'"),
        ("", "test_data.json is empty"),
    ],
)
def test_malformed_lines_of_cosmos_are_refused(cosmos, line, message):
    (cosmos / "annotations" / "test_data.json").write_text(line)
    with pytest.raises(ValueError, match=message):
        find("cosmos")(cosmos)


# MusicCaps


def music(number, evaluation):
    return {
        "ytid": f"-id{number}",
        "start_s": number,
        "end_s": number + 10,
        "audioset_positive_labels": "/m/04rlf",
        "caption": f"caption {number},\nin two lines",
        "is_balanced_subset": "False",
        "is_audioset_eval": evaluation,
    }


def test_music_that_is_gone_is_counted(tmp_path):
    write_csv(tmp_path / "musiccaps-public.csv", [music(number, str(number % 2 == 0)) for number in range(30)])
    touch(*(tmp_path / "wav" / f"-id{number}.wav" for number in range(28)))
    touch(tmp_path / "wav" / "[-id28]-[28-38].wav")
    with pytest.warns(UserWarning, match=r"1 of the 30 files .*musiccaps-public.csv .*-id29.wav"):
        data = Recipe.open("musiccaps").read(tmp_path)
    assert (data.x.kind, len(data.x)) == ("audio", 29)
    assert data.x.items[28].name == "[-id28]-[28-38].wav"
    assert data.y.items[3] == "caption 3,\nin two lines"
    assert sorted(data.parts["test"]) == list(range(0, 29, 2))
    assert sorted([*data.parts["train"], *data.parts["val"]]) == list(range(1, 29, 2))
    assert len(data.parts["val"]) == 1


def test_malformed_tables_of_music_are_refused(tmp_path):
    read = find("audio-captions")
    with pytest.raises(FileNotFoundError, match=r"no musiccaps-public.csv: a table with the columns ytid"):
        read(tmp_path)
    table = tmp_path / "musiccaps-public.csv"
    write_csv(table, [music(0, "True"), music(1, "perhaps")])
    with pytest.raises(FileNotFoundError, match=r"no wav: a folder of the clips"):
        read(tmp_path)
    touch(tmp_path / "wav" / "-id0.wav")
    with pytest.raises(ValueError, match=r"musiccaps-public.csv, row 1, must have .*the last True or False"):
        read(tmp_path)
    write_csv(table, [{"ytid": "a", "caption": "b"}])
    with pytest.raises(ValueError, match="no column 'start_s'; it has ytid, caption"):
        read(tmp_path)
    write_csv(table, [music(5, "True")])
    with pytest.raises(FileNotFoundError, match=r"none of the 1 files .* is there; the first is .*-id5.wav"):
        read(tmp_path)


# Series

HEADER = """#A comment
@problemName Handwriting
@timeStamps false
@missing false
@univariate false
@dimensions 2
@equalLength true
@seriesLength 3
@classLabel true 1.0 2.0
@data
"""


def test_series_are_read_with_channels_and_labels(tmp_path):
    (tmp_path / "a.ts").write_text(HEADER + "1,2,3:-4,5e-1,6:2.0\n0,0,0:1,1,1:1.0\n")
    series, labels, classes = read_ts(tmp_path / "a.ts")
    assert [one.tolist() for one in series] == [[[1, 2, 3], [-4, 0.5, 6]], [[0, 0, 0], [1, 1, 1]]]
    assert series[0].dtype == np.float32
    assert (labels, classes) == (["2", "1"], ["1", "2"])


def test_the_recipe_of_handwriting_names_letters(tmp_path):
    header = HEADER.replace("1.0 2.0", " ".join(f"{number}.0" for number in range(1, 27)))
    (tmp_path / "Handwriting_TRAIN.ts").write_text(header + "1,2,3:4,5,6:26.0\n1,2,3:4,5,6:1.0\n")
    with pytest.raises(FileNotFoundError, match=r"no Handwriting_TEST.ts: series of Handwriting"):
        Recipe.open("handwriting").read(tmp_path)
    (tmp_path / "Handwriting_TEST.ts").write_text(header + "7,2,3:4,5,6:3.0\n")
    data = Recipe.open("handwriting").read(tmp_path)
    assert [data.names[label] for label in data.labels] == ["Z", "A", "C"]
    assert data.texts[2] == ["The letter C.", "A handwritten letter C."]
    assert data.x.kind == "series"
    assert (sorted(data.parts["train"]), list(data.parts["test"])) == ([0, 1], [2])
    assert data.x.items[2][0, 0] == 7
    with pytest.raises(ValueError, match="names must name every label, got none for 2, 3"):
        find("series")(tmp_path, problem="Handwriting", templates=("{}",), names={"1": "A"})
    (tmp_path / "Handwriting_TEST.ts").write_text(HEADER + "7,2,3:4,5,6:1.0\n")
    with pytest.raises(ValueError, match=r"Handwriting_TRAIN.ts and Handwriting_TEST.ts must have the same labels"):
        Recipe.open("handwriting").read(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER + "1,2,3:4,5,6:3.0\n", "line 11: its label '3' is none of the header's"),
        (HEADER + "1,2,3:1.0\n", "line 11: it has 1 channels, the header says 2"),
        (
            HEADER + "1,2,3:4,5:1.0\n",
            r"line 11: channels must be finite numbers and equally long, got lengths \[2, 3\]",
        ),
        (HEADER + "1,2,?:4,5,6:1.0\n", r"line 11: could not convert string to float: '\?'"),
        (HEADER + "1,2,nan:4,5,6:1.0\n", "line 11: channels must be finite"),
        (HEADER, "holds no series after @data"),
        ("1,2,3:1.0\n", "line 1, comes before @data but starts with neither @ nor #"),
        (HEADER.replace("true 1.0 2.0", "false"), "must have '@classLabel true' and at least 2 labels"),
        (HEADER.replace("@timeStamps false", "@timeStamps true"), "has time stamps"),
    ],
)
def test_malformed_series_are_refused(tmp_path, content, message):
    (tmp_path / "a.ts").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_ts(tmp_path / "a.ts")


# Data of the Hugging Face Hub


class Split(list):
    column_names = ("image", "label")

    def __getitem__(self, key):
        return [row[key] for row in self] if isinstance(key, str) else super().__getitem__(key)


def split(start, labels):
    return Split({"image": f"picture {start + row}", "label": label} for row, label in enumerate(labels))


@pytest.fixture
def library(monkeypatch):
    """A stand-in of ``datasets``, which does not ship with the tests: the two functions that are called."""
    splits = {"train": split(0, [0, 1] * 5), "test": split(10, [1, 0])}
    module = types.ModuleType("datasets")
    module.load_dataset = lambda name, config: splits if (name, config) == ("mpg-ranch/leafy_spurge", "crop") else None
    module.load_from_disk = lambda path: splits.get(path.rpartition("/")[2], splits)
    monkeypatch.setitem(sys.modules, "datasets", module)
    return splits


@pytest.mark.parametrize("form", ["hub", "dict", "folders"])
def test_leafy_spurge_is_read_from_the_hub_or_a_folder(library, tmp_path, form):
    if form == "dict":
        touch(tmp_path / "dataset_dict.json")
    if form == "folders":
        touch(tmp_path / "train" / "state.json", tmp_path / "test" / "state.json")
    data = Recipe.open("leafy-spurge").read(None if form == "hub" else tmp_path)
    assert list(data.x.items) == [f"picture {row}" for row in range(12)]
    assert data.x.items[9:11] == ["picture 9", "picture 10"]
    assert data.labels.tolist() == [0, 1] * 5 + [1, 0]
    assert data.texts[1] == ["An image of leafy spurge."]
    assert (len(data.parts["train"]), len(data.parts["val"]), data.parts["test"].tolist()) == (9, 1, [10, 11])
    assert len(data.limit(2).x) == 5


def test_what_data_of_the_hub_lack_is_said(library, tmp_path, monkeypatch):
    recipe = Recipe.open("leafy-spurge")
    with pytest.raises(FileNotFoundError, match=r"holds neither dataset_dict.json nor train/state.json"):
        recipe.read(tmp_path)
    library["test"] = Split([{"image": "a", "label": 2}])
    with pytest.raises(ValueError, match="labels must be from 0 to 1, got 2 at 10"):
        recipe.read()
    library["test"].column_names = ("image", "class")
    with pytest.raises(ValueError, match="split 'test', has no column 'label'; it has image, class"):
        recipe.read()
    del library["test"]
    with pytest.raises(ValueError, match="mpg-ranch/leafy_spurge has no split 'test'; it has train"):
        recipe.read()
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match="pip install datasets"):
        recipe.read()


# Drives


@pytest.fixture
def drives(tmp_path):
    for drive in ("00", "01", "07", "08"):
        frames = ("000000", "000001")
        touch(*(tmp_path / drive / "velodyne" / f"{frame}.bin" for frame in frames))
        (tmp_path / drive / "captions.json").write_text(json.dumps({frame: f"{drive}/{frame}" for frame in frames}))
    return tmp_path


def test_drives_are_never_split(drives):
    data = Recipe.open("kitti-lidar").read(drives)
    assert (data.x.kind, data.y.kind) == ("points", "text")
    drives_of = {part: {data.x.items[row].parts[-3] for row in rows} for part, rows in data.parts.items()}
    assert drives_of == {"train": {"00", "01"}, "val": {"07"}, "test": {"08"}}
    for scan, text in zip(data.x.items, data.y.items, strict=True):
        assert f"{scan.parts[-3]}/{scan.stem}" == text
    assert data.owners.tolist() == list(range(8))


def test_what_drives_lack_is_said(drives):
    read = find("drives")
    with pytest.raises(
        FileNotFoundError, match="test must name drives with velodyne, each once, got '09'; there are 00"
    ):
        read(drives, test=["08", "09"])
    with pytest.raises(ValueError, match="test must name drives with velodyne, each once, got '08'"):
        read(drives, test=["08"], val=["08"])
    with pytest.raises(ValueError, match="has no drive left to train on"):
        read(drives, test=["00", "01"], val=["07", "08"])
    (drives / "01" / "captions.json").write_text("{}")
    with pytest.raises(ValueError, match="there is no caption of frame '000000'"):
        read(drives, test=["08"])
    (drives / "01" / "captions.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"captions.json: no such file of captions"):
        read(drives, test=["08"])


# Tables


def test_rows_of_a_table_that_share_a_picture_are_one_item(tmp_path):
    touch(*(tmp_path / f"{name}.png" for name in "abcd"))
    rows = [{"file": f"{name}.png", "text": f"{name}{row}"} for row, name in enumerate("abab")]
    write_csv(tmp_path / "train.csv", rows)
    write_csv(tmp_path / "test.csv", [{"file": "c.png", "text": "c"}, {"file": "d.png", "text": "d"}])
    read = find("table")
    data = read(tmp_path, x="image:file", y="text:text")
    assert [path.name for path in data.x.items] == ["a.png", "b.png", "c.png", "d.png"]
    assert data.owners.tolist() == [0, 1, 0, 1, 2, 3]
    assert split_of(data) == {"train": ["a.png", "b.png"], "test": ["c.png", "d.png"]}
    write_csv(tmp_path / "test.csv", [{"file": "b.png", "text": "b"}])
    with pytest.raises(ValueError, match=r"b.png' of column 'file' is in train and in test"):
        read(tmp_path, x="image:file", y="text:text")


def test_groups_of_a_table_stay_together(tmp_path):
    rows = [{"x": f"x{row}", "y": f"y{row}", "group": str(row // 4)} for row in range(40)]
    write_csv(tmp_path / "train.csv", rows)
    write_csv(tmp_path / "test.csv", [{"x": "x40", "y": "y40", "group": "10"}])
    options = {"x": "text:x", "y": "text:y", "group": "group", "val_share": 0.2}
    data = find("table")(tmp_path, **options)
    groups = {part: {int(data.x.items[row][1:]) // 4 for row in rows} for part, rows in data.parts.items()}
    assert len(data.parts["val"]) == 8
    assert not groups["train"] & groups["val"]
    write_csv(tmp_path / "test.csv", [{"x": "x40", "y": "y40", "group": "3"}])
    with pytest.raises(ValueError, match="'3' of column 'group' is in train and in test"):
        find("table")(tmp_path, **options)


def test_a_table_with_labels_is_labelled(tmp_path):
    write_csv(tmp_path / "train.csv", [{"x": "sour", "kind": "green_lemon"}, {"x": "sweet", "kind": "apple"}])
    write_csv(tmp_path / "test.csv", [{"x": "very sour", "kind": "green_lemon"}])
    data = find("table")(tmp_path, x="text:x", label="kind", templates=("a {}",))
    assert data.names == ["apple", "green lemon"]
    assert data.labels.tolist() == [1, 0, 1]
    assert data.texts == [["a apple"], ["a green lemon"]]
    with pytest.raises(ValueError, match="needs one of y and label, got y='' and label=''"):
        find("table")(tmp_path, x="text:x")
    (tmp_path / "test.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"no test.csv: a table of the part 'test'"):
        find("table")(tmp_path, x="text:x", label="kind", templates=("a {}",))


# Features


def test_features_are_read_with_several_captions_and_a_split(tmp_path):
    x, y = np.arange(12.0).reshape(6, 2), np.arange(36.0).reshape(6, 2, 3)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    np.savez(tmp_path / "split.npz", train=[5, 0, 1], test=[2, 3])
    data = Recipe.open("features").read(tmp_path)
    np.testing.assert_array_equal(data.y.items, y.reshape(12, 3))
    assert data.owners.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert {part: sorted(rows.tolist()) for part, rows in data.parts.items()} == {"train": [0, 1, 5], "test": [2, 3]}
    some = data.limit(1)
    # Row i of x starts with 2 i, its captions with 6 i and 6 i + 3.
    np.testing.assert_array_equal(some.y.items[:, 0] // 6, some.x.items[some.owners, 0] / 2)
    np.savez(tmp_path / "split.npz", train=[0, 1], test=[1, 2])
    with pytest.raises(ValueError, match="row 1 is in the parts 2 times"):
        Recipe.open("features").read(tmp_path)
    np.savez(tmp_path / "split.npz", train=[0, 1])
    with pytest.raises(ValueError, match=r"split.npz must hold train, test and perhaps val, got train"):
        Recipe.open("features").read(tmp_path)


def test_features_without_a_split_are_divided_by_chance(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((100, 2), dtype=np.float32))
    np.save(tmp_path / "y.npy", np.zeros((100, 3), dtype=np.float16))
    data = find("features")(tmp_path)
    assert {part: len(rows) for part, rows in data.parts.items()} == {"train": 70, "val": 10, "test": 20}
    assert data.owners.tolist() == list(range(100))


def test_features_that_do_not_fit_are_refused(tmp_path):
    read = find("features")
    with pytest.raises(FileNotFoundError, match=r"no x.npy: an array of features"):
        read(tmp_path)
    np.save(tmp_path / "x.npy", np.zeros((4, 2)))
    np.save(tmp_path / "y.npy", np.zeros((8, 2)))
    with pytest.raises(ValueError, match=r"x.npy has 4 rows, y.npy 8: owners.npy must say which"):
        read(tmp_path)
    np.save(tmp_path / "owners.npy", np.repeat(np.arange(4), 2))
    assert read(tmp_path).owners.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    np.save(tmp_path / "owners.npy", np.arange(8))
    with pytest.raises(ValueError, match="owners must be from 0 to 3, got 4"):
        read(tmp_path)
    np.save(tmp_path / "y.npy", np.zeros(8))
    with pytest.raises(ValueError, match=r"x.npy must be \(n, p\)"):
        read(tmp_path)
    np.save(tmp_path / "y.npy", np.zeros((4, 2), dtype=int))
    with pytest.raises(ValueError, match=r"y.npy must hold floats, got int64"):
        read(tmp_path)
    (tmp_path / "y.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:100])
    with pytest.raises(ValueError, match=r"y.npy is truncated, or no array"):
        read(tmp_path)


def test_there_is_no_such_reader():
    with pytest.raises(ValueError, match="there is no reader 'pictures'; there are audio-captions"):
        find("pictures")
