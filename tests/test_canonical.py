"""fit: against independent float64 references, on degenerate data, and its refusals."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh
from sklearn.covariance import ledoit_wolf_shrinkage

import canonsim
from synthetic import related


def moments_of(x, y, folds=5, ids=None):
    moments = canonsim.PairedMoments(x.shape[1], y.shape[1], folds=folds)
    moments.update(x, y, ids=ids)
    return moments


def reference(x, y, rx, ry):
    """Canonical correlations from the generalised eigenvalue problem of the joint covariance (Hotelling 1936)."""
    p = x.shape[1]
    joint = np.cov(np.hstack([x, y]).T)
    blocks = np.zeros_like(joint)
    blocks[:p, :p] = joint[:p, :p] + rx * np.trace(joint[:p, :p]) / p * np.eye(p)
    q = y.shape[1]
    blocks[p:, p:] = joint[p:, p:] + ry * np.trace(joint[p:, p:]) / q * np.eye(q)
    cross = joint.copy()
    cross[:p, :p] = cross[p:, p:] = 0
    return eigh(cross, blocks, eigvals_only=True)[::-1][: min(p, q)]


@pytest.mark.parametrize("ridge", [0.0, 0.3, (2.0, 0.1)])
@pytest.mark.parametrize(("p", "q"), [(12, 8), (5, 9), (1, 4)])
def test_correlations_are_those_of_the_eigenproblem(ridge, p, q):
    x, y = related(p=p, q=q)
    space = canonsim.fit(moments_of(x, y), n_components=None, ridge=ridge)
    rx, ry = ridge if isinstance(ridge, tuple) else (ridge, ridge)
    np.testing.assert_allclose(space.correlations, reference(x, y, rx, ry), atol=1e-9)
    assert space.ridge == (rx, ry)
    assert space.count == len(x)


def test_projections_whiten_and_diagonalise():
    x, y = related()
    space = canonsim.fit(moments_of(x, y), n_components=None, ridge=0.0)
    u, v = space.project_x(x), space.project_y(y)
    n = len(x) - 1
    np.testing.assert_allclose(u.T @ u / n, np.eye(8), atol=1e-10)
    np.testing.assert_allclose(v.T @ v / n, np.eye(8), atol=1e-10)
    np.testing.assert_allclose(u.T @ v / n, np.diag(space.correlations), atol=1e-10)
    leading = np.abs(space.x_projection).argmax(axis=0)
    assert (space.x_projection[leading, np.arange(8)] > 0).all()
    assert space.x_projection.flags.c_contiguous


def test_oas_is_the_published_shrinkage():
    x, y = related(n=40)
    space = canonsim.fit(moments_of(x, y), ridge="oas")
    for side, ridge in zip((x, y), space.ridge, strict=True):
        n, p = side.shape
        s = np.cov(side.T, bias=True)
        squares, trace = np.trace(s @ s), np.trace(s)
        rho = ((1 - 2 / p) * squares + trace**2) / ((n + 1 - 2 / p) * (squares - trace**2 / p))
        assert ridge == pytest.approx(rho / (1 - rho))


def test_ledoit_and_wolf_give_what_scikit_learn_finds():
    x, y = related(n=40)
    moments = canonsim.merge([moments_of(x[:13], y[:13]), moments_of(x[13:], y[13:])])
    space = canonsim.fit(moments, ridge="ledoit-wolf")
    for side, ridge in zip((x, y), space.ridge, strict=True):
        shrinkage = ledoit_wolf_shrinkage(side)
        assert ridge == pytest.approx(shrinkage / (1 - shrinkage), rel=1e-9)


def test_unpaired_rows_whiten_where_that_tells_more():
    rng = np.random.default_rng(0)
    up, down, mix = rng.standard_normal((3, 30)), rng.standard_normal((3, 20)), 3 * rng.standard_normal((8, 30))

    def rows(n):
        z = rng.standard_normal((n, 3))
        noise = rng.standard_normal((n, 8)) @ mix + 2 * rng.standard_normal((n, 30))
        return z @ up + noise, z @ down + 2 * rng.standard_normal((n, 20))

    moments = moments_of(*rows(120))
    moments.update_x(rows(3000)[0])
    without, chosen = (canonsim.fit(moments, ridge=0.0, unpaired=share) for share in (0.0, "auto"))
    assert without.unpaired == (0.0, 0.0)
    assert chosen.unpaired[0] > 0
    assert chosen.unpaired[1] == 0
    assert chosen.held_out_information > without.held_out_information
    x, y = rows(500)
    assert chosen.log_odds_pairwise(x, y).mean() > without.log_odds_pairwise(x, y).mean()
    with pytest.raises(ValueError, match=r"got 0.5 for 0 rows"):
        canonsim.fit(moments, unpaired=0.5)


@pytest.mark.parametrize(
    ("unpaired", "error", "message"),
    [
        (1.5, ValueError, "unpaired must lie between 0 and 1, got 1.5"),
        ("all", ValueError, "unpaired must be a number, a pair of numbers or 'auto', got 'all'"),
        ((0.1, "x"), TypeError, "unpaired must be a number"),
    ],
)
def test_bad_shares_are_named(pairs, unpaired, error, message):
    with pytest.raises(error, match=message):
        canonsim.fit(moments_of(*pairs), unpaired=unpaired)


def test_automatic_ridge_and_rank():
    x, y = related(n=80, p=40, q=30, shared=3)
    moments = moments_of(x, y)
    grid = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
    full = {ridge: canonsim.fit(moments, n_components=None, ridge=ridge) for ridge in itertools.product(grid, grid)}
    information = {ridge: -np.log1p(-(space.held_out_correlations**2)).sum() / 2 for ridge, space in full.items()}
    chosen = canonsim.fit(moments)
    best = max(information, key=information.get)
    assert chosen.ridge == best
    values, sizes = np.unique(full[best].held_out_correlations, return_counts=True)
    assert chosen.n_components == sizes[values > 1 / np.sqrt(80 * sizes)].sum()
    np.testing.assert_array_equal(chosen.weights, chosen.held_out_correlations)


def test_held_out_correlations_tell_noise_from_signal():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((200, 30)), rng.standard_normal((200, 30))
    with pytest.warns(canonsim.NoSignalWarning, match="no canonical direction beyond chance"):
        space = canonsim.fit(moments_of(x, y), n_components=None, ridge=0.0)
    assert space.correlations[0] > 0.6
    assert space.held_out_correlations[0] < 0.2
    x, y = related(n=2000, shared=2)
    space = canonsim.fit(moments_of(x, y), n_components=None, ridge=0.0)
    np.testing.assert_allclose(space.held_out_correlations[:2], space.correlations[:2], atol=0.02)


def test_order_and_sharding_do_not_change_the_choice():
    x, y = related(n=150, p=30, q=20)
    whole = canonsim.fit(moments_of(x, y))
    order = np.random.default_rng(1).permutation(150)
    parts = [moments_of(x[rows], y[rows], ids=rows) for rows in np.array_split(order, 4)]
    sharded = canonsim.fit(canonsim.merge(parts))
    assert sharded.ridge == whole.ridge
    np.testing.assert_allclose(sharded.correlations, whole.correlations, atol=1e-9)
    np.testing.assert_allclose(sharded.held_out_correlations, whole.held_out_correlations, atol=1e-9)


def check_contract(space):
    for name in ("correlations", "weights", "x_std", "y_std", "x_projection", "y_projection", "x_mean"):
        assert np.isfinite(getattr(space, name)).all(), name
    assert ((space.correlations >= 0) & (space.correlations <= 1)).all()
    assert (np.diff(space.correlations) <= 0).all()
    if space.held_out_correlations is not None:
        assert ((space.held_out_correlations >= 0) & (space.held_out_correlations < 1)).all()
        assert (np.diff(space.held_out_correlations) <= 0).all()


@pytest.mark.filterwarnings("ignore::canonsim.NoSignalWarning")
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    n=st.integers(10, 60),
    p=st.integers(1, 20),
    q=st.integers(1, 20),
    rank=st.integers(1, 3),
    dtype=st.sampled_from([np.float32, np.float64]),
    kind=st.sampled_from(["low rank", "duplicated", "constant column", "constant", "identical", "one-hot"]),
)
def test_degenerate_data_is_answered(seed, n, p, q, rank, dtype, kind):
    x, y = related(seed, n=n, p=p, q=q, shared=rank)
    rng = np.random.default_rng(seed)
    if kind == "low rank":
        y = rng.standard_normal((rank + 1, q))[rng.integers(0, rank + 1, n)]
    elif kind == "duplicated":
        x = np.hstack([x, x, 2 * x])
    elif kind == "constant column":
        x[:, 0] = 0.1
    elif kind == "constant":
        x[:] = 0.1
    elif kind == "identical":
        y = x
    else:
        y = np.eye(q)[rng.integers(0, q, n)]
    x, y = x.astype(dtype), y.astype(dtype)
    moments = moments_of(x, y)
    for ridge in (0.0, 1.0, "oas", "auto"):
        for weights in ("held-out", "training", "equal"):
            space = canonsim.fit(moments, ridge=ridge, weights=weights)
            check_contract(space)
            for scores in (space.similarity(x, y), space.log_odds(x, y)):
                assert np.isfinite(scores).all()


def test_rank_deficient_text_classifies():
    # Ten class prompts in 384 columns: the case on which an unguarded inverse gives correlations of 1.43.
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 3000)
    prompts = rng.standard_normal((10, 384)).astype(np.float32)
    x = (rng.standard_normal((10, 50))[labels] + rng.standard_normal((3000, 50))).astype(np.float32)
    space = canonsim.fit(moments_of(x, prompts[labels]), n_components=None, ridge=0.0)
    assert space.n_components == 9
    check_contract(space)
    accuracy = (space.similarity(x, prompts).argmax(axis=1) == labels).mean()
    assert accuracy > 0.99


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_components": 0}, ValueError, "between 1 and"),
        ({"n_components": 9}, ValueError, "smaller width, 8, got 9"),
        ({"n_components": 2.0}, TypeError, "n_components"),
        ({"n_components": "all"}, TypeError, "n_components"),
        ({"ridge": -1.0}, ValueError, "at least 0"),
        ({"ridge": float("nan")}, ValueError, "finite"),
        ({"ridge": (1.0, 2.0, 3.0)}, TypeError, "pair"),
        ({"ridge": "lasso"}, ValueError, "lasso"),
        ({"ridge": None}, TypeError, "ridge"),
        ({"weights": "none"}, ValueError, "none"),
    ],
)
def test_bad_arguments(arguments, error, message, pairs):
    with pytest.raises(error, match=message):
        canonsim.fit(moments_of(*pairs), **arguments)


def test_too_little_data(pairs):
    x, y = pairs
    with pytest.raises(TypeError, match="moments"):
        canonsim.fit(x)
    with pytest.raises(ValueError, match="at least 2 pairs, the moments hold 1"):
        canonsim.fit(moments_of(x[:1], y[:1]))
    with pytest.raises(ValueError, match="ridge='auto' needs at least two folds"):
        canonsim.fit(moments_of(x, y, folds=1))
    with pytest.raises(ValueError, match="weights='held-out' needs at least two folds"):
        canonsim.fit(moments_of(x, y, folds=1), ridge=1.0)
    with pytest.raises(ValueError, match="folds"):
        canonsim.fit(moments_of(x, y, ids=np.zeros(len(x), int)), ridge=1.0)
    without = canonsim.fit(moments_of(x, y, folds=1), ridge=1.0, weights="training")
    assert without.held_out_correlations is None
    assert without.n_components == 8
