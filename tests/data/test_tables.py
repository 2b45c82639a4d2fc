"""Tables of every form give the same pairs; whatever is wrong with them is said when the data set is made."""

import csv
import json
import pickle
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from canonsim.data import TablePairs

ROWS = [
    {"path": "a.png", "caption": "one, with a comma", "extra": "1"},
    {"path": "sub/b.png", "caption": 'two "quoted"\nlines', "extra": "2"},
    {"path": "c.png", "caption": "drei Bäume", "extra": "3"},
]


def write_table(path, rows):
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "\n")
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.fixture(params=[".csv", ".jsonl", ".json", ".parquet"])
def table(request, tmp_path):
    (tmp_path / "sub").mkdir()
    for row in ROWS:
        (tmp_path / row["path"]).touch()
    return write_table(tmp_path / f"pairs{request.param}", ROWS)


def test_every_form_gives_the_same_pairs(table):
    pairs = TablePairs(table)
    assert (pairs.x_kind, pairs.y_kind, len(pairs)) == ("image", "text", 3)
    expected = [{"x": table.parent / row["path"], "y": row["caption"], "index": i} for i, row in enumerate(ROWS)]
    assert list(pairs) == expected
    assert list(pickle.loads(pickle.dumps(pairs))) == expected
    assert isinstance(pairs[0]["x"], Path)
    assert type(pairs[0]["y"]) is str


def test_paths_start_at_the_root_and_absolute_ones_stay(table, tmp_path):
    rows = [{"path": str(tmp_path / "c.png"), "caption": "c"}]
    elsewhere = write_table(tmp_path / "sub" / f"again{table.suffix}", rows)
    assert TablePairs(elsewhere)[0]["x"] == tmp_path / "c.png"
    table.rename(tmp_path / "sub" / table.name)
    assert TablePairs(tmp_path / "sub" / table.name, root=tmp_path)[1]["x"] == tmp_path / "sub" / "b.png"


def test_missing_files_are_counted_and_the_first_is_named(table):
    (table.parent / "sub" / "b.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"column 'path': row 1 names .*b.png, .*; 1 file is missing"):
        TablePairs(table)
    (table.parent / "c.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"row 1 names .*b.png.*; 2 files are missing"):
        TablePairs(table)


def test_a_missing_column_is_refused_with_those_there(table):
    with pytest.raises(ValueError, match=r"has no column 'title'; it has path, caption, extra"):
        TablePairs(table, y="text:title")


@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_cell_is_refused_with_its_row(table, empty):
    write_table(table, [ROWS[0], {**ROWS[1], "caption": empty}])
    with pytest.raises(ValueError, match="row 1 is empty in column 'caption'"):
        TablePairs(table)


@pytest.mark.parametrize("spec", ["path", "image:", "film:path", "features:path", ""])
def test_a_spec_must_name_a_kind_and_a_column(table, spec):
    with pytest.raises(ValueError, match="x must be 'kind:column'"):
        TablePairs(table, x=spec)


def test_a_table_must_be_there_and_of_a_known_form(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone.csv: no such table"):
        TablePairs(tmp_path / "gone.csv")
    (tmp_path / "pairs.tsv").touch()
    with pytest.raises(ValueError, match=r"'\.tsv', not one of .csv, .jsonl, .json, .parquet"):
        TablePairs(tmp_path / "pairs.tsv")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "path,caption\na.png\n", "row 0 has 1 cells, the header 2"),
        ("a.csv", "path,caption\n", "has no rows"),
        ("a.csv", "", "has no header"),
        ("a.csv", b"path,caption\na,\xff\xfe\n", "not UTF-8"),
        ("a.csv", 'path,caption\na,"b"c\n', "no CSV file"),
        ("a.jsonl", '{"path": "a", "caption": "b"}\n{"path": \n', "row 1 is no JSON"),
        ("a.jsonl", "[1]\n", r"row 0 is no object: \[1\]"),
        ("a.jsonl", '{"path": "a"}\n', "row 0 has no column 'caption'; it has path"),
        ("a.jsonl", "", "has no rows"),
        ("a.json", "{}", "must hold one array of objects, got dict"),
        ("a.json", "[", "is no JSON"),
        ("a.parquet", "PAR1", "is truncated, or no Parquet file"),
    ],
)
def test_a_malformed_table_is_refused(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message):
        TablePairs(path, x="text:path")


def test_a_cell_that_is_no_text_is_refused(tmp_path):
    for suffix in (".jsonl", ".json", ".parquet"):
        table = write_table(tmp_path / f"numbers{suffix}", [{"path": "a", "caption": 7}])
        with pytest.raises(TypeError, match="column 'caption'"):
            TablePairs(table, x="text:path")
