"""Several feature maps in one pass: the moments of each, and a sample of the pairs by which to choose."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from canonsim.canonical import Ridge, fit
from canonsim.maps import FeatureMap, UnitLength
from canonsim.maps.contrastive import contrastive_information, is_better
from canonsim.maps.feature_map import check_is_map
from canonsim.maps.row_sample import RowSample
from canonsim.moments import PairedMoments
from canonsim.rows import Ids, Rows, check_rows, to_ids
from canonsim.scoring import Weights
from canonsim.space import CanonicalSpace

Candidate: TypeAlias = tuple[FeatureMap | None, FeatureMap | None]
Maps: TypeAlias = Literal["auto", "nonlinear"] | Sequence[str | Candidate]

_NAMED = {
    "auto": ("linear", "unit-length"),
    "nonlinear": ("linear", "unit-length", "random-fourier", "nystroem"),
}

# Pairs that the choice looks at.
_SAMPLE = 2048


class CandidateMoments:
    """Moments of the same pairs under several pairs of feature maps, and a sample of the pairs.

    As `PairedMoments` it is filled in one pass, merges, and is the same for any order, batching or sharding of the same
    rows with the same ids. `fit` makes the space of the best candidate.

    Parameters
    ----------
    maps : sequence of (x_map, y_map), or "auto"
        Feature maps of `canonsim.maps`, or None for rows as they are; the simplest first. ``"linear"`` stands for
        ``(None, None)``, ``"unit-length"`` for `UnitLength` on both sides, ``"auto"`` for these two. The linear
        candidate always comes first, named or not.
    x_dim, y_dim : int
        Widths p and q of the rows.
    folds : int
        As in `PairedMoments`, at least 2.

    Raises
    ------
    TypeError
        For anything but such pairs and names.
    ValueError
        For maps of other widths, fewer than 2 folds, or names that stand for maps made of rows.

    Examples
    --------
    >>> import numpy as np
    >>> import canonsim
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((500, 4))
    >>> length = np.exp(rng.standard_normal((500, 1)))
    >>> moments = canonsim.CandidateMoments("auto", 4, 4)
    >>> moments.update(x[:300] * length[:300], x[:300])
    >>> moments.update(x[300:] * length[300:], x[300:])
    >>> moments.fit().x_map
    UnitLength(in_dim=4, out_dim=4)
    """

    def __init__(self, maps: Maps, x_dim: int, y_dim: int, folds: int = 5) -> None:
        others = [_checked_candidate(candidate, x_dim, y_dim) for candidate in listed(maps)]
        self.candidates: tuple[Candidate, ...] = ((None, None), *(pair for pair in others if pair != (None, None)))
        if folds < 2:
            raise ValueError(f"folds must be at least 2 for a choice by held-out pairs, got {folds}")
        self.x_dim = x_dim
        self.y_dim = y_dim
        self.moments = tuple(
            PairedMoments(_width(x_map, x_dim), _width(y_map, y_dim), folds) for x_map, y_map in self.candidates
        )
        self._sample = RowSample(_SAMPLE, x_dim, y_dim)

    @property
    def count(self) -> int:
        """Number of pairs."""
        return self.moments[0].count

    @property
    def fold_counts(self) -> npt.NDArray[np.int64]:
        """Number of pairs of each fold, (K,) int64."""
        return self.moments[0].fold_counts

    def update(self, x: Rows, y: Rows, ids: Ids | None = None) -> None:
        """Add pairs; parameters and errors as of `PairedMoments.update`."""
        check_rows(x, "x", self.x_dim)
        check_rows(y, "y", self.y_dim)
        if len(x) != len(y):
            raise ValueError(f"y has {len(y)} rows, but x has {len(x)}")
        numbers = np.arange(self.count, self.count + len(x), dtype=np.int64) if ids is None else to_ids(ids, len(x))
        mapped = [(_mapped(x_map, x, "x"), _mapped(y_map, y, "y")) for x_map, y_map in self.candidates]
        # The rows themselves come first and are refused before anything has changed; mapped ones are finite.
        for moments, (x_rows, y_rows) in zip(self.moments, mapped, strict=True):
            moments.update(x_rows, y_rows, numbers)
        self._sample.add(x, y, numbers)

    def merge(self, other: CandidateMoments) -> None:
        """Add the rows of ``other``, in place.

        Raises
        ------
        TypeError
            If ``other`` is none of this kind.
        ValueError
            If its widths, folds or candidates differ.
        """
        if not isinstance(other, CandidateMoments):
            raise TypeError(f"other must be CandidateMoments, got {type(other).__name__}")
        if [_fingerprints(pair) for pair in self.candidates] != [_fingerprints(pair) for pair in other.candidates]:
            raise ValueError("other has other candidates: merge moments that were made with the same maps")
        for mine, theirs in zip(self.moments, other.moments, strict=True):
            mine.merge(theirs)
        self._sample.merge(other._sample)

    def of(self, space: CanonicalSpace) -> PairedMoments:
        """The moments of the candidate with the maps of a space that `fit` gave."""
        maps = _fingerprints((space.x_map, space.y_map))
        return next(
            moments for pair, moments in zip(self.candidates, self.moments, strict=True) if _fingerprints(pair) == maps
        )

    def copy(self) -> Self:
        """Moments of their own with the same state."""
        other = type(self)(self.candidates, self.x_dim, self.y_dim, self.moments[0].folds)
        other.moments = tuple(moments.copy() for moments in self.moments)
        other._sample = self._sample.copy()
        return other

    def fit(
        self,
        n_components: int | Literal["auto"] | None = "auto",
        ridge: Ridge = "auto",
        weights: Weights = "held-out",
    ) -> CanonicalSpace:
        """Fit every candidate and give the space of the best: see `fit_best`; parameters and errors as of `fit`."""
        best: tuple[CanonicalSpace, npt.NDArray[np.float64], list[warnings.WarningMessage]] | None = None
        measured = []
        for (x_map, y_map), moments in zip(self.candidates, self.moments, strict=True):
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                space = fit(moments, n_components, ridge, weights, x_map=x_map, y_map=y_map)
            if space.held_out_correlations is None:
                raise ValueError(f"a choice by held-out pairs needs two folds that hold rows, got {self.count} pairs")
            gains = contrastive_information(space, moments, self._sample)
            measured.append(
                {
                    "x_map": None if x_map is None else x_map.kind,
                    "y_map": None if y_map is None else y_map.kind,
                    "contrastive_information": float(gains.mean()),
                    "held_out_information": space.held_out_information,
                }
            )
            shows_signal = space.signal is not None and space.signal.low > 0
            if best is None or (shows_signal and is_better(gains - best[1], self._sample.ids)):
                best = space, gains, said
        assert best is not None
        for warning in best[2]:
            warnings.warn(warning.message, stacklevel=2)
        best[0].metadata["candidates"] = measured
        return best[0]


def listed(maps: Maps) -> Sequence[str | Candidate]:
    """The candidates of ``maps``, each by its name or in person."""
    if isinstance(maps, str):
        if maps not in _NAMED:
            raise ValueError(f"maps must be 'auto', 'nonlinear' or a sequence, got {maps!r}")
        return _NAMED[maps]
    if not isinstance(maps, (list, tuple)):
        raise TypeError(f"maps must be 'auto', 'nonlinear' or a sequence, got {type(maps).__name__}")
    return maps


def _checked_candidate(candidate: str | Candidate, x_dim: int, y_dim: int) -> Candidate:
    if isinstance(candidate, str):
        return _named(candidate, x_dim, y_dim)
    if not isinstance(candidate, tuple) or len(candidate) != 2:
        raise TypeError(f"a candidate is a pair (x_map, y_map), got {candidate!r}")
    for feature_map, argument, width in zip(candidate, ("x_map", "y_map"), (x_dim, y_dim), strict=True):
        check_is_map(feature_map, argument)
        if feature_map is not None and feature_map.in_dim != width:
            raise ValueError(f"{argument} takes rows of width {feature_map.in_dim}, but they are of width {width}")
    return candidate


def _named(name: str, x_dim: int, y_dim: int) -> Candidate:
    if name == "linear":
        return None, None
    if name == "unit-length":
        return UnitLength(x_dim), UnitLength(y_dim)
    if name in _NAMED["nonlinear"]:
        raise ValueError(f"{name!r} is made of all rows: use fit_best, or pass maps such as Nystroem.of_rows(...)")
    raise ValueError(f"maps are named {', '.join(map(repr, _NAMED['nonlinear']))}, got {name!r}")


def _width(feature_map: FeatureMap | None, width: int) -> int:
    return width if feature_map is None else feature_map.out_dim


def _mapped(feature_map: FeatureMap | None, rows: Rows, argument: str) -> Any:
    return rows if feature_map is None else feature_map(rows, argument)


def _fingerprints(candidate: Candidate) -> list[str | None]:
    return [None if feature_map is None else feature_map.fingerprint for feature_map in candidate]
