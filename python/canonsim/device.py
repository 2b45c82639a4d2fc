"""Moments of tensors that live on an accelerator: rows stay there, only moments travel."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from canonsim import _native

# Rows multiplied at a time: large enough for the device to be busy, small enough to fit beside a model.
_BLOCK = 4096
# As in the core: squares of larger values overflow.
_LARGEST = 1e145


class DeviceMoments:
    """The count, mean and scatter of ``[x | y]`` of each fold, in f64 on one device.

    Products run in f64 whatever the precision of the rows: autocast and TF32 leave f64 alone, and an encoder on the
    same device costs far more than they do.

    Parameters
    ----------
    x_dim, y_dim : int
        Widths p and q.
    folds : int
        Number of folds.
    device : torch.device
        Where the rows are and the sums stay.
    """

    def __init__(self, x_dim: int, y_dim: int, folds: int, device: torch.device) -> None:
        d = x_dim + y_dim
        self.x_dim, self.y_dim, self.folds, self.device = x_dim, y_dim, folds, device
        self.count = 0
        self._counts = [0] * folds
        self._means = torch.zeros(folds, d, dtype=torch.float64, device=device)
        self._scatters: list[torch.Tensor | None] = [None] * folds
        # Fourth powers of each side about the mean of the fold's first block, as the core keeps them.
        self._centres = torch.zeros_like(self._means)
        self._cubes = torch.zeros_like(self._means)
        self._fourths = torch.zeros(folds, 2, dtype=torch.float64, device=device)
        self._waiting: list[tuple[torch.Tensor, npt.NDArray[np.int64]]] = []
        self._waiting_rows = 0
        self._roundoff = float(np.finfo(np.float64).eps) / 2

    def update(self, x: torch.Tensor, y: torch.Tensor, ids: npt.NDArray[np.int64]) -> None:
        """Add pairs (n, p), (n, q) with ids (n,).

        Raises
        ------
        ValueError
            For NaN or infinite values; the message names the row. The state stays as it was.
        """
        x, y = x.detach(), y.detach()
        for argument, rows in (("x", x), ("y", y)):
            fits = rows.abs() <= _LARGEST if rows.dtype == torch.float64 else torch.isfinite(rows)
            if not bool(fits.all()):
                row, column = (int(i) for i in torch.nonzero(~fits)[0])
                value = float(rows[row, column])
                raise ValueError(
                    f"{argument} holds {value} in row {row}, column {column}; every value must be finite, "
                    f"of magnitude {_LARGEST:g} at most"
                )
        dtype = torch.promote_types(x.dtype, y.dtype)
        if dtype != torch.float64:
            # As in the core, the precision is that of the rows.
            self._roundoff = max(self._roundoff, float(np.finfo(np.float32).eps) / 2)
        # A copy: the caller may write to its tensors while these rows wait.
        self._waiting.append((torch.cat([x.to(dtype), y.to(dtype)], dim=1), _native.folds_of(ids, self.folds)))
        self._waiting_rows += len(x)
        self.count += len(x)
        if self._waiting_rows >= _BLOCK:
            self._multiply()

    def _multiply(self) -> None:
        if not self._waiting_rows:
            return
        rows = torch.cat([rows.double() for rows, _ in self._waiting])
        folds = np.concatenate([folds for _, folds in self._waiting])
        self._waiting, self._waiting_rows = [], 0
        for k in range(self.folds):
            index = torch.from_numpy(np.flatnonzero(folds == k)).to(self.device)
            for block in torch.split(rows[index], _BLOCK):
                self._merge(k, block)

    def _merge(self, k: int, rows: torch.Tensor) -> None:
        """Add a block by the pairwise update of Chan, Golub and LeVeque (1979)."""
        n = len(rows)
        if n == 0:
            return
        mean = rows.mean(dim=0)
        if self._counts[k] == 0:
            self._centres[k] = mean
        for side, columns in enumerate((slice(self.x_dim), slice(self.x_dim, None))):
            z = rows[:, columns] - self._centres[k, columns]
            squares = (z * z).sum(dim=1)
            self._cubes[k, columns] += squares @ z
            self._fourths[k, side] += squares @ squares
        rows = rows - mean
        total = self._counts[k] + n
        distance = mean - self._means[k]
        scatter = self._scatters[k]
        if scatter is None:
            scatter = self._scatters[k] = torch.zeros(2 * [rows.shape[1]], dtype=torch.float64, device=self.device)
        scatter.addmm_(rows.T, rows)
        scatter.addr_(distance, distance, alpha=self._counts[k] * n / total)
        self._means[k] += distance * (n / total)
        self._counts[k] = total

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """As `canonsim.PairedMoments.state`."""
        self._multiply()
        d = self.x_dim + self.y_dim
        lower = torch.tril_indices(d, d, device=self.device)
        scatters = np.zeros((self.folds, d * (d + 1) // 2))
        for k, scatter in enumerate(self._scatters):
            if scatter is not None:
                scatters[k] = scatter[lower[0], lower[1]].cpu().numpy()
        counts = np.array(self._counts)
        means, centres, cubes, fourths = (
            array.cpu().numpy() for array in (self._means, self._centres, self._cubes, self._fourths)
        )
        weights = np.repeat(counts[:, None].astype(np.float64), 2, axis=1)
        for k in range(self.folds):
            part = (int(counts[k]), weights[k], means[k], scatters[k], cubes[k], fourths[k], self._roundoff)
            cubes[k], fourths[k] = _native.fourth_powers([self.x_dim, self.y_dim], part, centres[k], means[k])
        state: dict[str, npt.NDArray[Any]] = {
            "counts": counts,
            "weights": weights,
            "means": means,
            "scatters": scatters,
            "cubes": cubes,
            "fourths": fourths,
            "roundoffs": np.full(self.folds, self._roundoff),
        }
        for side, width in (("unpaired_x", self.x_dim), ("unpaired_y", self.y_dim)):
            state[f"{side}.counts"] = np.zeros(1, np.int64)
            state[f"{side}.weights"] = np.zeros((1, 2))
            state[f"{side}.means"] = state[f"{side}.cubes"] = np.zeros((1, width))
            state[f"{side}.scatters"] = np.zeros((1, width * (width + 1) // 2))
            state[f"{side}.fourths"] = np.zeros((1, 1))
            state[f"{side}.roundoffs"] = np.array([self._roundoff])
        return state
