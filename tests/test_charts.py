"""Line charts: points where they belong, a key, eight colours, and clear errors."""

import re

import numpy as np
import pytest

from canonsim.charts import lines


def points(chart):
    return [
        [tuple(map(float, point.split(","))) for point in joined.split()]
        for joined in re.findall(r'<polyline points="([^"]*)"', chart)
    ]


def draw(series, **options):
    return lines(series, x_label="pairs", y_label="recall", **options)


def test_equal_factors_are_equally_far_apart_on_a_logarithmic_axis():
    (line,) = points(draw({"a": ([10, 100, 1000], [0.0, 0.5, 1.0])}, log_x=True))
    steps = np.diff([x for x, _ in line])
    assert steps[0] == pytest.approx(steps[1], abs=0.2)
    (line,) = points(draw({"a": ([10, 100, 1000], [0.0, 0.5, 1.0])}))
    steps = np.diff([x for x, _ in line])
    assert steps[1] / steps[0] == pytest.approx(10, rel=0.02)


def test_larger_values_are_higher_on_one_axis_for_all_lines():
    low, high = points(draw({"a": ([0, 1], [0.1, 0.2]), "b": ([0, 1], [0.2, 0.4])}))
    assert low[1][1] == high[0][1]
    assert high[1][1] < high[0][1] < low[0][1]


def test_names_are_escaped_and_in_the_key():
    chart = draw({"a < b": ([1, 2], [0, 1]), "chance": ([1, 2], [0.5, 0.5])}, beside=("chance",))
    assert '<span class="line-0">a &lt; b</span>' in chart
    assert '<span class="beside">chance</span>' in chart
    assert "a < b" not in chart


def test_more_lines_than_colours_are_told_apart_by_their_stroke():
    chart = draw({str(index): ([0, 1], [index, index]) for index in range(20)})
    styles = re.findall(r'<span class="([^"]*)"', chart)
    assert len(set(styles)) == 20
    assert styles[0] == "line-0"
    assert styles[8] == "line-0 dashed"
    assert styles[16] == "line-0 dotted"


@pytest.mark.parametrize("values", [[0.3], [0.0], [-2.0, 5.0], [1e-5, 2e-5], [12_000.0, 13_000.0]])
def test_everything_drawn_is_on_the_picture(values):
    chart = draw({"a": (list(range(1, len(values) + 1)), values)}, log_x=True)
    width, height = map(int, re.search(r'viewBox="0 0 (\d+) (\d+)"', chart).groups())
    (line,) = points(chart)
    assert all(0 <= x <= width and 0 <= y <= height for x, y in line)
    assert chart.count("<circle") == len(values)


def test_labels_of_near_points_do_not_touch():
    chart = draw({"a": ([100, 1000, 1020, 10_000], [0, 1, 1, 1])}, log_x=True)
    assert ">100<" in chart
    assert ">10,000<" in chart
    assert (">1,000<" in chart) + (">1,020<" in chart) == 1


@pytest.mark.parametrize(
    ("series", "options", "message"),
    [
        ({}, {}, "at least one line"),
        ({"a": ([], [])}, {}, "'a' must have two sides of one length"),
        ({"a": ([1, 2], [1])}, {}, r"got \(2,\) and \(1,\)"),
        ({"a": ([1], [float("nan")])}, {}, "'a' must hold finite"),
        ({"a": ([0, 1], [1, 1])}, {"log_x": True}, "positive across for a logarithmic axis, got 0"),
        ({"a": ([0, 1], [1, 1])}, {"beside": ("chance",)}, r"beside names \['chance'\]"),
    ],
)
def test_bad_input_is_named(series, options, message):
    with pytest.raises(ValueError, match=message):
        draw(series, **options)
