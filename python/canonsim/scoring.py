"""How canonical variates become scores: the formulas of the similarity and of the log odds, in one place.

Every function takes numpy arrays or torch tensors alike; all arrays of one call are of one kind. Symbols: variates
u (n, s) of x and v (m, s) of y, weights w (s,), held-out correlations r (s,).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from canonsim.rows import to_dtype, widest_dtype

if TYPE_CHECKING:
    import torch

    from canonsim.maps import FeatureMap

Score: TypeAlias = Literal["similarity", "log_odds"]
Weights: TypeAlias = Literal["held-out", "training", "equal"]

# Log odds divide by 1 - r^2; no finite sample tells a correlation of 1 from this one.
LARGEST_CORRELATION = 1 - 1e-6


@dataclass(frozen=True)
class Side:
    """What takes the rows of one side to scores: arrays of numpy, or tensors.

    Attributes
    ----------
    mean : (p,)
    projection : (p, s)
    gain : (s,)
        Multiplies the variates before they are scaled to unit length.
    weight : (s,)
        Multiplies them after.
    slope : (s,)
        Multiplies the variates in the bilinear part of the log odds.
    curve : (s,)
        Multiplies their squares in the quadratic part.
    offset : ()
        The constant part.
    map : FeatureMap, optional
        What rows pass through before all else.
    """

    mean: Any
    projection: Any
    gain: Any
    weight: Any
    slope: Any
    curve: Any
    offset: Any
    map: FeatureMap | None = None

    @property
    def arrays(self) -> dict[str, Any]:
        """All arrays by name; those of the map begin with ``map_``."""
        own = {name: array for name, array in vars(self).items() if name != "map"}
        of_map = {} if self.map is None else self.map.arrays
        return own | {f"map_{name}": array for name, array in of_map.items()}

    def with_arrays(self, arrays: Mapping[str, Any]) -> Side:
        """The same side over other arrays, named as `arrays` names them."""
        own = {name: array for name, array in arrays.items() if not name.startswith("map_")}
        of_map = {name.removeprefix("map_"): array for name, array in arrays.items() if name not in own}
        return replace(self, **own, map=None if self.map is None else self.map.with_arrays(of_map))

    def on_device(self, rows: torch.Tensor) -> Side:
        """The same as tensors, on the device of the rows."""
        import torch

        where = {"device": rows.device, "dtype": widest_dtype(rows)}
        return self.with_arrays({name: torch.tensor(array, **where) for name, array in self.arrays.items()})


def side(
    mean: npt.NDArray[np.float64],
    projection: npt.NDArray[np.float64],
    std: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
    weighting: Weights,
    correlations: npt.NDArray[np.float64],
    feature_map: FeatureMap | None = None,
    log_odds_scale: float = 1.0,
) -> Side:
    """The arrays of one side, in f64.

    With held-out weights variates are standardised and weighted before they are scaled to unit length: a cosine. The
    paper (Li, Chinchali, Topcu 2025, equation 4) scales to unit length first and weights then.

    Log odds are those of probabilistic canonical correlation analysis (Bach and Jordan 2005): for standardised
    variates u and v of correlation r, the log-likelihood ratio of "a pair" to "independent" is the sum of
    ``r u v / (1 - r^2) - r^2 (u^2 + v^2) / (2 (1 - r^2)) - log(1 - r^2) / 2``. They are multiplied by
    ``log_odds_scale``.
    """
    precision = np.divide(1.0, std, out=np.zeros_like(std), where=std > 0)
    root = np.sqrt(weights)
    ones = np.ones_like(root)
    gain, weight = (root * precision, ones) if weighting == "held-out" else (ones, root)
    r = np.minimum(correlations, LARGEST_CORRELATION)
    rest = 1 - r**2
    return Side(
        mean=mean,
        projection=projection,
        gain=gain,
        weight=weight,
        slope=np.sqrt(log_odds_scale * r / rest) * precision,
        curve=log_odds_scale * r**2 / (2 * rest) * precision**2,
        offset=np.asarray(-log_odds_scale * np.log(rest).sum() / 2),
        map=feature_map,
    )


def information(correlations: npt.NDArray[np.float64]) -> float:
    """Mutual information of Gaussian variates with these correlations, in nats: ``-sum log(1 - r^2) / 2``."""
    return float(np.sum(-np.log1p(-(correlations**2)) / 2))


def project(side: Side, rows: Any) -> Any:
    """Canonical variates (n, s) of rows (n, p)."""
    if side.map is not None:
        rows = side.map.apply(to_dtype(rows, side.mean.dtype))
    return (rows - side.mean) @ side.projection


def similarity_vectors(side: Side, variates: Any) -> Any:
    """Vectors (n, s) whose inner products are similarities. A row without direction becomes zeros."""
    gained = variates * side.gain
    norm = (gained * gained).sum(-1)[..., None] ** 0.5
    return gained / (norm + (norm == 0)) * side.weight


def log_odds_vectors(side: Side, variates: Any, *, is_x: bool) -> Any:
    """Vectors (n, s + 2) whose inner products, one side's with the other's, are log odds."""
    slopes = variates * side.slope
    curves = -((variates * variates) @ side.curve)[..., None]
    ones = curves * 0 + 1
    columns = [slopes, curves + side.offset, ones] if is_x else [slopes, ones, curves]
    if isinstance(slopes, np.ndarray):
        return np.concatenate(columns, axis=-1)
    import torch

    return torch.cat(columns, dim=-1)


def vectors(side: Side, variates: Any, score: Score, *, is_x: bool) -> Any:
    """The vectors of one score.

    Raises
    ------
    ValueError
        For another score than the two there are.
    """
    if score == "similarity":
        return similarity_vectors(side, variates)
    if score == "log_odds":
        return log_odds_vectors(side, variates, is_x=is_x)
    raise ValueError(f"score must be 'similarity' or 'log_odds', got {score!r}")
