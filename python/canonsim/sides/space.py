"""The shared space of several sides: one index for all of them, and log odds for any two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from canonsim import model_files, scoring
from canonsim.embedding import all_pairs, embed, project
from canonsim.rows import Rows, check_rows, is_tensor, result_dtype
from canonsim.scoring import Side
from canonsim.space import CanonicalSpace

if TYPE_CHECKING:
    import os

    from canonsim.files import Tensors

_FORMAT = "canonsim.joint_space"
_OF_SIDES = ("means", "projections", "stds")
_OF_PAIRS = ("x_projection", "y_projection", "x_std", "y_std", "correlations", "held_out_correlations")


class JointSpace:
    """The joint directions of several sides and the scores they give (see `canonsim.fit_joint`, which makes it).

    Similarities are inner products of vectors that all sides share, so that one index serves them all. Log odds of two
    sides are taken in the pair's own directions, where the variates of a side are uncorrelated, as the formula assumes:
    see `pair`. Methods take and give arrays as those of `CanonicalSpace`, and refuse the same.

    Attributes
    ----------
    means : {side: (p,)} f64
    projections : {side: (p, r)} f64
        With one scale for all sides: where all sides take an equal part in a direction, variates have unit variance.
    stds : {side: (r,)} f64
        Held-out standard deviations of the joint variates.
    correlations : (r,) f64
        Of the training rows: ``(eigenvalue - 1) / (k - 1)`` of MAXVAR with k sides, in [0, 1], nonincreasing. 1 where
        all sides agree, 0 where none does; with two sides, the canonical correlations.
    weights : (r,) f64
        Held-out correlations, the mean over the pairs of sides by their rows: nonincreasing, in [0, 1). What the
        similarity weights directions by.
    ridge : {side: float}
        Relative to the mean variance of the side.
    count : int
        Rows of the fit, whatever sides they have.
    metadata : dict
        Whatever is to be kept with the model, JSON-able.

    Examples
    --------
    >>> import numpy as np
    >>> import canonsim
    >>> rng = np.random.default_rng(0)
    >>> z = rng.standard_normal((600, 5))
    >>> rows = {name: z @ rng.standard_normal((5, 8)) + 0.3 * rng.standard_normal((600, 8)) for name in "abc"}
    >>> moments = canonsim.MultiMoments({"a": 8, "b": 8, "c": 8})
    >>> moments.update({name: side[:500] for name, side in rows.items()})
    >>> space = canonsim.fit_joint(moments)
    >>> index = np.vstack([space.embed("b", rows["b"][500:]), space.embed("c", rows["c"][500:])])
    >>> best = (space.embed("a", rows["a"][500:]) @ index.T).argmax(axis=1) % 100
    >>> bool((best == np.arange(100)).mean() > 0.5)
    True
    """

    def __init__(
        self,
        *,
        means: Mapping[str, npt.NDArray[np.float64]],
        projections: Mapping[str, npt.NDArray[np.float64]],
        stds: Mapping[str, npt.NDArray[np.float64]],
        correlations: npt.NDArray[np.float64],
        weights: npt.NDArray[np.float64],
        ridge: Mapping[str, float],
        count: int,
        pairs: Mapping[tuple[str, str], CanonicalSpace],
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.means = {name: mean.copy() for name, mean in means.items()}
        self.projections = {name: projections[name].copy() for name in means}
        self.stds = {name: stds[name].copy() for name in means}
        self.correlations = correlations.copy()
        self.weights = weights.copy()
        self.ridge = {name: ridge[name] for name in means}
        self.count = count
        self.metadata: dict[str, Any] = dict(metadata or {})
        self._pairs = dict(pairs)
        self._check()
        self._scored: dict[tuple[str, object], Side] = {
            (name, None): scoring.side(
                mean, self.projections[name], self.stds[name], self.weights, "held-out", self.weights
            )
            for name, mean in self.means.items()
        }

    def _check(self) -> None:
        """Refuse arrays that no fit gives: what comes from a file is not trusted."""
        r = len(self.correlations)
        arrays: dict[str, tuple[npt.NDArray[Any], tuple[int, ...]]] = {
            "correlations": (self.correlations, (r,)),
            "weights": (self.weights, (r,)),
        }
        for name, mean in self.means.items():
            arrays[f"means[{name!r}]"] = mean, (mean.size,)
            arrays[f"projections[{name!r}]"] = self.projections[name], (mean.size, r)
            arrays[f"stds[{name!r}]"] = self.stds[name], (r,)
        for label, (array, shape) in arrays.items():
            if array.dtype != np.float64 or array.shape != shape:
                raise ValueError(f"{label} must be f64 of shape {shape}, got {array.dtype} {array.shape}")
            if not np.isfinite(array).all():
                raise ValueError(f"{label} holds values that are not finite")
        for label, values in (("correlations", self.correlations), ("weights", self.weights)):
            if not ((values >= 0) & (values <= 1)).all() or (np.diff(values) > 0).any():
                raise ValueError(f"{label} must be nonincreasing, in [0, 1]")
        if any((std < 0).any() for std in self.stds.values()):
            raise ValueError("stds must not be negative")
        if not all(np.isfinite(value) and value >= 0 for value in self.ridge.values()):
            raise ValueError(f"ridge must be finite and at least 0, got {self.ridge}")

    def __repr__(self) -> str:
        ridge = ", ".join(f"{name}: {value:g}" for name, value in self.ridge.items())
        dims = {name: len(mean) for name, mean in self.means.items()}
        return f"JointSpace({dims}, n_components={self.n_components}, ridge=({ridge})), fitted on {self.count} rows"

    @property
    def sides(self) -> tuple[str, ...]:
        """Names of the sides."""
        return tuple(self.means)

    @property
    def n_components(self) -> int:
        """Number of joint directions, r."""
        return len(self.correlations)

    def project(self, side: str, rows: Rows) -> Any:
        """Joint variates of rows (n, p) of a side: ``(rows - mean) @ projection``, (n, r)."""
        return project(rows, side, self._side(side, rows), result_dtype(rows))

    def embed(self, side: str, rows: Rows) -> Any:
        """Vectors (n, r) of rows (n, p) of a side for an inner-product index: they are of unit length.

        Inner products of any two sides' vectors are their similarities. Vectors for log odds, which differ from pair to
        pair, are those of `pair`.
        """
        return embed(rows, side, self._side(side, rows), "similarity", result_dtype(rows))

    def similarity(self, a: str, rows_a: Rows, b: str, rows_b: Rows) -> Any:
        """Similarity of every row of side a (n, p) with every row of side b (m, q): (n, m), in [-1, 1] to rounding.

        The cosine of joint variates, standardised by their held-out deviations and scaled by the roots of `weights`.
        """
        if is_tensor(rows_a) != is_tensor(rows_b):
            kinds = f"{type(rows_a).__name__}, {type(rows_b).__name__}"
            raise TypeError(f"rows_a and rows_b must both be numpy arrays or both tensors, got {kinds}")
        dtype = result_dtype(rows_a, rows_b)
        u = embed(rows_a, a, self._side(a, rows_a), "similarity", dtype)
        v = embed(rows_b, b, self._side(b, rows_b), "similarity", dtype)
        return all_pairs(u, v, dtype)

    def log_odds(self, a: str, rows_a: Rows, b: str, rows_b: Rows) -> Any:
        """Log-likelihood ratio of "belong together" to "do not" of every row of side a with every row of b: (n, m).

        That of `pair`; see `CanonicalSpace.log_odds`.
        """
        return self.pair(a, b).log_odds(rows_a, rows_b)

    def held_out_correlations(self, a: str, b: str) -> npt.NDArray[np.float64]:
        """Held-out correlations (s,) of two sides in the directions of `pair`: nonincreasing, in [0, 1)."""
        held_out = self.pair(a, b).held_out_correlations
        assert held_out is not None
        return held_out

    def pair(self, x: str, y: str) -> CanonicalSpace:
        """What the joint model says of two sides, as a canonical space with all that it can do.

        Its directions are the singular vectors of what the model lets the two share, so that all sides have a say in
        them; its held-out correlations are measured on the rows that have both. Its training correlations are those of
        the same rows, made nonincreasing.

        Raises
        ------
        ValueError
            Unless these are two of the sides, of which at least two rows had both: no other held-out correlations can
            be measured.
        """
        for name in (x, y):
            self._check_side(name)
        if x == y:
            raise ValueError(f"a pair needs two sides, got {x!r} twice")
        if (x, y) not in self._pairs and (y, x) not in self._pairs:
            raise ValueError(
                f"fewer than two rows had both {x!r} and {y!r}: their log odds cannot be measured, only similarity"
            )
        return self._pairs[x, y] if (x, y) in self._pairs else _swapped(self._pairs[y, x])

    def save_pretrained(self, directory: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None) -> None:
        """Write the folder of the model; files and parameters as for `CanonicalSpace.save_pretrained`."""
        arrays: Tensors = {"correlations": self.correlations, "weights": self.weights}
        for kind in _OF_SIDES:
            arrays |= {f"{kind}.{i}": array for i, array in enumerate(getattr(self, kind).values())}
        for i, pair in enumerate(self._pairs.values()):
            arrays |= {f"pairs.{i}.{name}": getattr(pair, name) for name in _OF_PAIRS}
        config = {
            "sides": list(self.sides),
            "ridge": list(self.ridge.values()),
            "count": self.count,
            "pairs": [[*names, pair.count] for names, pair in self._pairs.items()],
            "metadata": {**self.metadata, **(metadata or {})},
        }
        model_files.save(directory, arrays, config, _FORMAT, _card)

    @classmethod
    def from_pretrained(cls, directory: str | os.PathLike[str]) -> Self:
        """Read the folder of `save_pretrained`; errors as of `CanonicalSpace.from_pretrained`."""
        arrays, config = model_files.load(directory, _FORMAT)
        try:
            sides: list[str] = config["sides"]
            of_sides = {kind: {name: arrays[f"{kind}.{i}"] for i, name in enumerate(sides)} for kind in _OF_SIDES}
            ridge = dict(zip(sides, map(float, config["ridge"]), strict=True))
            pairs = {}
            for i, (x, y, count) in enumerate(config["pairs"]):
                of_pair: dict[str, Any] = {name: arrays[f"pairs.{i}.{name}"] for name in _OF_PAIRS}
                pairs[x, y] = CanonicalSpace(
                    **of_pair,
                    x_mean=of_sides["means"][x],
                    y_mean=of_sides["means"][y],
                    weights=of_pair["held_out_correlations"],
                    weighting="held-out",
                    ridge=(ridge[x], ridge[y]),
                    count=int(count),
                )
            return cls(
                **of_sides,
                correlations=arrays["correlations"],
                weights=arrays["weights"],
                ridge=ridge,
                count=int(config["count"]),
                pairs=pairs,
                metadata=config["metadata"],
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"{directory} is not a joint space: {error!r}") from None

    def _check_side(self, name: str) -> None:
        if name not in self.means:
            raise ValueError(f"there is no side {name!r}; the sides are {list(self.means)}")

    def _side(self, name: str, rows: Rows) -> Side:
        """The side of the rows, which are checked, on their device."""
        self._check_side(name)
        check_rows(rows, name, len(self.means[name]))
        device = rows.device if is_tensor(rows) else None
        if (name, device) not in self._scored and is_tensor(rows):
            self._scored[name, device] = self._scored[name, None].on_device(rows)
        return self._scored[name, device]


def _swapped(space: CanonicalSpace) -> CanonicalSpace:
    """The same space with x and y in each other's place."""
    other = {"x": "y", "y": "x"}
    of_sides: dict[str, Any] = {
        f"{other[side]}_{name}": getattr(space, f"{side}_{name}")
        for side in "xy"
        for name in ("mean", "projection", "std")
    }
    return CanonicalSpace(
        **of_sides,
        correlations=space.correlations,
        held_out_correlations=space.held_out_correlations,
        weights=space.weights,
        weighting=space.weighting,
        ridge=(space.ridge[1], space.ridge[0]),
        count=space.count,
    )


def _card(arrays: Tensors, config: dict[str, Any]) -> str:
    """A model card: which sides, how many rows, how much any two of them share."""
    lines = [
        f"Generalised canonical correlation analysis of {config['count']} rows: {len(arrays['weights'])} directions.",
        "",
        "| side | width | relative ridge |",
        "|---|---:|---:|",
    ]
    for i, (name, ridge) in enumerate(zip(config["sides"], config["ridge"], strict=True)):
        lines.append(f"| {name} | {len(arrays[f'means.{i}'])} | {ridge:g} |")
    lines += ["", "| pair | rows | directions | held-out information (nats) |", "|---|---:|---:|---:|"]
    for i, (x, y, count) in enumerate(config["pairs"]):
        held_out = arrays[f"pairs.{i}.held_out_correlations"]
        lines.append(f"| {x}, {y} | {count} | {len(held_out)} | {scoring.information(held_out):.2f} |")
    lines += ["", *model_files.about(config)]
    example = [
        'space = canonsim.JointSpace.from_pretrained("path/to/this/folder")',
        f'vectors = space.embed("{config["sides"][0]}", rows)  # inner products with any side\'s are similarities',
    ]
    return model_files.card("A joint space", lines, example, config)
