"""Generalised canonical correlation analysis of several sides (MAXVAR), from their moments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from canonsim import _native
from canonsim.moments import PairedMoments, SideMoments

Array: TypeAlias = npt.NDArray[np.float64]
Names: TypeAlias = tuple[str, str]

_EPSILON = float(np.finfo(np.float64).eps)
# A spread of up to this many roundings of its mean is no spread, and products of short floats are summed in their own
# precision over so many rows: both as in the core.
_CONSTANT, _DEPTH = 16, 256
# Eigenvalues below this, times the size of the problem, are rounding.
_FLOOR = 16 * _EPSILON


class Covariance:
    """The covariance of one side, and what whitens it.

    Parameters
    ----------
    moments : SideMoments
        Of at least 2 rows.
    roundoff : float
        Unit roundoff of the products in them.
    """

    def __init__(self, moments: SideMoments, roundoff: float) -> None:
        self.mean = moments.mean
        self.matrix = moments.scatter / (moments.count - 1)
        spread = moments.scatter.diagonal()
        still = spread <= moments.count * (_CONSTANT * _EPSILON * moments.mean) ** 2
        self.matrix[still] = self.matrix[:, still] = 0.0
        self._cut = max(roundoff * min(_DEPTH, moments.count) ** 0.5, len(spread) * _EPSILON)
        self._spectrum: tuple[Array, Array] | None = None

    def whitening(self, ridge: float) -> Array:
        """``W`` (d, rank) with ``W^T (C + ridge * mean variance * I) W = I``.

        Directions that vary by no more than rounding are dropped, not inverted.
        """
        if ridge > 0:
            if self._spectrum is None:
                self._spectrum = np.linalg.eigh(self.matrix)
            (values, vectors), scale = self._spectrum, None
        else:
            # Without a ridge columns of a small scale matter too: small is what is small beside its own variance.
            variances = self.matrix.diagonal()
            scale = np.divide(1.0, np.sqrt(variances), out=np.zeros_like(variances), where=variances > 0)
            values, vectors = np.linalg.eigh(self.matrix * scale * scale[:, None])
        kept = values > self._cut * max(values[-1], 0.0)
        root = vectors[:, kept] / np.sqrt(values[kept] + ridge * self.matrix.trace() / len(self.matrix))
        whitening: Array = root if scale is None else root * scale[:, None]
        return whitening


@dataclass(frozen=True)
class PairDirections:
    """Directions of two sides, (p, s) and (q, s), in decreasing order of what is shared, and correlations (s,)."""

    x: Array
    y: Array
    correlations: Array


@dataclass(frozen=True)
class JointDirections:
    """What `maxvar` finds.

    Attributes
    ----------
    means : {side: (p,)}
    projections : {side: (p, r)}
        ``W_a E_a sqrt(k)``.
    correlations : (r,)
        ``(eigenvalue - 1) / (k - 1)``, in [0, 1], nonincreasing.
    pairs : {(side, side): PairDirections}
    """

    means: dict[str, Array]
    projections: dict[str, Array]
    correlations: Array
    pairs: dict[Names, PairDirections]


class Training:
    """Covariances of some rows: of each side over all rows that have it, of each pair over all that have both.

    Parameters
    ----------
    sides : {side: Covariance}
    pairs : {(side, side): PairedMoments}
        Of every two sides, in their order.
    """

    def __init__(self, sides: Mapping[str, Covariance], pairs: Mapping[Names, PairedMoments]) -> None:
        self.sides = dict(sides)
        self._counts = {names: pair.count for names, pair in pairs.items()}
        self._cross = {names: pair.scatter_xy / max(pair.count - 1, 1) for names, pair in pairs.items()}

    def maxvar(self, ridges: Mapping[str, float]) -> JointDirections:
        """Directions that maximise the variance of the sum of all sides' variates (Kettenring 1971; Carroll 1968).

        With ``R_ab = W_a^T C_ab W_b`` of the whitened sides, the eigenvectors of the block matrix of all ``R_ab`` with
        ``R_aa = I``; ``E_a`` are their rows of side a. Where sides are missing a block counts by its rows, ``n_ab / max
        n``: as in a sum over rows, where a missing side adds nothing (van de Velden, Bijmolt 2006). Correlations of few
        rows would otherwise be the largest of all. Blocks of different rows may fit no distribution: then all are
        scaled down until the smallest eigenvalue is 0, which leaves the eigenvectors as they are.

        The sides a and b of the model share ``k E_a diag(correlations) E_b^T``, whose singular vectors are the
        directions of the pair: in these, unlike in the joint ones, the variates of one side are uncorrelated.

        Parameters
        ----------
        ridges : {side: float}
            Relative to the mean variance of the side.
        """
        k, most = len(self.sides), max(1, *self._counts.values())
        whitenings, blocks = self._whitened(ridges)
        ends = np.cumsum([0, *(w.shape[1] for w in whitenings.values())])
        at = {name: slice(ends[i], ends[i + 1]) for i, name in enumerate(whitenings)}
        off_diagonal = np.zeros((ends[-1], ends[-1]))
        for (a, b), block in blocks.items():
            off_diagonal[at[b], at[a]] = block.T * (self._counts[a, b] / most)
        values, vectors = np.linalg.eigh(off_diagonal, UPLO="L")
        shrinkage = 1 / max(1.0, -values[0]) if len(values) else 1.0
        kept = np.flatnonzero(values > _FLOOR * len(values))[::-1]
        correlations = np.minimum(values[kept] * shrinkage / (k - 1), 1.0)
        parts = {name: vectors[at[name]][:, kept] * k**0.5 for name in whitenings}
        projections = {name: w @ parts[name] for name, w in whitenings.items()}
        signs = _signs(next(iter(projections.values())))
        return JointDirections(
            means={name: side.mean for name, side in self.sides.items()},
            projections={name: projection * signs for name, projection in projections.items()},
            correlations=correlations,
            pairs={
                (a, b): _pair_directions(
                    whitenings[a], whitenings[b], blocks[a, b], parts[a] * correlations @ parts[b].T
                )
                for a, b in combinations(self.sides, 2)
            },
        )

    def _whitened(self, ridges: Mapping[str, float]) -> tuple[dict[str, Array], dict[Names, Array]]:
        """The whitening of each side, and the cross covariances of the whitened sides.

        Of a side wider than all others together only what these reach: it may be most of the eigenproblem.
        """
        whitenings = {name: side.whitening(ridges[name]) for name, side in self.sides.items()}
        blocks = {(a, b): whitenings[a].T @ cross @ whitenings[b] for (a, b), cross in self._cross.items()}
        widest = max(whitenings, key=lambda name: whitenings[name].shape[1])
        reached = np.hstack([block if a == widest else block.T for (a, b), block in blocks.items() if widest in (a, b)])
        if reached.shape[0] > reached.shape[1]:
            basis = np.linalg.qr(reached)[0]
            whitenings[widest] = whitenings[widest] @ basis
            for (a, b), block in blocks.items():
                if widest in (a, b):
                    blocks[a, b] = basis.T @ block if a == widest else block @ basis
        return whitenings, blocks


def _pair_directions(x: Array, y: Array, block: Array, shared: Array) -> PairDirections:
    """The directions of two sides with whitenings x and y, that share ``shared``; correlations from their ``block``."""
    left, values, right = np.linalg.svd(shared, full_matrices=False)
    kept = values > _FLOOR * max(shared.shape, default=1)
    left, right = left[:, kept], right[kept].T
    measured = ((left.T @ block) * right.T).sum(axis=1)
    directions = x @ left
    signs = _signs(directions)
    return PairDirections(directions * signs, y @ right * signs, np.clip(_native.nonincreasing(measured), 0.0, 1.0))


def _signs(projection: Array) -> Array:
    """What makes the entry of largest magnitude in each column positive."""
    if not projection.size:
        return np.ones(projection.shape[1])
    leading = projection[np.abs(projection).argmax(axis=0), np.arange(projection.shape[1])]
    return np.where(leading < 0, -1.0, 1.0)
