"""The protocol of retrieval: known answers, chance, several captions, and what it refuses."""

import numpy as np
import pytest

from canonsim import metrics
from canonsim.protocols.methods import LOG_ODDS, METHODS, PROCRUSTES, Fitted, Method
from canonsim.protocols.retrieval import MEASURES, retrieval

ITEMS, CAPTIONS = 260, 3
PARTS = {"train": np.arange(120), "val": np.arange(120, 160), "test": np.arange(160, ITEMS)}


def captioned(noise, seed=0, captions=CAPTIONS):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((ITEMS, 8))
    owners = rng.permutation(np.repeat(np.arange(ITEMS), captions))
    return x, x[owners, :6] + noise * rng.standard_normal((len(owners), 6)), owners


def fixed(score):
    """A method without a fit."""

    def pairwise(x, y):
        return np.diag(score(x, y))

    return Method("fixed", ours=False, fits=lambda pairs: iter([Fitted("", score, pairwise)]))


def run(x, y, owners, methods, **options):
    return retrieval("made up", x, y, owners, PARTS, methods=methods, **{"csls": False, "resamples": 50, **options})


def test_captions_that_equal_their_items_are_found_without_error():
    x, _, owners = captioned(0)
    found = run(x, x[owners], owners, [fixed(lambda x, y: -np.linalg.norm(x[:, None] - y, axis=2))], sizes=[120])
    (row,) = found.rows
    assert row.values == pytest.approx(dict.fromkeys(MEASURES, 1.0), abs=1e-12)
    assert all(interval == pytest.approx((1, 1), abs=1e-12) for interval in row.intervals.values())


def test_constant_scores_are_at_chance():
    x, y, owners = captioned(0.5)
    found = run(x, y, owners, [fixed(lambda x, y: np.zeros((len(x), len(y))))], sizes=[120])
    for name, value in found.rows[0].values.items():
        if name != "median rank":
            assert value == pytest.approx(found.chance[name], abs=1e-9), name
    assert found.chance["y to x R@10"] == pytest.approx(0.1)
    # One of an item's 3 captions is among the first of 300 items with a probability of 3 / 300.
    assert found.chance["x to y R@1"] == pytest.approx(0.01)


def test_unrelated_sides_are_near_chance():
    x, _, owners = captioned(0)
    y = np.random.default_rng(1).standard_normal((len(owners), 6))
    found = run(x, y, owners, [PROCRUSTES], sizes=[120])
    assert found.rows[0].values["R@10"] == pytest.approx(found.chance["R@10"], abs=0.08)
    assert found.rows[0].values["AUC"] == pytest.approx(0.5, abs=0.1)


def test_numbers_are_those_of_the_metrics():
    x, y, owners = captioned(1.0)
    # Two test items lose their captions: they stay as rivals, and are no queries.
    kept = ~np.isin(owners, [170, 259])
    y, owners = y[kept], owners[kept]
    found = run(x, y, owners, [LOG_ODDS], sizes=[80])
    pairs = np.isin(owners, PARTS["train"][:80])
    (fitted,) = LOG_ODDS.fits((x[owners[pairs]], y[pairs], owners[pairs]))
    asked = np.isin(owners, PARTS["test"])
    test = x[PARTS["test"]], y[asked]
    summary = metrics.many_to_many_summary(fitted.score, *test, PARTS["test"], owners[asked])
    values = found.rows[0].values
    assert values["R@10"] == pytest.approx(summary["mean"]["R@10"], abs=1e-12)
    assert values["mAP"] == pytest.approx(summary["mean"]["mAP"], abs=1e-12)
    assert values["median rank"] == pytest.approx(summary["mean"]["median_rank"])
    assert found.chance["R@10"] == pytest.approx(summary["chance"]["mean"]["R@10"])
    for direction in ("x_to_y", "y_to_x"):
        for k in (1, 5, 10):
            name = f"{direction.replace('_', ' ')} R@{k}"
            assert values[name] == pytest.approx(summary[direction][f"R@{k}"], abs=1e-12)
            assert found.chance[name] == pytest.approx(summary["chance"][direction][f"R@{k}"])
    # The next item with captions.
    described = np.unique(owners[asked])
    following = dict(zip(described, np.roll(described, -1), strict=True))
    others = x[[following[owner] for owner in owners[asked]]]
    own = fitted.score_pairwise(x[owners[asked]], y[asked])
    assert values["AUC"] == pytest.approx(metrics.auc(own, fitted.score_pairwise(others, y[asked])), abs=1e-3)


