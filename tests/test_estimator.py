"""CSA: scikit-learn's own checks, and what they do not ask."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

import canonsim
from canonsim import CSA
from synthetic import related

# The second block is called Y, as in the field and in scikit-learn's own two-block estimators of old. These checks pass
# it by the name y.
_NAMED_Y = "it passes the second block by the name y"
CANNOT_APPLY = {
    "check_n_features_in_after_fitting": _NAMED_Y,
    "check_transformer_data_not_an_array": _NAMED_Y,
    "check_transformer_general": _NAMED_Y,
}


def _checks():
    with warnings.catch_warnings():
        # CSA needs numpy alone, so it does not inherit from scikit-learn.
        warnings.filterwarnings("ignore", message="Estimator CSA does not inherit")
        return list(estimator_checks_generator(CSA(), legacy=True))


# The data of the checks are noise.
@pytest.mark.filterwarnings("ignore::canonsim.NoSignalWarning")
@pytest.mark.parametrize(("estimator", "check"), _checks())
def test_scikit_learn_checks(estimator, check):
    if check.func.__name__ in CANNOT_APPLY:
        with pytest.raises((TypeError, AssertionError)):
            check(estimator)
    else:
        check(estimator)


def test_is_the_fit_of_the_moments():
    x, y = related()
    moments = canonsim.PairedMoments(12, 8)
    moments.update(x, y)
    space = canonsim.fit(moments)
    csa = CSA().fit(x, y)
    np.testing.assert_array_equal(csa.correlations_, space.correlations)
    np.testing.assert_array_equal(csa.transform(x), space.project_x(x))
    u, v = csa.transform(x, y)
    np.testing.assert_array_equal(v, space.project_y(y))
    assert csa.score(x, y) == pytest.approx(space.log_odds_pairwise(x, y).mean())
    assert csa.n_features_in_ == 12
    assert u.shape == v.shape


def test_partial_fit_in_any_batches_is_fit():
    x, y = related()
    whole = CSA().fit(x, y)
    parts = CSA()
    for rows in np.array_split(np.arange(len(x)), 7):
        parts.partial_fit(x[rows], y[rows])
    np.testing.assert_allclose(parts.correlations_, whole.correlations_, atol=1e-10)
    np.testing.assert_allclose(parts.space_.held_out_correlations, whole.space_.held_out_correlations, atol=1e-10)
    assert parts.space_.ridge == whole.space_.ridge


@pytest.mark.parametrize("batch", [1, 3])
def test_partial_fit_waits_for_enough_pairs(batch):
    x, y = related(n=30)
    csa = CSA()
    csa.partial_fit(x[:1], y[:1])
    with pytest.raises(ValueError, match="not fitted yet"):
        csa.transform(x)
    for start in range(1, 30, batch):
        csa.partial_fit(x[start : start + batch], y[start : start + batch])
    whole = CSA().fit(x, y)
    assert csa.space_.ridge == whole.space_.ridge
    np.testing.assert_allclose(csa.correlations_, whole.correlations_, atol=1e-9)


def test_a_refused_batch_changes_nothing():
    x, y = related()
    csa = CSA().fit(x, y)
    before = csa.correlations_
    bad = y.copy()
    bad[3, 1] = np.nan
    with pytest.raises(ValueError, match="row 3"):
        csa.partial_fit(x, bad)
    with pytest.raises(ValueError, match="as many rows"):
        csa.partial_fit(x, y[1:])
    assert csa.correlations_ is before
    assert csa.moments_.count == len(x)


def test_groups_are_held_out_together():
    x, y = related(n=60)
    x, y = np.repeat(x, 5, axis=0), np.repeat(y, 5, axis=0)
    groups = np.repeat(np.arange(60), 5)
    apart = CSA(ridge=0.0, n_components=None).fit(x, y)
    together = CSA(ridge=0.0, n_components=None).fit(x, y, groups=groups)
    # Copies of a row on both sides of a split make held-out numbers look like training numbers.
    assert apart.space_.held_out_correlations.sum() > together.space_.held_out_correlations.sum() + 0.5
    named = CSA(ridge=0.0, n_components=None).fit(x, y, groups=[f"image {g}" for g in groups])
    assert set(named.moments_.fold_counts % 5) == {0}
    with pytest.raises(ValueError, match="groups"):
        CSA().fit(x, y, groups=groups[1:])


def test_integers_and_lists_are_converted():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 9, (50, 3))
    assert CSA(ridge=1.0).fit(x.tolist(), x[:, 0]).space_.y_dim == 1


def test_works_in_a_pipeline_and_a_grid_search():
    x, y = related()
    pipeline = make_pipeline(StandardScaler(), CSA())
    assert pipeline.fit_transform(x, y).shape[0] == len(x)
    search = GridSearchCV(CSA(), {"ridge": [0.01, 100.0]}, cv=3).fit(x, y)
    assert search.best_params_ == {"ridge": 0.01}
    assert clone(CSA(ridge=2.0)).ridge == 2.0
    assert repr(CSA(ridge=2.0)) == "CSA(ridge=2.0)"


def test_before_a_fit():
    with pytest.raises(ValueError, match="not fitted yet"):
        CSA().transform(np.zeros((2, 2)))
