"""The retriever against scores of everything with everything, corrections against their formulas."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, logsumexp

import canonsim
from canonsim import metrics
from canonsim.tasks import Retriever
from canonsim.tasks import correction as home
from synthetic import related

SCORES = ("log_odds", "similarity")
CORRECTIONS = (None, "csls", "inverted-softmax")


def make_space(weights="held-out"):
    x, y = related(noise=1.5)
    moments = canonsim.PairedMoments(12, 8)
    moments.update(x, y)
    return canonsim.fit(moments, ridge=0.1, weights=weights)


SPACE = make_space()
# Another draw of the same pairs: the seed also draws the directions.
X, Y = (side[600:] for side in related(n=900, noise=1.5))
BANK_X, BANK_Y = (side[:150] for side in related(n=900, noise=1.5))


def all_scores(space, score, x, y, side):
    scores = getattr(space, score)(x, y)
    return scores if side == "y" else scores.T


def corrected(space, score, side, correction, *, neighbors=10, beta=None, bank=(BANK_X, BANK_Y), items=(X, Y)):
    """The corrected scores of all queries with all items, by their formulas."""
    scores = all_scores(space, score, X if side == "y" else items[0], items[1] if side == "y" else Y, side)
    of_bank = all_scores(space, score, bank[0] if side == "y" else items[0], items[1] if side == "y" else bank[1], side)
    if correction == "csls":
        r_x = np.sort(scores, axis=1)[:, -neighbors:].mean(axis=1)
        r_y = np.sort(of_bank, axis=0)[-neighbors:].mean(axis=0)
        return 2 * scores - r_x[:, None] - r_y
    if correction == "inverted-softmax":
        return log_softmax(beta * scores - logsumexp(beta * of_bank, axis=0), axis=1)
    return scores


def default_beta(space, score):
    if score == "log_odds":
        return 0.5
    return (space.weights.sum() if space.weighting == "held-out" else space.n_components) / 2


def filled(score, side, correction, space=SPACE, convert=lambda rows: rows, ids=None, **options):
    retriever = Retriever(space, side, score, correction, **options)
    if correction:
        retriever.set_queries(convert(BANK_X if side == "y" else BANK_Y))
    return retriever.add(convert(Y if side == "y" else X), ids)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("side", ["x", "y"])
@pytest.mark.parametrize("correction", CORRECTIONS)
@pytest.mark.parametrize("weights", ["held-out", "training"])
def test_a_search_is_the_head_of_all_scores_by_the_formula(score, side, correction, weights):
    space = make_space(weights)
    expected = corrected(space, score, side, correction, beta=default_beta(space, score))
    ids, scores = filled(score, side, correction, space).search(X if side == "y" else Y, 7)
    assert ids.dtype == np.int64
    assert scores.dtype == np.float64
    np.testing.assert_array_equal(ids, np.argsort(-expected, axis=1)[:, :7])
    np.testing.assert_allclose(scores, -np.sort(-expected, axis=1)[:, :7], rtol=1e-9, atol=1e-9)


@given(
    st.sampled_from(SCORES),
    st.sampled_from(CORRECTIONS[1:]),
    st.integers(1, 20),
    st.floats(0.01, 30),
    st.integers(1, 40),
    st.integers(1, 12),
    st.integers(1, 50),
)
def test_the_correction_is_its_formula_whatever_the_sizes(score, correction, neighbors, beta, queries, items, tile):
    options = {"neighbors": neighbors, "beta": beta}
    bank, gallery = (BANK_X[:queries], BANK_Y[:queries]), (X[:items], Y[:items])
    expected = corrected(SPACE, score, "y", correction, **options, bank=bank, items=gallery)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(home, "_TILE", tile)
        retriever = Retriever(SPACE, "y", score, correction, **options).set_queries(bank[0]).add(gallery[1])
        ids, scores = retriever.search(X, items)
    np.testing.assert_allclose(scores, np.take_along_axis(expected, ids, axis=1), rtol=1e-8, atol=1e-8)
    assert (np.sort(ids, axis=1) == np.arange(items)).all()
    if correction == "inverted-softmax":
        np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1)


def test_the_inverted_softmax_does_not_overflow():
    retriever = filled("log_odds", "y", "inverted-softmax", beta=1e4)
    scores = retriever.search(1e3 * X, 300)[1]
    assert np.isfinite(scores).all()
    assert scores.max() <= 1e-12 * np.abs(scores).max()


@given(st.data())
def test_adding_in_parts_is_adding_at_once(data):
    cuts = sorted(data.draw(st.lists(st.integers(0, 60), max_size=4)))
    correction = data.draw(st.sampled_from(CORRECTIONS))
    score = data.draw(st.sampled_from(SCORES))
    when = data.draw(st.integers(0, len(cuts)))
    parts = Retriever(SPACE, score=score, correction=correction)
    for number, (start, stop) in enumerate(zip([0, *cuts], [*cuts, 60], strict=True)):
        if number == when and correction:
            parts.set_queries(BANK_X[:40])
        parts.add(Y[start:stop])
        if number >= when and stop:
            parts.search(X[:1], 1)
    whole = Retriever(SPACE, score=score, correction=correction)
    if correction:
        # The later bank takes the place of the earlier one.
        whole.set_queries(BANK_X).set_queries(BANK_X[:40])
    whole.add(Y[:60])
    (ids, scores), (expected_ids, expected) = parts.search(X, 9), whole.search(X, 9)
    np.testing.assert_array_equal(ids, expected_ids)
    np.testing.assert_allclose(scores, expected, rtol=1e-9, atol=1e-9)
    assert len(parts) == 60


@given(
    st.lists(
        st.one_of(st.integers(-(2**70), 2**70), st.text(), st.tuples(st.integers(), st.text()), st.none(), st.binary()),
        min_size=1,
        max_size=20,
    ),
    st.integers(0, 20),
)
def test_ids_come_back_as_they_were(ids, cut):
    retriever = Retriever(SPACE).add(Y[: len(ids[:cut])], ids[:cut]).add(Y[: len(ids[cut:])], iter(ids[cut:]))
    assert retriever.ids.tolist() == ids
    found = retriever.search(X[:3], len(ids))[0]
    assert all(sorted(map(repr, row)) == sorted(map(repr, ids)) for row in found.tolist())


@pytest.mark.parametrize(
    "ids", [[5, 5, -1], np.array([5, 5, -1], np.int32), torch.tensor([5, 5, -1]), (i for i in (5, 5, -1))]
)
def test_integers_stay_integers_and_may_repeat(ids):
    retriever = Retriever(SPACE).add(Y[:3], ids)
    assert retriever.ids.dtype == np.int64
    assert retriever.ids.tolist() == [5, 5, -1]
    assert sorted(retriever.search(X[:1], 3)[0][0].tolist()) == [-1, 5, 5]


def test_default_ids_go_on_where_the_last_ended():
    paths = [Path("a"), Path("b")]
    assert Retriever(SPACE).add(Y[:2]).add(Y[:2], paths).add(Y[:2]).ids.tolist() == [0, 1, *paths, 4, 5]


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("correction", CORRECTIONS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_tensors_give_tensors(score, correction, dtype):
    def convert(rows):
        return torch.from_numpy(rows.astype(dtype)).requires_grad_()

    ids, scores = filled(score, "y", correction, convert=convert).search(convert(X), 5)
    expected_ids, expected = filled(score, "y", correction, convert=lambda rows: rows.astype(dtype)).search(
        X.astype(dtype), 5
    )
    assert isinstance(ids, torch.Tensor)
    assert ids.dtype == torch.int64
    assert scores.dtype == (torch.float64 if dtype == np.float64 else torch.float32)
    assert expected.dtype == (np.float64 if dtype == np.float64 else np.float32)
    assert not scores.requires_grad
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)
    assert (ids.numpy() == expected_ids).mean() > 0.99
    named = Retriever(SPACE, score=score).add(convert(Y[:2]), ["a", "b"]).search(convert(X), 2)[0]
    assert isinstance(named, np.ndarray)


@pytest.mark.parametrize("score", SCORES)
def test_without_a_correction_it_is_the_search_of_the_space(score):
    x, y = X.astype(np.float32), Y.astype(np.float32)
    ids, scores = Retriever(SPACE, score=score).add(y).search(x, 10)
    expected, places = SPACE.top_k(x, y, 10, score)
    np.testing.assert_array_equal(ids, places)
    np.testing.assert_array_equal(scores, expected)


def test_log_odds_of_f32_rows_are_summed_in_f64():
    x, y = X.astype(np.float32), Y.astype(np.float32)
    ids, scores = Retriever(SPACE).add(y).search(x, 300)
    exact = SPACE.log_odds(x.astype(np.float64), y.astype(np.float64))
    np.testing.assert_allclose(scores, np.take_along_axis(exact, ids, axis=1), rtol=1e-6, atol=1e-6)


def test_a_gallery_takes_rows_of_several_precisions():
    retriever = Retriever(SPACE, score="similarity").add(Y[:10].astype(np.float32)).add(Y[10:20])
    ids, scores = retriever.search(X.astype(np.float32), 20)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, np.take_along_axis(SPACE.similarity(X, Y[:20]), ids, axis=1), atol=1e-6)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("correction", CORRECTIONS[1:])
def test_a_correction_finds_what_hubs_hide_from_queries_off_the_centre(score, correction):
    x, y = related(n=1600, p=100, q=80, shared=50, noise=6.0)
    moments = canonsim.PairedMoments(100, 80)
    moments.update(x[:600], y[:600])
    space = canonsim.fit(moments, ridge=1.0)
    # Queries of another domain: whatever lies in the direction of the shift is found by all of them.
    x += 2 * x.std() * np.random.default_rng(9).standard_normal(100)
    plain = Retriever(space, score=score).add(y[1100:])
    retriever = Retriever(space, score=score, correction=correction).set_queries(x[:1100]).add(y[1100:])
    numbers = retriever.hubness(x[1100:], 10)
    assert set(numbers) == {"plain", "corrected", "chance"}
    assert numbers["chance"] == metrics.hubness_chance(500, 500, 10)
    for name in ("skewness", "anti_hubs", "top_share"):
        assert numbers["chance"][name] < numbers["plain"][name]
        assert numbers["corrected"][name] < numbers["plain"][name]

    def recall(retriever):
        return (retriever.search(x[1100:], 10)[0] == np.arange(500)[:, None]).any(axis=1).mean()

    assert recall(plain) < 0.5
    assert recall(retriever) > 0.7


def test_hubness_is_that_of_the_results():
    for correction in CORRECTIONS:
        retriever = filled("similarity", "y", correction)
        numbers = retriever.hubness(X, 5)
        found = metrics.hubness(retriever.search(X, 5)[0], 300)
        assert numbers["corrected" if correction else "plain"] == found
        assert numbers["plain"] == metrics.hubness(SPACE.top_k(X, Y, 5)[1], 300)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("correction", CORRECTIONS)
@pytest.mark.parametrize("tensors", [False, True])
def test_indexes_rank_as_the_search_does(score, correction, tensors):
    faiss, usearch = pytest.importorskip("faiss"), pytest.importorskip("usearch")
    assert faiss
    assert usearch
    convert = torch.from_numpy if tensors else lambda rows: rows
    retriever = filled(score, "y", correction, convert=convert, ids=np.arange(len(Y)) * 10)
    x = torch.from_numpy(X) if tensors else X
    ids, _ = retriever.search(x, 10)
    queries = np.asarray(retriever.embed_queries(x))
    exact = queries @ np.asarray(retriever.vectors).T
    products, places = retriever.to_faiss().search(queries, 10)
    matches = retriever.to_usearch().search(queries.astype(np.float32), 10, exact=True)
    for found, values in ((places, products), (matches.keys.astype(np.int64), 1 - matches.distances)):
        np.testing.assert_allclose(values, np.take_along_axis(exact, found, axis=1), rtol=1e-4, atol=1e-4)
        # f32 may exchange neighbours that are nearer than its rounding.
        assert (retriever.ids[found] == np.asarray(ids)).mean() > 0.995


def test_the_approximate_index_finds_nearly_all():
    pytest.importorskip("usearch")
    retriever = filled("similarity", "y", "csls")
    matches = retriever.to_usearch().search(retriever.embed_queries(X).astype(np.float32), 10)
    found, ids = matches.keys.astype(np.int64), retriever.search(X, 10)[0]
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, ids, strict=True)]) > 0.95


@pytest.mark.parametrize(("method", "module"), [("to_faiss", "faiss"), ("to_usearch", "usearch")])
def test_a_missing_index_names_its_extra(method, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, f"{module}.index", None)
    with pytest.raises(ImportError, match=rf"pip install canonsim\[{module}\]"):
        getattr(Retriever(SPACE).add(Y), method)()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Retriever("space"), TypeError, "CanonicalSpace, got str"),
        (lambda: Retriever(SPACE, "z"), ValueError, "side must be 'x' or 'y', got 'z'"),
        (lambda: Retriever(SPACE, score="cosine"), ValueError, "score must be .* got 'cosine'"),
        (lambda: Retriever(SPACE, correction="both"), ValueError, "correction must be .* got 'both'"),
        (lambda: Retriever(SPACE, neighbors=0), ValueError, "neighbors must be .* got 0"),
        (lambda: Retriever(SPACE, beta=0.0), ValueError, r"beta must be positive and finite, got 0\.0"),
        (lambda: Retriever(SPACE).search(X), ValueError, "the gallery is empty"),
        (lambda: Retriever(SPACE).set_queries(X), ValueError, "only a correction needs"),
        (lambda: Retriever(SPACE, correction="csls").add(Y).search(X), ValueError, "'csls' needs a bank"),
        (lambda: Retriever(SPACE, correction="csls").set_queries(X[:0]), ValueError, "got 0 rows"),
        (lambda: Retriever(SPACE).add(Y[:5]).search(X, 6), ValueError, "the 5 rows of the gallery, got 6"),
        (lambda: Retriever(SPACE).add(Y[:5]).search(X, 2.0), TypeError, r"k must be an integer, got 2\.0"),
        (lambda: Retriever(SPACE).add(Y[:5]).search(X[:, :3], 2), ValueError, "x has 3 columns, expected 12"),
        (lambda: Retriever(SPACE).add(Y[:5].tolist()), TypeError, "y must be a numpy array or torch tensor"),
        (lambda: Retriever(SPACE).add(Y[:5]).hubness(X[:0], 2), ValueError, r"\(0, 2\)"),
        (lambda: Retriever(SPACE).add(Y[:3], "abc"), TypeError, "ids must hold one label for each row, got str"),
        (lambda: Retriever(SPACE).add(Y[:3], 7), TypeError, "got int"),
        (lambda: Retriever(SPACE).add(Y[:3], [1, 2]), ValueError, "ids must hold one label for each row, 3, got 2"),
        (lambda: Retriever(SPACE).add(Y[:2], ["a", []]), TypeError, "ids must be hashable, got a list in row 1"),
        (lambda: Retriever(SPACE).add(Y[:2], [1, ([],)]), TypeError, "got a tuple in row 1"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_rows_of_another_kind_are_refused_and_leave_the_gallery_as_it_was():
    retriever = Retriever(SPACE).add(Y[:4])
    bad = Y[:4].copy()
    bad[2, 1] = np.nan
    for rows, error, message in (
        (torch.from_numpy(Y), TypeError, "y must be numpy arrays, as the rows before, got tensors on cpu"),
        (bad, ValueError, "row 2"),
        (X, ValueError, "12 columns, expected 8"),
    ):
        with pytest.raises(error, match=message):
            retriever.add(rows)
    assert len(retriever) == 4
    with pytest.raises(TypeError, match="x must be numpy arrays"):
        retriever.search(torch.from_numpy(X), 1)
    assert "4 items" in repr(retriever)
