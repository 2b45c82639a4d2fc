"""The choice between feature maps, by held-out pairs."""

from __future__ import annotations

from typing import Literal

from canonsim.canonical import Ridge
from canonsim.maps import Nystroem, RandomFourier
from canonsim.maps.candidates import Candidate, CandidateMoments, Maps, listed
from canonsim.maps.kernel import mean_row
from canonsim.row_hashes import in_hash_order
from canonsim.rows import Ids, Rows, check_rows, take, to_ids
from canonsim.scoring import Weights
from canonsim.space import CanonicalSpace

_LANDMARKS = 500

# Rows mapped at a time.
_ROWS = 8192


def fit_best(
    x: Rows,
    y: Rows,
    ids: Ids | None = None,
    *,
    maps: Maps = "auto",
    folds: int = 5,
    n_components: int | Literal["auto"] | None = "auto",
    ridge: Ridge = "auto",
    weights: Weights = "held-out",
) -> CanonicalSpace:
    """Fit pairs with and without feature maps, in one pass, and give the space that tells most of held-out pairs.

    Candidates stand in an order, the simplest first, and the linear one, rows as they are, is the first. Each next one
    takes the place of the best so far only where its contrastive information is higher by two standard errors of the
    difference, and its directions carry signal (``space.signal``). So what chance brings, or a pass of too few pairs,
    leaves the linear one.

    Parameters
    ----------
    x, y : (n, p), (n, q)
        Pairs, as `PairedMoments.update` takes them. Batches that come one by one go into `canonsim.CandidateMoments`.
    ids : (n,) int64, optional
        As in `PairedMoments.update`.
    maps : "auto", "nonlinear", or a sequence
        ``"auto"`` is ``["linear", "unit-length"]``; ``"nonlinear"`` adds ``"random-fourier"`` and ``"nystroem"``, whose
        centres and landmarks are taken from the arrays. A sequence holds these names or pairs ``(x_map, y_map)``, each
        a map of `canonsim.maps` or None, in the order of their simplicity.
    folds, n_components, ridge, weights
        As in `PairedMoments` and `fit`; ``folds`` is at least 2.

    Returns
    -------
    CanonicalSpace
        With ``x_map`` and ``y_map`` of the candidate chosen; ``metadata["candidates"]`` holds what was measured.

    Raises
    ------
    TypeError
        For arguments of another type.
    ValueError
        For values out of range, what the moments refuse, or too few pairs.

    Notes
    -----
    Contrastive information is how well log odds find the partner of a held-out pair among the held-out pairs of its
    fold, the mean over both directions of ``s_ii - log mean_j exp s_ij``, in nats: a lower bound of the mutual
    information of the sides (van den Oord, Li, Vinyals 2018, equation 4; Poole et al. 2019), whatever gave the scores.
    The directions are those of a fit without the fold, and every candidate's log odds are scaled as suits them best. It
    is measured on up to 2,048 pairs, which are kept beside the moments. Pairs with one id are no partners to choose
    from, and count once in the standard error.

    The Gaussian information of held-out correlations, by which ridges are chosen, cannot choose maps. The squares of
    two variates of correlation r have the correlation r^2, and other functions of them likewise (Lancaster 1958): from
    features that hold such functions, it counts one dependence again and again.

    Where pairs are more than landmarks, the landmarks of x and of y are rows of different pairs: see
    `canonsim.maps.Nystroem`.

    Examples
    --------
    >>> import numpy as np
    >>> import canonsim
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((500, 4))
    >>> space = canonsim.fit_best(x * np.exp(rng.standard_normal((500, 1))), x)
    >>> space.x_map
    UnitLength(in_dim=4, out_dim=4)
    >>> canonsim.fit_best(x + 0.3 * rng.standard_normal((500, 4)), x).x_map is None
    True
    """
    moments = candidate_moments(maps, x, y, ids, folds)
    numbers = None if ids is None else to_ids(ids, len(x))
    for start in range(0, len(x), _ROWS):
        part = slice(start, start + _ROWS)
        moments.update(x[part], y[part], None if numbers is None else numbers[part])
    return moments.fit(n_components, ridge, weights)


def candidate_moments(maps: Maps, x: Rows, y: Rows, ids: Ids | None, folds: int) -> CandidateMoments:
    """Empty moments for candidates by name or in person; those that need rows for their centres take these."""
    check_rows(x, "x")
    check_rows(y, "y")
    if len(x) != len(y):
        raise ValueError(f"y has {len(y)} rows, but x has {len(x)}")
    found = [_of_rows(each, x, y, ids) if isinstance(each, str) else each for each in listed(maps)]
    return CandidateMoments(found, x.shape[1], y.shape[1], folds)


def _of_rows(name: str, x: Rows, y: Rows, ids: Ids | None) -> str | Candidate:
    if name not in ("random-fourier", "nystroem"):
        return name
    x_mean, y_mean = mean_row(x, "x"), mean_row(y, "y")
    if name == "random-fourier":
        return RandomFourier.draw(x), RandomFourier.draw(y)
    order = in_hash_order(ids, len(x))
    # A pair that is a landmark on both sides has directions of its own: see Nystroem.
    some = min(_LANDMARKS, len(order) // 2)
    of_x, of_y = (order, order) if len(order) <= _LANDMARKS else (order[:some], order[some : 2 * some])
    x_map = Nystroem.of_landmarks(take(x, of_x), center=x_mean)
    return x_map, Nystroem.of_landmarks(take(y, of_y), center=y_mean)
