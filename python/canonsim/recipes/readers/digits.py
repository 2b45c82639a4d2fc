"""The digits that come with scikit-learn."""

from __future__ import annotations

import numpy as np

from canonsim.recipes.examples import Items, Labelled
from canonsim.recipes.readers.parts import draw, prompts

_NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def read(*, templates: tuple[str, ...], val_share: float = 0.1, test_share: float = 0.3) -> Labelled:
    """Read 1,797 handwritten digits as 64 grey values each, from 0 to 1, divided by chance.

    Parameters
    ----------
    templates : tuple of str
    val_share, test_share : float

    Raises
    ------
    ImportError
        Without scikit-learn (``pip install scikit-learn``).
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("the digits come with scikit-learn: pip install scikit-learn") from error
    pixels, labels = load_digits(return_X_y=True)
    shares = {"train": 1 - val_share - test_share, "val": val_share, "test": test_share}
    parts = draw(np.arange(len(labels)), {part: share for part, share in shares.items() if share})
    x = Items("features", (pixels / 16).astype(np.float32))
    return Labelled(x, labels.astype(np.int64), list(_NAMES), prompts(_NAMES, templates), parts)
