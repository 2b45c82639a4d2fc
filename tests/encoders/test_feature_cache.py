"""Features are encoded once, found again only where they must be equal, and survive a run that is killed."""

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import processes
from canonsim.encoders import Encoder, FeatureCache, ImageEncoder, PointCloudEncoder, TextEncoder, fingerprints
from canonsim.encoders.feature_files import BLOCK
from canonsim.files import pack

ROWS = np.random.default_rng(0).standard_normal((2 * BLOCK + 100, 4)).astype(np.float32)


class Counting(torch.nn.Module):
    """A linear map that counts the rows it has seen."""

    def __init__(self, pause=0.0):
        super().__init__()
        self.map = torch.nn.Linear(4, 3)
        torch.nn.init.orthogonal_(self.map.weight)
        self.pause, self.seen = pause, 0

    def forward(self, batch):
        self.seen += len(batch)
        time.sleep(self.pause)
        return self.map(batch)


def make(**options):
    torch.manual_seed(0)
    return Encoder.from_module(Counting(**options), dim=3)


def encode(folder, encoder, items=ROWS, **options):
    return FeatureCache(folder).encode(encoder, items, name="linear", **options)


def blocks(folder):
    return sorted(folder.glob("*/blocks/*.safetensors"))


def age(*paths):
    """Make files old enough to be remembered."""
    for path in paths:
        os.utime(path, ns=(10**18, 10**18))


def test_features_are_encoded_once(tmp_path):
    encoder = make()
    features = encode(tmp_path, encoder)
    assert isinstance(features, np.memmap)
    assert features.dtype == np.float32
    assert not features.flags.writeable
    np.testing.assert_array_equal(features, make().encode(ROWS))
    assert encoder.module.seen == len(ROWS)

    def refuse(_items):
        raise AssertionError("nothing is to be read")

    again = make()
    again.collate = refuse
    np.testing.assert_array_equal(encode(tmp_path, again), features)
    assert again.module.seen == 0
    assert blocks(tmp_path) == []
    described = json.loads(next(tmp_path.glob("*/encoder.json")).read_text())
    assert (described["config"], described["name"]) == (encoder.config, "linear")


@pytest.mark.parametrize("count", [0, 1, BLOCK, BLOCK + 1])
def test_any_number_of_items(count, tmp_path):
    expected = make().encode(ROWS[:count])
    for _ in range(2):
        features = encode(tmp_path, make(), ROWS[:count])
        assert features.shape == (count, 3)
        np.testing.assert_array_equal(features, expected)


@pytest.mark.parametrize("batch_size", [7, 1000])
def test_batches_of_any_size(batch_size, tmp_path):
    np.testing.assert_allclose(encode(tmp_path, make(), batch_size=batch_size), make().encode(ROWS), atol=1e-6)


def test_the_random_state_is_the_same_whether_or_not_anything_was_encoded(tmp_path):
    states = []
    for _ in range(2):
        encoder = make()
        encode(tmp_path, encoder)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


def killed(folder, renames):
    """Encode until a file is about to be renamed for the nth time."""
    left, replace = iter(range(renames)), Path.replace

    def counted(self, target):
        if next(left, None) is None:
            processes.kill_myself()
        return replace(self, target)

    Path.replace = counted
    Path.unlink = lambda *_, **__: processes.kill_myself()
    encode(folder, make())


# The description of the encoder, three blocks, the finished file; then the blocks are removed.
@pytest.mark.parametrize(("renames", "whole"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 3), (5, 3)])
def test_a_killed_run_goes_on_after_its_last_whole_block(renames, whole, tmp_path):
    assert processes.exit_codes(processes.start(killed, tmp_path, renames)) == [-9]
    assert len(blocks(tmp_path)) == whole
    encoder = make()
    np.testing.assert_array_equal(encode(tmp_path, encoder), encode(tmp_path / "uninterrupted", make()))
    assert encoder.module.seen == len(ROWS) - min(whole * BLOCK, len(ROWS))
    assert [path.name for path in [*tmp_path.glob("*/blocks/*"), *tmp_path.glob("*/.*")]] == []


