"""How fast a fit is, beside what people use today: `make bench`.

Every rival computes the same correlations (to 1e-5) from the same rows in memory, on the same number of threads; runs
alternate, ours and theirs in turn, and the table shows medians and the median of the paired ratios. Peak memory is that
of a process of its own, less the data.

    python benches/speed.py                  # the table of the README
    python benches/speed.py --rows 4000 --x-dim 96 --y-dim 64 --runs 1   # a smoke run
    python benches/speed.py --plot speed.png # cost against rows and widths as well
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROWS_AT_A_TIME = 4096


def make_rows(rows: int, x_dim: int, y_dim: int):
    """Two sides f32 that share 32 latent variables; the same for the same numbers."""
    import numpy as np

    rng = np.random.default_rng(0)
    latent = rng.standard_normal((rows, 32), dtype=np.float32)
    sides = []
    for width in (x_dim, y_dim):
        side = rng.standard_normal((rows, width), dtype=np.float32)
        side += latent @ rng.standard_normal((32, width), dtype=np.float32)
        side += 3
        sides.append(side)
    return sides


RIDGE = 1e-3


def ours(x, y):
    """One pass and a decomposition in Rust."""
    import canonsim

    moments = canonsim.PairedMoments(x.shape[1], y.shape[1], folds=1)
    moments.update(x, y)
    return canonsim.fit(moments, n_components=None, ridge=RIDGE, weights="training").correlations


def numpy_batched(x, y):
    """Batches about the first batch's mean, f32 products (OpenBLAS), f64 sums, scipy's Cholesky and SVD."""
    import numpy as np
    from scipy.linalg import cholesky, solve_triangular, svdvals

    n, p = x.shape
    d = p + y.shape[1]
    shift = np.concatenate([x[:ROWS_AT_A_TIME].mean(0), y[:ROWS_AT_A_TIME].mean(0)])
    gram, total = np.zeros((d, d)), np.zeros(d)
    for start in range(0, n, ROWS_AT_A_TIME):
        rows = slice(start, start + ROWS_AT_A_TIME)
        z = np.concatenate([x[rows], y[rows]], axis=1) - shift
        gram += z.T @ z
        total += z.sum(0, dtype=np.float64)
    covariance = (gram - np.outer(total, total) / n) / (n - 1)
    xx, yy, xy = covariance[:p, :p], covariance[p:, p:], covariance[:p, p:]
    xx[np.diag_indices(p)] += RIDGE * np.trace(xx) / p
    yy[np.diag_indices(d - p)] += RIDGE * np.trace(yy) / (d - p)
    half = solve_triangular(cholesky(xx, lower=True), xy, lower=True)
    return svdvals(solve_triangular(cholesky(yy, lower=True), half.T, lower=True))


def torch_batched(x, y):
    """Batches about the first batch's mean, three f32 products (MKL), f64 sums, torch.linalg."""
    import torch

    x, y = torch.from_numpy(x), torch.from_numpy(y)
    n, p = x.shape
    q = y.shape[1]
    mx, my = x[:ROWS_AT_A_TIME].mean(0), y[:ROWS_AT_A_TIME].mean(0)
    xx, yy, xy = (torch.zeros(shape, dtype=torch.float64) for shape in ((p, p), (q, q), (p, q)))
    sx, sy = torch.zeros(p, dtype=torch.float64), torch.zeros(q, dtype=torch.float64)
    for start in range(0, n, ROWS_AT_A_TIME):
        u, v = x[start : start + ROWS_AT_A_TIME] - mx, y[start : start + ROWS_AT_A_TIME] - my
        xx += u.T @ u
        yy += v.T @ v
        xy += u.T @ v
        sx += u.sum(0, dtype=torch.float64)
        sy += v.sum(0, dtype=torch.float64)
    xx, yy, xy = ((gram - torch.outer(a, b) / n) / (n - 1) for gram, a, b in ((xx, sx, sx), (yy, sy, sy), (xy, sx, sy)))
    xx.diagonal().add_(RIDGE * xx.trace() / p)
    yy.diagonal().add_(RIDGE * yy.trace() / q)
    half = torch.linalg.solve_triangular(torch.linalg.cholesky(xx), xy, upper=False)
    whitened = torch.linalg.solve_triangular(torch.linalg.cholesky(yy), half.T, upper=False)
    return torch.linalg.svdvals(whitened).numpy()


def reference_formula(x, y):
    """The formula as it is usually written: all rows in f64, inverse square roots by eigenvectors."""
    import numpy as np

    x, y = x.astype(np.float64), y.astype(np.float64)
    x -= x.mean(0)
    y -= y.mean(0)
    roots = []
    for side in (x, y):
        covariance = side.T @ side / (len(side) - 1)
        covariance += RIDGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
        values, vectors = np.linalg.eigh(covariance)
        roots.append(vectors / np.sqrt(values) @ vectors.T)
    return np.linalg.svd(roots[0] @ (x.T @ y / (len(x) - 1)) @ roots[1])[1]


def scikit_learn(x, y):
    """`sklearn.cross_decomposition.CCA`, iterative: 10 components of a tenth of the rows."""
    import warnings

    from sklearn.cross_decomposition import CCA

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        CCA(n_components=10, max_iter=500).fit(x[::10], y[::10])


METHODS = {
    "canonsim": ours,
    "numpy": numpy_batched,
    "torch": torch_batched,
    "formula": reference_formula,
    "sklearn": scikit_learn,
}
NAMES = {
    "canonsim": "canonsim",
    "numpy": "numpy and scipy, batched",
    "torch": "torch, batched",
    "formula": "the formula in float64, in memory",
    "sklearn": "scikit-learn CCA, 10 components, a tenth of the rows",
}


