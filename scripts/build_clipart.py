"""Rebuild the clip-art pairs of the demo from the Debian packages of the Open Clip Art Library.

The pictures of `openclipart-png` are joined with the titles and keywords that `openclipart-svg` holds as RDF. Kept are
pictures in the public domain whose name is made of English words; pictures with the same name or nearly the same pixels
are dropped, what is left is spread over the library's folders and cut to a fixed number. The same packages give the
same set.

    apt-get update
    apt-get download openclipart-png openclipart-svg wamerican-large
    for package in *.deb; do dpkg -x "$package" root; done
    python scripts/build_clipart.py root --output python/canonsim/demo/clipart

`scripts/clipart_names.csv` holds what was decided by eye: a source with a better name, or with none (dropped).
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import re
import shutil
import sys
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

SIZE = 128
MARGIN = 4
SMALLEST = 48
"""Pictures whose longer side has fewer pixels are too coarse."""
LARGEST = 60_000_000
DUPLICATE = 0.93
"""Pixel correlation from which the later of two pictures is dropped."""
RELATED = 0.88
"""Pixel correlation from which two pictures must lie on the same side of the split."""

SKIPPED = (
    *(f"computer/icons/{theme}-theme/" for theme in ("etiquette", "flat", "lemon")),
    "computer/buttons/",
    "shapes/stars/",
    "shapes/jigsaw/",
    "special/gradients/",
    "signs_and_symbols/flags/miscellany/",
    "signs_and_symbols/flags/semaphore/",
    "unsorted/duplicates/",
)
"""Folders of icon themes and series; single pictures of them come in by `clipart_names.csv`."""
LIMITS = {"computer/icons": 40, "signs_and_symbols/flags": 50, "special/patterns": 20}
"""Most pictures taken from a folder (with its subfolders)."""
PHRASES = {
    "signs_and_symbols/flags": "flag of {}",
    "signs_and_symbols/map_symbols": "{} sign",
    "transportation/aiga-symbols": "{} sign",
    "transportation/roadsigns": "{} road sign",
}
"""How a name reads in a folder whose pictures are named after what stands in the folder's own name."""
EMPTY_KEYWORDS = frozenset(
    (  # noqa: SIM905  (shorter than one word a line)
        "11 action activities advertising animals appicon application clipart computer creation desktop diagrams "
        "entertainment equipment festive geometry hash icon icons logo logos mapsym menu object objects openclipart "
        "people place places recreation shape shapes sign signs signs_and_symbols simple special special/patterns "
        "states symbol symbols theme tool tools transport transportation unsorted webpage work bordered ornamental "
        "deserts rubik greed"
    ).split()
)
"""Keywords of filing, which say nothing that is seen."""
EMPTY_NAMES = frozenset(
    (  # noqa: SIM905  (shorter than one name a line)
        "back; blue man; bordered; card; chess pieces; female silhouette; film photo; gnome mime text x authors; "
        "gold theme; historic belarus; homes; led triangular; leone; male silhouette; martin luther king jr; menu "
        "clip art collection example; ornamental; part of the flat icon collection; pc connectors; people; round; "
        "sand glass; segmented; stared; tigre; white; yang; yoga person"
    ).split("; ")
)
"""Names of series whose pictures they do not tell apart, and other names not to be used."""
KEYWORD_SPELLING = {
    "roadsign": "road sign",
    "icecream": "ice cream",
    "bodypart": "part of the body",
    "musicstuff": "music",
    "roadtravel": "road",
    "networksym": "network",
    "icecreamcone": "ice cream cone",
}
EDGE_WORDS = frozenset(
    (  # noqa: SIM905  (shorter than one word a line)
        "a aiga aj an another bb bw clipart etiquette fixed icon illustration new remix simple some stylized the "
        "version"
    ).split()
)
"""Words without meaning at the ends of a title."""