def test_every_method_sees_all_captions_of_so_many_items():
    seen = []

    def fits(pairs):
        seen.append(pairs)
        yield Fitted("", lambda x, y: x[:, :6] @ y.T, lambda x, y: (x[:, :6] * y).sum(axis=1))

    x, y, owners = captioned(0.5)
    found = run(x, y, owners, [Method("spy", ours=False, fits=fits)], sizes=[50, 9999, 120, 10])
    assert [row.pairs for row in found.rows] == [10, 50, 120]
    for count, (some_x, some_y, ids) in zip((10, 50, 120), seen, strict=True):
        assert sorted(ids) == sorted(np.repeat(PARTS["train"][:count], CAPTIONS))
        np.testing.assert_array_equal(some_x, x[ids])
        assert len(some_y) == count * CAPTIONS
    assert "3.0 in the mean" in found.notes[0]


def test_without_a_validation_part_a_tenth_of_the_training_items_is_set_aside():
    seen = []

    def fits(pairs):
        seen.append(set(pairs[2].tolist()))
        yield Fitted("", lambda x, y: x[:, :6] @ y.T, lambda x, y: (x[:, :6] * y).sum(axis=1))

    x, y, owners = captioned(0.5)
    parts = {name: PARTS[name] for name in ("train", "test")}
    found = retrieval("no val", x, y, owners, parts, sizes=None, methods=[Method("spy", False, fits)], csls=False)
    assert found.rows[0].pairs == len(seen[0]) == 108
    assert seen[0] < set(PARTS["train"].tolist())
    assert "12 items set aside from the training part" in found.notes[1]


def test_settings_are_chosen_on_validation_items():
    def fits(pairs):
        for sign in (-1, 1):
            yield Fitted(f"{sign}", lambda x, y, s=sign: s * x[:, :6] @ y.T, lambda x, y: x[:, 0])

    x, y, owners = captioned(0.3)
    # On test items the other sign is right.
    x[PARTS["test"]] *= -1
    found = run(x, y, owners, [Method("signs", False, fits)], sizes=[50])
    assert found.rows[0].setting == "1"
    assert found.rows[0].values["R@10"] < 0.05


def test_ours_come_first_with_csls_and_more_pairs_find_more():
    x, y, owners = captioned(1.0, seed=3)
    found = run(x, y, owners, [PROCRUSTES, LOG_ODDS], csls=True, sizes=[12, 120])
    assert [row.method for row in found.rows[:3]] == ["log odds", "log odds + CSLS", "Procrustes"]
    values = {(row.method, row.pairs): row.values["R@10"] for row in found.rows}
    assert values["log odds", 120] > values["log odds", 12]
    assert values["log odds + CSLS", 120] == pytest.approx(values["log odds", 120], abs=0.1)
    assert all(row.seconds > 0 for row in found.rows)
    assert all(low <= row.values["R@10"] <= high for row in found.rows for low, high in [row.intervals["R@10"]])


def test_a_joint_model_needs_no_pairs():
    x, y, owners = captioned(0.5)
    joint = x[:, :6], y
    found = run(x, y, owners, [LOG_ODDS], sizes=[50, 120], joint=joint)
    first, *rest = found.rows
    assert (first.method, first.pairs, first.seconds) == ("joint model", None, 0)
    assert first.values["R@10"] > 0.8
    assert len(rest) == 2
    with pytest.raises(ValueError, match=r"joint must be vectors of the 260 items .* \(260, 8\) and \(780, 6\)"):
        run(x, y, owners, [LOG_ODDS], joint=(x, y))


def test_half_precision_features_are_taken():
    x, y, owners = captioned(0.5)
    found = run(x.astype(np.float16), y.astype(np.float16), owners, METHODS[:1], sizes=[120])
    assert found.rows[0].values["R@10"] > 0.8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"owners": np.full(780, 260)}, "owners must be rows of x between 0 and 259, got 260 to 260"),
        ({"owners": np.zeros(3, int)}, "owners must be one integer for each row"),
        ({"parts": {**PARTS, "val": np.arange(100, 140)}}, "shares rows with"),
        ({"parts": {"train": np.arange(10)}}, "parts must hold rows under 'test'"),
        (
            {"parts": {**PARTS, "val": np.array([120])}},
            r"parts\['val'\] must hold at least 2 items with captions, got 1",
        ),
        ({"parts": {"train": [0, 1, 2], "test": [3, 4]}}, "set aside for validation, must hold at least 2 items"),
        ({"sizes": [1]}, "none below 2"),
        ({"sizes": []}, "at least one and none below 2"),
        ({"resamples": -1}, "resamples must be at least 0, got -1"),
        ({"x": np.full((260, 8), np.nan)}, "x contains NaN or Inf in row 0"),
    ],
)
def test_bad_input_is_named(change, message):
    x, y, owners = captioned(0.5)
    given = {"x": x, "y": y, "owners": owners, "parts": PARTS, "methods": [LOG_ODDS], **change}
    with pytest.raises(ValueError, match=message):
        retrieval("made up", **given)
