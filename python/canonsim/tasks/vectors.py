"""Vectors of rows for a score, and what a score is worth in nats."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

from canonsim.rows import Rows, check_rows, to_dtype, widest_dtype
from canonsim.scoring import Score
from canonsim.space import CanonicalSpace

SideName: TypeAlias = Literal["x", "y"]


def check_score(space: Any, score: Any) -> None:
    """Refuse what is no space, and any score but the two there are."""
    if not isinstance(space, CanonicalSpace):
        raise TypeError(f"space must be a CanonicalSpace, got {type(space).__name__}")
    if score not in get_args(Score):
        raise ValueError(f"score must be 'similarity' or 'log_odds', got {score!r}")


def vectors(space: CanonicalSpace, rows: Rows, side: SideName, score: Score) -> Any:
    """Vectors (n, s) of the rows of a side, whose inner products with the other side's are scores.

    Those for log odds are f64 whatever the rows: log odds are small differences of large numbers. Errors as of
    `CanonicalSpace.embed_x`.
    """
    check_rows(rows, side)
    if score == "log_odds":
        rows = to_dtype(rows, widest_dtype(rows))
    return space.embed_x(rows, score) if side == "x" else space.embed_y(rows, score)


def nats_per_unit(space: CanonicalSpace, score: Score) -> float:
    """How many nats of log odds a score of 1 is worth.

    Log odds are in nats. For the similarity it is the factor with which it agrees with their part that is linear in the
    correlations, ``sum r u v``, where variates have their mean length: the sum of the weights with held-out weights,
    since ``|sqrt(r) u|^2`` is ``sum r`` in the mean; the number of directions otherwise, since ``|u|^2`` is.
    """
    if score == "log_odds":
        return 1.0
    # Without any weight the similarity is 0 everywhere, and any factor does.
    return (float(space.weights.sum()) or 1.0) if space.weighting == "held-out" else float(space.n_components)
