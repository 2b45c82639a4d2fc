"""Made-up pairs with known structure."""

import numpy as np


def related(seed=0, n=600, p=12, q=8, shared=4, noise=0.7):
    """Two sides (n, p) and (n, q) with `shared` latent variables in common, f64."""
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((n, shared))
    x = latent @ rng.standard_normal((shared, p)) + noise * rng.standard_normal((n, p))
    y = latent @ rng.standard_normal((shared, q)) + noise * rng.standard_normal((n, q))
    return x, y
