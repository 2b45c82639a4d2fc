"""The methods of a comparison, each with the settings that it may choose from on validation rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from canonsim.baselines import ASIF, PLS, Baseline, ContrastiveHeads, Procrustes, RidgeMap, UnridgedCSA
from canonsim.canonical import fit
from canonsim.moments import PairedMoments
from canonsim.space import CanonicalSpace
from canonsim.tasks import Retriever

Features: TypeAlias = npt.NDArray[Any]
TrainingPairs: TypeAlias = tuple[Features, Features, npt.NDArray[np.int64]]
"""Rows of x (n, p), their partners of y (n, q), and ids (n,): rows with one id share a fold."""

COUNTS = (10, 20, 50, 100, 200)
"""Numbers of directions or components to choose from."""


@dataclass(frozen=True)
class Fitted:
    """A method fitted in one of its settings.

    Attributes
    ----------
    setting : str
        What a table says of it.
    score : callable
        Scores (n, m) of rows x (n, p) with rows y (m, q); higher for a better match.
    score_pairwise : callable
        Scores (n,) of row i of x (n, p) with row i of y (n, q).
    """

    setting: str
    score: Callable[[Features, Features], Features]
    score_pairwise: Callable[[Features, Features], Features]


@dataclass(frozen=True)
class Method:
    """A method and all ways to set it.

    Attributes
    ----------
    name : str
    ours : bool
        False for what ours is compared with.
    fits : callable
        From training pairs to an iterator that fits in one setting after the other, each when it is asked for.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((40, 4))
    >>> fitted = next(LOG_ODDS.fits((x, x, np.arange(40))))
    >>> fitted.score(x[:3], x[:5]).shape, fitted.score_pairwise(x, x).shape
    ((3, 5), (40,))
    """

    name: str
    ours: bool
    fits: Callable[[TrainingPairs], Iterator[Fitted]]


def moments_of(pairs: TrainingPairs, folds: int = 5) -> PairedMoments:
    """The moments of training pairs."""
    x, y, ids = pairs
    moments = PairedMoments(x.shape[1], y.shape[1], folds)
    moments.update(x, y, ids=ids)
    return moments


def ridge_of(space: CanonicalSpace) -> str:
    """The ridges of a space, in words."""
    x, y = space.ridge
    return f"ridge {x:g}" if x == y else f"ridge {x:g}, {y:g}"


def by_log_odds(space: CanonicalSpace) -> Fitted:
    """A space that is to score by log odds."""
    return Fitted(ridge_of(space), space.log_odds, space.log_odds_pairwise)


def by_similarity(space: CanonicalSpace) -> Fitted:
    """A space that is to score by its similarity."""
    return Fitted(ridge_of(space), space.similarity, space.similarity_pairwise)


def by_csls(space: CanonicalSpace, pairs: TrainingPairs) -> Fitted:
    """A space that is to score by log odds, less half of what both items score with their nearest training rows.

    Cross-domain similarity local scaling (Conneau et al., ICLR 2018, section 2.3), with the training rows of the other
    side as the bank of each side.
    """
    x_bank, y_bank, _ = pairs

    def galleries(x: Features, y: Features) -> tuple[Retriever, Retriever]:
        of_x = Retriever(space, "x", correction="csls").add(x).set_queries(y_bank)
        return of_x, Retriever(space, "y", correction="csls").add(y).set_queries(x_bank)

    # A gallery takes the items' share off. The queries' share changes no order, but makes one score of both directions.
    def score(x: Features, y: Features) -> Features:
        of_x, of_y = galleries(x, y)
        scores: Features = of_y.embed_queries(x) @ of_y.vectors.T + of_x.vectors[:, -1:]
        return scores

    def score_pairwise(x: Features, y: Features) -> Features:
        of_x, of_y = galleries(x, y)
        scores: Features = (of_y.embed_queries(x) * of_y.vectors).sum(axis=1) + of_x.vectors[:, -1]
        return scores

    return Fitted(f"bank: {len(x_bank):,} training rows", score, score_pairwise)


def cuts(space: CanonicalSpace) -> Iterator[Fitted]:
    """The similarity over the first directions, for several numbers of them."""
    most = space.n_components
    for s in (*(count for count in COUNTS if count < most), most):
        cut = space.truncate(s)
        yield Fitted(f"{ridge_of(space)}, s = {s}", cut.similarity, cut.similarity_pairwise)


def _log_odds(pairs: TrainingPairs) -> Iterator[Fitted]:
    yield by_log_odds(fit(moments_of(pairs)))


def _csls(pairs: TrainingPairs) -> Iterator[Fitted]:
    yield by_csls(fit(moments_of(pairs)), pairs)


def _held_out_cosine(pairs: TrainingPairs) -> Iterator[Fitted]:
    yield by_similarity(fit(moments_of(pairs)))


def _paper_weights(pairs: TrainingPairs) -> Iterator[Fitted]:
    yield from cuts(fit(moments_of(pairs), n_components=None, weights="training"))


def _baseline(settings: dict[str, Callable[[], Baseline]], pairs: TrainingPairs) -> Iterator[Fitted]:
    x, y, ids = pairs
    for setting, make in settings.items():
        fresh = make()
        found = fresh.fit(x, y, ids) if isinstance(fresh, ContrastiveHeads) else fresh.fit(x, y)
        yield Fitted(setting, found.score, found.score_pairwise)


def _rival(name: str, settings: dict[str, Callable[[], Baseline]]) -> Method:
    return Method(name, ours=False, fits=partial(_baseline, settings))


LOG_ODDS = Method("log odds", ours=True, fits=_log_odds)
CSLS = Method("log odds + CSLS", ours=True, fits=_csls)
HELD_OUT_COSINE = Method("held-out cosine", ours=True, fits=_held_out_cosine)
PAPER_WEIGHTS = Method("paper's weights, auto ridge", ours=True, fits=_paper_weights)
UNRIDGED = _rival("CSA, no ridge", {f"s = {s or 'all'}": partial(UnridgedCSA, s) for s in (*COUNTS, None)})
ASIF_METHOD = _rival("ASIF", {f"k = {k}, p = {p}": partial(ASIF, k, p) for k, p in ((800, 8), (100, 4), (50, 2))})
PROCRUSTES = _rival("Procrustes", {"": Procrustes})
PLS_METHOD = _rival("PLS", {f"r = {r}": partial(PLS, r) for r in COUNTS})
RIDGE_MAP = _rival(
    "ridge map",
    {
        "x to y": partial(RidgeMap, "x_to_y"),
        "y to x": partial(RidgeMap, "y_to_x"),
        "both ways": partial(RidgeMap, "both"),
    },
)
LINEAR_HEADS = _rival(
    "contrastive, linear",
    {
        f"dropout {dropout}, rate {rate}": partial(ContrastiveHeads, dropout=dropout, learning_rate=rate)
        for dropout, rate in ((0.0, 1e-3), (0.5, 1e-3), (0.8, 1e-3), (0.8, 3e-4))
    },
)
MLP_HEADS = _rival(
    "contrastive, MLP",
    {
        f"dropout {dropout}, rate {rate}": partial(ContrastiveHeads, 512, dropout=dropout, learning_rate=rate)
        for dropout, rate in ((0.0, 1e-3), (0.5, 1e-3), (0.8, 1e-3))
    },
)

METHODS = (
    LOG_ODDS,
    HELD_OUT_COSINE,
    PAPER_WEIGHTS,
    UNRIDGED,
    ASIF_METHOD,
    PROCRUSTES,
    PLS_METHOD,
    RIDGE_MAP,
    LINEAR_HEADS,
    MLP_HEADS,
)
"""All but CSLS, which needs a gallery."""
