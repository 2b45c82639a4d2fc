"""The methods whose quality is compared, each with the settings that it may choose from on the validation part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import canonsim
from canonsim.baselines import ASIF, PLS, Baseline, ContrastiveHeads, Procrustes, RidgeMap, UnridgedCSA

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Both sides of training pairs, and their ids."""

COUNTS = (10, 20, 50, 100, 200)
"""Numbers of directions or components to choose from."""


@dataclass(frozen=True)
class Fitted:
    """A method fitted with one setting."""

    setting: str
    score: Callable[..., Any]
    score_pairwise: Callable[..., Any]


@dataclass(frozen=True)
class Method:
    """A method; `fits` fits it on training rows with one setting after the other."""

    name: str
    ours: bool
    fits: Callable[[Rows], Iterator[Fitted]]


def moments_of(rows: Rows, folds: int = 5) -> canonsim.PairedMoments:
    """The moments of training rows."""
    x, y, ids = rows
    moments = canonsim.PairedMoments(x.shape[1], y.shape[1], folds)
    moments.update(x, y, ids=ids)
    return moments


def ridge_of(space: canonsim.CanonicalSpace) -> str:
    """The ridges that a fit chose."""
    x, y = space.ridge
    return f"ridge {x:g}" if x == y else f"ridge {x:g}, {y:g}"


def by_log_odds(space: canonsim.CanonicalSpace) -> Fitted:
    """The log odds of a space as a method."""
    return Fitted(ridge_of(space), space.log_odds, space.log_odds_pairwise)


def by_similarity(space: canonsim.CanonicalSpace) -> Fitted:
    """The similarity of a space as a method."""
    return Fitted(ridge_of(space), space.similarity, space.similarity_pairwise)


def log_odds(rows: Rows) -> Iterator[Fitted]:
    """Log odds with the automatic ridge."""
    yield by_log_odds(canonsim.fit(moments_of(rows)))


def held_out_cosine(rows: Rows) -> Iterator[Fitted]:
    """The cosine with held-out weights and the automatic ridge."""
    yield by_similarity(canonsim.fit(moments_of(rows)))


def paper_weights(rows: Rows) -> Iterator[Fitted]:
    """The weighted cosine of the paper with the automatic ridge."""
    yield from cuts(canonsim.fit(moments_of(rows), n_components=None, weights="training"))


def cuts(space: canonsim.CanonicalSpace) -> Iterator[Fitted]:
    """The similarity over the first directions, for several numbers of them."""
    most = space.n_components
    for s in (*(count for count in COUNTS if count < most), most):
        cut = space.truncate(s)
        yield Fitted(f"{ridge_of(space)}, s = {s}", cut.similarity, cut.similarity_pairwise)


def baseline(settings: dict[str, Callable[[], Baseline]], rows: Rows) -> Iterator[Fitted]:
    """A baseline in each of its settings."""
    x, y, ids = rows
    for setting, make in settings.items():
        fresh = make()
        found = fresh.fit(x, y, ids) if isinstance(fresh, ContrastiveHeads) else fresh.fit(x, y)
        yield Fitted(setting, found.score, found.score_pairwise)


def _rival(name: str, settings: dict[str, Callable[[], Baseline]]) -> Method:
    return Method(name, ours=False, fits=partial(baseline, settings))


UNRIDGED = _rival("CSA, no ridge", {f"s = {s or 'all'}": partial(UnridgedCSA, s) for s in (*COUNTS, None)})

METHODS = (
    Method("log odds", ours=True, fits=log_odds),
    Method("held-out cosine", ours=True, fits=held_out_cosine),
    Method("paper's weights, auto ridge", ours=True, fits=paper_weights),
    UNRIDGED,
    _rival("ASIF", {f"k = {k}, p = {p}": partial(ASIF, k, p) for k, p in ((800, 8), (100, 4), (50, 2))}),
    _rival("Procrustes", {"": Procrustes}),
    _rival("PLS", {f"r = {r}": partial(PLS, r) for r in COUNTS}),
    _rival(
        "ridge map",
        {
            "x to y": partial(RidgeMap, "x_to_y"),
            "y to x": partial(RidgeMap, "y_to_x"),
            "both ways": partial(RidgeMap, "both"),
        },
    ),
    _rival(
        "contrastive, linear",
        {
            f"dropout {dropout}, rate {rate}": partial(ContrastiveHeads, dropout=dropout, learning_rate=rate)
            for dropout, rate in ((0.0, 1e-3), (0.5, 1e-3), (0.8, 1e-3), (0.8, 3e-4))
        },
    ),
    _rival(
        "contrastive, MLP",
        {
            f"dropout {dropout}, rate {rate}": partial(ContrastiveHeads, 512, dropout=dropout, learning_rate=rate)
            for dropout, rate in ((0.0, 1e-3), (0.5, 1e-3), (0.8, 1e-3))
        },
    ),
)