@dataclass(frozen=True)
class Clip:
    """One picture of the library.

    `source` is its path without suffix, `name` says what it shows, in normalised words; `decided` pictures have their
    name from `clipart_names.csv`, where no name means that the picture and its copies in other folders are left out.
    """

    source: str
    title: str
    name: str
    keywords: tuple[str, ...] = ()
    decided: bool = False
    pixels: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8), repr=False, compare=False)

    @property
    def folder(self) -> str:
        """The folder the picture lies in, at most two levels deep."""
        return "/".join(self.source.split("/")[:-1][:2])

    @property
    def caption(self) -> str:
        """The name, then up to three keywords that add a word to it."""
        phrase = PHRASES.get(self.folder, "{}")
        named = set(phrase.split()) & set(self.name.split())
        text = self.name if named - {"{}"} else phrase.format(self.name)
        said = {stem(word) for word in text.split()}
        added: list[str] = []
        for keyword in self.keywords:
            words = {stem(word) for word in keyword.split()}
            if len(added) < 3 and not words <= said:
                added.append(keyword)
                said |= words
        return ", ".join([text, *added])


def stem(word: str) -> str:
    """Return a word without its plural ending, to compare words."""
    return re.sub(r"(?<=[^aeious])(es|s)$|(?<=[aeiou])s$", "", word)


