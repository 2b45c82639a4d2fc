"""Pairs of features for the bench of quality: folders of arrays, the clip-arts of the demo, and made-up ones."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from canonsim.baselines.rows import set_aside

FLICKR8K = ("image_efflite0.npy", "text_minilm.npy")


@dataclass(frozen=True)
class Pairs:
    """Features of pairs, their groups, and the rows of each part in the order in which they are taken."""

    name: str
    x: np.ndarray
    y: np.ndarray
    ids: np.ndarray
    """Rows with one id show the same: folds and validation parts keep them together."""
    train: np.ndarray
    val: np.ndarray
    test: np.ndarray

    def part(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Features of both sides and ids of these rows."""
        return self.x[rows], self.y[rows], self.ids[rows]


def read(named: list[Path] | None) -> list[Pairs]:
    """The data sets named on a command line: folders, and ``clipart``, which is the default."""
    sets = [clipart() if str(name) == "clipart" else from_folder(name) for name in named or [Path("clipart")]]
    if len({data.name for data in sets}) < len(sets):
        raise SystemExit(f"--data must name folders of different names, got {', '.join(data.name for data in sets)}")
    return sets


def from_folder(folder: Path) -> Pairs:
    """Read ``x.npy`` and ``y.npy`` (or the files of flickr8k) and, where there is one, ``split.npz``.

    Row i of x (n, p) belongs to row i of y (n, q); of y (n, captions, q) the first caption is taken.
    """
    files = next(
        (names for names in (("x.npy", "y.npy"), FLICKR8K) if all((folder / n).is_file() for n in names)), None
    )
    if files is None:
        raise SystemExit(f"--data {folder} holds neither x.npy and y.npy nor {' and '.join(FLICKR8K)}")
    x, y = (np.load(folder / name, mmap_mode="r") for name in files)
    y = y[:, 0] if y.ndim == 3 else y
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise SystemExit(f"--data {folder}: x and y must be (n, p) and (n, q), got {x.shape} and {y.shape}")
    n = len(x)
    if (folder / "split.npz").is_file():
        parts = read_split(folder / "split.npz", n)
    else:
        # In thousands of pairs, more test rows would only cost time.
        rows, test = np.random.default_rng(0).permutation(n), min(n // 5, 1000)
        val = min(n // 10, 500)
        parts = rows[test + val :], rows[test : test + val], rows[:test]
    return Pairs(folder.name, x.astype(np.float32), y.astype(np.float32), np.arange(n), *parts)


def read_split(path: Path, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row numbers of the parts ``train``, ``val`` and ``test``, which share none."""
    with np.load(path) as split:
        missing = {"train", "val", "test"} - set(split)
        if missing:
            raise SystemExit(f"{path} lacks {', '.join(sorted(missing))}")
        train, val, test = (split[name].astype(np.int64) for name in ("train", "val", "test"))
    rows = np.concatenate([train, val, test])
    if len(np.unique(rows)) < len(rows) or rows.min() < 0 or rows.max() >= n:
        raise SystemExit(f"{path} must name rows from 0 to {n - 1}, none of them twice")
    return train, val, test


def clipart() -> Pairs:
    """The clip-arts that ship with the package, through the encoders of the demo; 100 training pairs validate."""
    from canonsim.demo.images import CLIPART

    tables = {}
    for split in ("train", "test"):
        with (CLIPART / f"{split}.csv").open(newline="", encoding="utf-8") as file:
            tables[split] = list(csv.DictReader(file))
    listed = [*tables["train"], *tables["test"]]
    pictures, captions = [CLIPART / row["image"] for row in listed], [row["caption"] for row in listed]
    x, y = encoded(pictures, captions)
    ids = np.array([int(row["group"]) for row in listed])
    train = np.arange(len(tables["train"]))
    val = set_aside(ids[train], 1 / 9, seed=0)
    return Pairs("clipart", x, y, ids, train[~val], train[val], np.arange(len(train), len(listed)))


def encoded(pictures: list[Path], captions: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Features of pictures and captions, kept in the user's cache."""
    from canonsim.demo import encoders
    from canonsim.encoders import FeatureCache
    from canonsim.recipes.run import default_cache

    cache = FeatureCache(default_cache())
    version = encoders.image_encoder_version()
    x = cache.encode(encoders.image_encoder(), pictures, batch_size=8, progress=True, name=version)
    y = cache.encode(encoders.text_encoder(), captions, batch_size=8, progress=True)
    return x, y


def synthetic() -> Pairs:
    """300 pairs with 6 latent variables in common: for a run in small."""
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((300, 6))
    x, y = (latent @ rng.standard_normal((6, dim)) + rng.standard_normal((300, dim)) for dim in (24, 16))
    parts = np.arange(120), np.arange(120, 200), np.arange(200, 300)
    return Pairs("synthetic", x.astype(np.float32), y.astype(np.float32), np.arange(300), *parts)
