"""The shared space of two sides: projections, similarities and log odds."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt

from canonsim import model_files, scoring
from canonsim.embedding import all_pairs, embed, project, row_by_row
from canonsim.rows import Rows, check_rows, is_tensor, result_dtype
from canonsim.scoring import Score, Side, Weights
from canonsim.top_k import top_k

if TYPE_CHECKING:
    import os

    import torch

    from canonsim.module import CanonicalModule

_VECTORS = ("x_mean", "y_mean", "x_std", "y_std", "correlations", "weights")
_ARRAYS = (*_VECTORS, "x_projection", "y_projection")


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
    count : int
        Pairs of the fit.
    x_mean, y_mean : (p,), (q,) f64
    x_projection, y_projection : (p, r), (q, r) f64
        In each column of ``x_projection`` the entry of largest magnitude is positive.
    x_std, y_std : (r,) f64
        Standard deviations of the canonical variates: held out, or of the training pairs without folds.
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
        metadata: Mapping[str, Any] | None = None,
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
        self.count = count
        self.metadata: dict[str, Any] = dict(metadata or {})
        self._check()
        self._sides: dict[object, tuple[Side, Side]] = {None: self._make_sides()}

    def _check(self) -> None:
        """Refuse arrays that no fit gives: what comes from a file is not trusted."""
        r = len(self.correlations)
        held_out = self.held_out_correlations
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("x_std", "y_std", "weights", "correlations"), (r,))
        shapes |= {"x_projection": (len(self.x_mean), r), "y_projection": (len(self.y_mean), r)}
        for name in _ARRAYS:
            array = getattr(self, name)
            if array.dtype != np.float64 or array.shape != shapes.get(name, (array.size,)):
                raise ValueError(f"{name} must be f64 of shape {shapes.get(name)}, got {array.dtype} {array.shape}")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} holds values that are not finite")
        if held_out is not None:
            ordered = held_out.shape == (r,) and bool((np.diff(held_out) <= 0).all())
            if held_out.dtype != np.float64 or not ordered or not ((held_out >= 0) & (held_out < 1)).all():
                raise ValueError("held_out_correlations must be (r,) f64, nonincreasing, in [0, 1)")
        if not ((self.correlations >= 0) & (self.correlations <= 1)).all() or (np.diff(self.correlations) > 0).any():
            raise ValueError("correlations must be nonincreasing, in [0, 1]")
        if not all(np.isfinite(value) and value >= 0 for value in self.ridge):
            raise ValueError(f"ridge must be finite and at least 0, got {self.ridge}")
        if self.count < 2:
            raise ValueError(f"count must be at least 2, got {self.count}")
        if any((getattr(self, name) < 0).any() for name in ("weights", "x_std", "y_std")):
            raise ValueError("weights and standard deviations must not be negative")
        if self.weighting not in ("held-out", "training", "equal"):
            raise ValueError(f"weighting must be 'held-out', 'training' or 'equal', got {self.weighting!r}")

    def _make_sides(self) -> tuple[Side, Side]:
        held_out = self.held_out_correlations
        r = self.correlations if held_out is None else held_out
        return (
            scoring.side(self.x_mean, self.x_projection, self.x_std, self.weights, self.weighting, r),
            scoring.side(self.y_mean, self.y_projection, self.y_std, self.weights, self.weighting, r),
        )

    def __repr__(self) -> str:
        return (
            f"CanonicalSpace(x_dim={self.x_dim}, y_dim={self.y_dim}, n_components={self.n_components}, "
            f"ridge=({self.ridge[0]:g}, {self.ridge[1]:g}), weights={self.weighting!r}), fitted on {self.count} pairs"
        )

    @property
    def x_dim(self) -> int:
        """Width p of x."""
        return len(self.x_mean)

    @property
    def y_dim(self) -> int:
        """Width q of y."""
        return len(self.y_mean)

    @property
    def n_components(self) -> int:
        """Number of directions, r."""
        return len(self.correlations)

    def project_x(self, x: Rows) -> Any:
        """Canonical variates of x: ``(x - x_mean) @ x_projection``, (n, r)."""
        return project(x, "x", self._side(x, "x"), result_dtype(x))

    def project_y(self, y: Rows) -> Any:
        """Canonical variates of y: ``(y - y_mean) @ y_projection``, (n, r)."""
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

        The optimal test under a Gaussian model (Bach and Jordan 2005); 0 means even odds where pairs and other
        combinations are equally frequent. Without folds it uses training correlations, which overstate, and warns.
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
        held_out = self.held_out_correlations
        return CanonicalSpace(
            x_mean=self.x_mean,
            y_mean=self.y_mean,
            x_projection=np.ascontiguousarray(self.x_projection[:, :s]),
            y_projection=np.ascontiguousarray(self.y_projection[:, :s]),
            x_std=self.x_std[:s],
            y_std=self.y_std[:s],
            correlations=self.correlations[:s],
            held_out_correlations=None if held_out is None else held_out[:s],
            weights=self.weights[:s],
            weighting=self.weighting,
            ridge=self.ridge,
            count=self.count,
            metadata=self.metadata,
        )

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
        metadata = {**self.metadata, **(metadata or {})}
        config = {
            "x_dim": self.x_dim,
            "y_dim": self.y_dim,
            "n_components": self.n_components,
            "weights": self.weighting,
            "ridge": list(self.ridge),
            "count": self.count,
            "metadata": metadata,
        }
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        if self.held_out_correlations is not None:
            arrays["held_out_correlations"] = self.held_out_correlations
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
            return cls(
                **{name: arrays[name] for name in _ARRAYS},
                held_out_correlations=arrays.get("held_out_correlations"),
                weighting=config["weights"],
                ridge=(float(config["ridge"][0]), float(config["ridge"][1])),
                count=int(config["count"]),
                metadata=config["metadata"],
            )
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"{directory} is not a canonical space: {error!r}") from None

    def _warn(self, score: Score) -> None:
        if score == "log_odds" and self.held_out_correlations is None:
            warnings.warn(
                "log odds use training correlations, which overstate: fit moments of at least two folds that hold rows",
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
