"""The classification protocol: known answers, chance, and what is left out."""

import numpy as np
import pytest

import canonsim
from canonsim.protocols.classification import classification
from canonsim.protocols.labelled import balanced_order

IN_DOMAIN = {
    "log odds",
    "held-out cosine",
    "CSA, no ridge",
    "ASIF",
    "Procrustes",
    "ridge map",
    "linear probe",
}


def example(classes=4, n=400, spread=1.0, seed=0, related=True):
    """Features around one place for each class, texts of the classes, labels, names and parts."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    shown = labels if related else rng.integers(0, classes, n)
    x = 8 * np.eye(classes, 20)[shown] + spread * rng.standard_normal((n, 20))
    parts = {"train": np.arange(n // 2), "test": np.arange(n // 2, n)}
    return x, labels, parts, rng.standard_normal((classes, 3, 12)), [f"class {c}" for c in range(classes)]


def by_method(results, pairs, regime="in-domain"):
    return {row.method: row for row in results.rows if row.pairs == pairs and row.regime == regime}


@pytest.fixture(scope="module")
def separable():
    return classification("made up", *example(classes=8), sizes=(80, 9999), resamples=50)


def test_every_method_tells_separable_classes_apart(separable):
    for pairs in (80, 200):
        rows = by_method(separable, pairs)
        assert set(rows) == IN_DOMAIN
        for method, row in rows.items():
            assert row.values["top-1"] >= 0.99, method
            assert row.values["per class"] >= 0.99, method
            assert row.values["top-5"] >= row.values["top-1"]
            low, high = row.intervals["top-1"]
            assert low <= row.values["top-1"] <= high
    assert {row.pairs for row in separable.rows} == {80, 200, None}


def test_chance_is_stated_and_the_supervised_regime_too(separable):
    assert separable.measures == ("top-1", "top-5", "per class")
    assert separable.chance == {"top-1": 1 / 8, "top-5": 5 / 8, "per class": 1 / 8}
    assert any("supervised classification" in note and "linear probe" in note for note in separable.notes)
    assert not any("Transfer" in note for note in separable.notes)


def test_labels_unrelated_to_rows_are_at_chance():
    results = classification("noise", *example(n=1600, related=False), resamples=200)
    assert "top-5" not in results.measures
    for row in results.rows:
        low, high = row.intervals["top-1"]
        # Intervals hold 95 %; a few of many may miss, by little.
        assert low - 0.02 <= 0.25 <= high + 0.02, row.method
    assert any("800 rows" in note and "chance" in note for note in results.notes)


def test_the_most_frequent_class_is_that_of_training():
    x, _, parts, texts, names = example(n=400)
    labels = np.where(np.arange(400) % 10 < 6, 2, np.arange(400) % 4)
    results = classification("skewed", x, labels, parts, texts, names, resamples=0)
    (row,) = by_method(results, None, "").values()
    assert row.method == "most frequent class"
    assert row.values["top-1"] == pytest.approx((labels[200:] == 2).mean())
    assert row.values["per class"] == pytest.approx(0.25)
    assert not row.intervals


def test_what_was_fitted_elsewhere_is_transfer():
    x, labels, parts, texts, names = example()
    caption_x, caption_labels, _, _, _ = example(seed=1)
    moments = canonsim.PairedMoments(20, 12)
    noise = np.random.default_rng(2).standard_normal((400, 12))
    moments.update(caption_x, texts.mean(axis=1)[caption_labels] + 0.1 * noise)
    vectors = np.eye(4)[labels] * 3, np.eye(4)
    results = classification(
        "made up", x, labels, parts, texts, names, transfer=canonsim.fit(moments), joint=vectors, resamples=0
    )
    rows = by_method(results, None, "transfer")
    assert set(rows) == {"log odds", "held-out cosine", "CLIP"}
    assert all(row.values["top-1"] > 0.99 for row in rows.values())
    assert any("zero-shot" in note for note in results.notes)


def test_many_classes_with_few_rows():
    x, labels, parts, texts, names = example(classes=20, n=200)
    results = classification("few", x, labels, parts, texts, names, sizes=(1, 3, 20), resamples=0)
    assert by_method(results, 100)["linear probe"].values["top-1"] > 0.8
    # One pair is too few for most, and the table says so.
    assert "log odds" not in by_method(results, 1)
    assert any(note.startswith("log odds is left out with 1 rows") for note in results.notes)
    assert any(note.startswith("linear probe is left out with 1 rows") for note in results.notes)


def test_settings_are_chosen_on_validation_rows():
    x, labels, parts, texts, names = example(n=300)
    parts = {"train": np.arange(100), "val": np.arange(100, 200), "test": np.arange(200, 300)}
    # Where the test labels are wrong, what was chosen stays: they have no say.
    wrong = np.where(np.arange(300) < 200, labels, (labels + 1) % 4)
    settings = [
        [(row.method, row.setting) for row in classification("d", x, given, parts, texts, names, resamples=0).rows]
        for given in (labels, wrong)
    ]
    assert settings[0] == settings[1]


def test_training_rows_are_nested_and_balanced():
    labels = np.repeat(np.arange(5), [200, 100, 50, 10, 3])
    order = balanced_order(labels, seed=3)
    assert sorted(order) == list(range(363))
    np.testing.assert_array_equal(np.bincount(labels[order[:15]]), [3, 3, 3, 3, 3])
    np.testing.assert_array_equal(np.bincount(labels[order[:43]]), [10, 10, 10, 10, 3])
    assert (balanced_order(labels, seed=4) != order).any()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"labels": np.full(400, 4)}, ValueError, "labels must lie between 0 and 3"),
        ({"labels": np.zeros(400)}, TypeError, "labels must be integers"),
        ({"labels": np.zeros(3, int)}, ValueError, r"shape \(400,\), got shape \(3,\)"),
        ({"parts": {"train": np.arange(5)}}, ValueError, "rows under 'test'"),
        ({"parts": {"train": [0, 1], "test": [1, 2]}}, ValueError, "shares rows with"),
        ({"parts": {"train": [0, 0], "test": [1]}}, ValueError, "holds a row twice"),
        ({"parts": {"train": [0], "test": [400]}}, ValueError, "between 0 and 399"),
        ({"class_y": np.ones(4)}, ValueError, r"class_y must have the shape .* got \(4,\)"),
        ({"class_y": np.ones((1, 12)), "names": ["a"]}, ValueError, "at least two classes"),
        ({"names": ["a"]}, ValueError, "each of the 4 classes, got 1"),
        ({"x": np.full((400, 20), np.nan)}, ValueError, "x contains NaN or Inf in row 0"),
        ({"x": np.ones((400, 20), int)}, TypeError, "x must hold"),
        ({"sizes": (0,)}, ValueError, "sizes must be at least 1"),
        ({"resamples": -1}, ValueError, "resamples must be at least 0"),
        ({"joint": (np.ones((400, 2)), np.ones((3, 2)))}, ValueError, "400 rows and the 4 classes"),
    ],
)
def test_bad_input_is_named(changes, error, message):
    given = dict(zip(("x", "labels", "parts", "class_y", "names"), example(), strict=True)) | changes
    with pytest.raises(error, match=message):
        classification("d", **given)


def test_a_space_of_other_widths_is_refused():
    rng = np.random.default_rng(0)
    moments = canonsim.PairedMoments(3, 12)
    x = rng.standard_normal((50, 3))
    moments.update(x, x @ rng.standard_normal((3, 12)))
    space = canonsim.fit(moments, ridge=1.0)
    with pytest.raises(ValueError, match="transfer takes features of widths 3 and 12, x and class_y have 20 and 12"):
        classification("d", *example(), transfer=space)
