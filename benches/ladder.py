"""From the plain method to ours: the steps of the ablation, each with the settings that it may choose from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

import canonsim
from canonsim import _native
from canonsim.protocols.methods import (
    UNRIDGED,
    Fitted,
    TrainingPairs,
    by_csls,
    by_log_odds,
    by_similarity,
    cuts,
    moments_of,
    ridge_of,
)
from canonsim.scoring import LARGEST_CORRELATION

FOR_THE_INVERSE = "1e-5"
"""A ridge as it is added where only the inverse is to exist."""


@dataclass(frozen=True)
class Step:
    """What comes on top of the step before, in each of its settings."""

    name: str
    settings: Iterable[Fitted]
    beside: bool = False
    """True for another way to take the step before; the next step builds on that one."""


def ladder(rows: TrainingPairs, best: canonsim.CanonicalSpace) -> Iterator[Step]:
    """The steps, fitted on training rows when they are asked for, up to the space of the best feature maps."""
    yield Step("textbook CSA", UNRIDGED.fits(rows))
    faint = canonsim.fit(moments_of(rows, folds=1), None, float(FOR_THE_INVERSE), "training")
    yield Step(f"a ridge of {FOR_THE_INVERSE}", cuts(faint), beside=True)
    moments = moments_of(rows)
    ridge = one_ridge(moments)
    yield Step("+ one ridge", cuts(canonsim.fit(moments, None, ridge, "training")))
    space = canonsim.fit(moments, None, ridge)
    yield Step("+ held-out weights in the cosine", [by_similarity(space)])
    yield Step("+ log odds", [by_log_odds(space)])
    yield Step("log odds of training correlations", [by_log_odds(overstated(rows, ridge))], beside=True)
    every = canonsim.fit(moments, None)
    yield Step("+ a ridge for each side", [by_log_odds(every)])
    space = canonsim.fit(moments)
    setting = f"{ridge_of(space)}, {space.n_components} of {every.n_components} directions"
    yield Step("+ rank rule", [replace(by_log_odds(space), setting=setting)])
    yield Step("+ rows of unit length", [with_map(best)])
    yield Step("+ CSLS", [by_csls(best, rows)])


def one_ridge(moments: canonsim.PairedMoments) -> float:
    """The ridge, the same for both sides, with the most held-out information."""

    def information(ridge: float) -> float:
        found = canonsim.fit(moments, None, ridge).held_out_information
        assert found is not None
        return found

    return max(_native.RIDGES, key=information)


def overstated(rows: TrainingPairs, ridge: float) -> canonsim.CanonicalSpace:
    """The space whose log odds are those of training correlations and training variances."""
    space = canonsim.fit(moments_of(rows, folds=1), None, ridge, "training")
    return space.replace(held_out_correlations=np.minimum(space.correlations, LARGEST_CORRELATION))


def with_map(space: canonsim.CanonicalSpace) -> Fitted:
    """Log odds of a space whose feature maps were chosen."""
    chosen = "linear" if space.x_map is None else space.x_map.kind
    return Fitted(f"{ridge_of(space)}, {chosen}", space.log_odds, space.log_odds_pairwise)
