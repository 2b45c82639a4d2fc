"""The shared space of two sides: projections, similarities and log odds."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt

from canonsim import model_files, scoring
from canonsim.calibration import PairScores, fit_scale, score_pairs
from canonsim.embedding import all_pairs, embed, project, row_by_row
from canonsim.maps import FeatureMap
from canonsim.metrics.calibration import CalibrationSummary, calibration_summary
from canonsim.rows import Ids, Rows, check_rows, is_tensor, result_dtype
from canonsim.scoring import Score, Side, Weights
from canonsim.significance import Signal, Significance
from canonsim.space_state import check, from_saved, to_saved
from canonsim.top_k import top_k

if TYPE_CHECKING:
    import os

    import torch

    from canonsim.module import CanonicalModule


class CanonicalSpace:
    """The canonical directions of two sides and the scores they give (see `canonsim.fit`, which makes it).

    Methods take numpy arrays and give numpy arrays, or take torch tensors and give tensors on the same device. They
    compute in f64; f64 rows give f64 results, all others f32. Rows of another width, without two dimensions, or with
    NaN or infinite values raise ``ValueError``; values that are no floats raise ``TypeError``.

    Attributes
    ----------
    correlations : (r,) f64
        Training canonical correlations, in [0, 1], nonincreasing.
    held_out_correlations : (r,) f64 or None
        Correlations on left-out folds: nonincreasing, in [0, 1). None without folds.
    weights : (r,) f64
        What the similarity weights directions by.
    weighting : "held-out", "training" or "equal"
        Where the weights come from.
    ridge : (float, float)
        Ridge of each side, relative to its mean variance.
    unpaired : (float, float)
        Share of the unpaired rows in the covariance of each side.
    count : int
        Pairs of the fit.
    significance : Significance or None
        What the left-out folds say: `noise_floor`, `standard_errors`, `signal`. None without folds.
    x_mean, y_mean : (p,), (q,) f64
    x_projection, y_projection : (p, r), (q, r) f64
        In each column of ``x_projection`` the entry of largest magnitude is positive.
    x_std, y_std : (r,) f64
        Standard deviations of the canonical variates: held out, or of the training pairs without folds.
    x_map, y_map : FeatureMap or None
        What rows pass through first (see `canonsim.maps`). The means and projections are those of mapped rows then,
        and their p or q is not that of the rows that methods take.
    log_odds_scale : float
        What the log odds are multiplied by: 1, unless they were calibrated (see `calibrate`).
    metadata : dict
        Whatever is to be kept with the model, JSON-able: the encoders, the data.

    Examples
    --------
    >>> import numpy as np
    >>> import canonsim
    >>> rng = np.random.default_rng(0)
    >>> z = rng.standard_normal((600, 3))
    >>> x = z @ rng.standard_normal((3, 8)) + 0.3 * rng.standard_normal((600, 8))
    >>> y = z @ rng.standard_normal((3, 6)) + 0.3 * rng.standard_normal((600, 6))
    >>> moments = canonsim.PairedMoments(8, 6)
    >>> moments.update(x[:500], y[:500])
    >>> space = canonsim.fit(moments)
    >>> scores = space.log_odds(x[500:], y[500:])
    >>> bool((scores.argmax(axis=1) == np.arange(100)).mean() > 0.5)
    True
    """

    def __init__(
        self,
        *,
        x_mean: npt.NDArray[np.float64],
        y_mean: npt.NDArray[np.float64],
        x_projection: npt.NDArray[np.float64],
        y_projection: npt.NDArray[np.float64],
        x_std: npt.NDArray[np.float64],
        y_std: npt.NDArray[np.float64],
        correlations: npt.NDArray[np.float64],
        held_out_correlations: npt.NDArray[np.float64] | None,
        weights: npt.NDArray[np.float64],
        weighting: Weights,
        ridge: tuple[float, float],
        count: int,
        unpaired: tuple[float, float] = (0.0, 0.0),
        significance: Significance | None = None,
        metadata: Mapping[str, Any] | None = None,
        x_map: FeatureMap | None = None,
        y_map: FeatureMap | None = None,
        log_odds_scale: float = 1.0,
    ) -> None:
        self.x_mean = x_mean.copy()
        self.y_mean = y_mean.copy()
        self.x_projection = x_projection.copy()
        self.y_projection = y_projection.copy()
        self.x_std = x_std.copy()
        self.y_std = y_std.copy()
        self.correlations = correlations.copy()
        self.held_out_correlations = None if held_out_correlations is None else held_out_correlations.copy()
        self.weights = weights.copy()
        self.weighting = weighting
        self.ridge = ridge
        self.unpaired = unpaired
        self.count = count
        self.significance = significance
        self.metadata: dict[str, Any] = dict(metadata or {})
        self.x_map = x_map
        self.y_map = y_map
        self.log_odds_scale = log_odds_scale
        check(self)
        self._sides: dict[object, tuple[Side, Side]] = {None: self._make_sides()}

    def _make_sides(self) -> tuple[Side, Side]:
        held_out = self.held_out_correlations
        r = self.correlations if held_out is None else held_out
        common = (self.weights, self.weighting, r)
        return (
            scoring.side(self.x_mean, self.x_projection, self.x_std, *common, self.x_map, self.log_odds_scale),
            scoring.side(self.y_mean, self.y_projection, self.y_std, *common, self.y_map, self.log_odds_scale),
        )

    def __repr__(self) -> str:
        return (
            f"CanonicalSpace(x_dim={self.x_dim}, y_dim={self.y_dim}, n_components={self.n_components}, "
            f"ridge=({self.ridge[0]:g}, {self.ridge[1]:g}), weights={self.weighting!r}), fitted on {self.count} pairs"
        )

    @property
    def x_dim(self) -> int:
        """Width p of x, as methods take it."""
        return len(self.x_mean) if self.x_map is None else self.x_map.in_dim

    @property
    def y_dim(self) -> int:
        """Width q of y, as methods take it."""
        return len(self.y_mean) if self.y_map is None else self.y_map.in_dim

    @property
    def n_components(self) -> int:
        """Number of directions, r."""
        return len(self.correlations)

    @property
    def held_out_information(self) -> float | None:
        """Gaussian mutual information of the held-out correlations, ``-sum log(1 - r^2) / 2``, in nats a pair.

        None without folds. It compares ridges and linear features. With features that are functions of one another,
        such as a square beside the value itself, one dependence counts several times: see `canonsim.fit_best`.
        """
        return None if self.held_out_correlations is None else scoring.information(self.held_out_correlations)

    @property
    def noise_floor(self) -> float | None:
        """What the largest held-out correlation of unrelated sides stays below in about 95 of 100 fits."""
        return None if self.significance is None else self.significance.noise_floor

    @property
    def standard_errors(self) -> npt.NDArray[np.float64] | None:
        """Standard error (r,) of each held-out correlation, by the jackknife over folds."""
        return None if self.significance is None else self.significance.standard_errors[: self.n_components]

    @property
    def signal(self) -> Signal | None:
        """How many directions carry signal, ``(directions, low, high)``: an estimate, and a 95 % interval."""
        return None if self.significance is None else self.significance.signal

    def project_x(self, x: Rows) -> Any:
        """Canonical variates of x: ``(x - x_mean) @ x_projection``, (n, r), of mapped x where there is a map."""
        return project(x, "x", self._side(x, "x"), result_dtype(x))

    def project_y(self, y: Rows) -> Any:
        """Canonical variates of y: ``(y - y_mean) @ y_projection``, (n, r), of mapped y where there is a map."""
        return project(y, "y", self._side(y, "y"), result_dtype(y))

    def embed_x(self, x: Rows, score: Score = "similarity") -> Any:
        """Vectors of x for an inner-product index: ``embed_x(x) @ embed_y(y).T`` are the scores.

        Parameters
        ----------
        x : (n, p)
        score : "similarity" or "log_odds"
            Vectors have r columns for the similarity, r + 2 for the log odds. Only those with held-out weights are of
            unit length: an index must use the inner product and must not normalise. Log odds of strong correlations are
            small differences of large numbers: give f64 rows where they matter to less than a nat.

        Returns
        -------
        (n, r) or (n, r + 2)
        """
        self._warn(score)
        return self._embed(x, "x", score)

    def embed_y(self, y: Rows, score: Score = "similarity") -> Any:
        """Vectors of y for an inner-product index; as `embed_x`."""
        self._warn(score)
        return self._embed(y, "y", score)

    def similarity(self, x: Rows, y: Rows) -> Any:
        """Similarity of every row of x (n, p) with every row of y (m, q): (n, m).

        With ``weights="training"`` the weighted cosine of Li, Chinchali and Topcu (2025), equation 4; with
        ``weights="held-out"`` the cosine of standardised variates scaled by the roots of the weights, in [-1, 1] to
        rounding.
        """
        return all_pairs(*self._embed_both(x, y, "similarity"), result_dtype(x, y))

    def similarity_pairwise(self, x: Rows, y: Rows) -> Any:
        """Similarity of row i of x (n, p) with row i of y (n, q): (n,)."""
        return self._pairwise(x, y, "similarity")

    def log_odds(self, x: Rows, y: Rows) -> Any:
        """Log-likelihood ratio, in nats, of "a pair" to "not a pair" of every row of x with every row of y: (n, m).

        The optimal test under a Gaussian model (Bach and Jordan 2005). 0 means even odds where pairs and other
        combinations are equally frequent; 3 means e^3 = 20 to 1 for a pair, 95 %, and -3 the same against it, 5 %. Of
        N candidates among which one is the partner, a candidate has the log odds ``score - log(N - 1)``. Features are
        not Gaussian, so the numbers tend to be too large by a factor, which `calibrate` finds. Far from the data of the
        fit they are large and negative whatever is asked: no factor mends that, and the similarity, a cosine, judges
        such rows better.

        Without folds it uses training correlations, which overstate, and warns unless the space is calibrated.
        """
        self._warn("log_odds")
        return all_pairs(*self._embed_both(x, y, "log_odds"), result_dtype(x, y))

    def log_odds_pairwise(self, x: Rows, y: Rows) -> Any:
        """Log odds of row i of x (n, p) with row i of y (n, q): (n,)."""
        self._warn("log_odds")
        return self._pairwise(x, y, "log_odds")

    def top_k(
        self, x: Rows, y: Rows, k: int, score: Score = "similarity", *, queries: Literal["x", "y"] = "x"
    ) -> tuple[Any, Any]:
        """The k rows of y (m, q) that score best with each row of x (n, p), best first, equal scores by their index.

        No (n, m) matrix is held: beside the vectors of both sides, about 2^20 scores at a time (see `canonsim.top_k`).

        Parameters
        ----------
        x, y : (n, p), (m, q)
        k : int
            From 1 to m.
        score : "similarity" or "log_odds"
        queries : "x" or "y"
            With "y" the k rows of x for each row of y.

        Returns
        -------
        scores, indices : (n, k), or (m, k) where y asks
            Indices are int64. No gradient flows through the scores.

        Raises
        ------
        ValueError
            If k is less than 1 or more than m.

        Examples
        --------
        >>> import numpy as np
        >>> import canonsim
        >>> x = np.random.default_rng(0).standard_normal((500, 4))
        >>> moments = canonsim.PairedMoments(4, 4)
        >>> moments.update(x, x)
        >>> scores, indices = canonsim.fit(moments).top_k(x[:3], x, k=2)
        >>> indices[:, 0]
        array([0, 1, 2])
        """
        if queries not in ("x", "y"):
            raise ValueError(f"queries must be 'x' or 'y', got {queries!r}")
        self._warn(score)
        vectors = self._embed_both(x, y, score)
        asking, asked = vectors if queries == "x" else vectors[::-1]
        return top_k(asking, asked, k, result_dtype(x, y))

    def truncate(self, s: int) -> CanonicalSpace:
        """A new space with the first ``s`` directions.

        Raises
        ------
        ValueError
            Unless ``1 <= s <= n_components``.
        """
        if not 1 <= s <= self.n_components:
            raise ValueError(f"s must lie between 1 and {self.n_components}, got {s}")
        vectors = ("x_std", "y_std", "correlations", "weights")
        changes = {name: getattr(self, name)[:s] for name in vectors}
        changes |= {name: np.ascontiguousarray(getattr(self, name)[:, :s]) for name in ("x_projection", "y_projection")}
        if self.held_out_correlations is not None:
            changes["held_out_correlations"] = self.held_out_correlations[:s]
        return self.replace(**changes)

    def replace(self, **changes: Any) -> CanonicalSpace:
        """A new space with some of its attributes replaced, as they are called in the constructor."""
        names = inspect.signature(CanonicalSpace).parameters
        return CanonicalSpace(**{**{name: getattr(self, name) for name in names}, **changes})

    def pair_scores(self, x: Rows, y: Rows, ids: Ids | None = None) -> PairScores:
        """Log odds of the pairs, and of mismatches of their rows, in f64.

        Parameters
        ----------
        x, y : (n, p), (n, q)
            Row i of x belongs to row i of y.
        ids : (n,) int64, optional
            Rows of one id (the captions of one image) make no mismatch, nor do rows with equal x or equal y.

        Returns
        -------
        PairScores
            ``pairs`` (n,) and ``mismatches`` (m,).

        Raises
        ------
        TypeError
            For values that are no floats, or ids that are no integers.
        ValueError
            For other widths, different numbers of rows, values that are not finite, or rows without a mismatch.
        """
        self._warn("log_odds")
        return self._pair_scores(x, y, ids)

    def _pair_scores(self, x: Rows, y: Rows, ids: Ids | None) -> PairScores:
        return score_pairs(partial(self._embed_both, score="log_odds"), x, y, ids).checked()

    def calibrate(self, x: Rows, y: Rows, ids: Ids | None = None) -> CanonicalSpace:
        """A new space whose log odds are calibrated on held-out pairs: by one factor, its ``log_odds_scale``.

        Logistic regression through the origin of pairs against mismatches of the same rows, equally frequent (Platt
        1999, Guo et al. 2017; theirs is the inverse of this factor). 0, where the pairs score no higher than
        mismatches. No ranking changes. Parameters and errors as of `pair_scores`; the pairs must not be those of the
        fit, which score too well.

        Examples
        --------
        >>> import numpy as np
        >>> import canonsim
        >>> rng = np.random.default_rng(0)
        >>> z = rng.standard_normal((3000, 3))
        >>> x, y = (z @ rng.standard_normal((3, 5)) + rng.standard_normal((3000, 5)) for _ in "xy")
        >>> moments = canonsim.PairedMoments(5, 5)
        >>> moments.update(x[:2000], y[:2000])
        >>> space = canonsim.fit(moments).calibrate(x[2000:], y[2000:])
        >>> 0.8 < space.log_odds_scale < 1.2  # Gaussian features: nothing to mend
        True
        """
        raw = self.replace(log_odds_scale=1.0)
        return self.replace(log_odds_scale=fit_scale(raw._pair_scores(x, y, ids)))

    def calibration(self, x: Rows, y: Rows, ids: Ids | None = None, bins: int = 15) -> CalibrationSummary:
        """Whether the log odds mean what they say on these pairs: reliability, expected calibration error, log loss.

        Parameters and errors as of `pair_scores`; ``bins`` as of `canonsim.metrics.reliability`. Pairs and mismatches
        count as equally frequent.
        """
        scores = self.pair_scores(x, y, ids)
        return calibration_summary(scores.pairs, scores.mismatches, bins)

    def module(self, dtype: torch.dtype | None = None) -> CanonicalModule:
        """A `torch.nn.Module` with the same verbs, for training code, GPUs and ONNX.

        Parameters
        ----------
        dtype : torch.dtype, optional
            Of its buffers; float32 by default.
        """
        import torch

        from canonsim.module import CanonicalModule

        x, y = self._sides[None]
        return CanonicalModule(x, y, self.correlations, self.weights, dtype=dtype or torch.float32)

    def save_pretrained(self, directory: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None) -> None:
        """Write ``model.safetensors``, ``config.json`` and ``README.md``; a reader never sees half of a file.

        Parameters
        ----------
        directory : path
            Made where it does not exist.
        metadata : mapping, optional
            JSON-able entries to be kept with the model beside those of ``space.metadata``.
        """
        arrays, config = to_saved(self)
        config["metadata"] = {**self.metadata, **(metadata or {})}
        model_files.save(directory, arrays, config)

    @classmethod
    def from_pretrained(cls, directory: str | os.PathLike[str]) -> Self:
        """Read the folder of `save_pretrained`.

        Raises
        ------
        FileNotFoundError
            If the folder or one of its files is missing.
        ValueError
            If a file is truncated or altered, or is none of this kind.
        """
        arrays, config = model_files.load(directory)
        try:
            return cls(**from_saved(arrays, config))
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"{directory} is not a canonical space: {error!r}") from None

    def _warn(self, score: Score) -> None:
        if score == "log_odds" and self.held_out_correlations is None and self.log_odds_scale == 1:
            warnings.warn(
                "log odds use training correlations, which overstate: fit moments of at least two folds that hold "
                "rows, or calibrate the space with held-out pairs",
                stacklevel=3,
            )

    def _side(self, rows: Rows, argument: str) -> Side:
        """The side of the rows, which are checked, on their device."""
        check_rows(rows, argument, self.x_dim if argument == "x" else self.y_dim)
        device = rows.device if is_tensor(rows) else None
        if device not in self._sides and is_tensor(rows):
            x, y = self._sides[None]
            self._sides[device] = (x.on_device(rows), y.on_device(rows))
        return self._sides[device][0 if argument == "x" else 1]

    def _both_sides(self, x: Rows, y: Rows) -> tuple[Side, Side]:
        if is_tensor(x) != is_tensor(y):
            kinds = f"{type(x).__name__}, {type(y).__name__}"
            raise TypeError(f"x and y must both be numpy arrays or both tensors, got {kinds}")
        return self._side(x, "x"), self._side(y, "y")

    def _embed(self, rows: Rows, argument: str, score: Score) -> Any:
        return embed(rows, argument, self._side(rows, argument), score, result_dtype(rows))

    def _embed_both(self, x: Rows, y: Rows, score: Score) -> tuple[Any, Any]:
        """Vectors for products of all with all, in the dtype in which these are to be taken."""
        x_side, y_side = self._both_sides(x, y)
        # Similarities are bounded: f32 sums cost nothing that an f32 result shows. Log odds are not.
        dtype = result_dtype(x, y) if score == "similarity" else None
        return embed(x, "x", x_side, score, dtype), embed(y, "y", y_side, score, dtype)

    def _pairwise(self, x: Rows, y: Rows, score: Score) -> Any:
        x_side, y_side = self._both_sides(x, y)
        if len(x) != len(y):
            raise ValueError(f"y has {len(y)} rows, but x has {len(x)}")
        return row_by_row(x, x_side, y, y_side, score, result_dtype(x, y))
