"""Line charts for reports, as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from canonsim.report import Html, escape

__all__ = ["lines"]

# Colours of report.css; further lines have the same ones again, dashed and then dotted.
_COLOURS = 8
_STROKES = ("", " dashed", " dotted")
_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 26, 12, 46
# Lines of at most so many points show them.
_DOTTED = 20
_TICKS = 5
# Labels of ticks this far apart, as a share of the axis, do not touch.
_APART = 0.07


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    beside: Collection[str] = (),
) -> Html:
    """Draw lines over one pair of axes, with a key.

    Eight lines have colours of their own; more than that can hardly be told apart: the others have these colours again,
    dashed or dotted.

    Parameters
    ----------
    series : mapping of str to (sequence of float, sequence of float)
        Of each line its name, and where its points lie across and up, in the order in which they are joined.
    x_label, y_label : str
        What is shown across and up.
    log_x : bool
        A logarithmic axis across, with ticks at the points; all of them must be positive.
    beside : collection of str
        Names of lines to compare with (chance), which are drawn fainter.

    Raises
    ------
    ValueError
        If there is no line, or one has no points, sides of different lengths or values that are not finite; with
        `log_x`, if a value across is not positive; if `beside` names what is no line.

    Examples
    --------
    >>> chart = lines({"ours": ([100, 1000], [0.2, 0.5])}, x_label="pairs", y_label="recall", log_x=True)
    >>> chart.count("<polyline"), chart.count("<circle")
    (1, 2)
    """
    points = {name: _checked(name, across, up, log_x) for name, (across, up) in series.items()}
    if not points:
        raise ValueError("series must hold at least one line")
    strange = [name for name in beside if name not in points]
    if strange:
        raise ValueError(f"beside names {strange}, the lines are {list(points)}")
    every = np.concatenate(list(points.values()))
    y_ticks = _round_ticks(min(0.0, every[:, 1].min()), every[:, 1].max())
    x_ticks = _ticks_at(np.unique(every[:, 0])) if log_x else _round_ticks(every[:, 0].min(), every[:, 0].max())
    span = (every[:, 0].min(), every[:, 0].max()) if log_x else (x_ticks[0], x_ticks[-1])

    def place(point: Sequence[float]) -> tuple[float, float]:
        return (
            _LEFT + (_WIDTH - _LEFT - _RIGHT) * _share(point[0], *span, is_log=log_x),
            _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - _share(point[1], y_ticks[0], y_ticks[-1])),
        )

    styles = _styles(list(points), beside)
    drawn = "".join(_line([place(point) for point in points[name]], styles[name]) for name in points)
    grid = "".join(_across(place((span[0], tick))[1], tick) for tick in y_ticks)
    below = _HEIGHT - _BOTTOM + 20
    grid += "".join(
        f'<text x="{place((tick, y_ticks[0]))[0]:.1f}" y="{below}" text-anchor="middle">{tick:,g}</text>'
        for tick in x_ticks
    )
    grid += f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>'
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    grid += (
        f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">{escape(y_label)}</text>'
    )
    keys = "".join(f'<span class="{styles[name]}">{escape(name)}</span>' for name in points)
    return Html(
        f'<figure class="chart"><figcaption>{keys}</figcaption>\n'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(f"{y_label} against {x_label}")}">'
        f'<g class="grid">{grid}</g>{drawn}</svg></figure>'
    )


def _checked(name: str, across: Sequence[float], up: Sequence[float], log_x: bool) -> npt.NDArray[np.float64]:
    """Points of a line, (n, 2)."""
    x, y = (np.asarray(side, dtype=np.float64) for side in (across, up))
    if x.ndim != 1 or x.shape != y.shape or x.size == 0:
        raise ValueError(f"line {name!r} must have two sides of one length of at least 1, got {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError(f"line {name!r} must hold finite numbers")
    if log_x and x.min() <= 0:
        raise ValueError(f"line {name!r} must be positive across for a logarithmic axis, got {x.min():g}")
    return np.column_stack([x, y])


def _share(value: float, low: float, high: float, *, is_log: bool = False) -> float:
    """Where a value lies between the ends of an axis, from 0 to 1; in the middle of an axis without length."""
    if high == low:
        return 0.5
    return math.log(value / low) / math.log(high / low) if is_log else (value - low) / (high - low)


def _round_ticks(low: float, high: float) -> list[float]:
    """Some five round numbers around a range, in equal steps."""
    rough = ((high - low) or abs(high) or 1.0) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, max(last, first + 1) + 1)]


def _ticks_at(values: npt.NDArray[np.float64]) -> list[float]:
    """Those of the ascending values whose labels do not touch on a logarithmic axis; the last is among them."""
    places = [_share(value, values[0], values[-1], is_log=True) for value in values]
    kept = [len(values) - 1]
    for index in reversed(range(len(values) - 1)):
        if places[kept[-1]] - places[index] >= _APART:
            kept.append(index)
    return [float(values[index]) for index in reversed(kept)]


def _styles(names: Sequence[str], beside: Collection[str]) -> dict[str, str]:
    """Classes of the lines."""
    own = [name for name in names if name not in beside]
    found = {
        name: f"line-{index % _COLOURS}{_STROKES[index // _COLOURS % len(_STROKES)]}" for index, name in enumerate(own)
    }
    return found | dict.fromkeys(beside, "beside")


def _line(points: Sequence[tuple[float, float]], style: str) -> str:
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in points)
    is_dotted = len(points) <= _DOTTED and style != "beside"
    return f'<g class="{style}"><polyline points="{joined}"/>{dots if is_dotted else ""}</g>'


def _across(y: float, value: float) -> str:
    """A line of the grid with its label."""
    return (
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:,g}</text>'
    )
