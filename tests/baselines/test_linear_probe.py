"""LinearProbe: the logistic regression it says it is."""

import sys

import numpy as np
import pytest

from canonsim.baselines import LinearProbe


def separable(classes=3, n=300, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    return 12 * np.eye(classes, classes + 3)[labels] + rng.standard_normal((n, classes + 3)), labels


def overlapping(classes, n=400):
    rng = np.random.default_rng(1)
    labels = rng.integers(0, classes, n)
    return rng.standard_normal((classes, 5))[labels] + rng.standard_normal((n, 5)), labels


@pytest.mark.parametrize("classes", [2, 5])
def test_separable_classes_are_told_apart(classes):
    x, labels = separable(classes)
    probe = LinearProbe().fit(x[:200], labels[:200])
    np.testing.assert_array_equal(probe.predict(x[200:]), labels[200:])
    np.testing.assert_array_equal(probe.scores(x).argmax(axis=1), labels)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_gradient_of_the_stated_objective_is_zero(classes):
    """An independent check in float64: the stationary point of |W|^2 / 2 + C sum -log p, with a free intercept."""
    x, labels = overlapping(classes)
    probe = LinearProbe(C=0.3).fit(x, labels)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    residual = probe.predict_proba(x) - np.eye(classes)[labels]
    slope = 0.3 * residual.T @ z
    # Of two classes only the difference of both lines is determined, and penalised.
    slope = slope[1:] + probe.coef_[1:] if classes == 2 else slope + probe.coef_
    np.testing.assert_allclose(slope, 0, atol=0.02)
    np.testing.assert_allclose(residual.sum(axis=0), 0, atol=0.05)


def test_probabilities_sum_to_one_and_scores_are_their_logs():
    x, labels = overlapping(4)
    probe = LinearProbe().fit(x, labels)
    np.testing.assert_allclose(probe.predict_proba(x).sum(axis=1), 1)
    np.testing.assert_allclose(np.log(probe.predict_proba(x)), probe.scores(x))


def test_scale_and_shift_of_columns_do_not_matter():
    x, labels = overlapping(3)
    moved = x * np.array([1e-3, 1, 10, 1e4, 1]) + 7
    np.testing.assert_allclose(
        LinearProbe().fit(moved, labels).predict_proba(moved), LinearProbe().fit(x, labels).predict_proba(x), atol=1e-6
    )


def test_labels_that_have_nothing_to_do_with_rows_get_the_strongest_penalty():
    x, labels = np.random.default_rng(0).standard_normal((400, 30)), np.arange(400) % 4
    probe = LinearProbe().fit(x, labels)
    assert probe.C_ <= 1e-4
    np.testing.assert_allclose(probe.predict_proba(x), 0.25, atol=0.05)


def test_many_classes_with_few_rows_are_no_trouble():
    x, labels = separable(classes=40, n=400)
    some = np.concatenate([np.flatnonzero(labels == label)[: 1 + label % 3] for label in range(40)])
    probe = LinearProbe().fit(x[some], labels[some])
    assert (probe.predict(x) == labels).mean() > 0.95
    one_each = np.array([np.flatnonzero(labels == label)[0] for label in range(40)])
    probe = LinearProbe().fit(x[one_each], labels[one_each])
    assert probe.C_ == 1.0
    assert (probe.predict(x) == labels).mean() > 0.95


def test_names_serve_as_labels():
    x, labels = separable()
    names = np.array(["cat", "dog", "owl"])[labels]
    probe = LinearProbe(C=1.0).fit(x, names)
    assert probe.classes_.tolist() == ["cat", "dog", "owl"]
    np.testing.assert_array_equal(probe.predict(x), names)


def test_bad_input_is_named(monkeypatch):
    x, labels = separable()
    for C in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="C must be positive"):
            LinearProbe(C)
    probe = LinearProbe()
    with pytest.raises(ValueError, match="not fitted yet"):
        probe.predict(x)
    with pytest.raises(ValueError, match=r"of the 300 rows, got shape \(299,\)"):
        probe.fit(x, labels[1:])
    with pytest.raises(TypeError, match="integers or strings, got float64"):
        probe.fit(x, labels / 2)
    with pytest.raises(ValueError, match=r"at least two classes, got only \[0\]"):
        probe.fit(x, 0 * labels)
    with pytest.raises(ValueError, match="row 1 contains NaN"):
        probe.fit(np.where(np.arange(300)[:, None] == 1, np.nan, x), labels)
    assert not hasattr(probe, "coef_")
    probe.fit(x, labels)
    with pytest.raises(ValueError, match=r"\(n, 6\), got \(300, 4\)"):
        probe.scores(x[:, :4])
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(ImportError, match="pip install scikit-learn"):
        LinearProbe().fit(x, labels)
