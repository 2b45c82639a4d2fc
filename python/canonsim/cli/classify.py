"""`canonsim classify`: which of these names fits each item."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from canonsim.cli.galleries import find_files, read_items
from canonsim.cli.outputs import add_output, check_outputs, say_writing, say_written
from canonsim.cli.pairs import add_loading, recorded_encoders
from canonsim.pages.contents import Contents, item_name
from canonsim.rows import is_tensor, to_numpy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from canonsim import CanonicalSpace
    from canonsim.data.pairs import Kind
    from canonsim.encoders import Encoder
    from canonsim.rows import Rows
    from canonsim.tasks import ZeroShotClassifier

_EXAMPLES = """examples:
  canonsim classify model pictures/ --classes cat,dog,owl -o report.html
  canonsim classify model pictures/ --classes classes.txt --template "a photo of a {}" --template "a drawing of a {}"
  canonsim classify model test.csv --x image:file --labels class --classes classes.txt --score similarity --json
  canonsim classify model images.npy --class-features names.npy --classes classes.txt --labels labels.txt
"""

_ROWS = 8192
_CONFUSIONS = 5


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "classify",
        help="tell which of some names fits each item",
        description="Encode items of the x side, and print for each the most probable of some classes, given by their "
        "names. No labelled items are needed; with labels, the accuracy is measured.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="folder of the model")
    parser.add_argument(
        "items",
        metavar="DATA",
        help="a folder of files, in any depth; a table (.csv, .json, .jsonl, .parquet) with --x; or ready features: "
        ".npy, .safetensors[:TENSOR], .parquet[:COLUMN]",
    )
    parser.add_argument("--x", metavar="KIND:COLUMN", help="what a table's items are, such as image:file")
    parser.add_argument(
        "--classes", required=True, metavar="FILE|A,B,...", help="names of the classes: a file, one a line, or a list"
    )
    parser.add_argument(
        "--template",
        action="append",
        metavar="TEXT",
        help="text of a class, with {} for its name; several are averaged ({})",
    )
    parser.add_argument(
        "--class-features",
        metavar="FILE",
        help="ready features of the texts of the classes, one row each, for a model without a text encoder",
    )
    parser.add_argument(
        "--score",
        default="log_odds",
        choices=("log_odds", "similarity"),
        help="log_odds (default), or similarity: often better for items unlike those of the fit",
    )
    parser.add_argument("-k", "--k", type=int, default=3, metavar="K", help="classes to print for each item (3)")
    parser.add_argument(
        "--labels", metavar="COLUMN|FILE", help="true classes: a column of the table, or a file, one a line"
    )
    add_output(parser, {".html": "a page with examples and, with labels, what is taken for what"})
    parser.add_argument("--json", action="store_true", help="print the classes of all items as JSON")
    add_loading(parser)
    parser.set_defaults(run=run)


@dataclass(frozen=True)
class _Items:
    """Names of the items, what pages show, what the encoder takes or ready features, and true classes."""

    names: list[str]
    shown: Contents
    content: Any
    labels: list[str] | None


def run(options: argparse.Namespace) -> None:
    """Encode names and items, classify, print."""
    from canonsim import CanonicalSpace
    from canonsim.tasks import ZeroShotClassifier

    files = check_outputs(options)
    if options.k < 1:
        raise ValueError(f"-k must be at least 1, got {options.k}")
    names = _names(options.classes)
    space = CanonicalSpace.from_pretrained(options.model)
    encoder = None if _has_features(options) else _x_encoder(space, options.model)
    items = _features(options) if encoder is None else _raw_items(encoder.kind, options)
    _check_labels(items.labels, names, options.labels)
    classifier = ZeroShotClassifier(space, options.score).fit(_class_features(space, names, options), names)
    rows = items.content if encoder is None else encoder.encode(items.content, options.batch_size, progress=True)
    best, probabilities = _top_k(classifier, rows, min(options.k, len(names)))
    measured = None if items.labels is None else _measure(best[:, 0].tolist(), items.labels, len(names))
    if files:
        from canonsim import report
        from canonsim.pages.classification import classification_page

        say_writing(files[".html"])
        page = classification_page(
            space,
            items.shown,
            names,
            best[:, 0].tolist(),
            probabilities[:, 0],
            items.labels,
            score=options.score,
            data=Path(options.items).resolve().name,
        )
        report.write(files[".html"], page)
    lines = zip(items.names, best.tolist(), probabilities.tolist(), strict=True)
    if options.json:
        listed = [{"item": item, "classes": found, "probabilities": shares} for item, found, shares in lines]
        found = {"classes": len(names), "items": len(listed), **(measured or {}), "predictions": listed}
        print(json.dumps(found, indent=2))
        return
    for item, found, shares in lines:
        print(f"{item}: " + ", ".join(f"{name} {share:.3f}" for name, share in zip(found, shares, strict=True)))
    if measured is not None:
        _print(measured)
    if files:
        say_written(files)


def _names(classes: str) -> list[str]:
    path = Path(classes)
    if _is_file(path):
        entries = _lines(path, "--classes")
    elif "," in classes:
        entries = [name.strip() for name in classes.split(",")]
    else:
        raise FileNotFoundError(f"--classes {classes}: no such file, and no list of names with commas")
    names = [name for name in entries if name]
    if not names:
        raise ValueError(f"--classes {classes} holds no names")
    return names


def _is_file(path: Path) -> bool:
    """Whether there is such a file; a long list of names is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _lines(path: Path, argument: str) -> list[str]:
    """Lines of a text file, without space around them."""
    if not path.is_file():
        raise FileNotFoundError(f"{argument} {path}: no such file")
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{argument} {path} is no UTF-8 text: {error}") from None
    return [line.strip() for line in text.splitlines()]


