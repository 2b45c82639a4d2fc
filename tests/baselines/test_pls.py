"""PLS against scikit-learn's PLSSVD, and on pairs with few common directions."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSSVD

from canonsim import metrics
from canonsim.baselines import PLS
from synthetic import related


def test_the_variates_are_those_of_scikit_learn():
    x, y = related(n=80)
    found = PLS(r=3).fit(x[:60], y[:60])
    u, v = PLSSVD(n_components=3, scale=True).fit(x[:60], y[:60]).transform(x[60:], y[60:])
    expected = (u / np.linalg.norm(u, axis=1, keepdims=True)) @ (v / np.linalg.norm(v, axis=1, keepdims=True)).T
    np.testing.assert_allclose(found.score(x[60:], y[60:]), expected, atol=1e-9)


def test_a_common_part_is_found_with_as_many_components():
    x, y = related(n=500, shared=4, noise=0.2)
    found = PLS(r=4).fit(x[:300], y[:300])
    assert metrics.mismatch_auc(found.score_pairwise, x[300:], y[300:]) > 0.95


def test_no_more_components_than_pairs_and_columns_determine():
    x, y = related(n=6)
    assert PLS(r=50).fit(x, y).embed_x(x).shape == (6, 5)
    x, y = related(n=60)
    assert PLS(r=50).fit(x, y).embed_y(y).shape == (60, 8)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="r must be at least 1, not 0"):
        PLS(r=0)
    with pytest.raises(ValueError, match="at least 2 training pairs, got 1"):
        PLS().fit(np.ones((1, 2)), np.ones((1, 2)))
