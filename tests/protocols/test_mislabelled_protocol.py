"""Wrong labels and shuffled captions: known answers, chance, measures against references."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from canonsim.protocols.mislabelled import mislabelled, mismatched, shuffled
from canonsim.protocols.suspicion import Suspicion
from synthetic import related


def labelled(share=0.1, n=600, classes=6, seed=0, is_related=True):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, n)
    shown = true if is_related else rng.integers(0, classes, n)
    x = 8 * np.eye(classes, 20)[shown] + rng.standard_normal((n, 20))
    given = true.copy()
    wrong = rng.permutation(n)[: round(share * n)]
    given[wrong] = (true[wrong] + rng.integers(1, classes, len(wrong))) % classes
    return x, given, true, rng.standard_normal((classes, 2, 12)), list(range(classes))


@pytest.fixture(scope="module")
def found():
    x, given, true, texts, names = labelled()
    parts = {"train": np.arange(200), "test": np.arange(200, 600)}
    joint = 3 * np.eye(6)[true] + 0.1, np.eye(6)
    return mislabelled("made up", x, given, true, texts, names, parts=parts, joint=joint, resamples=50), given != true


def test_every_method_finds_wrong_labels_of_separable_classes(found):
    results, wrong = found
    methods = {"log odds", "CSA, no ridge", "ASIF", "Procrustes", "linear probe"}
    assert {(row.method, row.regime, row.pairs) for row in results.rows} == {
        *((method, "cross-fitted", 400) for method in methods),
        *((method, "trusted", 200) for method in methods),
        ("CLIP", "", None),
    }
    for row in results.rows:
        assert row.values["AUC"] > 0.98, (row.method, row.regime)
        low, high = row.intervals["AUC"]
        assert low <= row.values["AUC"] <= high
    (clip,) = [row for row in results.rows if row.method == "CLIP"]
    assert clip.values == {"AUC": 1.0, "R-precision": 1.0}
    share = wrong[200:].mean()
    assert results.chance == pytest.approx({"AUC": 0.5, "R-precision": share, "precision": share})


def test_only_what_has_a_threshold_flags(found):
    results, wrong = found
    for row in results.rows:
        assert ("flagged" in row.values) == (row.method == "log odds")
        if row.method == "log odds":
            assert row.values["precision"] > 0.8
            assert row.values["flagged"] == pytest.approx(wrong[200:].sum(), rel=0.3)


def test_the_estimated_share_is_beside_the_true_one(found):
    results, wrong = found
    assert f"a share of {wrong[200:].mean():.3f}" in results.notes[0]
    assert sum("estimates a share of 0.1" in note or "estimates a share of 0.0" in note for note in results.notes) == 2
    assert set(results.curves) == {
        *(f"{row.method}, {row.regime}" for row in results.rows if row.regime),
        "CLIP",
    }


def test_labels_unrelated_to_rows_are_at_chance():
    results = mislabelled("noise", *labelled(share=0.3, n=1000, is_related=False), resamples=100)
    assert len(results.rows) == 5
    for row in results.rows:
        low, high = row.intervals["AUC"]
        assert low - 0.02 <= 0.5 <= high + 0.02, row.method


def test_shuffled_captions_are_found():
    x, y = related(n=1200, noise=0.3)
    y[800:], wrong = shuffled(y[800:], share=0.2, seed=1)
    wrong = np.concatenate([np.zeros(800, bool), wrong])
    parts = {"train": np.arange(800), "test": np.arange(800, 1200)}
    results = mismatched("made up", x, y, wrong, parts=parts, joint=(x, x), resamples=0)
    methods = {(row.method, row.regime): row.values["AUC"] for row in results.rows}
    assert ("linear probe", "trusted") not in methods
    # Equal sides say nothing of the captions.
    assert methods.pop(("CLIP", "")) == pytest.approx(0.5, abs=0.1)
    assert methods["log odds", "trusted"] > 0.98
    assert methods["log odds", "cross-fitted"] > 0.95
    assert min(methods.values()) > 0.7


def test_wrong_pairs_of_the_training_part_are_not_trusted():
    x, y = related(n=400)
    y, wrong = shuffled(y, share=0.25)
    parts = {"train": np.arange(200), "test": np.arange(200, 400)}
    results = mismatched("made up", x, y, wrong, parts=parts, resamples=0)
    assert {row.pairs for row in results.rows if row.regime == "trusted"} == {200 - wrong[:200].sum()}


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_a_shuffled_row_has_the_caption_of_another_id(share):
    ids = np.repeat(np.arange(40), 5)
    y = np.column_stack([np.arange(200.0), ids])
    found, wrong = shuffled(y, ids, share=share, seed=3)
    assert wrong.sum() == round(200 * share)
    assert (found[wrong, 1] != ids[wrong]).all()
    np.testing.assert_array_equal(found[~wrong], y[~wrong])
    assert sorted(found[:, 0]) == list(range(200))


def test_measures_are_those_of_scikit_learn_also_with_ties():
    rng = np.random.default_rng(0)
    wrong = rng.random(500) < 0.2
    scores = np.round(rng.standard_normal(500) - wrong, 1)
    suspicion = Suspicion(wrong, resamples=200, seed=0)
    values, intervals = suspicion(scores, threshold=-1.0)
    assert values["AUC"] == pytest.approx(roc_auc_score(wrong, -scores), abs=1e-12)
    assert values["precision"] == pytest.approx(wrong[scores < -1].mean())
    assert values["flagged"] == (scores < -1).sum()
    orders = [np.lexsort((rng.random(500), scores))[: wrong.sum()] for _ in range(2000)]
    assert values["R-precision"] == pytest.approx(np.mean([wrong[order].mean() for order in orders]), abs=0.005)
    low, high = intervals["AUC"]
    # Hanley and McNeil's standard error for such a curve is about 0.03.
    assert 0.06 < high - low < 0.18
    across, up = suspicion.curve(scores)
    reference = roc_curve(wrong, -scores, drop_intermediate=False)
    assert set(zip(across, up, strict=True)) == set(zip(reference[0], reference[1], strict=True))


def test_scores_without_ties_have_short_curves():
    rng = np.random.default_rng(0)
    wrong = rng.random(5000) < 0.5
    across, up = Suspicion(wrong, 0, 0).curve(rng.standard_normal(5000))
    assert len(across) <= 200
    assert (across[0], up[0], across[-1], up[-1]) == (0, 0, 1, 1)


def test_nothing_flagged_has_no_precision():
    suspicion = Suspicion(np.array([True, False]), 0, 0)
    assert suspicion([0.0, 1.0], threshold=-np.inf)[0] == {"AUC": 1.0, "R-precision": 1.0, "flagged": 0.0}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"true": np.full(600, 6)}, ValueError, "true must lie between 0 and 5"),
        ({"parts": {"train": np.arange(5)}}, ValueError, "rows under 'test'"),
        ({"precision": 0.0}, ValueError, "precision must lie above 0"),
        ({"resamples": -1}, ValueError, "resamples must be at least 0"),
        ({"joint": (np.ones((600, 2)), np.ones((3, 2)))}, ValueError, r"each of the 6 classes, got \(3, 2\)"),
        ({"joint": (np.ones((600, 2)), np.ones((6, 3)))}, ValueError, "of one width"),
    ],
)
def test_bad_input_is_named(changes, error, message):
    given = dict(zip(("x", "given", "true", "class_y", "names"), labelled(), strict=True)) | changes
    with pytest.raises(error, match=message):
        mislabelled("d", **given)


def test_bad_pairs_are_named():
    x, _, true, texts, names = labelled()
    with pytest.raises(ValueError, match="but 0 of 600 are wrong"):
        mislabelled("d", x, true, true, texts, names)
    x, y = related(n=50)
    with pytest.raises(ValueError, match="y has 49 rows, but x has 50"):
        mismatched("d", x, y[1:], np.zeros(50, bool))
    with pytest.raises(ValueError, match="one bool for each of the 50 rows, got int64"):
        mismatched("d", x, y, np.zeros(50, np.int64))
    with pytest.raises(ValueError, match=r"share must lie in \[0, 1\]"):
        shuffled(y, share=1.5)
    with pytest.raises(ValueError, match="draws 50 rows, 50 of which have one id"):
        shuffled(y, np.zeros(50, int), share=1.0)
