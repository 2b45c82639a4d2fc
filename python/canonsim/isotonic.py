"""Isotonic regression: what must not increase does not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def nonincreasing(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The nonincreasing sequence closest to ``values`` in least squares: pool adjacent violators (Barlow et al. 1972).

    Examples
    --------
    >>> nonincreasing(np.array([5.0, 1.0, 3.0, 2.0, 0.0]))
    array([5., 2., 2., 2., 0.])
    """
    pools: list[tuple[float, int]] = []
    for value in values.tolist():
        total, size = value, 1
        while pools and pools[-1][0] / pools[-1][1] < total / size:
            before, length = pools.pop()
            total, size = total + before, size + length
        pools.append((total, size))
    return np.array([total / size for total, size in pools for _ in range(size)])
