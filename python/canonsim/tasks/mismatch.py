"""Detection of wrong pairs: captions of other pictures, wrong labels."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from canonsim.canonical import Ridge
from canonsim.mixture import Mixture, fit_mixture, noise_rate_interval
from canonsim.robust import fit_robust
from canonsim.rows import Ids, Rows, is_tensor, to_numpy
from canonsim.space import CanonicalSpace


class MismatchDetector:
    """Tell which pairs of a set do not belong together, how many there are, and how sure that is.

    Log odds of the pairs are a mixture of those of true pairs and of mismatches. The latter are known: they are made of
    the same rows. So the share of wrong pairs can be estimated without a single labelled one, and with it the
    probability of each pair to be true (`canonsim.mixture.fit_mixture`).

    Rows of y may be the texts of labels, equal for many rows: a mismatch has another label then.

    Parameters
    ----------
    space : CanonicalSpace, optional
        Fitted on other pairs. Without it `canonsim.fit_robust` fits the very pairs that are to be judged: each by a fit
        of folds that it is not in.
    folds, n_components, ridge
        As of `canonsim.fit_robust`; not used with a space.

    Attributes
    ----------
    scores_ : (n,) f64
        Calibrated log odds of each fitted pair, "a true pair" to "a mismatch", in nats: low is suspicious. The noise
        rate is not in them: 0 is even odds where half of the pairs are wrong.
    probabilities_ : (n,) f64
        Of each fitted pair to be true: ``scores_`` with the noise rate as prior.
    noise_rate_ : float
        Estimated share of wrong pairs.
    noise_rate_interval_ : (float, float)
        Its 95 % interval. Where it reaches from 0 to 1 the scores do not tell pairs from mismatches.
    space_ : CanonicalSpace
        The one given, or that of the robust fit.

    Examples
    --------
    >>> import numpy as np
    >>> import canonsim
    >>> rng = np.random.default_rng(0)
    >>> z = rng.standard_normal((500, 4))
    >>> x, y = (z @ rng.standard_normal((4, 8)) + 0.5 * rng.standard_normal((500, 8)) for _ in "xy")
    >>> y[[3, 5]] = y[[5, 3]]
    >>> detector = canonsim.tasks.MismatchDetector().fit(x, y)
    >>> sorted(detector.most_suspicious(2).tolist())
    [3, 5]
    >>> 0.001 < detector.noise_rate_ < 0.02
    True
    """

    scores_: npt.NDArray[np.float64]
    probabilities_: npt.NDArray[np.float64]
    noise_rate_: float
    noise_rate_interval_: tuple[float, float]
    space_: CanonicalSpace
    _mixture: Mixture

    def __init__(
        self,
        space: CanonicalSpace | None = None,
        *,
        folds: int = 5,
        n_components: int | Literal["auto"] | None = "auto",
        ridge: Ridge = "auto",
    ) -> None:
        if space is not None and not isinstance(space, CanonicalSpace):
            raise TypeError(f"space must be a CanonicalSpace or None, got {type(space).__name__}")
        self.space = space
        self.folds = folds
        self.n_components = n_components
        self.ridge = ridge

    def fit(self, X: Rows, Y: Rows, ids: Ids | None = None) -> Self:
        """Judge pairs, and estimate how many are wrong.

        Parameters
        ----------
        X, Y : (n, p), (n, q)
            Row i of X is said to belong to row i of Y.
        ids : (n,) int64, optional
            Rows of one id (the captions of one image) share a fold and make no mismatch. By default the running row
            number.

        Raises
        ------
        TypeError
            For values that are no floats, or ids that are no integers.
        ValueError
            For other widths, different numbers of rows, values that are not finite, rows without a mismatch, or what
            `canonsim.fit_robust` refuses.
        """
        if self.space is None:
            found = fit_robust(X, Y, ids, folds=self.folds, n_components=self.n_components, ridge=self.ridge)
            space, mixture, scores, interval = found.space, found.mixture, found.scores, found.noise_rate_interval
        else:
            space, scores = self.space, self.space.pair_scores(X, Y, ids)
            mixture = fit_mixture(scores)
            interval = noise_rate_interval(scores, mixture)
        self.space_, self._mixture = space, mixture
        self.scores_, self.probabilities_ = mixture.log_odds(scores.pairs), mixture.probability(scores.pairs)
        self.noise_rate_, self.noise_rate_interval_ = mixture.noise_rate, interval
        return self

    def score(self, X: Rows, Y: Rows) -> Any:
        """Calibrated log odds of other pairs, as `scores_`: (n,), of the kind of X.

        Raises
        ------
        TypeError
            For values that are no floats.
        ValueError
            For other widths, different numbers of rows, or values that are not finite; also before a fit.
        """
        mixture = self._fitted()
        return mixture.intercept + mixture.slope * self.space_.log_odds_pairwise(X, Y)

    def predict_proba(self, X: Rows, Y: Rows, noise_rate: float | None = None) -> Any:
        """Probability that each of these pairs is true: (n,), of the kind of X.

        Parameters
        ----------
        X, Y : (n, p), (n, q)
        noise_rate : float, optional
            Share of wrong pairs among such, in [0, 1]; `noise_rate_` by default. With 0 no pair can be wrong.

        Raises
        ------
        TypeError
            As `score`.
        ValueError
            As `score`, and for a noise rate out of range.
        """
        if noise_rate is not None and not 0 <= noise_rate <= 1:
            raise ValueError(f"noise_rate must lie in [0, 1], got {noise_rate}")
        scores = self.score(X, Y)
        prior = Mixture(self.noise_rate_ if noise_rate is None else float(noise_rate), 0.0, 1.0)
        probabilities = prior.probability(to_numpy(scores).astype(np.float64))
        return scores.new_tensor(probabilities) if is_tensor(scores) else probabilities.astype(scores.dtype)

    def threshold(self, precision: float = 0.9) -> float:
        """The score below which pairs are to be flagged, so that at least this share of them is wrong.

        Of the fitted pairs below it, the mean probability to be wrong is at least the precision, and it is the largest
        such score: no rule of that precision flags more. ``-inf`` where even the most suspicious pair falls short.

        Parameters
        ----------
        precision : float
            Above 0, at most 1.

        Returns
        -------
        float
            For ``detector.scores_ < threshold`` and ``detector.score(X, Y) < threshold``.

        Raises
        ------
        ValueError
            For a precision out of range; also before a fit.
        """
        self._fitted()
        if not 0 < precision <= 1:
            raise ValueError(f"precision must lie above 0 and be at most 1, got {precision}")
        scores = np.sort(self.scores_)
        wrong = 1 - np.sort(self.probabilities_)
        reached = np.flatnonzero(np.cumsum(wrong) >= precision * np.arange(1, len(wrong) + 1))
        if reached.size == 0:
            return -np.inf
        last = int(reached[-1])
        return float(scores[last + 1]) if last + 1 < len(scores) else np.inf

    def most_suspicious(self, k: int) -> npt.NDArray[np.int64]:
        """Places of the k fitted pairs with the lowest scores, lowest first, equal ones in their order: (k,).

        Raises
        ------
        ValueError
            Unless ``1 <= k <= n``; also before a fit.
        """
        self._fitted()
        if not 1 <= k <= len(self.scores_):
            raise ValueError(f"k must lie between 1 and the {len(self.scores_)} fitted pairs, got {k}")
        return np.argsort(self.scores_, kind="stable")[:k].astype(np.int64)

    def _fitted(self) -> Mixture:
        if not hasattr(self, "_mixture"):
            raise ValueError("this detector is not fitted yet: call fit first")
        return self._mixture
