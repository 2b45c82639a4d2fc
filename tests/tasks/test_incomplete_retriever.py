"""Search with missing sides: coverage over many draws, p-values, ranking beside chance, cases with known answers."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

import canonsim
from canonsim.calibration import PairScores
from canonsim.tasks import IncompleteRetriever, Retriever
from canonsim.tasks.side_fusion import fit_log_odds

DIMS = {"image": 9, "text": 7, "lidar": 6}
PATTERNS = [p for r in (1, 2, 3) for p in itertools.combinations(DIMS, r)]
COVERAGE = 0.9


def looks(seed, n, noise=1.0, latent=None):
    """Two looks at each of n places, by every side: what they share is latent, what they do not is noise."""
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((n, 5)) if latent is None else latent
    loadings = {name: np.random.default_rng(i).standard_normal((5, d)) for i, (name, d) in enumerate(DIMS.items())}
    return [
        {name: latent @ loadings[name] + noise * rng.standard_normal((n, d)) + 1 for name, d in DIMS.items()}
        for _ in range(2)
    ]


def masks(seed, n, share=0.6):
    """Which rows have which side: every pattern occurs, and every row has a side."""
    rng = np.random.default_rng(seed)
    has = rng.random((3, n)) < share
    none = ~has.any(axis=0)
    has[rng.integers(0, 3, none.sum()), none] = True
    return dict(zip(DIMS, has, strict=True))


def pattern_of(present, i):
    return tuple(name for name in DIMS if present[name][i])


def fitted_moments():
    moments = canonsim.MultiMoments(DIMS)
    moments.update(looks(1, 500)[0])
    return moments


MOMENTS = fitted_moments()
SPACES = {pair: canonsim.fit(MOMENTS.pair(*pair)) for pair in itertools.combinations(DIMS, 2)}


def calibrated(seed=2, n=600, spaces=SPACES, draw=looks):
    return IncompleteRetriever(spaces).fit(
        *draw(seed, n), queries_present=masks(seed + 1, n), items_present=masks(seed + 2, n)
    )


def draws(count, spaces, draw, n=400, m=250):
    """Independent draws of calibration and test: the retriever with its gallery, the queries, the sides they have."""
    for seed in range(100, 100 + 10 * count, 10):
        retriever = calibrated(seed, n, spaces, draw)
        queries, items = draw(seed + 5, m)
        present = masks(seed + 6, m)
        yield retriever.add(items, present=masks(seed + 7, m)), queries, present


def unrelated(seed, n):
    rng = np.random.default_rng(seed)
    return [{name: rng.standard_normal((n, d)) for name, d in DIMS.items()} for _ in range(2)]


def coverage_by_pattern(drawn):
    """By pattern: coverage, what it may be (the promise, 3 standard errors), and the mean share of the gallery."""
    kept = {pattern: [] for pattern in PATTERNS}
    for retriever, queries, present in drawn:
        sets = retriever.prediction_set(queries, COVERAGE, present)
        for i, found in enumerate(sets):
            pattern = pattern_of(present, i)
            kept[pattern].append((i in found, len(found) / len(retriever), retriever.counts.get(pattern, 0)))
    for pattern, rows in kept.items():
        covered, size, matches = np.array(rows).T
        # A test query varies by the binomial; a calibration of n matches shifts all queries of its draw alike.
        variance = COVERAGE * (1 - COVERAGE)
        error = math.sqrt(variance / len(rows) + variance / (matches.mean() + 2) / len(drawn))
        yield pattern, covered.mean(), 3 * error, 1 / (matches.mean() + 1), size.mean()


@pytest.fixture(scope="module")
def many_draws():
    return list(draws(20, SPACES, looks))


def test_sets_cover_as_promised_for_every_pattern_over_many_draws(many_draws):
    sizes = {}
    for pattern, covered, slack, excess, size in coverage_by_pattern(many_draws):
        assert COVERAGE - slack <= covered <= COVERAGE + excess + slack, pattern
        sizes[pattern] = size
    assert max(sizes.values()) < 0.7
    assert sizes[tuple(DIMS)] < 0.6 * min(sizes[pattern] for pattern in PATTERNS[:3])


@pytest.mark.filterwarnings("ignore::canonsim.significance.NoSignalWarning")
def test_sets_of_a_model_that_knows_nothing_cover_too_and_are_nearly_the_whole_gallery():
    moments = canonsim.MultiMoments(DIMS)
    moments.update(unrelated(0, 300)[0])
    spaces = {pair: canonsim.fit(moments.pair(*pair), n_components=3) for pair in SPACES}
    for pattern, covered, slack, _, size in coverage_by_pattern(list(draws(8, spaces, unrelated))):
        assert covered >= COVERAGE - slack, pattern
        assert size > 0.85


@pytest.mark.filterwarnings("ignore::canonsim.significance.NoSignalWarning")
def test_sets_cover_with_spaces_of_other_data():
    moments = canonsim.MultiMoments(DIMS)
    moments.update(unrelated(0, 300)[0])
    spaces = {pair: canonsim.fit(moments.pair(*pair), n_components=3) for pair in SPACES}
    for pattern, covered, slack, excess, _ in coverage_by_pattern(list(draws(8, spaces, looks))):
        assert COVERAGE - slack <= covered <= COVERAGE + excess + slack, pattern


def test_p_values_of_true_items_are_those_of_chance_and_of_others_are_small(many_draws):
    true, others = [], []
    for retriever, queries, present in many_draws:
        found = retriever.p_values(queries, present)
        assert ((found > 0) & (found <= 1)).all()
        true.append(np.diag(found))
        others.append(np.median(found))
    true = np.concatenate(true)
    for t in (0.05, 0.1, 0.2, 0.5, 0.8):
        # As in the test of coverage, with about 28 matches of each of 7 patterns in 20 draws.
        slack = 3 * math.sqrt(t * (1 - t) * (1 / len(true) + 1 / (30 * 7 * 20)))
        assert (true <= t).mean() <= t + slack
        assert (true <= t).mean() >= t - 1 / 20 - slack
    assert max(others) < 0.1


def test_a_set_holds_the_items_whose_p_value_exceeds_what_is_left(many_draws):
    retriever, queries, present = many_draws[0]
    found = retriever.p_values(queries, present)
    scores = retriever.log_odds(queries, present)
    for coverage in (0.5, 0.83, 0.95):
        for i, ids in enumerate(retriever.prediction_set(queries, coverage, present)):
            assert set(ids) == set(np.flatnonzero(found[i] > 1 - coverage))
            assert (np.diff(scores[i][ids]) <= 0).all()


def recall(retriever, queries, k=10):
    ids, _ = retriever.search(queries, k)
    return (ids == np.arange(len(ids))[:, None]).any(axis=1).mean()


@pytest.mark.parametrize("item", [*DIMS, None], ids=lambda name: f"items with {name or 'all'}")
def test_each_side_finds_items_and_more_sides_find_more(item):
    n = 400
    queries, items = looks(5, n)
    retriever = calibrated(n=2000).add(items if item is None else {item: items[item]})
    found = {pattern: recall(retriever, {a: queries[a] for a in pattern}) for pattern in PATTERNS}
    assert min(found.values()) > 4 * 10 / n
    for single in DIMS:
        assert found[tuple(DIMS)] > found[single,] + 0.02
    mean = {r: np.mean([found[p] for p in PATTERNS if len(p) == r]) for r in (1, 2, 3)}
    assert mean[1] + 0.03 < mean[2] < mean[3]


def test_missing_sides_of_both_are_answered_better_than_by_a_joint_space_or_one_pair_of_sides():
    n = 400
    retriever = calibrated(n=2000)
    queries, items = looks(5, n)
    asking, asked = masks(6, n), masks(7, n)
    ids, _ = retriever.add(items, present=asked).search(queries, 10, asking)
    found = (ids == np.arange(n)[:, None]).any(axis=1).mean()
    joint = canonsim.fit_joint(MOMENTS)
    vectors = [
        sum(joint.embed(name, rows[name]) * present[name][:, None] for name in DIMS)
        for rows, present in ((queries, asking), (items, asked))
    ]
    u, v = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in vectors)
    assert found > canonsim.metrics.retrieval_recall(u @ v.T, 10) + 0.03
    for pair, space in SPACES.items():
        both = asking[pair[0]][:, None] & asked[pair[1]]
        scores = np.where(both, space.log_odds(queries[pair[0]], items[pair[1]]), -np.inf)
        assert found > canonsim.metrics.retrieval_recall(scores, 10) + 0.1


def test_two_sides_are_the_log_odds_of_their_space():
    queries, items = looks(5, 200)
    retriever = calibrated().add({"text": items["text"]})
    found = retriever.log_odds({"image": queries["image"]})
    expected = SPACES["image", "text"].log_odds(queries["image"], items["text"])
    slope, intercept = np.polyfit(expected.ravel(), found.ravel(), 1)
    assert slope > 0
    np.testing.assert_allclose(found, intercept + slope * expected, atol=1e-8)
    plain = Retriever(SPACES["image", "text"]).add(items["text"])
    np.testing.assert_array_equal(retriever.search({"image": queries["image"]})[0], plain.search(queries["image"])[0])
    # The other way round the space is asked from its other side.
    back = calibrated().add({"image": items["image"]}).log_odds({"text": queries["text"]})
    expected = SPACES["image", "text"].log_odds(items["image"], queries["text"]).T
    assert np.corrcoef(back.ravel(), expected.ravel())[0, 1] > 1 - 1e-12


def test_a_side_is_compared_with_itself_by_the_cosine_about_the_mean():
    queries, items = looks(5, 200)
    found = calibrated(n=4000).add({"text": items["text"]}).log_odds({"text": queries["text"]})
    u, v = (side["text"] - 1 for side in (queries, items))
    cosine = (u / np.linalg.norm(u, axis=1, keepdims=True)) @ (v / np.linalg.norm(v, axis=1, keepdims=True)).T
    # The mean, 1, is known from the calibration but for its error.
    assert np.corrcoef(found.ravel(), cosine.ravel())[0, 1] > 0.99


def test_the_log_odds_are_logistic_regression():
    rng = np.random.default_rng(0)
    pairs, mismatches = 5 + 3 * rng.standard_normal(80), 40 * rng.random(500) - 38
    values = np.concatenate([pairs, mismatches])
    weights = np.repeat([1 / 80, 1 / 500], [80, 500])
    targets = np.repeat([81 / 82, 1 / 502], [80, 500])

    def loss(parameters):
        logits = parameters[0] + parameters[1] * values
        return weights @ (targets * np.logaddexp(0, -logits) + (1 - targets) * np.logaddexp(0, logits))

    expected = minimize(loss, [0.0, 0.1], tol=1e-12).x
    np.testing.assert_allclose(fit_log_odds(PairScores(pairs, mismatches)), expected, rtol=1e-4)
    assert fit_log_odds(PairScores(-pairs, -mismatches)) == (0.0, 0.0)
    assert fit_log_odds(PairScores(np.ones(20), np.ones(30))) == (0.0, 0.0)
    # Scores that do not overlap, of any size.
    for scale in (1e-6, 1.0, 1e6):
        intercept, slope = fit_log_odds(PairScores(scale * (2 + rng.random(20)), scale * rng.random(1000)))
        assert 0 < slope * scale < 100
        assert -100 < intercept < 0


def test_a_side_that_repeats_another_adds_nothing_and_independent_sides_add_up():
    rng = np.random.default_rng(0)
    n = 3000
    a, b = (rng.standard_normal((n, 3)) for _ in "ab")
    rows = {"a": a + 0.5 * rng.standard_normal((n, 3)), "b": b + 0.5 * rng.standard_normal((n, 3))}
    rows |= {"copy": rows["a"], "c": a + 0.5 * rng.standard_normal((n, 3)), "d": b + 0.5 * rng.standard_normal((n, 3))}
    train, held_out, test = ({name: side[i : i + 1000] for name, side in rows.items()} for i in (0, 1000, 2000))
    spaces = {}
    for x, y in (("a", "c"), ("copy", "c"), ("b", "d")):
        moments = canonsim.PairedMoments(3, 3)
        moments.update(train[x], train[y])
        spaces[x, y] = canonsim.fit(moments)
    asking, asked = ({name: held_out[name] for name in names} for names in (("a", "copy", "b"), ("c", "d")))
    retriever = IncompleteRetriever(spaces).fit(asking, asked).add({name: test[name] for name in ("c", "d")})
    one, twice, other, sum_ = (
        retriever.log_odds({name: test[name] for name in names})
        for names in (("a",), ("a", "copy"), ("b",), ("a", "b"))
    )
    np.testing.assert_allclose(twice, one, rtol=0.05)
    slope = (sum_ * (one + other)).sum() / ((one + other) ** 2).sum()
    np.testing.assert_allclose(sum_, slope * (one + other), atol=1e-8)
    assert 0.85 < slope < 1.15


def test_what_cannot_be_compared_has_even_odds():
    queries, items = looks(2, 100)
    retriever = IncompleteRetriever(SPACES).fit({"image": queries["image"]}, {"text": items["text"]})
    retriever.add({"text": items["text"][:2]}).add({"lidar": items["lidar"][:3]})
    found = retriever.log_odds({"image": queries["image"]})
    assert (found[:, :2] != 0).all()
    assert (found[:, 2:] == 0).all()


def test_too_few_matches_of_a_pattern_give_the_whole_gallery():
    queries, items = looks(2, 120)
    seen = {"image": np.arange(120) % 15 > 0, "text": np.ones(120, bool)}
    asking = {name: queries[name] for name in ("image", "text")}
    retriever = IncompleteRetriever(SPACES).fit(asking, items, queries_present=seen).add(items)
    n = retriever.counts["text",]
    assert sum(retriever.counts.values()) == 60
    assert 1 <= n < 9
    assert len(retriever.prediction_set({"text": queries["text"][:1]}, 0.9)[0]) == 120
    assert len(retriever.prediction_set({"text": queries["text"][:1]}, (n - 0.5) / (n + 1))[0]) < 120
    assert len(retriever.prediction_set(asking, 0.9)[0]) < 120
    # A pattern that was never seen.
    assert len(retriever.prediction_set({"image": queries["image"][:1]}, 0.01)[0]) == 120
    assert (retriever.p_values({"image": queries["image"][:1]}) == 1).all()


def test_missing_values_are_not_looked_at_and_parts_make_the_whole():
    n = 50
    queries, items = looks(5, n)
    asking, asked = masks(6, n), masks(7, n)
    whole = calibrated().add(items, present=asked, ids=[f"place {i}" for i in range(n)])
    ids, scores = whole.search(queries, 7, asking)
    assert ids.dtype == object
    empty = [
        {name: np.where(present[name][:, None], rows[name], np.nan) for name in DIMS}
        for rows, present in ((queries, asking), (items, asked))
    ]
    parts = calibrated()
    for start in (0, 20):
        rows = slice(start, start + 20 if start == 0 else n)
        parts.add({a: side[rows] for a, side in empty[1].items()}, present={a: m[rows] for a, m in asked.items()})
    assert len(parts) == n
    found, same = parts.search({a: torch.from_numpy(side) for a, side in empty[0].items()}, 7, asking)
    np.testing.assert_array_equal(np.array([f"place {i}" for i in range(n)], object)[found], ids)
    np.testing.assert_allclose(same, scores, atol=1e-9)
    none = {"text": queries["text"][:0]}
    assert parts.search(none, 3)[0].shape == (0, 3)
    assert parts.p_values(none).shape == (0, n)
    assert parts.prediction_set(none) == []


def test_blocks_of_queries_give_the_same(monkeypatch, many_draws):
    retriever, queries, present = many_draws[0]
    whole = retriever.log_odds(queries, present), retriever.p_values(queries, present)
    ids, _ = retriever.search(queries, 5, present)
    sets = retriever.prediction_set(queries, 0.8, present)
    monkeypatch.setattr("canonsim.tasks.incomplete._SCORES", 7 * len(retriever))
    np.testing.assert_allclose(retriever.log_odds(queries, present), whole[0], atol=1e-9)
    np.testing.assert_array_equal(retriever.p_values(queries, present), whole[1])
    np.testing.assert_array_equal(retriever.search(queries, 5, present)[0], ids)
    for found, expected in zip(retriever.prediction_set(queries, 0.8, present), sets, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_spaces_come_from_moments_or_a_joint_space():
    queries, items = looks(5, 60)
    made = IncompleteRetriever.from_moments(MOMENTS)
    assert list(made.spaces) == list(SPACES)
    assert made.sides == tuple(DIMS)
    given = IncompleteRetriever(SPACES).fit(*looks(2, 100)).add(items)
    made.fit(*looks(2, 100)).add(items)
    np.testing.assert_array_equal(made.log_odds(queries), given.log_odds(queries))
    assert repr(made) == f"IncompleteRetriever({DIMS}), 60 items"
    joint = canonsim.fit_joint(MOMENTS)
    other = IncompleteRetriever({pair: joint.pair(*pair) for pair in SPACES}).fit(*looks(2, 100)).add(items)
    assert recall(other, queries) > 0.5
    assert len(made.fit(*looks(2, 100))) == 0


def test_rows_of_one_id_stay_together_and_make_no_mismatch():
    queries, items = looks(2, 100)
    twice = [{name: np.repeat(side, 2, axis=0) for name, side in rows.items()} for rows in (queries, items)]
    once = IncompleteRetriever(SPACES).fit(queries, items)
    both = IncompleteRetriever(SPACES).fit(*twice, np.repeat(np.arange(100), 2))
    assert sum(both.counts.values()) == 2 * sum(once.counts.values())
    found, expected = (each.add(items).log_odds(queries) for each in (both, once))
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.999


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda r, q: r.search({"video": q["text"]}), ValueError, "no side 'video'"),
        (lambda r, q: r.search({"text": q["image"]}), ValueError, "text has 9 columns, expected 7"),
        (lambda r, q: r.search({}), ValueError, "at least one of the sides"),
        (lambda r, q: r.search(q, present={"text": np.ones(3, int)}), TypeError, "must be bool"),
        (lambda r, q: r.search({"text": q["text"]}, present={"text": np.arange(3) > 0}), ValueError, "row 0 without"),
        (lambda r, q: r.search({"text": q["text"] * np.nan}), ValueError, "text holds nan in row 0"),
        (lambda r, q: r.search(q, k=0), ValueError, "between 1 and the 3 items"),
        (lambda r, q: r.search(q, k=4), ValueError, "between 1 and the 3 items"),
        (lambda r, q: r.add(q, ids=["a"]), ValueError, "one label for each row, 3, got 1"),
        (lambda r, q: r.add({"lidar": q["text"]}), ValueError, "lidar has 7 columns"),
        (lambda r, q: r.prediction_set(q, 1.0), ValueError, "coverage must lie between 0 and 1, got 1.0"),
        (lambda r, q: r.prediction_set(q, 0), ValueError, "coverage"),
        (lambda r, q: r.fit(q, {"text": q["text"][:2]}), ValueError, "queries has 3 rows, but items has 2"),
        (lambda r, q: r.fit(q, q), ValueError, "no two sides have 10 matches"),
        (lambda r, q: r.fit(q, q, ids=[0.5, 1, 2]), TypeError, "ids must be integers"),
    ],
)
def test_what_is_wrong_is_refused_and_changes_nothing(call, error, message):
    queries, items = ({name: side[:3] for name, side in rows.items()} for rows in looks(5, 60))
    retriever = calibrated(n=100).add(items)
    before = retriever.log_odds(queries)
    with pytest.raises(error, match=message):
        call(retriever, queries)
    np.testing.assert_array_equal(retriever.log_odds(queries), before)


def test_nothing_can_be_asked_before_the_fit_or_of_an_empty_gallery():
    queries, items = looks(5, 60)
    with pytest.raises(ValueError, match="call fit first"):
        IncompleteRetriever(SPACES).add(items)
    with pytest.raises(ValueError, match="call fit first"):
        IncompleteRetriever(SPACES).search(queries)
    with pytest.raises(ValueError, match="the gallery is empty"):
        calibrated(n=100).prediction_set(queries)


@pytest.mark.parametrize(
    ("spaces", "error", "message"),
    [
        ([], TypeError, "mapping"),
        ({}, ValueError, "at least two sides"),
        ({"image": None}, TypeError, r"two sides, \(str, str\), got 'image'"),
        ({("image", "text"): MOMENTS}, TypeError, "must be a CanonicalSpace"),
        ({("image", "image"): SPACES["image", "text"]}, ValueError, "two different sides"),
        ({("a", "b"): SPACES["image", "text"], ("b", "a"): SPACES["image", "text"]}, ValueError, "in one order"),
        ({**SPACES, ("text", "x"): SPACES["image", "text"]}, ValueError, "9 columns of 'text', but another has 7"),
    ],
)
def test_spaces_that_do_not_fit_together_are_refused(spaces, error, message):
    with pytest.raises(error, match=message):
        IncompleteRetriever(spaces)


def test_moments_of_something_else_are_refused():
    with pytest.raises(TypeError, match="moments must be MultiMoments"):
        IncompleteRetriever.from_moments(canonsim.PairedMoments(2, 2))
