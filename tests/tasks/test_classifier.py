"""The classifier against scores of the space, and end to end on classes that are rows of y."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import canonsim
from canonsim.tasks import ZeroShotClassifier
from synthetic import related


@pytest.fixture(scope="module")
def space():
    x, y = related()
    moments = canonsim.PairedMoments(12, 8)
    moments.update(x, y)
    return canonsim.fit(moments, ridge=0.1)


X, TEXTS = np.random.default_rng(1).standard_normal((40, 12)), np.random.default_rng(2).standard_normal((6, 3, 8))
NAMES = ["ant", "bee", "cat", "dog", "elk", "fox"]


@pytest.mark.parametrize("score", ["log_odds", "similarity"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("tensors", [False, True])
def test_scores_are_those_of_the_space_averaged_over_templates(space, score, dtype, tensors):
    x, texts = X.astype(dtype), TEXTS.astype(dtype)
    close = {"rtol": 1e-9, "atol": 1e-9} if dtype == np.float64 else {"rtol": 2e-5, "atol": 2e-5}
    rows = torch.from_numpy(x) if tensors else x
    one = ZeroShotClassifier(space, score).fit(texts[:, 0], NAMES).scores(rows)
    assert one.dtype == (getattr(torch if tensors else np, np.dtype(dtype).name))
    np.testing.assert_allclose(one, getattr(space, score)(x, texts[:, 0]), **close)
    classifier = ZeroShotClassifier(space, score).fit(torch.from_numpy(texts) if tensors else texts, NAMES)
    expected = getattr(space, score)(X, TEXTS.reshape(18, 8)).reshape(40, 6, 3).mean(axis=2)
    np.testing.assert_allclose(classifier.scores(rows), expected, **close)
    np.testing.assert_array_equal(classifier.predict(rows), np.array(NAMES)[expected.argmax(axis=1)])
    scale = 1.0 if score == "log_odds" else space.weights.sum()
    probabilities = classifier.predict_proba(rows)
    assert isinstance(probabilities, torch.Tensor) == tensors
    np.testing.assert_allclose(probabilities, softmax(scale * expected, axis=1), atol=1e-4)


def test_the_prior_and_the_temperature_enter_as_bayes_theorem_has_them(space):
    prior = np.array([1, 2, 3, 4, 5, 60.0])
    classifier = ZeroShotClassifier(space, temperature=2.5).fit(TEXTS[:, 0], NAMES, prior)
    expected = softmax(space.log_odds(X, TEXTS[:, 0]) / 2.5 + np.log(prior), axis=1)
    np.testing.assert_allclose(classifier.predict_proba(X), expected, atol=1e-12)
    np.testing.assert_array_equal(classifier.predict(X), np.array(NAMES)[expected.argmax(axis=1)])
    twice = ZeroShotClassifier(space, temperature=2.5).fit(TEXTS[:, 0], NAMES, 7 * prior)
    np.testing.assert_allclose(twice.predict_proba(X), expected, atol=1e-12)


@given(st.integers(1, 6), st.booleans())
def test_the_best_k_are_the_most_probable(k, tensors):
    x, y = related()
    moments = canonsim.PairedMoments(12, 8)
    moments.update(x, y)
    classifier = ZeroShotClassifier(canonsim.fit(moments, ridge=0.1)).fit(TEXTS, NAMES)
    rows = torch.from_numpy(X) if tensors else X
    names, probabilities = classifier.top_k(rows, k)
    expected = np.asarray(classifier.predict_proba(rows))
    order = np.argsort(-expected, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(names, np.array(NAMES)[order])
    np.testing.assert_array_equal(np.asarray(probabilities), np.take_along_axis(expected, order, axis=1))
    np.testing.assert_array_equal(names[:, 0], classifier.predict(rows))


def test_gradients_flow_to_the_rows(space):
    classifier = ZeroShotClassifier(space).fit(TEXTS, NAMES)
    x = torch.from_numpy(X).requires_grad_()
    classifier.predict_proba(x)[:, 0].sum().backward()
    assert x.grad.abs().sum() > 0
    assert len(classifier.predict(x)) == 40


def test_extreme_scores_give_probabilities(space):
    probabilities = ZeroShotClassifier(space).fit(TEXTS, NAMES).predict_proba(1e6 * X)
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_names_keep_their_type(space):
    for names in ([3, 1, 2, 9, 8, 7], [("a", 1), ("a", 2), None, "b", 5, 2.5]):
        classifier = ZeroShotClassifier(space).fit(TEXTS, names)
        assert classifier.classes_.tolist() == names
        assert set(classifier.predict(X).tolist()) <= set(names)
    assert ZeroShotClassifier(space).fit(TEXTS, range(6)).predict(X).dtype == np.int64


def fitted_on_names(x, labels, classes, width=32):
    """A space fitted on rows of x and the vector of their class, and those vectors."""
    texts = np.random.default_rng(5).standard_normal((classes, width))
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    moments = canonsim.PairedMoments(x.shape[1], width)
    moments.update(x, texts[labels])
    return canonsim.fit(moments), texts


@pytest.mark.parametrize("score", ["log_odds", "similarity"])
def test_digits_by_their_names_are_told_as_a_linear_probe_tells_them(score):
    x, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, labels = x[order], labels[order]
    space, texts = fitted_on_names(x[:1200], labels[:1200], 10, width=384)
    # Ten different rows of y span nine directions.
    assert space.n_components == 9
    classifier = ZeroShotClassifier(space, score).fit(texts, range(10))
    probe = LogisticRegression(max_iter=1000).fit(x[:1200] / 16, labels[:1200]).score(x[1200:] / 16, labels[1200:])
    accuracy = (classifier.predict(x[1200:]) == labels[1200:]).mean()
    assert accuracy > probe - 0.05
    assert accuracy > 0.9


@pytest.mark.parametrize("score", ["log_odds", "similarity"])
@pytest.mark.parametrize("classes", [2, 3, 10, 50])
def test_few_different_texts_are_enough(classes, score):
    rng = np.random.default_rng(classes)
    looks, labels = rng.standard_normal((classes, 20)), rng.integers(0, classes, 3000)
    x = looks[labels] + 0.4 * rng.standard_normal((3000, 20))
    space, texts = fitted_on_names(x[:2000], labels[:2000], classes)
    assert space.n_components <= min(classes - 1, 20)
    found = ZeroShotClassifier(space, score).fit(texts, range(classes)).predict(x[2000:])
    assert (found == labels[2000:]).mean() > 0.95


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda space: ZeroShotClassifier(None), TypeError, "CanonicalSpace, got NoneType"),
        (lambda space: ZeroShotClassifier(space, "cosine"), ValueError, "got 'cosine'"),
        (lambda space: ZeroShotClassifier(space, temperature=0), ValueError, "temperature must be .* got 0"),
        (lambda space: ZeroShotClassifier(space).predict(X), ValueError, "call fit first"),
        (lambda space: ZeroShotClassifier(space).top_k(X), ValueError, "call fit first"),
        (lambda space: ZeroShotClassifier(space).fit(TEXTS[0, 0], ["a"]), ValueError, r"got \(8,\)"),
        (lambda space: ZeroShotClassifier(space).fit([[1.0]], ["a"]), TypeError, "got list"),
        (lambda space: ZeroShotClassifier(space).fit(TEXTS[:0], []), ValueError, r"\(0, 3, 8\)"),
        (lambda space: ZeroShotClassifier(space).fit(TEXTS[:, :0], NAMES), ValueError, r"\(6, 0, 8\)"),
        (lambda space: ZeroShotClassifier(space).fit(TEXTS[..., :5], NAMES), ValueError, "5 columns, expected 8"),
        (lambda space: ZeroShotClassifier(space).fit(TEXTS, NAMES[:5]), ValueError, "6, got 5"),
        (lambda space: ZeroShotClassifier(space).fit(TEXTS, "string"), TypeError, "got str"),
        (lambda space: ZeroShotClassifier(space).fit(TEXTS, [*NAMES[:5], "ant"]), ValueError, "'ant' twice"),
        (lambda space: ZeroShotClassifier(space).fit(TEXTS, NAMES, [1, 1]), ValueError, "each of the 6 classes"),
        (lambda space: ZeroShotClassifier(space).fit(TEXTS, NAMES, [0, 1, 1, 1, 1, 1]), ValueError, "positive"),
        (lambda space: ZeroShotClassifier(space).fit(TEXTS, NAMES).top_k(X, 7), ValueError, "6 classes, got 7"),
        (lambda space: ZeroShotClassifier(space).fit(TEXTS, NAMES).top_k(X, "2"), TypeError, "got '2'"),
        (lambda space: ZeroShotClassifier(space).fit(TEXTS, NAMES).predict(X[:, :3]), ValueError, "expected 12"),
    ],
)
def test_bad_input_is_named(call, error, message, space):
    with pytest.raises(error, match=message):
        call(space)


def test_a_refused_fit_leaves_the_classes_as_they_were(space):
    classifier = ZeroShotClassifier(space).fit(TEXTS, NAMES)
    before = classifier.predict(X)
    with pytest.raises(ValueError, match="twice"):
        classifier.fit(TEXTS[::-1].copy(), ["ant"] * 6)
    np.testing.assert_array_equal(classifier.predict(X), before)
