"""Canonical similarity analysis as a scikit-learn estimator of two blocks."""

from __future__ import annotations

import hashlib
import inspect
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from canonsim.calibration import fit_scale
from canonsim.canonical import Ridge, fit
from canonsim.cross_fitting import cross_fitted_scores
from canonsim.maps.candidates import CandidateMoments, Maps
from canonsim.maps.selection import candidate_moments
from canonsim.moments import PairedMoments
from canonsim.robust import fit_robust
from canonsim.scoring import Weights
from canonsim.space import CanonicalSpace


class CSA:
    """Canonical similarity analysis (Li, Chinchali, Topcu 2025) of two blocks of features.

    Follows scikit-learn's conventions without needing scikit-learn: parameters as given, fitted attributes with a
    trailing underscore, lists and integers converted to float64. A one-dimensional ``Y`` is one column.

    Parameters
    ----------
    n_components, ridge, weights
        As in `canonsim.fit`.
    folds : int
        Folds for held-out numbers; 1 for none.
    maps : "auto", "nonlinear", sequence or None
        Feature maps to choose from by held-out pairs, as in `canonsim.fit_best`; None for the rows as they are.
        `partial_fit` takes none that are made of all rows, as are those named ``"random-fourier"`` and ``"nystroem"``.
    calibrate : bool
        Whether log odds are calibrated (see `CanonicalSpace.calibrate`) by what fits of the other folds say of the
        pairs. Needs at least 2 folds, and all rows at once: not for `partial_fit`, whose earlier rows are gone.
    robust : bool
        Whether pairs that are probably wrong are weighted down, as `canonsim.fit_robust` does; log odds are calibrated
        then. Needs the same.

    Attributes
    ----------
    space_ : CanonicalSpace
        Projections, similarities, log odds.
    correlations_ : (r,) f64
        Training canonical correlations.
    n_features_in_ : int
        Width p of ``X``.
    robust_ : RobustFit
        With ``robust=True``: the noise rate, and the probability of each pair to be true.

    Examples
    --------
    >>> import numpy as np
    >>> from canonsim import CSA
    >>> rng = np.random.default_rng(0)
    >>> z = rng.standard_normal((400, 2))
    >>> X = z @ rng.standard_normal((2, 6)) + 0.5 * rng.standard_normal((400, 6))
    >>> Y = z @ rng.standard_normal((2, 4)) + 0.5 * rng.standard_normal((400, 4))
    >>> csa = CSA(n_components=2).fit(X, Y)
    >>> csa.transform(X).shape
    (400, 2)
    >>> csa.score(X, Y) > 1.0
    True
    """

    def __init__(
        self,
        n_components: int | Literal["auto"] | None = "auto",
        *,
        ridge: Ridge = "auto",
        weights: Weights = "held-out",
        folds: int = 5,
        maps: Maps | None = None,
        calibrate: bool = False,
        robust: bool = False,
    ) -> None:
        self.n_components = n_components
        self.ridge = ridge
        self.weights = weights
        self.folds = folds
        self.maps = maps
        self.calibrate = calibrate
        self.robust = robust

    def fit(self, X: Any, Y: Any, groups: Any = None) -> Self:
        """Fit to pairs.

        Parameters
        ----------
        X, Y : array-like, (n, p) and (n, q)
            Row i of ``X`` belongs to row i of ``Y``.
        groups : array-like (n,), optional
            Rows of one group (the captions of one image) are held out together.

        Raises
        ------
        ValueError
            For NaN or infinite values, other shapes, fewer than 2 rows, or what `canonsim.fit` refuses.
        """
        x, y = _blocks(X, Y)
        moments: PairedMoments | CandidateMoments
        if self.maps is None:
            moments = PairedMoments(x.shape[1], y.shape[1], folds=self.folds)
        else:
            ids = None if groups is None else _group_ids(groups, len(x))
            moments = candidate_moments(self.maps, x, y, ids, self.folds)
        return self._update(moments, x, y, groups, X)

    def partial_fit(self, X: Any, Y: Any, groups: Any = None) -> Self:
        """Add pairs to those seen so far and fit again; as `fit`, whatever the batches.

        While the pairs are too few for a fit they are kept, and the estimator is not fitted yet.

        Raises
        ------
        ValueError
            As `fit`, and with ``calibrate=True`` or ``robust=True``, which need all rows at once.
        """
        if self.calibrate or self.robust:
            raise ValueError("calibrate=True and robust=True need all rows at once: call fit instead of partial_fit")
        x, y = _blocks(X, Y)
        if hasattr(self, "moments_"):
            _check_width(x, self.moments_.x_dim, "X")
            _check_width(y, self.moments_.y_dim, "Y")
            moments = self.moments_.copy()
        elif self.maps is None:
            moments = PairedMoments(x.shape[1], y.shape[1], folds=self.folds)
        else:
            moments = CandidateMoments(self.maps, x.shape[1], y.shape[1], folds=self.folds)
        return self._update(moments, x, y, groups, X, wait=True)

    def _update(
        self,
        moments: PairedMoments | CandidateMoments,
        x: npt.NDArray[np.float64],
        y: npt.NDArray[np.float64],
        groups: Any,
        X: Any,
        *,
        wait: bool = False,
    ) -> Self:
        ids = None if groups is None else _group_ids(groups, len(x))
        moments.update(x, y, ids)
        if wait and not self._suffice(moments):
            self.moments_ = moments
            return self
        if moments.count < 2:
            raise ValueError(f"CSA needs at least 2 pairs, got n_samples = {moments.count}")
        space = self._fit_space(moments, x, y, ids)
        self.moments_, self.space_ = moments, space
        self.correlations_ = space.correlations
        self.n_features_in_ = moments.x_dim
        columns = getattr(X, "columns", None)
        if columns is not None and all(isinstance(name, str) for name in columns):
            self.feature_names_in_ = np.asarray(columns, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return self

    def _fit_space(
        self,
        moments: PairedMoments | CandidateMoments,
        x: npt.NDArray[np.float64],
        y: npt.NDArray[np.float64],
        ids: npt.NDArray[np.int64] | None,
    ) -> CanonicalSpace:
        chosen: dict[str, Any] = {"n_components": self.n_components, "ridge": self.ridge, "weights": self.weights}
        space = None
        if isinstance(moments, CandidateMoments):
            space = moments.fit(**chosen)
            moments = moments.of(space)
            chosen |= {"x_map": space.x_map, "y_map": space.y_map}
        if self.robust:
            self.robust_ = fit_robust(x, y, ids, folds=self.folds, **chosen)
            return self.robust_.space
        if space is None:
            space = fit(moments, **chosen)
        if self.calibrate:
            space = space.replace(log_odds_scale=fit_scale(cross_fitted_scores(space, moments, x, y, ids)))
        return space

    def _suffice(self, moments: PairedMoments | CandidateMoments) -> bool:
        """Whether the pairs suffice for a fit; moments without folds wait for nothing that more pairs would bring."""
        holds_out = self.ridge == "auto" or self.weights == "held-out" or self.maps is not None
        if self.folds == 1 or not holds_out:
            return moments.count >= 2
        counts = moments.fold_counts
        return bool((counts > 0).sum() >= 2 and moments.count - counts.max() >= 2)

    def transform(self, X: Any, Y: Any = None) -> Any:
        """Canonical variates of ``X`` (n, r); with ``Y``, those of both.

        Raises
        ------
        ValueError
            For NaN or infinite values or another width; also before a fit (as scikit-learn's ``NotFittedError``).
        """
        space = self._fitted()
        self._check_names(X)
        u = space.project_x(_check_width(_block(X, "X"), space.x_dim, "X"))
        if Y is None:
            return u
        return u, space.project_y(_check_width(_block(Y, "Y", column=True), space.y_dim, "Y"))

    def fit_transform(self, X: Any, Y: Any, groups: Any = None) -> Any:
        """`fit`, then `transform` of ``X``."""
        return self.fit(X, Y, groups).transform(X)

    def score(self, X: Any, Y: Any) -> float:
        """Mean log odds of the pairs, in nats: what knowing one side of a pair says about the other."""
        space = self._fitted()
        x, y = _blocks(X, Y)
        _check_width(x, space.x_dim, "X")
        _check_width(y, space.y_dim, "Y")
        return float(space.log_odds_pairwise(x, y).mean())

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """The parameters by name."""
        return {name: getattr(self, name) for name in _parameters()}

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name.

        Raises
        ------
        ValueError
            For a name that is no parameter.
        """
        for name, value in params.items():
            if name not in _parameters():
                raise ValueError(f"Invalid parameter {name!r} for estimator CSA; its parameters are {_parameters()}")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = {name: parameter.default for name, parameter in inspect.signature(CSA).parameters.items()}
        changed = {name: value for name, value in self.get_params().items() if value != defaults[name]}
        return f"CSA({', '.join(f'{name}={value!r}' for name, value in changed.items())})"

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "space_")

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=True, two_d_labels=True, multi_output=True, single_output=False),
            transformer_tags=TransformerTags(preserves_dtype=[]),
            input_tags=InputTags(),
        )

    def _fitted(self) -> CanonicalSpace:
        if not hasattr(self, "space_"):
            message = "This CSA instance is not fitted yet: call fit or partial_fit first"
            try:
                from sklearn.exceptions import NotFittedError
            except ImportError:
                raise ValueError(message) from None
            raise NotFittedError(message)
        return self.space_

    def _check_names(self, X: Any) -> None:
        known, columns = getattr(self, "feature_names_in_", None), getattr(X, "columns", None)
        if known is not None and columns is not None and list(columns) != list(known):
            raise ValueError(f"The feature names should match those of the fit, {list(known)}, got {list(columns)}")


def _parameters() -> list[str]:
    return sorted(inspect.signature(CSA).parameters)


def _block(rows: Any, argument: str, *, column: bool = False) -> npt.NDArray[np.float64]:
    """Rows as (n, d) float64, as scikit-learn converts and refuses them."""
    if type(rows).__module__.startswith("scipy.sparse"):
        raise TypeError(f"{argument} is a sparse matrix; a dense one is required: use {argument}.toarray()")
    array = np.asarray(rows)
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {argument} holds {array.dtype}")
    if array.ndim == 1 and column:
        array = array.reshape(-1, 1)
    if array.ndim != 2:
        raise ValueError(
            f"Expected 2D array for {argument}, got an array of shape {array.shape}. Reshape your data either using "
            "array.reshape(-1, 1) if it has one feature or array.reshape(1, -1) if it is a single sample"
        )
    if array.shape[1] == 0:
        raise ValueError(f"{argument}: 0 feature(s) (shape={array.shape}) while a minimum of 1 is required.")
    if array.shape[0] == 0:
        raise ValueError(f"{argument}: 0 sample(s) (shape={array.shape}) while a minimum of 1 is required.")
    try:
        return array.astype(np.float64, copy=False)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{argument} must hold numbers; argument must be a string or a number: {error}") from None


def _blocks(X: Any, Y: Any) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    if Y is None:
        raise ValueError("This CSA estimator requires y to be passed, but the target y is None: it joins two blocks")
    x, y = _block(X, "X"), _block(Y, "Y", column=True)
    if len(x) != len(y):
        raise ValueError(f"X and Y must have as many rows: X has {len(x)}, Y has {len(y)}")
    return x, y


def _check_width(rows: npt.NDArray[np.float64], width: int, argument: str) -> npt.NDArray[np.float64]:
    if rows.shape[1] != width:
        raise ValueError(f"{argument} has {rows.shape[1]} features, but CSA is expecting {width} features as input")
    return rows


def _group_ids(groups: Any, count: int) -> npt.NDArray[np.int64]:
    """One id for each group: integers are their own, other labels get a hash that is the same in every process."""
    labels = np.asarray(groups)
    if labels.shape != (count,):
        raise ValueError(f"groups must be one label for each row, shape ({count},), got shape {labels.shape}")
    if labels.dtype.kind in "iu":
        return labels.astype(np.int64)
    unique, inverse = np.unique(labels.astype(str), return_inverse=True)
    hashes = [hashlib.blake2b(label.encode(), digest_size=8).digest() for label in unique]
    return np.array([int.from_bytes(digest, "little", signed=True) for digest in hashes], dtype=np.int64)[inverse]
