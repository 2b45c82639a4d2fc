"""The HTML pieces: escaped, self-contained, well formed."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from canonsim import report
from canonsim.report import Found, Html
from markup import parse

EVIL = "<script>alert('x')</script> & \"quotes\""


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    Image.new("RGB", (4, 4), "red").save(path)
    return path


def whole_page(picture, text="text"):
    return report.page(
        text,
        report.figures([(text, text, text)]),
        report.section(
            text,
            report.paragraph(text),
            report.table([text, "R@1"], [[text, 0.5], [text, 1]], groups=[(text, 1)], mark=[0], note=text),
            report.columns(report.gallery(text, [Found(None, text, 1.0, hit=True)], picture=picture)),
            report.gallery(text, [Found(picture, text, -2.25)]),
            report.spectrum(np.linspace(1, 0, 30), np.linspace(0.8, 0, 30)),
        ),
        lead=text,
    )


def test_every_text_is_escaped_once(picture):
    markup = whole_page(picture, EVIL)
    assert "<script" not in markup
    assert "&amp;amp;" not in markup
    texts = [text for text in parse(markup).text if "alert" in text]
    assert len(texts) == 17
    assert set(texts) == {EVIL}


def test_a_page_needs_nothing_from_elsewhere(picture):
    markup = whole_page(picture)
    assert all(source.startswith("data:image/png;base64,") for source in parse(markup).sources)
    assert not re.search(r"https?://|@import|url\(", markup)
    assert "prefers-color-scheme: dark" in markup
    assert 'name="viewport"' in markup


def test_pictures_may_be_data_uris_already():
    inlined = Html("data:image/webp;base64,AAAA")
    markup = report.gallery("query", [Found(inlined, "text", 1.0)], picture=inlined)
    assert parse(markup).sources == [inlined, inlined]


def test_the_spectrum_draws_every_correlation_within_the_frame():
    markup = report.spectrum([1.0, 0.5, 0.0], [0.9, 0.2, 0.0])
    lines = re.findall(r'points="([^"]+)"', markup)
    assert [len(line.split()) for line in lines] == [3, 3]
    corners = np.array([[float(v) for v in point.split(",")] for line in lines for point in line.split()])
    assert (corners >= 0).all()
    assert (corners <= [640, 280]).all()
    # Higher correlations stand higher.
    assert (np.diff(corners[:3, 1]) > 0).all()


def test_the_spectrum_of_one_direction_and_without_held_out_correlations():
    parse(report.spectrum([0.5], None))


def test_numbers_are_shown_with_three_decimals():
    assert "<td>0.333</td><td>7</td>" in report.table(["", "a", "b"], [["row", 1 / 3, 7]])


def test_a_page_is_written_whole_and_folders_are_made(tmp_path):
    path = report.write(tmp_path / "deep" / "page.html", report.page("Straße", report.paragraph("→")))
    assert "Straße" in path.read_text(encoding="utf-8")
    assert [entry.name for entry in path.parent.iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: report.table(["", "a"], [["row", 1.0], ["row"]]), ValueError, "row 1 of the table has 1 cells"),
        (lambda: report.table(["", "a"], [], groups=[("wide", 2)]), ValueError, "must cover the 1 columns"),
        (lambda: report.spectrum([], None), ValueError, "at least 1"),
        (lambda: report.spectrum([0.5, 0.4], [0.5]), ValueError, "one length"),
        (lambda: report.gallery("q", [Found("none.png", "text", 0.0)]), FileNotFoundError, "none.png"),
        (lambda: report.gallery("q", [], picture="movie.gif"), ValueError, "movie.gif"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
