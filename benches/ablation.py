"""What each step from textbook CSA to ours buys, on the same pairs: tables, and the pictures of docs/few-pairs.md.

Settings that a step leaves open are chosen by R@10 on the validation part, nothing on the test part. R@k is the mean of
both directions. Intervals hold 95 % of the results over test rows drawn again with replacement; those of gains draw the
same rows for both steps.

    python benches/ablation.py                           # the clip-arts of the demo
    python benches/ablation.py --data FOLDER --data clipart --json ablation.json
    python benches/ablation.py --data FOLDER --data clipart --quality quality.json --plots docs/images
    python benches/ablation.py --smoke                   # everything once, in small

Folders are those of benches/quality.py, and quality.json is what its --json writes.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from comparison import cell, measure, recall_on_validation
from feature_sets import Pairs, read, synthetic
from ladder import ladder
from measure import table

import canonsim
from canonsim import metrics
from canonsim.protocols.bootstrap import Interval, Measured
from canonsim.protocols.methods import TrainingPairs, moments_of
from canonsim.protocols.selection import choose
from canonsim.tasks import Retriever

SIZES = (200, 1000, 4000)
SHOWN = ("R@1", "R@10", "AUC")


@dataclass(frozen=True)
class Result:
    """What one step reached on the test part, and what it gained over the step before."""

    data: str
    pairs: int
    step: str
    beside: bool
    setting: str
    values: dict[str, float]
    intervals: dict[str, Interval]
    gains: dict[str, float]
    gain_intervals: dict[str, Interval]


@dataclass(frozen=True)
class Calibrated:
    """How well the log odds of one space say what they mean, on the test part."""

    data: str
    pairs: int
    space: str
    scale: float
    expected_calibration_error: float
    log_loss: float
    predicted: list[float]
    """Mean predicted probability of each bin."""
    observed: list[float]
    """Frequency of pairs in it."""


@dataclass(frozen=True)
class Hubs:
    """How unevenly test rows of y share the ten results of each test row of x."""

    data: str
    pairs: int
    search: str
    skewness: float
    anti_hubs: float
    top_share: float


@dataclass(frozen=True)
class Correlations:
    """What a fit of all directions says of its correlations, and what they are on the test part."""

    data: str
    pairs: int
    ridge: tuple[float, float]
    training: list[float]
    held_out: list[float]
    test: list[float]
    noise_floor: float
    signal: tuple[int, int, int]


def climbed(data: Pairs, rows: TrainingPairs, best: canonsim.CanonicalSpace, resamples: int) -> Iterator[Result]:
    """The steps one after the other."""
    before: Measured | None = None
    for step in ladder(rows, best):
        fitted, _ = choose(step.settings, partial(recall_on_validation, data=data))
        found = measure(fitted, data, resamples)
        gains: tuple[dict[str, float], dict[str, Interval]] = ({}, {}) if before is None else found.gains(before)
        about = (data.name, len(rows[0]), step.name, step.beside, fitted.setting)
        yield Result(*about, found.values, found.intervals, *gains)
        before = before if step.beside else found


def calibrations(data: Pairs, pairs: int, csa: canonsim.CSA) -> Iterator[Calibrated]:
    """The log odds as fitted, and calibrated in two ways."""
    as_fitted = csa.space_.replace(log_odds_scale=1.0)
    spaces = {
        "as fitted": as_fitted,
        "calibrated on validation pairs": as_fitted.calibrate(*data.part(data.val)),
        "calibrated by cross-fitting": csa.space_,
    }
    for name, space in spaces.items():
        found = space.calibration(*data.part(data.test), bins=10)
        bins = (found.reliability.predicted.tolist(), found.reliability.observed.tolist())
        yield Calibrated(
            data.name, pairs, name, space.log_odds_scale, found.expected_calibration_error, found.log_loss, *bins
        )


def hubs(data: Pairs, rows: TrainingPairs, space: canonsim.CanonicalSpace) -> Iterator[Hubs]:
    """The search by log odds with and without CSLS, and random lists."""
    x, y, _ = data.part(data.test)
    found = Retriever(space, correction="csls").set_queries(rows[0]).add(y).hubness(x)
    names = {"plain": "log odds", "corrected": "log odds with CSLS", "chance": "random lists"}
    for key, name in names.items():
        yield Hubs(data.name, len(rows[0]), name, **found[key])


def correlations(data: Pairs, sizes: list[int]) -> Iterator[Correlations]:
    """Of fits without a ridge and with the automatic one, at several numbers of pairs."""
    x, y, _ = data.part(data.test)
    for pairs in sizes:
        moments = moments_of(data.part(data.train[:pairs]))
        for ridge in (0.0, "auto"):
            with warnings.catch_warnings():
                # That there is no signal is what some of these fits are to show.
                warnings.simplefilter("ignore", canonsim.NoSignalWarning)
                space = canonsim.fit(moments, None, ridge)
            variates = [each - each.mean(axis=0) for each in (space.project_x(x), space.project_y(y))]
            lengths = np.prod([np.linalg.norm(each, axis=0) for each in variates], axis=0)
            test = (variates[0] * variates[1]).sum(axis=0) / np.maximum(lengths, np.finfo(float).tiny)
            found = (space.correlations, space.held_out_correlations, test)
            about = (data.name, pairs, space.ridge, *(each.tolist() for each in found))
            yield Correlations(*about, space.noise_floor, tuple(space.signal))


def as_tables(results: list[Result], calibrated: list[Calibrated], hubness: list[Hubs], test: int) -> str:
    """The ladder, and the calibration and the hubness of its end, as Markdown."""
    rows: list[tuple[Any, ...]] = []
    for result in results:
        name = f"*instead: {result.step}*" if result.beside else result.step
        cells = [cell(result.values[shown], result.intervals[shown]) for shown in SHOWN]
        gain = cell(result.gains["R@10"], result.gain_intervals["R@10"], "+") if result.gains else ""
        rows.append((name, result.setting, *cells, gain))
    rows.append(("chance", "", *(f"{metrics.recall_chance(test, k):.3f}" for k in (1, 10)), "0.500", ""))
    first = results[0]
    steps = table(f"{first.data}, {first.pairs:,} pairs | setting | {' | '.join(SHOWN)} | R@10 gained", rows)
    rows = [
        (each.space, f"{each.scale:.2f}", f"{each.expected_calibration_error:.3f}", f"{each.log_loss:.3f}")
        for each in calibrated
    ]
    rows.append(("a score that says nothing", "", "", f"{np.log(2):.3f}"))
    calibration = table("log odds | scale | ECE | log loss", rows)
    rows = [
        (each.search, f"{each.skewness:.2f}", f"{100 * each.anti_hubs:.1f} %", f"{100 * each.top_share:.1f} %")
        for each in hubness
    ]
    shares = table("search of y | skewness | in no list | share of the top 1 %", rows)
    return "\n\n".join([steps, calibration, shares])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, action="append", metavar="FOLDER", help="of features, or clipart; repeatable"
    )
    parser.add_argument("--pairs", type=int, default=1000, help="training pairs of the ladder")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="training pairs of the correlations")
    parser.add_argument("--resamples", type=int, default=400, help="of the test rows, for the intervals")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw them")
    parser.add_argument("--quality", type=Path, metavar="FILE", help="numbers of quality.py, for one more picture")
    parser.add_argument("--smoke", action="store_true", help="made-up pairs, in seconds: does it run?")
    options = parser.parse_args()
    least = min(options.pairs, *options.sizes)
    if least < 20 or options.resamples < 1:
        parser.error(f"pairs must be at least 20 and --resamples at least 1, got {least} and {options.resamples}")
    if options.smoke:
        sets, options.pairs, options.sizes, options.resamples = [synthetic()], 120, [40, 120], 20
    else:
        sets = read(options.data)
    results, calibrated, hubness = [], [], []
    for data in sets:
        rows = data.part(data.train[: options.pairs])
        csa = canonsim.CSA(maps="auto", calibrate=True).fit(*rows)
        best = csa.space_.replace(log_odds_scale=1.0)
        steps = list(climbed(data, rows, best, options.resamples))
        ends = list(calibrations(data, len(rows[0]), csa)), list(hubs(data, rows, best))
        print(
            f"{data.name}: p = {data.x.shape[1]}, q = {data.y.shape[1]}, {len(data.val):,} validation pairs, "
            f"{len(data.test):,} test pairs; 95 % intervals\n\n{as_tables(steps, *ends, len(data.test))}\n",
            flush=True,
        )
        results += steps
        calibrated += ends[0]
        hubness += ends[1]
    largest = max(sets, key=lambda data: len(data.train))
    found = list(correlations(largest, sorted({min(size, len(largest.train)) for size in options.sizes})))
    if options.json:
        parts = {"steps": results, "calibration": calibrated, "hubness": hubness, "correlations": found}
        content = {name: [asdict(each) for each in part] for name, part in parts.items()}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if options.plots:
        import ablation_plots

        options.plots.mkdir(parents=True, exist_ok=True)
        chance = {data.name: metrics.recall_chance(len(data.test), 10) for data in sets}
        quality = (options.quality, chance) if options.quality else None
        ablation_plots.draw(results, calibrated, found, quality, options.plots)


if __name__ == "__main__":
    main()
