"""What log odds tell of held-out pairs: the measure by which feature maps are compared."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from canonsim.cross_fitting import left_out_folds
from canonsim.maps.row_sample import RowSample
from canonsim.moments import PairedMoments
from canonsim.space import CanonicalSpace

Vector = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]

# Scales of log odds that are tried: the information is concave in the scale, and hardly changes from one to the next.
_SCALES = 2.0 ** np.arange(-6, 2.25, 0.25)

# By how many standard errors one must be better than another that is simpler.
_STANDARD_ERRORS = 2.0


def contrastive_information(space: CanonicalSpace, moments: PairedMoments, sample: RowSample) -> Vector:
    """What log odds tell of each pair of a sample, held out, among those of its fold, in nats: (n,).

    The mean over both directions of ``s_ii - log mean_j exp s_ij`` (van den Oord, Li, Vinyals 2018, equation 4), with
    log odds s of directions fitted without the fold, times the scale that gives the largest mean. Its mean is a lower
    bound of the mutual information of the sides, and at most the logarithm of the number of pairs in a fold.

    Parameters
    ----------
    space : CanonicalSpace
        The fit of the moments; its ridges and held-out numbers are used.
    moments : PairedMoments
        Of at least two folds that hold rows.
    sample : RowSample
        Some of the rows of these moments; rows with one id as a pair are not what it is told from.
    """
    gains = np.zeros((len(_SCALES), len(sample)))
    for rows, scorer in left_out_folds(space, moments, sample.ids):
        scores = scorer.log_odds(sample.x[rows], sample.y[rows]).astype(np.float64)
        others = sample.ids[rows][:, None] != sample.ids[rows]
        np.fill_diagonal(others, val=True)
        for i, scale in enumerate(_SCALES):
            gains[i, rows] = (_gain(scale * scores, others) + _gain(scale * scores.T, others)) / 2
    return np.asarray(gains[gains.mean(axis=1).argmax()])


def is_better(differences: Vector, ids: npt.NDArray[np.int64]) -> bool:
    """Whether the mean of differences (n,) is above 0 by two standard errors; rows of one id vary together."""
    mean = float(differences.mean())
    _, cluster = np.unique(ids, return_inverse=True)
    sums = np.bincount(cluster, differences - mean)
    return bool(mean > _STANDARD_ERRORS * np.sqrt((sums**2).sum()) / len(differences))


def _gain(scores: Matrix, others: npt.NDArray[np.bool_]) -> Vector:
    """``s_ii - log mean_j exp s_ij`` over the j that count."""
    largest = scores.max(axis=1, keepdims=True)
    mean = np.mean(np.exp(scores - largest), axis=1, where=others)
    return np.asarray(np.diag(scores) - largest[:, 0] - np.log(mean))
