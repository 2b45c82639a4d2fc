"""Telling pairs from mismatches: exact ROC AUC."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from canonsim.metrics.pairs import check_pairs


def auc(positive: ArrayLike, negative: ArrayLike) -> float:
    """Area under the ROC curve: P(positive > negative) + P(positive = negative) / 2, exact with ties.

    Parameters
    ----------
    positive, negative : array_like (n,), (m,)
        Scores of the true cases and of the others. Only their order counts.

    Returns
    -------
    float
        In [0, 1]; chance is 0.5.

    Raises
    ------
    ValueError
        If a side is empty or contains NaN.

    Examples
    --------
    >>> auc([3.0, 1.0], [2.0, 1.0])
    0.625
    """
    import torch
    from torchmetrics.functional.classification import binary_auroc

    positive, negative = np.ravel(positive), np.ravel(negative)
    for name, side in (("positive", positive), ("negative", negative)):
        if side.size == 0 or np.isnan(side).any():
            raise ValueError(f"{name} must hold at least one score and no NaN; got {side.size} scores")
    # torchmetrics squashes scores outside [0, 1] by a sigmoid, which makes ties of large ones: ranks stay as they are.
    _, order = np.unique(np.concatenate([positive, negative]), return_inverse=True)
    ranks = torch.from_numpy(order / max(1, order.max()))
    target = torch.cat([torch.ones(positive.size, dtype=torch.long), torch.zeros(negative.size, dtype=torch.long)])
    return float(binary_auroc(ranks, target))


def mismatch_auc(score_pairs: Callable[[NDArray[Any], NDArray[Any]], ArrayLike], x: ArrayLike, y: ArrayLike) -> float:
    """ROC AUC of telling the true pairs (x_i, y_i) from the mismatches (x_i, y_{i+1}).

    Every x is scored with its own y and with the next row's (the last with the first), so both classes hold every row
    of both sides once, and a score that looks at one side only is at chance, 0.5. Rows should come in an order that has
    nothing to do with what they show: similar neighbours make the task harder.

    Parameters
    ----------
    score_pairs : callable
        Row-wise scores (n,) of x (n, p) with y (n, q), for instance `space.log_odds_pairwise`.
    x, y : array_like (n, p), (n, q)
        Pairs as equal rows, n >= 2.

    Returns
    -------
    float
        In [0, 1]; chance is 0.5.

    Raises
    ------
    ValueError
        If the row counts differ or there are fewer than two rows.

    Examples
    --------
    >>> x = np.eye(4)
    >>> mismatch_auc(lambda x, y: (x * y).sum(axis=1), x, x)
    1.0
    """
    return auc(*mismatch_scores(score_pairs, x, y))


def mismatch_scores(
    score_pairs: Callable[[NDArray[Any], NDArray[Any]], ArrayLike], x: ArrayLike, y: ArrayLike
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Scores of the true pairs (x_i, y_i), and of the mismatches (x_i, y_{i+1}), the last row with the first.

    Parameters and errors as of `mismatch_auc`, which is the `auc` of what this returns.

    Examples
    --------
    >>> x = np.eye(3)
    >>> mismatch_scores(lambda x, y: (x * y).sum(axis=1), x, x)
    (array([1., 1., 1.]), array([0., 0., 0.]))
    """
    x, y = check_pairs(x, y)
    return np.asarray(score_pairs(x, y)), np.asarray(score_pairs(x, np.roll(y, -1, axis=0)))
