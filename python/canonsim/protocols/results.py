"""What a protocol measured, as a table, as JSON, and as sections of a page."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from canonsim.charts import lines
from canonsim.protocols.bootstrap import Interval
from canonsim.report import Html, section, table

_NONE = "-"
# Columns of words, the first of which has no name.
_WORDS = ("", "regime", "setting")

Curve = tuple[list[float], list[float]]


@dataclass(frozen=True)
class Row:
    """What one method reached with one number of training pairs.

    Attributes
    ----------
    method : str
    pairs : int or None
        Training pairs; None where nothing was fitted here (CLIP, a constant answer).
    values : dict of float
        By measure.
    intervals : dict of (float, float)
        By measure, what holds 95 % of the value over test rows drawn again; may be empty.
    seconds : float
        Of fitting.
    setting : str
        What was chosen on validation rows.
    regime : str
        What the pairs have to do with the test rows, where that differs: "in-domain", "transfer".

    Raises
    ------
    ValueError
        For values or intervals that are not finite, or intervals of what has no value.
    """

    method: str
    pairs: int | None
    values: dict[str, float]
    intervals: dict[str, Interval] = field(default_factory=dict)
    seconds: float = 0.0
    setting: str = ""
    regime: str = ""

    def __post_init__(self) -> None:
        _check_finite(self.values, f"values of {self.method}")
        for name, interval in self.intervals.items():
            if name not in self.values:
                raise ValueError(f"intervals of {self.method} has {name!r}, but values only {list(self.values)}")
            _check_finite(dict(zip(("low", "high"), interval, strict=True)), f"interval of {self.method}, {name}")


@dataclass(frozen=True)
class Results:
    """What all methods reached under one protocol on one data set.

    Attributes
    ----------
    protocol : str
        "classification", "retrieval", "mislabelled" or "misleading".
    data : str
        Name of the data.
    measures : tuple of str
        Columns; the first is the main one, which is plotted against the number of pairs.
    chance : dict of float
        By measure, what a method reaches that knows nothing.
    rows : tuple of Row
    notes : tuple of str
        What a reader must know, one sentence each.
    curves : dict of (list of float, list of float)
        By method, false positive rates and true positive rates.

    Raises
    ------
    ValueError
        For no or repeated measures, values of what is no measure, curves whose sides differ in length, or numbers that
        are not finite.

    Examples
    --------
    >>> row = Row("CSA, log odds", 300, {"R@1": 0.31, "R@10": 0.7}, {"R@1": (0.28, 0.34)}, seconds=0.2)
    >>> print(Results("retrieval", "clip-arts", ("R@1", "R@10"), {"R@1": 0.01, "R@10": 0.1}, (row,)).as_text())
    retrieval, clip-arts
                   pairs           R@1   R@10  seconds
    CSA, log odds    300  0.310 ±0.030  0.700      0.2
    chance                0.010         0.100
    ± half the width of the 95 % interval over test rows drawn again
    """

    protocol: str
    data: str
    measures: tuple[str, ...]
    chance: dict[str, float]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    curves: dict[str, Curve] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.measures or len(set(self.measures)) != len(self.measures):
            raise ValueError(f"measures must be different, at least one, got {self.measures}")
        _check_finite(self.chance, "chance")
        for place, values in (("chance", self.chance), *((row.method, row.values) for row in self.rows)):
            strange = [name for name in values if name not in self.measures]
            if strange:
                raise ValueError(f"{place} has values of {strange}, which are none of the measures {self.measures}")
        for name, (across, up) in self.curves.items():
            if len(across) != len(up) or not all(map(math.isfinite, (*across, *up))):
                raise ValueError(
                    f"curves must hold two lists of finite numbers of one length, "
                    f"got {len(across)} and {len(up)} numbers for {name}"
                )

    def as_text(self) -> str:
        """A table for a terminal: a line for each method and number of pairs, chance last, notes below."""
        header, cells = self._cells("±")
        columns = [_column(name, column) for name, column in zip(header, zip(*cells, strict=True), strict=True)]
        body = "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))
        halves = ["± half the width of the 95 % interval over test rows drawn again"] if "±" in body else []
        return "\n".join([f"{self.protocol}, {self.data}", body, *halves, *self.notes])

    def as_json(self) -> dict[str, Any]:
        """Plain values for `json.dumps`; all numbers are finite."""
        return {
            "protocol": self.protocol,
            "data": self.data,
            "measures": list(self.measures),
            "chance": _plain(self.chance),
            "rows": [
                {
                    "method": row.method,
                    "regime": row.regime,
                    "pairs": None if row.pairs is None else int(row.pairs),
                    "values": _plain(row.values),
                    "intervals": {name: [float(end) for end in ends] for name, ends in row.intervals.items()},
                    "seconds": float(row.seconds),
                    "setting": row.setting,
                }
                for row in self.rows
            ],
            "notes": list(self.notes),
            "curves": {
                name: {"false_positive_rate": [float(v) for v in across], "true_positive_rate": [float(v) for v in up]}
                for name, (across, up) in self.curves.items()
            },
        }

    def as_html(self) -> tuple[Html, ...]:
        """Sections for `canonsim.report.page`.

        The table; the main measure against the number of pairs, where a method has several; the curves, where there are
        some.
        """
        header, cells = self._cells("to")
        sections = [
            section(
                f"{self.protocol.capitalize()}, {self.data}",
                table(header, cells, mark=(len(cells) - 1,), note=" ".join(self.notes)),
            )
        ]
        main = self.measures[0]
        by_method = Counter((row.method, row.regime) for row in self.rows if row.pairs is not None)
        if max(by_method.values(), default=0) > 1:
            shown = self._against_pairs()
            level = {"chance"} & shown.keys()
            drawn = lines(shown, x_label="training pairs", y_label=main, log_x=True, beside=level)
            sections.append(section(f"{main} against training pairs", drawn))
        if self.curves:
            drawn = lines(
                {**self.curves, "chance": ([0.0, 1.0], [0.0, 1.0])},
                x_label="false positive rate",
                y_label="true positive rate",
                beside=("chance",),
            )
            sections.append(section("ROC curves", drawn))
        return tuple(sections)

    def _against_pairs(self) -> dict[str, Curve]:
        """The main measure of each method against its number of pairs; level where it needs none."""
        main = self.measures[0]
        pairs = [float(row.pairs) for row in self.rows if row.pairs is not None]
        ends = [min(pairs), max(pairs)]
        regimes = Counter(method for method, _ in {(row.method, row.regime) for row in self.rows})
        found: dict[str, Curve] = {}
        for row in self.rows:
            if main in row.values:
                name = f"{row.method}, {row.regime}" if regimes[row.method] > 1 else row.method
                across, up = found.setdefault(name, ([], []))
                here = ends if row.pairs is None else [float(row.pairs)]
                across += here
                up += [row.values[main]] * len(here)
        if main in self.chance:
            found["chance"] = (ends, [self.chance[main]] * 2)
        return found

    def _cells(self, interval: str) -> tuple[list[str], list[list[str]]]:
        """Header, and cells of all lines with chance as the last; intervals as "±" half width or from "to"."""
        regimes, pairs = any(row.regime for row in self.rows), any(row.pairs is not None for row in self.rows)
        seconds, settings = any(row.seconds for row in self.rows), any(row.setting for row in self.rows)
        shown = {"regime": regimes, "pairs": pairs, "seconds": seconds, "setting": settings}

        def line(row: Row) -> dict[str, str]:
            measured = {name: _cell(row.values.get(name), row.intervals.get(name), interval) for name in self.measures}
            cells = {
                "": row.method,
                "regime": row.regime,
                "pairs": "" if row.pairs is None else f"{row.pairs:,}",
                **measured,
                "seconds": f"{row.seconds:.1f}" if row.seconds else "",
                "setting": row.setting,
            }
            return {name: cell for name, cell in cells.items() if shown.get(name, True)}

        found = [line(row) for row in (*self.rows, Row("chance", None, self.chance))]
        return list(found[0]), [list(cells.values()) for cells in found]


def _check_finite(values: Mapping[str, float], argument: str) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise ValueError(f"{argument} must be finite, got {value} for {name}")


def _plain(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items()}


def _number(value: float) -> str:
    """Three decimals for shares, fewer for larger numbers."""
    if abs(value) < 10:
        return f"{value:.3f}"
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1000 else f"{value:.1f}"


def _column(name: str, cells: Sequence[str]) -> list[str]:
    """Name and cells in one width: words to the left, numbers to the right, with room for the intervals of others."""
    if name in _WORDS:
        width = max(map(len, (name, *cells)))
        return [f"{cell:<{width}}" for cell in (name, *cells)]
    parts = [cell.partition(" ") for cell in cells]
    room = max(len(beside) for _, _, beside in parts)
    padded = [f"{value} {beside:<{room}}" if room else value for value, _, beside in parts]
    width = max(map(len, (name, *padded)))
    return [f"{cell:>{width}}" for cell in (name, *padded)]


def _cell(value: float | None, interval: Interval | None, style: str) -> str:
    if value is None:
        return _NONE
    if interval is None:
        return _number(value)
    low, high = interval
    beside = f"±{_number((high - low) / 2)}" if style == "±" else f"({_number(low)} to {_number(high)})"
    return f"{_number(value)} {beside}"
