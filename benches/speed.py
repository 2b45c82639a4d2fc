"""How fast a fit is, beside what people use today: `make bench`.

Every rival computes the same correlations (to 1e-5) from the same rows in memory, on the same number of threads. Runs
alternate, ours and theirs in turn; the tables show medians, and the median of the paired ratios. Peak memory is that
of a process of its own, above the data.

    python benches/speed.py                          # the tables of the README
    python benches/speed.py --plot docs/images/speed.png
    python benches/speed.py --smoke                  # everything once, in small
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from fits import FITS, ROWS_AT_A_TIME, Fit, make_rows
from measure import in_own_process, paired, peak_above, resident, seconds, table


def gram_table(options: argparse.Namespace) -> str:
    """The Gram product alone, one triangle counted, beside OpenBLAS's syrk through numpy and torch's three products."""
    import torch

    import canonsim
    from canonsim import _native

    rows = []
    kinds = [(np.float32, options.threads), (np.float64, options.threads)]
    if options.threads > 1:
        kinds = [(np.float32, 1), (np.float32, options.threads), (np.float64, 1), (np.float64, options.threads)]
    for dtype, threads in kinds:
        x, y = (side.astype(dtype) for side in make_rows(options.gram_rows, options.x_dim, options.y_dim))
        z = np.concatenate([x, y], axis=1)
        tx, ty = torch.from_numpy(x), torch.from_numpy(y)

        def accumulate(x=x, y=y):
            moments = canonsim.PairedMoments(x.shape[1], y.shape[1], folds=1)
            moments.update(x, y)
            _ = moments.native.x_mean

        def openblas(z=z):
            for start in range(0, len(z), ROWS_AT_A_TIME):
                part = z[start : start + ROWS_AT_A_TIME]
                _ = part.T @ part

        def torch_products(tx=tx, ty=ty):
            for start in range(0, len(tx), ROWS_AT_A_TIME):
                u, v = tx[start : start + ROWS_AT_A_TIME], ty[start : start + ROWS_AT_A_TIME]
                _ = u.T @ u, v.T @ v, u.T @ v

        with using(threads):
            peak = _native.tile_rate(dtype == np.float64) * threads
            syrk = paired(accumulate, openblas, options.runs)
            three = paired(accumulate, torch_products, options.runs)
        rate = len(z) * z.shape[1] ** 2 / syrk.first / 1e9
        name = f"{np.dtype(dtype).name}, {threads} thread{'s' * (threads > 1)}"
        rows.append(
            (name, f"{rate:.0f}", f"{peak:.0f}", f"{rate / peak:.0%}", f"{syrk.ratio:.2f}", f"{three.ratio:.2f}")
        )
    return table("Gram product | GFLOP/s | peak | share | OpenBLAS takes, times ours | torch takes, times ours", rows)


def fit_table(options: argparse.Namespace) -> str:
    """A whole fit, end to end."""
    x, y = make_rows(options.rows, options.x_dim, options.y_dim)
    rows, mine = [], []
    for name in options.rivals:
        rival = FITS[name]
        a, b = x[:: rival.part], y[:: rival.part]
        found = {}
        rival.run(*make_rows(400, 8, 8))  # imports what it needs
        pair = paired(
            lambda a=a, b=b, found=found: found.update(ours=FITS["canonsim"].run(a, b)),
            lambda a=a, b=b, found=found, rival=rival: found.update(theirs=rival.run(a, b)),
            1 if name in ("cca-zoo", "sklearn") else options.runs,
        )
        theirs = found["theirs"]()
        difference = float(np.abs(found["ours"]()[: len(theirs)] - theirs).max())
        if rival.exact and difference > 1e-5:
            raise SystemExit(f"{name} computes something else: its correlations differ by {difference:.1e}")
        if rival.part == 1:
            mine.append(pair.first)
        memory = memory_of(name, options)
        rows.append((rival.title, f"{pair.second:.2f}", f"{pair.ratio:.1f}", f"{difference:.0e}", f"{memory:.0f}"))
    if mine:
        rows.append(("canonsim", f"{np.median(mine):.2f}", "1", "", f"{memory_of('canonsim', options):.0f}"))
    return table("one fit | seconds | times ours | correlations differ by | MB above the data", rows)


def memory_of(name: str, options: argparse.Namespace) -> float:
    sizes = ("--rows", options.rows, "--x-dim", options.x_dim, "--y-dim", options.y_dim, "--threads", options.threads)
    return in_own_process(__file__, "--memory-of", name, *sizes)[0]


def print_memory(options: argparse.Namespace) -> None:
    """Peak memory of one fit, above the data and what importing takes."""
    fit = FITS[options.memory_of]
    fit.run(*make_rows(200, 8, 8))
    x, y = (side[:: fit.part] for side in make_rows(options.rows, options.x_dim, options.y_dim))
    print(peak_above(partial(fit.run, x, y)))


def cost_table(options: argparse.Namespace) -> str:
    """What else costs what, as a ratio to its plain counterpart."""
    import canonsim

    x, y = make_rows(options.rows, options.x_dim, options.y_dim)
    shape = x.shape[1], y.shape[1]

    def accumulate(x=x, y=y, folds=1, batch=options.rows):
        moments = canonsim.PairedMoments(*shape, folds=folds)
        for start in range(0, len(x), batch):
            moments.update(x[start : start + batch], y[start : start + batch])
        _ = moments.native.x_mean
        return moments

    def plain():
        canonsim.fit(accumulate(), n_components=None, ridge=0.1, weights="training")

    rows = []

    def compare(name, first, second):
        pair = paired(first, second, options.runs)
        rows.append((name, f"{pair.second:.2f}", f"{pair.first:.2f}", f"{pair.ratio:.2f}"))

    compare("rows in batches of 64 / all at once", accumulate, lambda: accumulate(batch=64))
    f16 = x.astype(np.float16), y.astype(np.float16)
    compare("f16 rows / f32 rows", accumulate, lambda: accumulate(*f16))
    compare("5 folds / none", accumulate, lambda: accumulate(folds=5))
    compare('fit with ridge="auto", 5 folds / a plain fit', plain, lambda: canonsim.fit(accumulate(folds=5)))
    space = canonsim.fit(accumulate(), n_components=min(256, *shape), ridge=0.1, weights="training")
    queries, gallery = x[: options.queries], y[: options.gallery]

    def formula():
        return formula_vectors(queries, space, "x") @ formula_vectors(gallery, space, "y").T

    def formula_top_k():
        scores = formula()
        best = np.argpartition(-scores, 10, axis=1)[:, :10]
        return np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1), axis=1)

    counts = f"{len(queries):,} x {len(gallery):,}"
    compare(f"similarity, {counts} / its formula in numpy, f32", formula, lambda: space.similarity(queries, gallery))
    compare(
        "the 10 best of each / the formula and argpartition", formula_top_k, lambda: space.top_k(queries, gallery, 10)
    )
    starts = [[sys.executable, "-c", code] for code in ("", "import canonsim")]
    compare("import canonsim / starting Python", *(partial(subprocess.run, start, check=True) for start in starts))
    return table("cost of this / of that | seconds | seconds of that | ratio", rows)


def formula_vectors(rows, space, side: str):
    """Vectors whose products are the similarities of the paper, all in f32."""
    mean, projection = (getattr(space, f"{side}_{part}").astype(np.float32) for part in ("mean", "projection"))
    variates = (rows - mean) @ projection
    return variates / np.linalg.norm(variates, axis=1, keepdims=True) * np.sqrt(space.weights).astype(np.float32)


def streamed(rows: int, x_dim: int, y_dim: int, folder: Path) -> tuple[float, float]:
    """Seconds and peak memory in MB of a fit from f16 feature files on disk, made here of a block that repeats."""
    import canonsim

    block = [side.astype(np.float16) for side in make_rows(min(rows, 20_000), x_dim, y_dim)]
    paths = [folder / f"{name}.npy" for name in "xy"]
    for path, side in zip(paths, block, strict=True):
        file = np.lib.format.open_memmap(path, "w+", np.float16, (rows, side.shape[1]))
        for start in range(0, rows, len(side)):
            file[start : start + len(side)] = side[: rows - start]
        file.flush()
    before, peak = resident(), 0.0

    def fit():
        nonlocal peak
        x, y = (np.load(path, mmap_mode="r") for path in paths)
        moments = canonsim.PairedMoments(x_dim, y_dim, folds=1)
        for start in range(0, rows, ROWS_AT_A_TIME):
            moments.update(x[start : start + ROWS_AT_A_TIME], y[start : start + ROWS_AT_A_TIME])
            peak = max(peak, resident())
        space = canonsim.fit(moments, n_components=None, ridge=0.0, weights="training")
        peak = max(peak, resident())
        return space

    spent = seconds(fit)
    for path in paths:
        path.unlink()
    return spent, peak - before


def print_stream(rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        print(*streamed(rows, 768, 384, Path(folder)))


def stream_table(options: argparse.Namespace) -> str:
    """Constant memory and a cost that is linear in the rows, from disk."""
    rows = []
    for n in options.streams:
        spent, memory = in_own_process(__file__, "--stream-of", n, "--threads", options.threads)
        gflops = n * (768 + 384) ** 2 / spent / 1e9
        rows.append(
            (f"{n:,} x (768 + 384)", f"{spent:.2f}", f"{spent / n * 1e6:.2f}", f"{gflops:.0f}", f"{memory:.0f}")
        )
    return table("f16 files on disk, streamed and fitted | seconds | microseconds a row | GFLOP/s | MB", rows)


def plot(options: argparse.Namespace) -> None:
    """Cost of a fit against the number of rows, and against the width."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, StrMethodFormatter

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    rows = [options.rows // part for part in (16, 8, 4, 2, 1)]
    widths = [options.x_dim // part for part in (8, 4, 2, 1)]
    for name in ("canonsim", "numpy", "torch"):
        fit = FITS[name]
        at_rows = [fastest(fit, n, options.x_dim) for n in rows]
        at_widths = [fastest(fit, options.rows // 2, width) for width in widths]
        left.loglog(rows, at_rows, "o-", label=fit.title)
        right.loglog(widths, at_widths, "o-", label=fit.title)
    left.set(
        xlabel=f"rows (p = {options.x_dim}, q = p / 2)",
        ylabel="seconds",
        title=f"one fit, f32, {options.threads} threads",
    )
    right.set(xlabel=f"width p (q = p / 2, {options.rows // 2:,} rows)", title="lower is better")
    left.legend(frameon=False)
    for axes, ticks in ((left, rows), (right, widths)):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(visible=True, which="major", alpha=0.3)
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_minor_formatter(NullFormatter())
    figure.savefig(options.plot, dpi=150)


def fastest(fit: Fit, rows: int, width: int) -> float:
    """Seconds of a fit of rows of two sides, the second half as wide: the best of two runs."""
    x, y = make_rows(rows, width, width // 2)
    return min(seconds(partial(fit.run, x, y)) for _ in range(2))


class using:  # noqa: N801
    """So many threads for everybody, within a ``with`` block."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def __enter__(self) -> None:
        import torch
        from threadpoolctl import threadpool_limits

        import canonsim

        self.before = canonsim.get_num_threads(), torch.get_num_threads()
        canonsim.set_num_threads(self.threads)
        torch.set_num_threads(self.threads)
        self.limits = threadpool_limits(self.threads)

    def __exit__(self, *error: object) -> None:
        import torch

        import canonsim

        self.limits.restore_original_limits()
        canonsim.set_num_threads(self.before[0])
        torch.set_num_threads(self.before[1])


def rivals() -> list[str]:
    """All that are installed: cca-zoo is nobody's dependency."""
    import importlib.util

    return [name for name in FITS if name != "canonsim" and (name != "cca-zoo" or importlib.util.find_spec("cca_zoo"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--gram-rows", type=int, default=16_384)
    parser.add_argument("--x-dim", type=int, default=1024)
    parser.add_argument("--y-dim", type=int, default=768)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--gallery", type=int, default=50_000)
    parser.add_argument("--streams", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rivals", nargs="*", default=rivals(), choices=list(FITS)[1:])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--smoke", action="store_true", help="everything once, in small: does it run?")
    parser.add_argument("--memory-of", choices=FITS, help=argparse.SUPPRESS)
    parser.add_argument("--stream-of", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.smoke:
        small = {"rows": 3000, "gram_rows": 2000, "x_dim": 48, "y_dim": 32, "queries": 50, "gallery": 500, "runs": 1}
        parser.set_defaults(**small, streams=[5000])
        options = parser.parse_args()
    with using(options.threads):
        if options.memory_of:
            print_memory(options)
            return
        if options.stream_of:
            print_stream(options.stream_of)
            return
        from canonsim import _native

        print(
            f"{_native.kernel_name()}, {options.threads} threads; p = {options.x_dim}, q = {options.y_dim}, f32, "
            f"{options.rows:,} rows\n"
        )
        for part in (gram_table, fit_table, cost_table, stream_table):
            print(part(options), end="\n\n", flush=True)
        if options.plot:
            plot(options)


if __name__ == "__main__":
    main()
