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
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from feature_sets import Pairs, clipart, from_folder, synthetic
from measure import table
from methods import METHODS, Fitted, Method

from canonsim import metrics

SIZES = (50, 200, 1000, 4000)
KS = (1, 5, 10)
MEASURES = (*(f"R@{k}" for k in KS), "AUC")


@dataclass(frozen=True)
class Result:
    """What one method reached on the test part after training on so many pairs."""

    data: str
    pairs: int
    method: str
    ours: bool
    setting: str
    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    seconds: float
    """Of all fits, one for each setting."""


def choose(method: Method, data: Pairs, pairs: int) -> tuple[Fitted, float]:
    """Fit a method on the first training pairs; return its best setting on the validation part, and the seconds."""
    x, y, _ = data.part(data.val)
    rows = data.part(data.train[:pairs])
    best, reached, seconds = None, -1.0, 0.0
    began = time.perf_counter()
    for fitted in method.fits(rows):
        seconds += time.perf_counter() - began
        recall = metrics.retrieval_summary(fitted.score, x, y)["mean"]["R@10"]
        if recall > reached:
            best, reached = fitted, recall
        began = time.perf_counter()
    if best is None:
        raise ValueError(f"{method.name} has no setting for {pairs} pairs")
    return best, seconds


def measure(fitted: Fitted, data: Pairs, resamples: int) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Results on the test part, and their intervals."""
    x, y, _ = data.part(data.test)
    ranks = metrics.pair_ranks(fitted.score, x, y).values()
    hits = np.mean([[metrics.query_recall(*direction, k) for k in KS] for direction in ranks], axis=0)
    own, other = metrics.mismatch_scores(fitted.score_pairwise, x, y)

    def results(rows: np.ndarray) -> list[float]:
        return [*hits[:, rows].mean(axis=1), metrics.auc(own[rows], other[rows])]

    n = len(x)
    rng = np.random.default_rng(0)
    drawn = [results(rng.integers(n, size=n)) for _ in range(resamples)]
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    values = dict(zip(MEASURES, map(float, results(np.arange(n))), strict=True))
    return values, dict(zip(MEASURES, zip(map(float, low), map(float, high), strict=True), strict=True))


def sizes_of(data: Pairs, sizes: list[int]) -> list[int]:
    """The numbers of training pairs that the data have, and all."""
    return [*(size for size in sorted(set(sizes)) if size < len(data.train)), len(data.train)]


def compare(data: Pairs, pairs: int, resamples: int) -> list[Result]:
    """All methods after training on so many pairs."""
    results = []
    for method in METHODS:
        fitted, seconds = choose(method, data, pairs)
        values, intervals = measure(fitted, data, resamples)
        results.append(Result(data.name, pairs, method.name, method.ours, fitted.setting, values, intervals, seconds))
    return results


def as_table(results: list[Result], test: int) -> str:
    """One number of training pairs as Markdown."""
    rows = []
    for result in results:
        cells = [
            f"{result.values[name]:.3f} ({low:.3f} to {high:.3f})" for name, (low, high) in result.intervals.items()
        ]
        rows.append((result.method, result.setting, *cells, f"{result.seconds:.1f}"))
    chance = [f"{metrics.recall_chance(test, k):.3f}" for k in KS]
    rows.append(("chance", "", *chance, "0.500", ""))
    first = results[0]
    return table(f"{first.data}, {first.pairs:,} pairs | setting | {' | '.join(MEASURES)} | s", rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", metavar="FOLDER", help="folder of features; repeatable")
    parser.add_argument("--pairs", type=int, nargs="+", default=SIZES, help="training pairs, beside all")
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
        sets = [from_folder(folder) for folder in options.data] if options.data else [clipart()]
    if len({data.name for data in sets}) < len(sets):
        parser.error(f"--data must name folders of different names, got {', '.join(data.name for data in sets)}")
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
            found = compare(data, pairs, options.resamples)
            print(as_table(found, len(data.test)), end="\n\n", flush=True)
            results += found
    if options.json:
        options.json.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n", encoding="utf-8")
    if options.plot:
        from quality_plot import draw

        draw(results, chance, options.plot)


if __name__ == "__main__":
    main()
