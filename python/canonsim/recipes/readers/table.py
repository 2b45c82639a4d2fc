"""Pairs or classified items listed in tables, one table for each part."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from canonsim.recipes.examples import Captioned, Items, Labelled, Parts
from canonsim.recipes.readers import files
from canonsim.recipes.readers.parts import prompts, set_aside


def read(
    folder: Path,
    *,
    x: str,
    y: str = "",
    label: str = "",
    group: str = "",
    templates: tuple[str, ...] = (),
    train: str = "train.csv",
    val: str = "",
    test: str = "test.csv",
    val_share: float = 0.0,
) -> Captioned | Labelled:
    """Read tables of pairs, or of items with a label.

    Parameters
    ----------
    folder : Path
    x, y : str
        "kind:column", as `canonsim.data.TablePairs` takes them. Of pairs, rows with the same cell of x, as a picture
        with five captions has them, are one item of x.
    label : str
        Column of the class, in place of ``y``. Classes are sorted by name; "_" in it stands for a blank.
    group : str
        Column of groups: rows of a group show nearly the same. No group may be in two tables, and the part "val" takes
        whole groups.
    templates : tuple of str
        Prompts of classes.
    train, val, test : str
        Tables: ``.csv``, ``.json``, ``.jsonl`` or ``.parquet``. "" for no part "val".
    val_share : float
        Share of the training items that becomes the part "val".

    Raises
    ------
    FileNotFoundError
        If a table, or a file that it names, is not there.
    ValueError
        If not one of ``y`` and ``label`` is given, a table is malformed, or an item or a group is in two tables.
    """
    if bool(y) == bool(label):
        raise ValueError(f"a table needs one of y and label, got y={y!r} and label={label!r}")
    from canonsim.data.tables import TablePairs

    cells: list[tuple[object, str]] = []
    groups: list[str] = []
    rows: Parts = {}
    for part, name in (("train", train), ("val", val), ("test", test)):
        if name:
            table = TablePairs(files.find(folder, (name,), f"a table of the part {part!r}"), x, y or f"text:{label}")
            rows[part] = np.arange(len(cells), len(cells) + len(table))
            cells += [(pair["x"], pair["y"]) for pair in (table[row] for row in range(len(table)))]
            if group:
                column = TablePairs(folder / name, x, f"text:{group}")
                groups += [column[row]["y"] for row in range(len(column))]
    x_kind, y_kind = table.x_kind, table.y_kind
    _, numbers = np.unique(np.array(groups), return_inverse=True)
    if group:
        _check_apart(rows, groups, group)
    if label:
        classes = sorted({str(cell) for _, cell in cells})
        labels = np.array([classes.index(str(cell)) for _, cell in cells], dtype=np.int64)
        names = [name.replace("_", " ") for name in classes]
        parts = set_aside(rows, val_share, numbers if group else None)
        return Labelled(Items(x_kind, [item for item, _ in cells]), labels, names, prompts(names, templates), parts)
    owner: dict[object, int] = {}
    owners = np.array([owner.setdefault(item, len(owner)) for item, _ in cells], dtype=np.int64)
    _check_apart(rows, [str(item) for item, _ in cells], x.partition(":")[2])
    _, first = np.unique(owners, return_index=True)
    parts = {part: np.unique(owners[its]) for part, its in rows.items()}
    parts = set_aside(parts, val_share, numbers[first] if group else None)
    return Captioned(Items(x_kind, list(owner)), Items(y_kind, [text for _, text in cells]), owners, parts)


def _check_apart(rows: Parts, cells: list[str], column: str) -> None:
    """Refuse a cell that is in two tables."""
    seen: dict[str, str] = {}
    for part, its in rows.items():
        for row in its:
            if seen.setdefault(cells[row], part) != part:
                raise ValueError(f"{cells[row]!r} of column {column!r} is in {seen[cells[row]]} and in {part}")
