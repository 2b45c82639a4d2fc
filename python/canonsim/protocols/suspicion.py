"""How well scores single out what is wrong, where low is suspicious."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike

from canonsim.protocols.bootstrap import Interval, Measured
from canonsim.protocols.results import Curve

MEASURES = ("AUC", "R-precision", "precision", "flagged")

_POINTS = 200


@dataclass(frozen=True)
class Suspicion:
    """Measures of scores of rows of which it is known which are wrong.

    - "AUC": probability that a wrong row scores below a right one, ties counted half;
    - "R-precision": share of wrong rows among as many of the lowest scores as there are wrong rows, ties in random
      order;
    - "precision": share of wrong rows among those below a threshold, and "flagged", their number. Only of methods that
      have a threshold; without a row below it there is no precision.

    Attributes
    ----------
    wrong : (n,) bool
        At least one row of either kind.
    resamples : int
        How often rows are drawn again for intervals: as many wrong and right ones as there are, the same for every
        method.
    seed : int
    """

    wrong: npt.NDArray[np.bool_]
    resamples: int
    seed: int

    @property
    def chance(self) -> dict[str, float]:
        """What random scores reach."""
        share = float(self.wrong.mean())
        return {"AUC": 0.5, "R-precision": share, "precision": share}

    def __call__(
        self, scores: ArrayLike, threshold: float | None = None
    ) -> tuple[dict[str, float], dict[str, Interval]]:
        """Values and intervals of scores (n,).

        Examples
        --------
        >>> suspicion = Suspicion(np.array([True, True, False, False, False]), resamples=0, seed=0)
        >>> suspicion([0.1, 0.4, 0.4, 0.8, 0.9], threshold=0.2)[0]
        {'AUC': 0.9166666666666666, 'R-precision': 0.75, 'precision': 1.0, 'flagged': 1.0}
        """
        array = np.asarray(scores, dtype=np.float64)
        levels, level = np.unique(array, return_inverse=True)
        below = len(levels) if threshold is None else int((levels < threshold).sum())
        flags = threshold is not None and below > 0
        names = MEASURES[: 3 if flags else 2]

        def values(counts: npt.NDArray[np.int64]) -> list[float]:
            bad = np.bincount(level, counts * self.wrong, len(levels))
            good = np.bincount(level, counts * ~self.wrong, len(levels))
            area = (bad * (good.sum() - np.cumsum(good) + good / 2)).sum() / (bad.sum() * good.sum())
            # How many of each level are among the first: all of the lower ones, part of the last.
            every, first = bad + good, bad.sum()
            taken = np.clip(first - (np.cumsum(every) - every), 0, every)
            hits = (bad * np.divide(taken, every, out=np.zeros_like(every), where=every > 0)).sum()
            precision = [bad[:below].sum() / max(1.0, every[:below].sum())] if flags else []
            return [area, hits / first, *precision]

        found = dict(zip(names, map(float, values(np.ones(len(array), dtype=np.int64))), strict=True))
        rng = np.random.default_rng(self.seed)
        drawn = np.array([values(self._again(rng)) for _ in range(self.resamples)])
        flagged = {} if threshold is None else {"flagged": float((array < threshold).sum())}
        return found | flagged, Measured(found, drawn).intervals

    def curve(self, scores: ArrayLike) -> Curve:
        """The ROC curve: false and true positive rates of flagging from the lowest score on, at most 200 points.

        Examples
        --------
        >>> Suspicion(np.array([True, False]), resamples=0, seed=0).curve([0.0, 1.0])
        ([0.0, 0.0, 1.0], [0.0, 1.0, 1.0])
        """
        levels, level = np.unique(np.asarray(scores), return_inverse=True)
        across, up = (
            np.concatenate([[0.0], np.cumsum(np.bincount(level, kind, len(levels))) / kind.sum()])
            for kind in (~self.wrong, self.wrong)
        )
        if len(across) <= _POINTS:
            return across.tolist(), up.tolist()
        # Evenly along the curve.
        way = (across + up) / 2
        kept = np.unique(np.searchsorted(way, np.linspace(0, way[-1], _POINTS)))
        return across[kept].tolist(), up[kept].tolist()

    def _again(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """How often each row is drawn."""
        counts = np.zeros(len(self.wrong), dtype=np.int64)
        for kind in (self.wrong, ~self.wrong):
            places = np.flatnonzero(kind)
            counts += np.bincount(places[rng.integers(len(places), size=len(places))], minlength=len(counts))
        return counts
