"""Items to encode."""

import numpy as np
import pytest


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (20, 30, 3), dtype=np.uint8) for _ in range(5)]


@pytest.fixture
def clips():
    rng = np.random.default_rng(0)
    return [(rng.standard_normal(length).astype(np.float32) * 0.1, 16000) for length in (4000, 7000, 4000, 2500, 9001)]
