"""Results as text, JSON and HTML."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from canonsim.protocols import Results, Row

NAN = float("nan")


@pytest.fixture
def results():
    rows = (
        Row("ours", 100, {"R@1": 0.5, "rank": 12.5}, {"R@1": (0.45, 0.55)}, seconds=0.31, regime="in-domain"),
        Row("ours", 1000, {"R@1": 0.75, "rank": 3.0}, regime="in-domain"),
        Row("ASIF", 1000, {"R@1": np.float64(0.25)}, setting="k = 5, <p> = 2", regime="in-domain"),
        Row("CLIP", None, {"R@1": 0.9, "rank": 1.0}, regime="transfer"),
    )
    chance = {"R@1": 0.01, "rank": 50.0}
    curves = {"ours": ([0.0, 0.5, 1.0], [0.0, 0.9, 1.0])}
    return Results("retrieval", "clip <arts>", ("R@1", "rank"), chance, rows, ("One must know.",), curves)


def test_text_has_a_line_for_each_row_then_chance_then_notes(results):
    lines = results.as_text().splitlines()
    assert lines[0] == "retrieval, clip <arts>"
    assert lines[1].split() == ["regime", "pairs", "R@1", "rank", "seconds", "setting"]
    assert lines[2].split() == ["ours", "in-domain", "100", "0.500", "±0.050", "12.5", "0.3"]
    assert lines[4].split()[:5] == ["ASIF", "in-domain", "1,000", "0.250", "-"]
    assert lines[5].split() == ["CLIP", "transfer", "0.900", "1.000"]
    assert lines[6].split() == ["chance", "0.010", "50"]
    assert lines[-1] == "One must know."
    # Numbers stand below each other, whether or not they have an interval.
    assert len({line.index("0.") for line in lines[2:7]}) == 1


def test_columns_without_content_are_left_out():
    text = Results("retrieval", "d", ("R@1",), {"R@1": 0.1}, (Row("CLIP", None, {"R@1": 0.9}),)).as_text()
    assert text.splitlines()[1].split() == ["R@1"]
    assert "±" not in text


def test_json_is_plain_and_complete(results):
    found = json.loads(json.dumps(results.as_json(), allow_nan=False))
    assert found["chance"] == {"R@1": 0.01, "rank": 50.0}
    assert [row["pairs"] for row in found["rows"]] == [100, 1000, 1000, None]
    assert found["rows"][0]["intervals"] == {"R@1": [0.45, 0.55]}
    assert found["rows"][2]["values"] == {"R@1": 0.25}
    assert found["curves"]["ours"]["true_positive_rate"] == [0.0, 0.9, 1.0]
    assert (found["protocol"], found["data"], found["notes"]) == ("retrieval", "clip <arts>", ["One must know."])


def test_html_has_a_table_a_chart_and_curves(results):
    table, chart, curves = results.as_html()
    assert "clip &lt;arts&gt;" in table
    assert "<p>" not in table.replace('<p class="note">', "")
    assert "0.500 (0.450 to 0.550)" in table
    assert table.count("<tr") == 6
    assert '<tr class="mark"><th scope="row">chance</th>' in table
    assert "One must know." in table
    for name in ("ours", "ASIF", "CLIP", "chance"):
        assert f">{name}</span>" in chart
    assert chart.count("<polyline") == 4
    assert curves.count("<polyline") == 2


def test_without_several_numbers_of_pairs_there_is_no_chart():
    rows = (
        Row("ours", 100, {"AUC": 0.9}, regime="cross-fitted"),
        Row("ours", 60, {"AUC": 0.9}, regime="trusted"),
        *[Row("CLIP", None, {"AUC": 0.9})] * 2,
    )
    assert len(Results("mislabelled", "d", ("AUC",), {"AUC": 0.5}, rows).as_html()) == 1


def test_a_method_of_several_regimes_has_a_line_for_each():
    values = {"top-1": 0.5}
    rows = [Row("ours", n, values, regime="in-domain") for n in (10, 20)] + [
        Row("ours", None, values, regime="transfer")
    ]
    _, chart = Results("classification", "d", ("top-1",), {}, tuple(rows)).as_html()
    assert ">ours, in-domain</span>" in chart
    assert ">ours, transfer</span>" in chart


def test_nothing_that_is_not_finite_gets_in():
    for value in (NAN, math.inf):
        with pytest.raises(ValueError, match=r"values of ours must be finite, got .* for R@1"):
            Row("ours", 1, {"R@1": value})
        with pytest.raises(ValueError, match="interval of ours, R@1 must be finite"):
            Row("ours", 1, {"R@1": 0.5}, {"R@1": (0.1, value)})
        with pytest.raises(ValueError, match="chance must be finite"):
            Results("retrieval", "d", ("R@1",), {"R@1": value}, ())


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="intervals of ours has 'AUC'"):
        Row("ours", 1, {"R@1": 0.5}, {"AUC": (0.1, 0.2)})
    with pytest.raises(ValueError, match="measures must be different"):
        Results("retrieval", "d", ("R@1", "R@1"), {}, ())
    with pytest.raises(ValueError, match="measures must be different, at least one"):
        Results("retrieval", "d", (), {}, ())
    with pytest.raises(ValueError, match=r"ours has values of \['AUC'\]"):
        Results("retrieval", "d", ("R@1",), {}, (Row("ours", 1, {"AUC": 0.5}),))
    with pytest.raises(ValueError, match="got 2 and 1 numbers for ours"):
        Results("retrieval", "d", ("R@1",), {}, (), curves={"ours": ([0.0, 1.0], [0.0])})


def test_results_do_not_wait_for_torch():
    code = "import sys; from canonsim.protocols import Results; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_unknown_names_are_refused():
    import canonsim.protocols

    with pytest.raises(AttributeError, match="no attribute 'fit'"):
        _ = canonsim.protocols.fit
