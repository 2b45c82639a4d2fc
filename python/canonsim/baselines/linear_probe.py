"""Linear probe: logistic regression on frozen features, what labelled rows reach without any text."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike, NDArray

from canonsim.baselines.rows import mean_and_std, rows

STRENGTHS = tuple(10.0**power for power in range(-5, 3))
"""Values of C to choose from, strongest penalty first."""

_FOLDS = 5
_ROUNDS = 2000
# What a class that is missing from the other folds costs: a constant, so it favours no C.
_LEAST_PROBABILITY = 1e-6


class LinearProbe:
    """Classify rows by multinomial logistic regression on standardised features.

    It minimises ``|W|^2 / 2 + C sum_i -log p(label_i | x_i)`` with ``p = softmax(x W^T + b)``, by scikit-learn. This is
    how frozen features are judged (Radford et al., ICML 2021, section 3.2), and what a method that was fitted on
    labelled rows compares with. Unlike a method with texts it knows only the classes that it has seen.

    Parameters
    ----------
    C : float, optional
        By default that of the smallest held-out log loss over stratified folds of the training rows, at most five.
        Values are tried from the strongest penalty on, until the loss rises.
    seed : int
        Of the folds.

    Attributes
    ----------
    classes_ : (c,)
        Labels that occur, ascending: the columns of scores.
    C_ : float
        The one given or chosen; 1 where no label occurs twice, since nothing can be held out then.
    coef_, intercept_ : (c, p), (c,) f64
        Of standardised features.

    Raises
    ------
    ImportError
        Without scikit-learn, at the fit.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 3, 200)
    >>> x = 9 * np.eye(3, 6)[labels] + rng.normal(size=(200, 6))
    >>> probe = LinearProbe().fit(x[:150], labels[:150])
    >>> float((probe.predict(x[150:]) == labels[150:]).mean())
    1.0
    """

    classes_: npt.NDArray[Any]
    C_: float
    coef_: NDArray[np.float64]
    intercept_: NDArray[np.float64]

    def __init__(self, C: float | None = None, *, seed: int = 0) -> None:
        if C is not None and not 0 < C < np.inf:
            raise ValueError(f"C must be positive and finite, or None, got {C}")
        self.C = C
        self.seed = seed

    def fit(self, X: ArrayLike, labels: Any) -> Self:
        """Fit on rows X (n, p) with labels (n,), integers or strings of at least two kinds.

        Raises
        ------
        TypeError
            For labels that are neither integers nor strings.
        ValueError
            For rows of another shape or that are not finite, another number of labels, or a single class.
        """
        try:
            from sklearn.linear_model import LogisticRegression
        except ImportError as error:
            raise ImportError("LinearProbe needs scikit-learn: pip install scikit-learn") from error
        x, given = rows(X), np.asarray(labels)
        if given.dtype.kind not in "iuU":
            raise TypeError(f"labels must be integers or strings, got {given.dtype}")
        if given.shape != (len(x),):
            raise ValueError(f"labels must hold one label for each of the {len(x)} rows, got shape {given.shape}")
        classes, target = np.unique(given, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"labels must be of at least two classes, got only {classes.tolist()}")
        mean, std = mean_and_std(x)
        x = (x - mean) / std
        with warnings.catch_warnings():
            # Few rows of many classes, or of some class fewer than folds, are what they are.
            for message in ("The number of unique classes", "The least populated class"):
                warnings.filterwarnings("ignore", message, UserWarning)
            strength = _chosen(x, target, self.seed) if self.C is None else float(self.C)
            model = LogisticRegression(C=strength, max_iter=_ROUNDS).fit(x, target)
        self.classes_, self.C_, self._mean, self._std = classes, strength, mean, std
        # Of two classes scikit-learn keeps the second one's line only.
        missing = len(classes) - len(model.coef_)
        self.coef_ = np.vstack([np.zeros((missing, x.shape[1])), model.coef_])
        self.intercept_ = np.concatenate([np.zeros(missing), model.intercept_])
        return self

    def scores(self, X: ArrayLike) -> NDArray[np.float64]:
        """Log probability of every class: (n, c).

        Raises
        ------
        ValueError
            For rows of another shape or that are not finite; also before a fit.
        """
        if not hasattr(self, "coef_"):
            raise ValueError("this probe is not fitted yet: call fit first")
        logits = (rows(X, len(self._mean)) - self._mean) / self._std @ self.coef_.T + self.intercept_
        logits -= logits.max(axis=1, keepdims=True)
        found: NDArray[np.float64] = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return found

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probability of every class: (n, c). Errors as of `scores`."""
        found: NDArray[np.float64] = np.exp(self.scores(X))
        return found

    def predict(self, X: ArrayLike) -> npt.NDArray[Any]:
        """The most probable class of every row: (n,). Errors as of `scores`."""
        place = self.scores(X).argmax(axis=1)
        best: npt.NDArray[Any] = self.classes_[place]
        return best


def _chosen(x: NDArray[np.float64], target: NDArray[np.int64], seed: int) -> float:
    """The C of the smallest held-out log loss."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    folds = min(_FOLDS, int(np.bincount(target).max()))
    if folds < 2:
        return 1.0
    splits = [
        (train, held_out)
        for train, held_out in StratifiedKFold(folds, shuffle=True, random_state=seed).split(x, target)
        if len(np.unique(target[train])) > 1
    ]
    models = [LogisticRegression(max_iter=_ROUNDS, warm_start=True) for _ in splits]
    best, least = 1.0, np.inf
    for strength in STRENGTHS if splits else ():
        losses = []
        for model, (train, held_out) in zip(models, splits, strict=True):
            model.set_params(C=strength).fit(x[train], target[train])
            likely = np.zeros((len(held_out), target.max() + 1))
            likely[:, model.classes_] = model.predict_proba(x[held_out])
            losses.append(-np.log(np.maximum(likely[np.arange(len(held_out)), target[held_out]], _LEAST_PROBABILITY)))
        loss = float(np.concatenate(losses).mean())
        if loss >= least:
            break
        best, least = strength, loss
    return best
