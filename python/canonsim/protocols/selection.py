"""The setting of a method that does best on validation rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from canonsim.protocols.methods import Fitted, Method, TrainingPairs


def choose(settings: Iterable[Fitted], criterion: Callable[[Fitted], float]) -> tuple[Fitted, float]:
    """The setting with the largest value of the criterion, the first of equals, and the seconds that all took to fit.

    Parameters
    ----------
    settings : iterable of Fitted
        Fitted when they are asked for.
    criterion : callable
        Of validation rows, never of test rows.

    Returns
    -------
    fitted : Fitted
    seconds : float
        The time of the criterion is not in them.

    Raises
    ------
    ValueError
        If there is no setting.

    Examples
    --------
    >>> settings = [Fitted(name, max, max) for name in ("short", "longest", "longer")]
    >>> choose(settings, lambda fitted: len(fitted.setting))[0].setting
    'longest'
    """
    best, reached, seconds = None, -float("inf"), 0.0
    began = time.perf_counter()
    for fitted in settings:
        seconds += time.perf_counter() - began
        value = criterion(fitted)
        if best is None or value > reached:
            best, reached = fitted, value
        began = time.perf_counter()
    if best is None:
        raise ValueError("settings must hold at least one, got none")
    return best, seconds


def refit(method: Method, setting: str, pairs: TrainingPairs) -> Fitted:
    """Fit a method to other pairs in the setting of this name, which must not depend on the pairs."""
    return next(fitted for fitted in method.fits(pairs) if fitted.setting == setting)
