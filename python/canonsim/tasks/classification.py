"""Classification of rows of x by the names of the classes, embedded as rows of y."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from canonsim.embedding import inner_products
from canonsim.rows import Rows, is_tensor, result_dtype, to_dtype, to_numpy, widest_dtype
from canonsim.scoring import Score
from canonsim.space import CanonicalSpace
from canonsim.tasks.labels import labels
from canonsim.tasks.vectors import check_score, nats_per_unit, vectors
from canonsim.top_k import checked_k

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class ZeroShotClassifier:
    """Tell what rows of x show, among classes given by their texts: no labelled rows of them are needed.

    Two uses have this form, and are to be told apart when numbers are compared. *Transfer*: the space was fitted on
    other pairs (captions), and the classes are new; few pairs carry far less here than the large trainings of jointly
    trained encoders. *In-domain*: the pairs of the fit were rows of these very classes with the text of their class.
    That is supervised classification with a text for an interface, and what compares is a linear probe on the same
    rows. y then has at most as many different rows as there are classes, and the space at most one direction fewer.

    Parameters
    ----------
    space : CanonicalSpace
    score : "log_odds" or "similarity"
        Log odds are log-likelihood ratios: on data like those of the fit their posterior means what it says. The
        similarity ranks the classes of another domain better.
    temperature : float, optional
        What scores are divided by before the softmax. By default 1 for log odds; for the similarity, 1 over the sum of
        held-out weights, or over the number of directions with other weights, which takes it to nats where
        correlations are weak: a scale of the right order, not a calibration.

    Attributes
    ----------
    classes_ : (c,) int64 or object
        Names of the classes, in the order of the fit.

    Examples
    --------
    >>> import numpy as np
    >>> import canonsim
    >>> rng = np.random.default_rng(0)
    >>> looks, texts, shown = rng.standard_normal((3, 10)), rng.standard_normal((3, 6)), rng.integers(0, 3, 600)
    >>> x = looks[shown] + 0.5 * rng.standard_normal((600, 10))
    >>> moments = canonsim.PairedMoments(10, 6)
    >>> moments.update(x[:500], texts[shown[:500]])
    >>> classifier = canonsim.tasks.ZeroShotClassifier(canonsim.fit(moments)).fit(texts, ["cat", "dog", "owl"])
    >>> classifier.predict(x[500:503]) == np.array(["cat", "dog", "owl"])[shown[500:503]]
    array([ True,  True,  True])
    """

    classes_: npt.NDArray[Any]
    _texts: npt.NDArray[np.float64]

    def __init__(self, space: CanonicalSpace, score: Score = "log_odds", *, temperature: float | None = None) -> None:
        check_score(space, score)
        if temperature is not None and not 0 < temperature < np.inf:
            raise ValueError(f"temperature must be positive and finite, got {temperature}")
        self.space = space
        self.score: Score = score
        self.temperature = 1 / nats_per_unit(space, score) if temperature is None else float(temperature)

    def fit(self, class_y: Rows, names: Any, prior: ArrayLike | None = None) -> Self:
        """Set the classes.

        Parameters
        ----------
        class_y : (c, q) or (c, templates, q)
            Embedded text of each class, or several of each ("a photo of a cat", "a drawing of a cat"). Vectors of the
            texts of a class are averaged: its score is the mean of theirs.
        names : iterable (c,)
            Different integers or anything else hashable.
        prior : array_like (c,), optional
            How frequent the classes are, up to a factor; by default all equally.

        Raises
        ------
        TypeError
            For texts that are no floats, or names that are not hashable.
        ValueError
            For no class, another width, values that are not finite, another number of names, a name that occurs twice,
            or a prior that is not positive and finite.
        """
        shape = tuple(getattr(class_y, "shape", ()))
        if len(shape) == 3:
            class_y = class_y.reshape(shape[0] * shape[1], shape[2])
        elif len(shape) not in (0, 2):
            raise ValueError(f"class_y must have the shape (c, q) or (c, templates, q), got {shape}")
        texts = vectors(self.space, class_y, "y", self.score)
        if len(texts) == 0:
            raise ValueError(f"class_y must hold at least one class and one text of each, got shape {shape}")
        classes = labels(names, shape[0], "names")
        seen: set[Any] = set()
        for name in classes.tolist():
            if name in seen:
                raise ValueError(f"names must be different, got {name!r} twice")
            seen.add(name)
        weights = np.ones(shape[0]) if prior is None else np.asarray(prior, dtype=np.float64)
        if weights.shape != (shape[0],) or not ((weights > 0) & np.isfinite(weights)).all():
            raise ValueError(f"prior must be one positive number for each of the {shape[0]} classes, got {prior!r}")
        array = to_numpy(texts).astype(np.float64)
        self._texts = array.reshape(shape[0], -1, array.shape[1]).mean(axis=1)
        self._log_prior = np.log(weights / weights.sum())
        self.classes_ = classes
        return self

    def scores(self, x: Rows) -> Any:
        """Log odds or similarity of every row of x (n, p) with every class: (n, c), of the kind of x.

        Raises
        ------
        TypeError
            For rows that are no floats.
        ValueError
            For another width or values that are not finite; also before a fit.
        """
        return to_dtype(self._scores(x), result_dtype(x))

    def predict_proba(self, x: Rows) -> Any:
        """Posterior of every class, ``softmax(scores / temperature + log prior)``: (n, c), of the kind of x.

        With log odds it is Bayes' theorem, since these are log p(x | class) - log p(x). Errors as of `scores`.
        """
        logits = self._logits(x)
        if is_tensor(logits):
            return to_dtype(logits.softmax(-1), result_dtype(x))
        likely = np.exp(logits - logits.max(axis=1, keepdims=True))
        return to_dtype(likely / likely.sum(axis=1, keepdims=True), result_dtype(x))

    def predict(self, x: Rows) -> npt.NDArray[Any]:
        """Name of the most probable class of every row, the first of equals: (n,). Errors as of `scores`."""
        logits = self._logits(x)
        best: npt.NDArray[Any] = self.classes_[to_numpy(logits).argmax(axis=1)]
        return best

    def top_k(self, x: Rows, k: int = 5) -> tuple[npt.NDArray[Any], Any]:
        """The k most probable classes of every row, most probable first, equals in the order of the fit.

        Returns
        -------
        names : (n, k)
        probabilities : (n, k)
            Of the kind of x.

        Raises
        ------
        TypeError
            As `scores`.
        ValueError
            As `scores`, and if k is less than 1 or more than the number of classes.
        """
        k = checked_k(k, len(self._fitted()), "classes")
        probabilities = self.predict_proba(x)
        order = np.argsort(-to_numpy(self._logits(x)), axis=1, kind="stable")[:, :k]
        if is_tensor(probabilities):
            import torch

            return self.classes_[order], probabilities.gather(1, torch.from_numpy(order).to(probabilities.device))
        return self.classes_[order], np.take_along_axis(probabilities, order, axis=1)

    def _fitted(self) -> npt.NDArray[Any]:
        """Vectors of the classes, (c, s)."""
        if not hasattr(self, "classes_"):
            raise ValueError("this classifier has no classes yet: call fit first")
        return self._texts

    def _scores(self, x: Rows) -> Any:
        """Scores (n, c) in f64."""
        classes: Any = self._fitted()
        rows = vectors(self.space, x, "x", self.score)
        dtype = widest_dtype(rows)
        if is_tensor(rows):
            import torch

            classes = torch.as_tensor(classes, dtype=dtype, device=rows.device)
        return inner_products(to_dtype(rows, dtype), classes)

    def _logits(self, x: Rows) -> Any:
        """Log posteriors (n, c) in f64, up to a number for each row."""
        scores = self._scores(x)
        prior = scores.new_tensor(self._log_prior) if is_tensor(scores) else self._log_prior
        return scores / self.temperature + prior