def encode_slowly(folder, number):
    np.save(folder / f"{number}.npy", encode(folder / "cache", make(pause=0.02), batch_size=32))


def test_processes_at_the_same_time_do_not_disturb_each_other(tmp_path):
    codes = processes.exit_codes(*(processes.start(encode_slowly, tmp_path, number) for number in range(3)))
    assert codes == [0, 0, 0]
    expected = encode(tmp_path / "alone", make(), batch_size=32)
    for number in range(3):
        np.testing.assert_array_equal(np.load(tmp_path / f"{number}.npy"), expected)
    assert blocks(tmp_path) == []


def test_blocks_that_another_process_removes_are_encoded_again(tmp_path):
    encoder = make()
    removed = []

    class Removing(Counting):
        def forward(self, batch):
            # After the first block is there, once.
            if self.seen == BLOCK and not removed:
                removed.extend(blocks(tmp_path))
                shutil.rmtree(removed[0].parent)
            return super().forward(batch)

    encoder.module = Removing()
    encoder.module.load_state_dict(make().module.state_dict())
    np.testing.assert_array_equal(encode(tmp_path, encoder), make().encode(ROWS))
    assert len(removed) == 1


@pytest.fixture
def interrupted(tmp_path):
    """A folder with two whole blocks of three."""
    spoiled = ROWS.copy()
    spoiled[-1] = np.nan
    with pytest.raises(ValueError, match="hold NaN or Inf"):
        encode(tmp_path, make(), spoiled)
    assert len(blocks(tmp_path)) == 2
    return tmp_path


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: b"",
        lambda content: pack({"features": np.ones((BLOCK, 4), dtype=np.float32)}, "canonsim.features"),
        lambda content: pack({"features": np.ones((BLOCK, 3))}, "canonsim.features"),
        lambda content: pack({"other": np.ones((BLOCK, 3), dtype=np.float32)}, "canonsim.features"),
    ],
    ids=["truncated", "altered", "empty", "wide", "f64", "foreign"],
)
def test_damaged_blocks_are_encoded_again(damage, interrupted):
    path = blocks(interrupted)[0]
    path.write_bytes(damage(path.read_bytes()))
    encoder = make()
    np.testing.assert_array_equal(encode(interrupted, encoder), make().encode(ROWS))
    assert encoder.module.seen == BLOCK + 100


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: content[:20], lambda content: b""])
def test_a_damaged_file_is_encoded_again(damage, tmp_path):
    path = Path(encode(tmp_path, make()).filename)
    assert path == FeatureCache(tmp_path).path(make(), ROWS, name="linear")
    path.write_bytes(damage(path.read_bytes()))
    encoder = make()
    np.testing.assert_array_equal(encode(tmp_path, encoder), make().encode(ROWS))
    assert encoder.module.seen == len(ROWS)


def test_features_that_are_not_finite_are_refused_with_row_and_item(tmp_path):
    def infinite(text):
        return torch.tensor([float("inf") if "bad" in text else 1.0])

    encoder = Encoder.from_module(torch.nn.Identity(), infinite, dim=1, kind="text")
    texts = [f"text {i}" for i in range(BLOCK)] + ["good", "bad luck"]
    cache = FeatureCache(tmp_path)
    with pytest.raises(ValueError, match=rf"^row {BLOCK + 1}: the features of bad luck hold NaN or Inf$"):
        cache.encode(encoder, texts, name="v1")
    assert len(blocks(tmp_path)) == 1
    with pytest.raises(ValueError, match=r"^row 70: the features of bad luck"):
        cache.encode(encoder, ["good", "bad luck"], name="v1", rows=[3, 70])


def test_a_wrong_number_of_rows_is_refused(tmp_path):
    encoder = make()
    encoder.module.forward = lambda batch: batch[:1, :3]
    with pytest.raises(ValueError, match="gave 1 rows for a batch of 64 items"):
        encode(tmp_path, encoder)


