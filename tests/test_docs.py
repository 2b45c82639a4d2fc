"""The Python of the README and of the pages in docs runs as it stands."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page):
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_blocks_of_a_page_run_in_their_order(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for block in blocks(page):
        exec(compile(block, f"{page.name}: {block.splitlines()[0]}", "exec"), names)
        printed = capsys.readouterr().out
        if "found first" in block:
            assert float(re.search(r"found first: (\S+)", printed)[1]) > 0.5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pictures_and_pages_that_a_page_names_are_there(page):
    named = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert all((page.parent / name).is_file() for name in named), named


def test_there_are_examples():
    assert len(blocks(PAGES[0])) >= 2