def timed(method, x, y):
    start = time.perf_counter()
    found = method(x, y)
    return time.perf_counter() - start, found


def peak_memory(name: str, options: argparse.Namespace) -> float:
    """Peak memory in MB of one fit in a process of its own, above that of the data."""
    sizes = [str(value) for value in (options.rows, options.x_dim, options.y_dim)]
    told = subprocess.run(
        [sys.executable, __file__, "--memory-of", name, "--rows", sizes[0], "--x-dim", sizes[1], "--y-dim", sizes[2]],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(told.stdout)


def resident(field: str) -> float:
    """A line of /proc/self/status, in MB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(field)) / 1024


def print_memory(options: argparse.Namespace) -> None:
    method = METHODS[options.memory_of]
    small = make_rows(200, 8, 8)
    method(*small)
    x, y = make_rows(options.rows, options.x_dim, options.y_dim)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = resident("VmRSS")
    method(x, y)
    print(resident("VmHWM") - before)


def gram_rates(x, y, runs: int) -> dict[str, float]:
    """GFLOP/s of the Gram product alone, one triangle counted: ours, OpenBLAS's ssyrk through numpy, and torch's."""
    import numpy as np
    import torch

    import canonsim

    z = np.concatenate([x, y], axis=1)
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)

    def accumulate():
        moments = canonsim.PairedMoments(x.shape[1], y.shape[1], folds=1)
        moments.update(x, y)
        _ = moments.native.scatter_xy

    def openblas():
        for start in range(0, len(z), ROWS_AT_A_TIME):
            rows = z[start : start + ROWS_AT_A_TIME]
            _ = rows.T @ rows

    def mkl():
        for start in range(0, len(z), ROWS_AT_A_TIME):
            u, v = tx[start : start + ROWS_AT_A_TIME], ty[start : start + ROWS_AT_A_TIME]
            _ = u.T @ u, v.T @ v, u.T @ v

    times = {name: [] for name in ("canonsim", "OpenBLAS ssyrk", "torch, three products")}
    for run in range(runs + 1):
        for name, work in zip(times, (accumulate, openblas, mkl), strict=True):
            start = time.perf_counter()
            work()
            # The first run warms up.
            if run:
                times[name].append(time.perf_counter() - start)
    work = len(z) * z.shape[1] ** 2
    return {name: work / statistics.median(seconds) / 1e9 for name, seconds in times.items()}


def plot(path: Path, threads: int) -> None:
    """Cost of a fit against the number of rows, and against the width."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    rows = [5_000, 10_000, 20_000, 40_000, 80_000]
    widths = [128, 256, 512, 1024, 1536]
    for name in ("canonsim", "numpy", "torch"):
        seconds = []
        for n in rows:
            x, y = make_rows(n, 768, 384)
            seconds.append(min(timed(METHODS[name], x, y)[0] for _ in range(2)))
        left.loglog(rows, seconds, "o-", label=NAMES[name])
        seconds = []
        for width in widths:
            x, y = make_rows(20_000, width, width // 2)
            seconds.append(min(timed(METHODS[name], x, y)[0] for _ in range(2)))
        right.loglog(widths, seconds, "o-", label=NAMES[name])
    left.set(xlabel="rows (p = 768, q = 384)", ylabel="seconds", title=f"one fit, {threads} threads, f32")
    right.set(xlabel="width p (q = p / 2, 20,000 rows)", title="lower is better")
    left.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(visible=True, which="major", alpha=0.3)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--x-dim", type=int, default=1024)
    parser.add_argument("--y-dim", type=int, default=768)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rivals", nargs="*", default=["numpy", "torch", "formula"], choices=list(METHODS)[1:])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--memory-of", choices=METHODS, help=argparse.SUPPRESS)
    options = parser.parse_args()

    import torch
    from threadpoolctl import threadpool_limits

    import canonsim

    canonsim.set_num_threads(options.threads)
    torch.set_num_threads(options.threads)
    with threadpool_limits(options.threads):
        if options.memory_of:
            print_memory(options)
            return
        compare(options)
        if options.plot:
            plot(options.plot, options.threads)


def compare(options: argparse.Namespace) -> None:
    import numpy as np

    x, y = make_rows(options.rows, options.x_dim, options.y_dim)
    print(f"{options.rows:,} rows, p = {options.x_dim}, q = {options.y_dim}, f32, {options.threads} threads\n")
    print("| Gram product | GFLOP/s, one triangle counted |\n|---|---:|")
    for name, rate in gram_rates(x, y, options.runs).items():
        print(f"| {name} | {rate:.0f} |")
    print("\n| one fit, end to end | seconds | times canonsim's | memory above the data, MB |\n|---|---:|---:|---:|")
    mine, expected = [], None
    for name in options.rivals:
        seconds, ratios = [], []
        for method in (ours, METHODS[name]):
            method(x[: 2 * ROWS_AT_A_TIME], y[: 2 * ROWS_AT_A_TIME])
        for _ in range(1 if name == "sklearn" else options.runs):
            own, expected = timed(ours, x, y)
            other, found = timed(METHODS[name], x, y)
            if found is not None:
                np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=f"{name} computes something else")
            mine.append(own)
            seconds.append(other)
            ratios.append(other / own)
        memory = peak_memory(name, options)
        print(f"| {NAMES[name]} | {statistics.median(seconds):.2f} | {statistics.median(ratios):.1f} | {memory:.0f} |")
    print(f"| canonsim | {statistics.median(mine):.2f} | 1 | {peak_memory('canonsim', options):.0f} |")


if __name__ == "__main__":
    main()
