"""What one epoch of a training says about the two sides: numbers for loggers, checkpoints and early stopping."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from canonsim.scoring import information

if TYPE_CHECKING:
    from canonsim.space import CanonicalSpace

_LEADING = 3


def held_out_scores(space: CanonicalSpace) -> dict[str, float]:
    """Sum up held-out canonical correlations in a few numbers; none where nothing was held out.

    Returns
    -------
    dict
        ``csa_held_out_1`` to ``csa_held_out_3``, the leading held-out correlations (0 where there are fewer);
        ``csa_held_out_mean``, their mean over the directions of the space; ``csa_held_out_information``,
        ``-sum log(1 - rho^2) / 2``, the mutual information in nats that a Gaussian model gives them.
    """
    if space.held_out_correlations is None:
        return {}
    rho = np.asarray(space.held_out_correlations)
    leading = np.zeros(_LEADING)
    leading[: len(rho)] = rho[:_LEADING]
    scores = {f"csa_held_out_{i + 1}": float(value) for i, value in enumerate(leading)}
    scores["csa_held_out_mean"] = float(rho.mean()) if len(rho) else 0.0
    scores["csa_held_out_information"] = information(rho)
    return scores