def order(text: str) -> str:
    """Return a key that sorts texts in an arbitrary but fixed order."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_words(path: Path) -> frozenset[str]:
    """Read a word list, one word a line, in lower case."""
    return frozenset(line.strip().lower() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())


def read_metadata(svg: Path) -> tuple[str, tuple[str, ...]] | None:
    """Read the title and the keywords of an SVG file; None if it does not say that it is in the public domain."""
    try:
        root = ET.parse(svg).getroot()  # noqa: S314  (a file of a Debian package)
    except ET.ParseError:
        return None
    work = next((node for node in root.iter() if node.tag.endswith("}Work")), None)
    if work is None:
        return None
    title, keywords, public = "", [], False
    for node in work:
        kind = node.tag.rpartition("}")[2]
        if kind == "title":
            title = " ".join("".join(node.itertext()).split())
        elif kind == "subject":
            keywords = [
                " ".join(item.text.lower().split()) for item in node.iter() if item.tag.endswith("}li") and item.text
            ]
        elif kind == "license":
            public = any(value.lower().rstrip("/").endswith("publicdomain") for value in node.attrib.values())
    return (title, tuple(dict.fromkeys(keywords))) if public else None


def normalise(text: str) -> str:
    """Return the words of a title or file name: lower case, without brackets, numbering and words that say nothing."""
    text = re.sub(r"([a-z])([A-Z])", r"\1 \2", re.sub(r"\([^)]*\)", " ", text))
    words = re.sub(r"[^A-Za-z0-9']+", " ", text).lower().split()
    words = ["silhouette" if word == "contour" else re.sub(r"(?<=[a-z])\d+$", "", word) for word in words]
    if words[-1:] == ["pattern"]:
        words = [word for word in words if not word.isdigit()]
    numbering = re.compile(r"\d+|v\d*|[a-z]")
    while words and (numbering.fullmatch(words[-1]) or words[-1] in EDGE_WORDS):
        words.pop()
    while words and (words[0] in EDGE_WORDS or re.fullmatch(r"0\d*|\d{3,}", words[0])):
        words.pop(0)
    return " ".join(word for word in words if not re.fullmatch(r"0\d+", word))


def is_english(name: str, words: frozenset[str]) -> bool:
    """Tell whether a name has one to seven words, all of them English or a number."""
    parts = name.split()
    return (
        0 < len(parts) <= 7
        and all(part in words or part.isdigit() for part in parts)
        and any(len(p) > 2 for p in parts)
    )


def read_clips(root: Path, words: frozenset[str], names: dict[str, str]) -> list[Clip]:
    """Read all pictures that can be named, in the order of their paths."""
    found: list[Clip] = []
    for svg in sorted((root / "svg").rglob("*.svg")):
        source = svg.relative_to(root / "svg").with_suffix("").as_posix()
        metadata = read_metadata(svg)
        if metadata is not None and (root / "png" / f"{source}.png").is_file():
            found.append(Clip(source, *metadata[:1], "", metadata[1]))
    stems = defaultdict(set)
    for clip in found:
        stems[clip.title].add(re.sub(r"\d+", "", clip.source.rpartition("/")[2])[:10])
    clips = []
    for clip in found:
        if clip.source in names:
            name = names[clip.source]
        elif clip.source.startswith(SKIPPED) or "B and W" in clip.title:
            continue
        else:  # a title that many different files share is the title of a collection
            collective = len(stems[clip.title]) > 3 or not clip.title or "Buculei" in clip.title
            name = normalise(clip.source.rpartition("/")[2] if collective else clip.title)
            name = name if is_english(name, words) and name not in EMPTY_NAMES else ""
        spelt = (KEYWORD_SPELLING.get(keyword, keyword) for keyword in clip.keywords if keyword not in EMPTY_KEYWORDS)
        keywords = tuple(k for k in spelt if len(k.split()) <= 3 and is_english(k, words))
        decided = clip.source in names
        if name or decided:
            clips.append(replace(clip, name=name, keywords=keywords, decided=decided))
    return clips


def read_pixels(png: Path) -> np.ndarray | None:
    """Read a picture on white, cut to what is drawn and fitted into the square; None if there is too little to see."""
    Image.MAX_IMAGE_PIXELS = None  # checked here, and the files come from a signed package
    with Image.open(png) as opened:
        if opened.width * opened.height > LARGEST:
            return None
        drawn = opened.convert("RGBA")
    picture = Image.new("RGBA", drawn.size, "white")
    picture.alpha_composite(drawn)
    picture = picture.convert("RGB")
    box = Image.fromarray((np.asarray(picture).min(axis=2) < 250).astype(np.uint8)).getbbox()
    if box is None or max(box[2] - box[0], box[3] - box[1]) < SMALLEST:
        return None
    picture = picture.crop(box)
    scale = (SIZE - 2 * MARGIN) / max(picture.size)
    fitted = picture.resize([max(1, round(side * scale)) for side in picture.size], Image.Resampling.LANCZOS)
    square = Image.new("RGB", (SIZE, SIZE), "white")
    square.paste(fitted, ((SIZE - fitted.width) // 2, (SIZE - fitted.height) // 2))
    pixels = np.asarray(square)
    return pixels if pixels.std() > 6 else None


def correlations(clips: list[Clip]) -> np.ndarray:
    """Return the pixel correlations (n, n) of the pictures in grey, at a quarter of their size."""
    step = SIZE // 32
    grey = np.stack([clip.pixels.mean(axis=2).reshape(32, step, 32, step).mean(axis=(1, 3)).ravel() for clip in clips])
    grey -= grey.mean(axis=1, keepdims=True)
    grey /= np.linalg.norm(grey, axis=1, keepdims=True) + 1e-9
    likeness: np.ndarray = grey @ grey.T
    return likeness


def distinct(clips: list[Clip]) -> list[Clip]:
    """Drop pictures with the words or nearly the pixels of a better one; decided and coloured ones are better."""

    def rank(clip: Clip) -> tuple[bool, bool, str]:
        coloured = np.ptp(clip.pixels.astype(int), axis=2).mean() > 8
        return not clip.decided, not coloured, order(clip.source)

    ranked = sorted(clips, key=rank)
    likeness = correlations(ranked)
    kept: list[int] = []
    said: set[frozenset[str]] = set()
    for index, clip in enumerate(ranked):
        words = frozenset(stem(word) for word in clip.name.split())
        if (words not in said or not words) and not (likeness[index, kept] > DUPLICATE).any():
            kept.append(index)
            said.add(words)
    return [ranked[index] for index in kept if ranked[index].name]


def spread(clips: list[Clip], count: int) -> list[Clip]:
    """Take `count` pictures in turns from the folders, so that small folders are kept whole; return them well mixed."""
    folders: dict[str, list[Clip]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: order(clip.source)):
        if len(folders[clip.folder]) < LIMITS.get(clip.folder, count):
            folders[clip.folder].append(clip)
    turns = sorted((turn, folder) for folder, members in folders.items() for turn in range(len(members)))
    return sorted((folders[folder][turn] for turn, folder in turns[:count]), key=lambda clip: order(clip.source))


def split_groups(clips: list[Clip], test: int) -> tuple[list[int], list[str]]:
    """Return the group of every picture and its side of the split; pictures that look alike share both."""
    group = list(range(len(clips)))
    for i, j in np.argwhere(np.triu(correlations(clips) > RELATED, 1)).tolist():
        low, high = sorted((group[i], group[j]))
        group = [low if g == high else g for g in group]
    number = {g: n for n, g in enumerate(dict.fromkeys(group))}
    members = Counter(group)
    held_out: set[int] = set()
    for g in sorted(members, key=lambda g: order(clips[g].source)):
        if sum(members[h] for h in held_out) + members[g] <= test:
            held_out.add(g)
    return [number[g] for g in group], ["test" if g in held_out else "train" for g in group]


def write(clips: list[Clip], output: Path, test: int) -> None:
    """Write `images/*.webp`, `train.csv` and `test.csv`, replacing an earlier set."""
    images = output / "images"
    shutil.rmtree(images, ignore_errors=True)
    images.mkdir(parents=True)
    groups, splits = split_groups(clips, test)
    lines: dict[str, list[list[object]]] = {"train": [], "test": []}
    for number, (clip, group, side) in enumerate(zip(clips, groups, splits, strict=True)):
        name = f"images/{number:04d}.webp"
        Image.fromarray(clip.pixels).save(output / name, quality=75, method=6)
        lines[side].append([name, clip.caption, clip.source.split("/")[0], group, clip.title, clip.source])
    for side, rows in lines.items():
        with (output / f"{side}.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["image", "caption", "category", "group", "title", "source"])
            table.writerows(rows)


def main() -> int:
    """Build the set and say how it came about."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder into which the three packages were unpacked")
    parser.add_argument("--output", type=Path, required=True, help="folder of the set")
    parser.add_argument("--count", type=int, default=1200, help="pictures to choose (default: 1200)")
    parser.add_argument("--test", type=int, default=300, help="pictures held out (default: 300)")
    arguments = parser.parse_args()
    library, words = arguments.root / "usr/share/openclipart", arguments.root / "usr/share/dict/american-english-large"
    for path in (library, words):
        if not path.exists():
            parser.error(
                f"{path} is missing: unpack openclipart-png, openclipart-svg and wamerican-large into {arguments.root}"
            )
    with Path(__file__).with_name("clipart_names.csv").open(newline="", encoding="utf-8") as file:
        names = {row["source"]: row["name"] for row in csv.DictReader(file)}
    named = read_clips(library, read_words(words), names)
    drawn = [(clip, read_pixels(library / "png" / f"{clip.source}.png")) for clip in tqdm(named, unit="picture")]
    clips = distinct([replace(clip, pixels=pixels) for clip, pixels in drawn if pixels is not None])
    chosen = spread(clips, arguments.count)
    print(f"{len(named)} named, {len(clips)} distinct, {len(chosen)} chosen")
    if len(chosen) < arguments.count:
        parser.error(f"only {len(chosen)} of {arguments.count} pictures are left")
    write(chosen, arguments.output, arguments.test)
    return 0


if __name__ == "__main__":
    sys.exit(main())