@pytest.fixture
def files(tmp_path):
    """More pictures than fit in a block; they are few colours, so that they cost little."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    paths = [folder / f"{i}.png" for i in range(BLOCK + 20)]
    for i, path in enumerate(paths):
        Image.new("RGB", (2, 2), (i % 256, i // 256, 0)).save(path)
    age(*paths)
    return paths


def mean_colour(picture):
    return torch.from_numpy(np.asarray(picture, dtype=np.float32)).mean(dim=(0, 1))


def colours():
    return Encoder.from_module(torch.nn.Identity(), mean_colour, dim=3, kind="image")


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_picture_is_named_and_costs_one_block(workers, files, tmp_path):
    cache = FeatureCache(tmp_path / "cache")
    good = files[BLOCK + 3].read_bytes()
    files[BLOCK + 3].write_bytes(good[:40])
    with pytest.raises(ValueError, match=rf"^row {BLOCK + 3}: .*{BLOCK + 3}\.png .* is no picture"):
        cache.encode(colours(), files, name="mean", workers=workers)
    assert len(blocks(tmp_path / "cache")) == 1

    files[BLOCK + 3].write_bytes(good)
    encoder, seen = colours(), []
    collate = encoder.collate
    encoder.collate = lambda items: seen.extend(items) or collate(items)
    features = cache.encode(encoder, files, name="mean")
    assert seen == files[BLOCK:]
    np.testing.assert_array_equal(features[:, 0], np.arange(BLOCK + 20) % 256)
    np.testing.assert_array_equal(features[:, 1], np.arange(BLOCK + 20) // 256)


def test_workers_change_nothing(files, tmp_path):
    for workers in (0, 2):
        features = FeatureCache(tmp_path / str(workers)).encode(colours(), files, name="mean", workers=workers)
        np.testing.assert_array_equal(features, colours().encode(files))


def test_a_missing_file_is_named_before_anything_is_encoded(files, tmp_path):
    files[-1].unlink()
    with pytest.raises(FileNotFoundError, match=rf"^row {BLOCK + 19}: .*{BLOCK + 19}.png: No such file"):
        FeatureCache(tmp_path / "cache").encode(colours(), files, name="mean")
    assert blocks(tmp_path / "cache") == []


@pytest.fixture
def read(monkeypatch):
    """The names of the files whose bytes were hashed."""
    names, hash_file = [], fingerprints._hash_file
    monkeypatch.setattr(fingerprints, "_hash_file", lambda path: names.append(path.name) or hash_file(path))
    return names


def test_files_are_read_once_and_again_where_they_changed(files, tmp_path, read):
    cache, files = FeatureCache(tmp_path / "cache"), files[:3]

    def path():
        read.clear()
        return cache.path(colours(), files, name="mean")

    first = path()
    assert read == ["0.png", "1.png", "2.png"]
    assert path() == first
    assert read == []
    size = files[1].stat().st_size
    Image.new("RGB", (2, 2), (200, 0, 0)).save(files[1])
    assert files[1].stat().st_size == size
    # Written a moment ago, it may be written again without a sign.
    for _ in range(2):
        assert path() != first
        assert read == ["1.png"]
    files[2].rename(files[2].with_name("other.png"))
    files[2] = files[2].with_name("other.png")
    second = path()
    files[2].rename(files[2].with_name("2.png"))
    files[2] = files[2].with_name("2.png")
    assert path() == second


def killed_while_reading(folder, files):
    hash_file = fingerprints._hash_file
    fingerprints._PENDING = 10
    fingerprints._hash_file = lambda path: processes.kill_myself() if path.name == "25.png" else hash_file(path)
    FeatureCache(folder).path(colours(), files, name="mean")


def test_what_was_read_before_a_kill_is_remembered(files, tmp_path, read):
    process = processes.start(killed_while_reading, tmp_path / "cache", files)
    assert processes.exit_codes(process) == [-9]
    FeatureCache(tmp_path / "cache").path(colours(), files, name="mean")
    assert read == [file.name for file in files[20:]]


def test_a_damaged_index_is_named(files, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "files.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(ValueError, match=r"files\.sqlite: file is not a database"):
        FeatureCache(tmp_path / "cache").path(colours(), files, name="mean")


def test_keys_tell_encoders_apart(model_folder, tmp_path, pictures):
    cache, folder = FeatureCache(tmp_path / "cache"), shutil.copytree(model_folder("bert"), tmp_path / "bert")

    def key(name=None, change=None, **options):
        encoder = TextEncoder.from_pretrained(folder, **options)
        if change is not None:
            change(encoder)
        return cache.path(encoder, ["a dog", "red cars"], name=name)

    def nudge(encoder):
        next(encoder.parameters()).data[0, 0] += 1e-3

    plain = key()
    assert key() == key(pooling="mean", normalize=False) == plain
    others = [
        key(pooling="cls"),
        key(normalize=True),
        key(max_length=5),
        key(name="mine"),
        key(change=lambda encoder: encoder.config.update(revision="0a1b2c")),
        key(change=nudge),
        key(change=lambda encoder: encoder.bfloat16()),
    ]
    # Another model in the same folder; then the same model with another tokenizer.
    torch.manual_seed(1)
    type(TextEncoder.from_pretrained(folder).module)(TextEncoder.from_pretrained(folder).module.config).save_pretrained(
        folder
    )
    others.append(key())
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "padding_side": "left"}))
    others.append(key())
    assert len({plain, *others}) == len(others) + 1

    images = ImageEncoder.from_pretrained(model_folder("vit"))
    assert cache.path(images, pictures) == cache.path(ImageEncoder.from_pretrained(model_folder("vit")), pictures)
    assert cache.path(images, pictures) != cache.path(images, pictures[::-1])
    assert cache.path(images, pictures) == cache.path(images, [Image.fromarray(picture) for picture in pictures])


def test_keys_tell_items_apart(tmp_path):
    cache = FeatureCache(tmp_path / "cache")
    rows = [np.arange(6, dtype=np.float32)]
    different = [
        rows,
        [rows[0].reshape(2, 3)],
        [rows[0].astype(np.float64)],
        [rows[0] + 1],
        rows * 2,
        [torch.from_numpy(rows[0])],
        [rows[0].tolist()],
        [(rows[0], 8000)],
        [(rows[0], 16000)],
        [3],
        [3.0],
        ["3"],
    ]
    encoder = Encoder.from_module(torch.nn.Identity(), dim=6)
    keys = [cache.path(encoder, items, name="it") for items in different]
    assert len(set(keys)) == len(different)
    assert [cache.path(encoder, items, name="it") for items in different] == keys
    assert cache.path(encoder, [np.arange(12, dtype=np.float32)[::2] / 2], name="it") == keys[0]

    cloud = np.ones((10, 5), dtype=np.float32)
    for name in ("a.bin", "b.bin", "a.pcd.bin"):
        cloud.tofile(tmp_path / name)
    points = [cache.path(PointCloudEncoder(), [tmp_path / name]) for name in ("a.bin", "b.bin", "a.pcd.bin")]
    assert points[0] == points[1] != points[2]
    assert cache.path(PointCloudEncoder(max_range=10.0), [tmp_path / "a.bin"]) != points[0]
    assert FeatureCache(tmp_path / "cache").encode(PointCloudEncoder(), [cloud[:, :4]]).shape == (1, 97)


def test_wrong_arguments_are_refused(tmp_path):
    cache = FeatureCache(tmp_path / "cache")
    with pytest.raises(
        ValueError, match=r"made of '.*Counting', and no config holds its code and preprocess: give name="
    ):
        cache.encode(make(), ROWS)
    with pytest.raises(TypeError, match="got the single item 'a dog'"):
        encode(tmp_path / "cache", make(), "a dog")
    with pytest.raises(TypeError, match="row 1: items of the type dict cannot be compared"):
        encode(tmp_path / "cache", make(), [ROWS[0], {}])
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        encode(tmp_path / "cache", make(), batch_size=0)
    with pytest.raises(ValueError, match="workers must not be negative, got -1"):
        encode(tmp_path / "cache", make(), workers=-1)
    with pytest.raises(ValueError, match="rows has 2 numbers, but there are 1124 items"):
        encode(tmp_path / "cache", make(), rows=[1, 2])
    assert blocks(tmp_path / "cache") == []
