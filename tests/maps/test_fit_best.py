"""The choice between feature maps: a nonlinear one where pairs are related nonlinearly, else rows as they are."""

import pickle
import warnings

import numpy as np
import pytest
import torch

import canonsim
from canonsim import CSA, CandidateMoments
from canonsim.maps import Nystroem, RandomFourier, UnitLength
from canonsim.maps.contrastive import contrastive_information, is_better
from canonsim.maps.row_sample import RowSample
from canonsim.maps.selection import candidate_moments
from canonsim.metrics import mismatch_auc, retrieval_summary
from synthetic import related

NONLINEAR = ["random-fourier", "nystroem"]


def small_maps(x, y):
    """Maps of every kind that are quick to fit."""
    return [
        "unit-length",
        (RandomFourier.draw(x, 48), RandomFourier.draw(y, 48)),
        (Nystroem.of_rows(x, 60), Nystroem.of_rows(y, 60)),
    ]


def even(seed=0, n=900):
    """y says where x points, but for the sign: no linear function of x is correlated with it."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3)) * np.exp(rng.standard_normal((n, 1)))
    u = x / np.linalg.norm(x, axis=1, keepdims=True)
    products = np.column_stack([u[:, i] * u[:, j] for i in range(3) for j in range(i, 3)])
    y = products @ np.random.default_rng(99).standard_normal((6, 6)) + 0.05 * rng.standard_normal((n, 6))
    return x, y


@pytest.mark.parametrize("name", NONLINEAR)
def test_a_nonlinear_relation_gets_a_nonlinear_map(name):
    x, y = even()
    with pytest.warns(canonsim.NoSignalWarning):
        linear = canonsim.fit_best(x[:600], y[:600], maps=["linear"])
    space = canonsim.fit_best(x[:600], y[:600], maps=[name])
    assert linear.x_map is None
    assert space.x_map.kind == space.y_map.kind == name
    test = x[600:], y[600:]
    recalls = [retrieval_summary(each.log_odds, *test)["mean"]["R@10"] for each in (linear, space)]
    assert recalls[1] > 5 * recalls[0]
    assert mismatch_auc(space.log_odds_pairwise, *test) > mismatch_auc(linear.log_odds_pairwise, *test) + 0.2
    # A map names itself in what was measured, and lost nothing by being saved with it.
    measured = space.metadata["candidates"]
    assert [each["x_map"] for each in measured] == [None, name]
    assert measured[1]["contrastive_information"] > measured[0]["contrastive_information"] + 1


@pytest.mark.parametrize(("noise", "n"), [(0.3, 400), (0.7, 300), (3.0, 600)])
def test_a_linear_relation_keeps_rows_as_they_are(noise, n):
    x, y = related(n=n, noise=noise)
    space = canonsim.fit_best(x, y, maps=small_maps(x, y))
    assert space.x_map is space.y_map is None
    moments = canonsim.PairedMoments(12, 8)
    moments.update(x, y)
    np.testing.assert_array_equal(space.log_odds(x, y), canonsim.fit(moments).log_odds(x, y))


def test_gaussian_information_would_have_chosen_wrong():
    """What the criterion is for: functions of one strong dependence count again and again in it."""
    x, y = related(n=500, noise=0.5)
    space = canonsim.fit_best(x, y, maps=small_maps(x, y)[-1:])
    linear, nystroem = space.metadata["candidates"]
    assert nystroem["held_out_information"] > linear["held_out_information"] + 1
    assert nystroem["contrastive_information"] < linear["contrastive_information"]
    assert space.x_map is None


def test_unrelated_sides_keep_rows_as_they_are():
    rng = np.random.default_rng(0)
    chosen = 0
    for _ in range(10):
        x, y = rng.standard_normal((200, 5)), rng.standard_normal((200, 4))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", canonsim.NoSignalWarning)
            chosen += canonsim.fit_best(x, y, maps=small_maps(x, y)).x_map is not None
    assert chosen <= 1


def test_any_order_and_batching_gives_the_same_space():
    x, y = even(n=500)
    maps = [(Nystroem.of_rows(x, 60), None), (UnitLength(3), UnitLength(6))]
    whole = canonsim.fit_best(x, y, np.arange(500), maps=maps)
    order = np.random.default_rng(1).permutation(500)
    parts = [CandidateMoments(maps, 3, 6) for _ in range(3)]
    for part, rows in zip(parts, np.array_split(order, 3), strict=True):
        for batch in np.array_split(rows, 4):
            part.update(torch.from_numpy(x[batch]), torch.from_numpy(y[batch]), batch)
    total = parts[0].copy()
    total.merge(parts[1])
    total.merge(pickle.loads(pickle.dumps(parts[2])))
    assert (total.count, parts[0].count) == (500, 167)
    space = total.fit()
    assert space.x_map.kind == "nystroem"
    assert space.ridge == whole.ridge
    np.testing.assert_allclose(space.correlations, whole.correlations, atol=1e-9)
    for mine, theirs in zip(space.metadata["candidates"], whole.metadata["candidates"], strict=True):
        assert mine["contrastive_information"] == pytest.approx(theirs["contrastive_information"], abs=1e-9)


def test_contrastive_information_by_its_definition():
    x, y = related(n=90)
    ids = np.arange(90) // 2
    moments = canonsim.PairedMoments(12, 8, folds=3)
    moments.update(x, y, ids)
    space = canonsim.fit(moments, ridge=0.5, n_components=3)
    sample = RowSample(1000, 12, 8)
    sample.add(x, y, ids)
    assert len(sample) == 90
    found = contrastive_information(space, moments, sample)
    folds = canonsim._native.folds_of(sample.ids, 3)
    best = None
    r = space.held_out_correlations

    def odds(a, b, scale):
        terms = r * a * b / (1 - r**2) - r**2 * (a**2 + b**2) / (2 * (1 - r**2))
        return scale * (terms - np.log(1 - r**2) / 2).sum()

    for scale in 2.0 ** np.arange(-6, 2.25, 0.25):
        gains = np.empty(90)
        for k in range(3):
            rest = canonsim.PairedMoments(12, 8, folds=1)
            rest.update(sample.x[folds != k], sample.y[folds != k])
            fitted = canonsim.fit(rest, 3, 0.5, "training")
            u = fitted.project_x(sample.x) / space.x_std
            v = fitted.project_y(sample.y) / space.y_std
            for i in np.flatnonzero(folds == k):
                others = [j for j in np.flatnonzero(folds == k) if j == i or sample.ids[j] != sample.ids[i]]
                to_y = np.log(np.mean([np.exp(odds(u[i], v[j], scale)) for j in others]))
                to_x = np.log(np.mean([np.exp(odds(u[j], v[i], scale)) for j in others]))
                gains[i] = odds(u[i], v[i], scale) - (to_y + to_x) / 2
        best = gains if best is None or gains.mean() > best.mean() else best
    np.testing.assert_allclose(found, best, atol=1e-8)


def test_better_means_by_two_standard_errors_over_ids():
    differences = np.array([1.0, -1.0] * 50) + 0.25
    ids = np.arange(100)
    assert is_better(differences, ids)
    assert not is_better(differences - 0.1, ids)
    # Ten copies of each row say no more than one.
    assert not is_better(np.repeat(differences - 0.1, 10), np.repeat(ids, 10))
    assert not is_better(np.zeros(10), ids[:10])


def test_the_sample_is_the_same_however_rows_come():
    rng = np.random.default_rng(0)
    x, y, ids = rng.standard_normal((300, 2)), rng.standard_normal((300, 3)), rng.permutation(10_000)[:300]
    whole = RowSample(40, 2, 3)
    whole.add(x, y, ids)
    first, second = RowSample(40, 2, 3), RowSample(40, 2, 3)
    for start in range(0, 300, 7):
        part = slice(start, start + 7)
        (first if start < 150 else second).add(x[part], torch.from_numpy(y[part]), ids[part])
    second.merge(first)
    for name in ("x", "y", "ids"):
        np.testing.assert_array_equal(getattr(second, name), getattr(whole, name))
    assert len(whole) == 40
    assert np.isin(whole.ids, ids).all()


def test_landmarks_of_the_two_sides_are_different_pairs():
    """A pair that is a landmark on both sides would look correlated, and the sides would seem to share everything."""
    rng = np.random.default_rng(0)
    x, y, ids = rng.standard_normal((1100, 9)), rng.standard_normal((1100, 7)), np.arange(1100) * 3
    x_map, y_map = candidate_moments(["nystroem"], x, y, ids, 5).candidates[1]
    pairs = []
    for feature_map, rows in ((x_map, x), (y_map, y)):
        centred = rows - rows.mean(0)
        unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
        pairs.append(set((unit @ feature_map.landmarks.T).argmax(axis=0)))
    assert [len(each) for each in pairs] == [500, 500]
    assert not pairs[0] & pairs[1]
    # Where all pairs are landmarks on both sides, every kernel is exact.
    x_map, y_map = candidate_moments(["nystroem"], x[:300], y[:300], ids[:300], 5).candidates[1]
    assert len(x_map.landmarks) == len(y_map.landmarks) == 300


@pytest.mark.parametrize("same", [True, False])
def test_pairs_that_are_landmarks_on_both_sides_say_too_much(same):
    x, y = related(n=700, p=80, q=80, shared=20, noise=2.0)
    x_map, y_map = Nystroem.of_landmarks(x[:150]), Nystroem.of_landmarks(y[:150] if same else y[150:300])
    moments = canonsim.PairedMoments(150, 150)
    moments.update(x_map(x[:400]), y_map(y[:400]))
    space = canonsim.fit(moments, ridge=1.0, x_map=x_map, y_map=y_map)
    of_new_pairs = space.log_odds_pairwise(x[400:], y[400:]).mean()
    assert (space.held_out_information > 1.2 * of_new_pairs) == same
    assert (space.held_out_information < 1.05 * of_new_pairs) != same


def test_csa_chooses_maps():
    x, y = even(n=700)
    csa = CSA(maps=["nystroem"]).fit(x, y)
    assert csa.space_.x_map.kind in NONLINEAR
    assert csa.transform(x).shape[1] == csa.space_.n_components
    assert csa.score(x, y) > 1
    with pytest.warns(canonsim.NoSignalWarning):
        assert CSA().fit(x, y).space_.x_map is None
    maps = [(Nystroem.of_rows(x, 60), Nystroem.of_rows(y, 60))]
    whole, parts = CSA(maps=maps).fit(x, y), CSA(maps=maps)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", canonsim.NoSignalWarning)
        for rows in np.array_split(np.arange(700), 9):
            parts.partial_fit(x[rows], y[rows])
    assert parts.space_.x_map is maps[0][0]
    assert parts.n_features_in_ == 3
    np.testing.assert_allclose(parts.correlations_, whole.correlations_, atol=1e-9)
    with pytest.raises(ValueError, match="'nystroem' is made of all rows"):
        CSA(maps=["nystroem"]).partial_fit(x, y)
    assert repr(CSA(maps="auto")) == "CSA(maps='auto')"


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"maps": "all"}, ValueError, "maps must be 'auto', 'nonlinear' or a sequence, got 'all'"),
        ({"maps": None}, TypeError, "maps must be 'auto', 'nonlinear' or a sequence, got NoneType"),
        ({"maps": ["wavelet"]}, ValueError, "maps are named 'linear', 'unit-length', .* got 'wavelet'"),
        ({"maps": [UnitLength(3)]}, TypeError, r"a candidate is a pair \(x_map, y_map\), got UnitLength"),
        ({"maps": [(UnitLength(4), None)]}, ValueError, "x_map takes rows of width 4, but they are of width 3"),
        ({"maps": [(None, np.tanh)]}, TypeError, "y_map must be a feature map of canonsim.maps, got <ufunc"),
        ({"folds": 1}, ValueError, "folds must be at least 2"),
        ({"ids": np.zeros(50, int), "weights": "training", "ridge": 1.0}, ValueError, "needs two folds that hold rows"),
        ({"ids": [1, 2]}, ValueError, "ids must be one integer for each row"),
        ({"ridge": -1.0}, ValueError, "ridge must be finite"),
    ],
)
def test_bad_arguments_are_named(settings, error, message):
    x, y = even(n=50)
    with pytest.raises(error, match=message):
        canonsim.fit_best(x, y, **settings)


def test_bad_rows_are_named_and_change_nothing():
    x, y = even(n=50)
    spoiled = np.where(np.arange(50)[:, None] == 7, np.nan, y)
    for maps in ("auto", "nonlinear"):
        with pytest.raises(ValueError, match="y holds NaN"):
            canonsim.fit_best(x, spoiled, maps=maps)
    with pytest.raises(ValueError, match="y has 49 rows, but x has 50"):
        canonsim.fit_best(x, y[:49])
    moments = CandidateMoments("auto", 3, 6)
    moments.update(x, y)
    with pytest.raises(ValueError, match=r"row 7"):
        moments.update(x, spoiled)
    with pytest.raises(ValueError, match="x has 6 columns, expected 3"):
        moments.update(y, y)
    assert [each.count for each in moments.moments] == [50, 50]
    with pytest.raises(ValueError, match="other has other candidates"):
        moments.merge(CandidateMoments([(UnitLength(3), RandomFourier.draw(y, 4))], 3, 6))
    with pytest.raises(TypeError, match="other must be CandidateMoments, got PairedMoments"):
        moments.merge(canonsim.PairedMoments(3, 6))
