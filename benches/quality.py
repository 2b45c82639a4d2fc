"""How well pairs are found when few were learned from, beside rivals and chance: `make quality`.

Every method sees the same training pairs, a part of the data that grows. Whatever has a setting to choose takes the
one with the best R@10 on the validation part; nothing is chosen on the test part. R@k is the mean of both directions.
Intervals hold 95 % of the results over test rows drawn again with replacement: they are about the test rows, not about
which pairs were learned from.

    python benches/quality.py                            # the clip-arts of the demo
    python benches/quality.py --data FOLDER --data FOLDER --plot quality.png --json quality.json
    python benches/quality.py --smoke                    # everything once, in small

A folder holds x.npy (n, p) and y.npy (n, q) or (n, captions, q), and may hold split.npz with the row numbers train,
val and test; the folder of flickr8k features is known by its file names.
"""

from __future__ import annotations

import argparse
import importlib
import json
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from comparison import KS, MEASURES, cell, measure, recall_on_validation, sizes_of
from feature_sets import Pairs, read, synthetic
from measure import table

from canonsim import metrics
from canonsim.protocols.bootstrap import Interval
from canonsim.protocols.methods import METHODS, Method
from canonsim.protocols.selection import choose

SIZES = (50, 200, 1000, 4000)


@dataclass(frozen=True)
class Result:
    """What one method reached on the test part after training on so many pairs."""

    data: str
    pairs: int
    method: str
    ours: bool
    setting: str
    values: dict[str, float]
    intervals: dict[str, Interval]
    seconds: float
    """Of all fits, one for each setting."""


def compare(methods: list[Method], data: Pairs, pairs: int, resamples: int) -> list[Result]:
    """These methods after training on so many pairs."""
    rows = data.part(data.train[:pairs])
    results = []
    for method in methods:
        fitted, seconds = choose(method.fits(rows), partial(recall_on_validation, data=data))
        found = measure(fitted, data, resamples)
        about = (data.name, pairs, method.name, method.ours, fitted.setting)
        results.append(Result(*about, found.values, found.intervals, seconds))
    return results


def as_table(results: list[Result], test: int) -> str:
    """One number of training pairs as Markdown."""
    rows = []
    for result in results:
        cells = [cell(result.values[name], interval) for name, interval in result.intervals.items()]
        rows.append((result.method, result.setting, *cells, f"{result.seconds:.1f}"))
    chance = [f"{metrics.recall_chance(test, k):.3f}" for k in KS]
    rows.append(("chance", "", *chance, "0.500", ""))
    first = results[0]
    return table(f"{first.data}, {first.pairs:,} pairs | setting | {' | '.join(MEASURES)} | s", rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, action="append", metavar="FOLDER", help="of features, or clipart; repeatable"
    )
    parser.add_argument("--pairs", type=int, nargs="+", default=SIZES, help="training pairs, beside all")
    names = [method.name for method in METHODS]
    parser.add_argument("--methods", nargs="+", default=names, choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--resamples", type=int, default=400, help="of the test rows, for the intervals")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw R@10 and AUC against the number of pairs")
    parser.add_argument("--smoke", action="store_true", help="made-up pairs, in seconds: does it run?")
    options = parser.parse_args()
    if min(options.pairs) < 20 or options.resamples < 1:
        parser.error(
            f"--pairs must be at least 20 and --resamples at least 1, got {options.pairs}, {options.resamples}"
        )
    if options.smoke:
        sets, options.pairs, options.resamples = [synthetic()], [50], 20
    else:
        sets = read(options.data)
    methods = [method for method in METHODS if method.name in options.methods]
    # Otherwise the first fit of the contrastive heads would pay for their imports.
    importlib.import_module("canonsim.baselines.heads")
    results, chance = [], {}
    for data in sets:
        chance[data.name] = metrics.recall_chance(len(data.test), 10)
        print(
            f"{data.name}: p = {data.x.shape[1]}, q = {data.y.shape[1]}, {len(data.test):,} test pairs; settings "
            f"chosen by R@10 on {len(data.val):,} validation pairs; 95 % intervals; s: seconds of the fits in all "
            "settings\n",
            flush=True,
        )
        for pairs in sizes_of(data, options.pairs):
            found = compare(methods, data, pairs, options.resamples)
            print(as_table(found, len(data.test)), end="\n\n", flush=True)
            results += found
    if options.json:
        options.json.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n", encoding="utf-8")
    if options.plot:
        from quality_plot import draw

        draw(results, chance, options.plot)


if __name__ == "__main__":
    main()
