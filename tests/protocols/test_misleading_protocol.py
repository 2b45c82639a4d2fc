"""The protocol of misleading captions: known answers, chance, the same rules for all, and what it refuses."""

import numpy as np
import pytest

from canonsim import metrics
from canonsim.protocols.methods import ASIF_METHOD, LOG_ODDS, Fitted, Method
from canonsim.protocols.misleading import MEASURES, JointVectors, misleading

ITEMS, TESTED = 200, 120
PARTS = {"train": np.arange(140), "val": np.arange(140, 200)}


def captioned(noise, seed=0):
    """Items with two captions each; test items, every other with the second caption of the next one."""
    rng = np.random.default_rng(seed)
    shown = rng.standard_normal((ITEMS + TESTED, 8))
    first, second = (shown[:, :6] + noise * rng.standard_normal((ITEMS + TESTED, 6)) for _ in range(2))
    owners = np.concatenate([np.arange(ITEMS)] * 2)
    wrong = np.arange(TESTED) % 2 == 1
    judged = np.where(wrong[:, None], np.roll(second[ITEMS:], 1, axis=0), second[ITEMS:])
    fit_on = shown[:ITEMS], np.concatenate([first[:ITEMS], second[:ITEMS]]), owners, PARTS
    return fit_on, (shown[ITEMS:], first[ITEMS:], judged, wrong)


def fixed(pairwise):
    """A method without a fit, of this score of rows."""

    def score(x, y):
        return np.zeros((len(x), len(y)))

    return Method("fixed", ours=False, fits=lambda pairs: iter([Fitted("", score, pairwise)]))


def distance(x, y):
    return -np.linalg.norm(x[:, :6] - y, axis=1)


def run(fit_on, test, methods, **options):
    return misleading("made up", *fit_on, *test, methods=methods, **{"resamples": 50, **options})


def test_captions_that_say_what_is_shown_are_judged_without_error():
    found = run(*captioned(0), [fixed(distance)])
    values = found.rows[0].values
    assert [values[name] for name in MEASURES[:4]] == [1.0] * 4
    assert values["balanced accuracy"] > 0.9
    assert found.rows[0].intervals["AUC"] == (1.0, 1.0)
    assert found.chance == dict.fromkeys(MEASURES, 0.5)


def test_labels_without_a_meaning_are_at_chance():
    fit_on, (asked, first, second, wrong) = captioned(0.5)
    labels = np.random.default_rng(1).permutation(wrong)
    found = run(fit_on, (asked, first, second, labels), [LOG_ODDS, ASIF_METHOD])
    for row in found.rows:
        for name in MEASURES:
            assert row.values[name] == pytest.approx(0.5, abs=0.15), name


def test_constant_scores_leave_what_texts_say():
    fit_on, test = captioned(0.5)
    found = run(fit_on, test, [fixed(lambda x, y: np.zeros(len(x)))])
    values = found.rows[0].values
    assert values["AUC, image"] == 0.5
    assert values["AUC, text"] > 0.8
    assert values["AUC, mean"] == values["AUC, text"]


def test_the_areas_of_one_score_are_those_of_the_raw_scores():
    fit_on, test = captioned(1.0)
    asked, first, second, wrong = test
    values = run(fit_on, test, [fixed(distance)]).rows[0].values
    unit = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (first, second)]
    for name, raw in (("AUC, image", distance(asked, second)), ("AUC, text", (unit[0] * unit[1]).sum(axis=1))):
        # Ranks among mismatches tie a few scores.
        assert values[name] == pytest.approx(metrics.auc(raw[~wrong], raw[wrong]), abs=0.01)


def test_all_methods_are_fitted_on_the_same_pairs_and_more_help():
    found = run(*captioned(0.5), [LOG_ODDS, ASIF_METHOD], sizes=[20, 140])
    assert [(row.method, row.pairs) for row in found.rows] == [
        ("log odds", 20),
        ("ASIF", 20),
        ("log odds", 140),
        ("ASIF", 140),
    ]
    assert found.rows[2].values["AUC, image"] > found.rows[0].values["AUC, image"]
    assert len({row.values["AUC, text"] for row in found.rows}) == 1
    assert list(found.curves) == ["log odds", "ASIF"]
    for row in found.rows:
        low, high = row.intervals["AUC"]
        assert low <= row.values["AUC"] <= high


def test_the_area_under_a_curve_is_the_one_told():
    found = run(*captioned(1.0), [LOG_ODDS])
    area = np.trapezoid(*found.curves["log odds"][::-1])
    assert area == pytest.approx(found.rows[0].values["AUC"], abs=5e-3)


def test_a_joint_model_judges_by_its_own_texts():
    fit_on, test = captioned(0.5)
    asked, first, second, wrong = test
    joint = JointVectors(fit_on[0][:, :6], fit_on[1], asked[:, :6], first, second)
    # The others' texts say nothing.
    silent = np.ones_like(first)
    found = run(fit_on, (asked, silent, silent, wrong), [fixed(distance)], joint=joint)
    model, other = found.rows
    assert (model.method, model.pairs) == ("joint model", None)
    assert model.values["AUC, text"] > 0.8
    assert model.values["AUC, image"] > 0.8
    assert other.values["AUC, text"] == 0.5
    with pytest.raises(ValueError, match="joint must hold vectors of the 120 test items, got 119"):
        run(fit_on, test, [], joint=JointVectors(*joint[:2], *(side[1:] for side in joint[2:])))


@pytest.mark.parametrize(
    ("place", "value", "error", "message"),
    [
        (0, np.zeros((120, 7)), ValueError, r"asked must have the shape \(120, 8\), got \(120, 7\)"),
        (1, np.zeros((119, 6)), ValueError, r"first must have the shape \(120, 6\), got \(119, 6\)"),
        (2, np.full((120, 6), np.inf), ValueError, "second contains NaN or Inf in row 0"),
        (3, np.arange(120) % 2, TypeError, "out_of_context must hold booleans, got int64"),
        (3, np.zeros(120, bool), ValueError, "true for some of 120 test items and false for others.*0 true"),
        (3, np.ones(7, bool), ValueError, r"got shape \(7,\)"),
    ],
)
def test_bad_input_is_named(place, value, error, message):
    fit_on, test = captioned(0.5)
    with pytest.raises(error, match=message):
        run(fit_on, [value if i == place else side for i, side in enumerate(test)], [LOG_ODDS])
