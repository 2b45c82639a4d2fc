"""One fit of the same canonical correlations by this project and by what people use today: the rows of the table.

Each takes x (n, p) and y (n, q), f32, and gives a function that tells the correlations it found, so that what only the
comparison needs is not timed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ROWS_AT_A_TIME = 4096


def make_rows(rows: int, x_dim: int, y_dim: int) -> list[np.ndarray]:
    """Two sides f32 that share 32 latent variables; the same for the same numbers."""
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((rows, 32), dtype=np.float32)
    sides = []
    for width in (x_dim, y_dim):
        side = rng.standard_normal((rows, width), dtype=np.float32)
        side += latent @ rng.standard_normal((32, width), dtype=np.float32)
        side += 3
        sides.append(side)
    return sides


def ours(x, y):
    import canonsim

    moments = canonsim.PairedMoments(x.shape[1], y.shape[1], folds=1)
    moments.update(x, y)
    space = canonsim.fit(moments, n_components=None, ridge=0.0, weights="training")
    return lambda: space.correlations


def numpy_batched(x, y):
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
    half = solve_triangular(cholesky(xx, lower=True), xy, lower=True)
    found = svdvals(solve_triangular(cholesky(yy, lower=True), half.T, lower=True))
    return lambda: found


def torch_batched(x, y):
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
    half = torch.linalg.solve_triangular(torch.linalg.cholesky(xx), xy, upper=False)
    found = torch.linalg.svdvals(torch.linalg.solve_triangular(torch.linalg.cholesky(yy), half.T, upper=False))
    return found.numpy


def reference_formula(x, y):
    x, y = x.astype(np.float64), y.astype(np.float64)
    x -= x.mean(0)
    y -= y.mean(0)
    roots = []
    for side in (x, y):
        values, vectors = np.linalg.eigh(side.T @ side / (len(side) - 1))
        roots.append(vectors / np.sqrt(values) @ vectors.T)
    found = np.linalg.svd(roots[0] @ (x.T @ y / (len(x) - 1)) @ roots[1])[1]
    return lambda: found


def cca_zoo(x, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cca_zoo.linear import CCA

        model = CCA(n_components=min(256, x.shape[1], y.shape[1])).fit([x, y])
    return lambda: _correlations(*model.transform([x, y]))


def scikit_learn(x, y):
    from sklearn.cross_decomposition import CCA

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = CCA(n_components=min(10, x.shape[1], y.shape[1]), max_iter=500).fit(x, y)
    return lambda: _correlations(*model.transform(x, y))


def _correlations(u, v):
    u, v = (np.asarray(side, np.float64) for side in (u, v))
    u, v = u - u.mean(0), v - v.mean(0)
    return (u * v).sum(0) / np.sqrt((u * u).sum(0) * (v * v).sum(0))


@dataclass(frozen=True)
class Fit:
    """How a fit is named in the table, and whether its correlations must be ours to 1e-5."""

    run: Callable[[np.ndarray, np.ndarray], Callable[[], np.ndarray]]
    title: str
    exact: bool = True
    part: int = 1
    """It gets every so many rows; the others of its comparison, too."""


FITS = {
    "canonsim": Fit(ours, "canonsim"),
    "numpy": Fit(numpy_batched, "numpy and scipy, batched, f64 sums"),
    "torch": Fit(torch_batched, "torch, batched, f64 sums"),
    "formula": Fit(reference_formula, "the CSA formula as published, f64"),
    "cca-zoo": Fit(cca_zoo, "cca-zoo CCA, 256 components"),
    "sklearn": Fit(scikit_learn, "scikit-learn CCA, 10 components, a tenth of the rows", exact=False, part=10),
}
