"""Ridge maps: predict one side's features from the other's, then compare in that side's own space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from canonsim.baselines.baseline import Baseline
from canonsim.baselines.rows import paired_rows, rows, unit

RIDGES = tuple(10.0 ** (power / 2) for power in range(-6, 7))
"""Ridges to choose from, relative to the mean variance of the side that is mapped: 0.001 to 1,000."""


class RidgeMap(Baseline):
    """Map one side to the other by ridge regression and compare by cosine, about the training means.

    The map of x to y is ``(X^T X + ridge * t * I)^-1 X^T Y`` of the centred training rows (Hoerl and Kennard,
    Technometrics 12, 1970, equation 2.1), with t = tr(X^T X) / p, so that the ridge does not depend on the scale of
    the features. Each map takes the ridge of the smallest leave-one-out error, which has a closed form.

    Parameters
    ----------
    direction : "x_to_y", "y_to_x" or "both"
        What is mapped. With "both", the score is the mean of the two cosines.
    ridges : sequence of float
        Ridges to choose from, all positive.

    Attributes
    ----------
    x_mean_, y_mean_ : ndarray (p,), (q,)
        Training means.
    x_map_, y_map_ : ndarray (p, q), (q, p)
        The map of x to y, and of y to x.
    x_ridge_, y_ridge_ : float
        The ridge of each map.
    x_errors_, y_errors_ : ndarray (len(ridges),)
        Mean squared length of the leave-one-out residuals of each map, for each ridge.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 8))
    >>> y = x @ rng.normal(size=(8, 6))
    >>> scores = RidgeMap("x_to_y").fit(x[:150], y[:150]).score(x[150:], y[150:])
    >>> bool((scores.argmax(axis=1) == np.arange(50)).all())
    True
    """

    x_mean_: NDArray[np.float64]
    y_mean_: NDArray[np.float64]
    x_map_: NDArray[np.float64]
    y_map_: NDArray[np.float64]
    x_ridge_: float
    y_ridge_: float
    x_errors_: NDArray[np.float64]
    y_errors_: NDArray[np.float64]

    def __init__(
        self, direction: Literal["x_to_y", "y_to_x", "both"] = "both", ridges: Sequence[float] = RIDGES
    ) -> None:
        if direction not in ("x_to_y", "y_to_x", "both"):
            raise ValueError(f"direction must be 'x_to_y', 'y_to_x' or 'both', not {direction!r}")
        if not ridges or not all(0 < ridge < np.inf for ridge in ridges):
            raise ValueError(f"ridges must be positive and finite, at least one, not {ridges!r}")
        self.direction = direction
        self.ridges = ridges

    def fit(self, X: ArrayLike, Y: ArrayLike) -> Self:
        """Find both maps from training pairs X (n, p), Y (n, q), n >= 2."""
        x, y = paired_rows(X, Y, least=2)
        self.x_mean_, self.y_mean_ = x.mean(axis=0), y.mean(axis=0)
        x, y = x - self.x_mean_, y - self.y_mean_
        self.x_map_, self.x_ridge_, self.x_errors_ = _best_map(x, y, self.ridges)
        self.y_map_, self.y_ridge_, self.y_errors_ = _best_map(y, x, self.ridges)
        return self

    def embed_x(self, X: ArrayLike) -> NDArray[np.float64]:
        """Put items X (n, p) into the spaces of the comparison: (n, q), (n, p) or (n, q + p), rows of unit length."""
        x = rows(X, len(self.x_mean_)) - self.x_mean_
        return self._joined(x @ self.x_map_, x)

    def embed_y(self, Y: ArrayLike) -> NDArray[np.float64]:
        """Put items Y (n, q) into the spaces of the comparison: (n, q), (n, p) or (n, q + p), rows of unit length."""
        y = rows(Y, len(self.y_mean_)) - self.y_mean_
        return self._joined(y, y @ self.y_map_)

    def _joined(self, in_y: NDArray[np.float64], in_x: NDArray[np.float64]) -> NDArray[np.float64]:
        parts = {"x_to_y": in_y, "y_to_x": in_x, "both": np.hstack([unit(in_y), unit(in_x)])}
        vectors: NDArray[np.float64] = unit(parts[self.direction])
        return vectors


def _best_map(
    x: NDArray[np.float64], y: NDArray[np.float64], ridges: Sequence[float]
) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
    """The map (p, q) of centred x to centred y with the best ridge, that ridge, and the errors of all ridges.

    The residual of a row that was left out is its residual in the full fit divided by 1 - h (Allen, Technometrics 16,
    1974); h, the leverage, holds 1 / n for the mean, which is fitted too.
    """
    values, vectors = np.linalg.eigh(x.T @ x)
    values = np.clip(values, 0.0, None)
    scale = values.mean() or 1.0
    variates = x @ vectors
    cross = variates.T @ y
    errors = []
    for ridge in ridges:
        shrunk = 1.0 / (values + ridge * scale)
        leverage = 1.0 / len(x) + variates**2 @ shrunk
        left_out = (y - variates @ (shrunk[:, None] * cross)) / (1.0 - leverage)[:, None]
        errors.append((left_out**2).sum(axis=1).mean())
    best = ridges[int(np.argmin(errors))]
    return vectors @ (cross / (values + best * scale)[:, None]), best, np.array(errors)