def _class_features(space: CanonicalSpace, names: list[str], options: argparse.Namespace) -> Rows:
    """Features of the texts of the classes: (c, q), or (c, templates, q)."""
    if options.class_features is not None:
        from canonsim.data.features import open_features

        if options.template:
            raise ValueError("--template has no use with --class-features: these texts are encoded already")
        features = open_features(options.class_features, "--class-features")
        if len(features) != len(names):
            found = f"--class-features {options.class_features} has {len(features)} rows"
            raise ValueError(f"{found}, but there are {len(names)} classes")
        return features
    templates = options.template or ["{}"]
    for template in templates:
        if "{}" not in template:
            raise ValueError(f"--template must hold {{}} for the name of a class, got {template!r}")
    _, encoder = recorded_encoders(space.metadata, options.model)
    if encoder is None or encoder.kind != "text":
        kind = "ready features" if encoder is None else encoder.kind
        raise ValueError(f"{options.model} has {kind} for y, not texts: the classes need --class-features")
    texts = [template.replace("{}", name) for name in names for template in templates]
    return encoder.encode(texts, batch_size=options.batch_size).reshape(len(names), len(templates), -1)


def _has_features(options: argparse.Namespace) -> bool:
    """Whether the items are ready features: a file, and no table."""
    path = Path(options.items)
    return options.x is None and not path.is_dir() and path.suffix.lower() not in {".csv", ".json", ".jsonl"}


def _x_encoder(space: CanonicalSpace, model: str) -> Encoder:
    encoder, _ = recorded_encoders(space.metadata, model)
    if encoder is None:
        raise ValueError(f"{model} was fitted on ready features: it does not say how to encode items")
    return encoder


def _features(options: argparse.Namespace) -> _Items:
    from canonsim.data.features import open_features

    rows = open_features(options.items, "DATA")
    if not len(rows):
        raise ValueError(f"{options.items} has no rows")
    shown = Contents("features", rows.__getitem__)
    names = [shown.name(row) for row in range(len(rows))]
    return _Items(names, shown, rows, _read_labels(options.labels, len(rows)))


def _raw_items(kind: str, options: argparse.Namespace) -> _Items:
    """Items of a folder or a table."""
    from canonsim.data import TablePairs

    path = Path(options.items)
    if path.is_dir():
        if options.x is not None:
            raise ValueError(f"--x {options.x} is for a table, but {path} is a folder")
        files = find_files(path, kind)
        labels = _read_labels(options.labels, len(files))
        content = read_items(files, kind)
        shown = Contents(cast("Kind", kind), content.__getitem__, path)
        return _Items([item_name(file, path) for file in files], shown, content, labels)
    if options.x is None:
        raise ValueError(f"the table {path} needs --x KIND:COLUMN, such as --x image:file")
    table = TablePairs(path, x=options.x, y=options.x if options.labels is None else f"text:{options.labels}")
    if table.x_kind != kind:
        raise ValueError(f"--x {options.x}: the model encodes {kind} items of x")
    pairs = [table[row] for row in range(len(table))]
    content = [pair["x"] for pair in pairs]
    shown = Contents(table.x_kind, content.__getitem__, path.parent)
    names = [shown.name(row) for row in range(len(pairs))]
    return _Items(names, shown, content, None if options.labels is None else [pair["y"] for pair in pairs])


def _read_labels(file: str | None, count: int) -> list[str] | None:
    if file is None:
        return None
    labels = _lines(Path(file), "--labels")
    if len(labels) != count:
        raise ValueError(f"--labels {file} has {len(labels)} lines, but there are {count} items")
    return labels


def _check_labels(labels: Sequence[str] | None, names: Sequence[str], origin: str) -> None:
    known = set(names)
    for row, label in enumerate(labels or ()):
        if label not in known:
            raise ValueError(f"--labels {origin}: row {row} has the label {label!r}, which is none of the classes")


def _top_k(classifier: ZeroShotClassifier, rows: Rows, k: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Names and probabilities of the k best classes, (n, k) both, with a progress bar."""
    from tqdm import tqdm

    best, probabilities = [], []
    with tqdm(total=len(rows), desc="Classifying", unit=" items") as bar:
        for start in range(0, len(rows), _ROWS):
            try:
                names, shares = classifier.top_k(rows[start : start + _ROWS], k)
            except ValueError as error:
                raise ValueError(f"in the rows from {start} on: {error}") from None
            best.append(names)
            probabilities.append(to_numpy(shares.float() if is_tensor(shares) else shares))
            bar.update(len(names))
    return np.concatenate(best), np.concatenate(probabilities)


def _measure(found: Sequence[str], labels: Sequence[str], classes: int) -> dict[str, Any]:
    """Accuracy, what chance and the most frequent label give, and the most frequent confusions."""
    pairs, truly = Counter(zip(labels, found, strict=True)), Counter(labels)
    right = sum(count for (label, name), count in pairs.items() if label == name)
    wrong = Counter({pair: count for pair, count in pairs.items() if pair[0] != pair[1]})
    return {
        "accuracy": right / len(labels),
        "chance": 1 / classes,
        "most_frequent_label": max(truly.values()) / len(labels),
        "confusions": [
            {"label": label, "taken_for": name, "items": count, "of": truly[label]}
            for (label, name), count in wrong.most_common(_CONFUSIONS)
        ],
    }


def _print(measured: dict[str, Any]) -> None:
    print(f"\naccuracy {measured['accuracy']:.3f}, chance {measured['chance']:.3f}", end="")
    print(f", always the most frequent label {measured['most_frequent_label']:.3f}")
    if measured["confusions"]:
        print("taken for another most often:")
    for confusion in measured["confusions"]:
        print(f"{confusion['items']:>6} of {confusion['of']} {confusion['label']} for {confusion['taken_for']}")
