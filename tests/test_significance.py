"""Chance level, standard errors and number of signal directions: right often enough, by simulation."""

import warnings

import numpy as np
import pytest

import canonsim
from canonsim.significance import significance
from synthetic import related


def fitted(x, y, ids=None, **options):
    moments = canonsim.PairedMoments(x.shape[1], y.shape[1])
    moments.update(x, y, ids=ids)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", canonsim.NoSignalWarning)
        return canonsim.fit(moments, **options)


def repeated(make, repetitions=60, **options):
    rngs = [np.random.default_rng(seed) for seed in range(repetitions)]
    return [fitted(*make(rng), **options) for rng in rngs]


def latent(rng, n, p, q, shared, noise):
    z = rng.standard_normal((n, shared))
    mixed = [z @ rng.standard_normal((shared, d)) + noise * rng.standard_normal((n, d)) for d in (p, q)]
    return mixed[0], mixed[1]


@pytest.mark.parametrize(("n", "p", "q"), [(100, 30, 20), (60, 80, 50), (800, 20, 20)])
def test_unrelated_sides_show_no_signal(n, p, q):
    spaces = repeated(lambda rng: (rng.standard_normal((n, p)), rng.standard_normal((n, q))))
    # At most 2.5 % at one ridge; the choice of a ridge adds to that. The binomial of 60 fits does the rest.
    assert sum(space.signal.low > 0 for space in spaces) <= 8
    assert sum(space.held_out_correlations[0] > space.noise_floor for space in spaces) <= 8
    assert all(0 < space.noise_floor < 1 for space in spaces)


def test_dependent_rows_are_no_more_pairs_than_there_are_groups():
    def captions(rng):
        x, y = rng.standard_normal((60, 20)), rng.standard_normal((60, 15))
        return np.repeat(x, 10, axis=0), np.repeat(y, 10, axis=0), np.repeat(np.arange(60), 10)

    spaces = repeated(captions, 40)
    assert sum(space.signal.low > 0 for space in spaces) <= 8
    alone = repeated(lambda rng: tuple(side[::10] for side in captions(rng)), 40)
    floors = [np.median([space.noise_floor for space in found]) for found in (spaces, alone)]
    assert 0.5 < floors[0] / floors[1] < 1.5


@pytest.mark.parametrize(("n", "shared", "noise"), [(200, 3, 1.0), (600, 6, 2.0)])
def test_the_interval_covers_the_number_of_signal_directions(n, shared, noise):
    spaces = repeated(lambda rng: latent(rng, n, 20, 16, shared, noise))
    signals = [space.signal for space in spaces]
    assert sum(signal.low <= shared for signal in signals) >= 54
    assert sum(signal.high >= shared for signal in signals) >= 54
    assert abs(np.median([signal.directions for signal in signals]) - shared) <= 1
    assert np.median([signal.low for signal in signals]) >= shared - 2


def test_standard_errors_are_the_spread_over_data_sets():
    rng = np.random.default_rng(0)
    up, down = rng.standard_normal((2, 8)), rng.standard_normal((2, 6))

    def draw(rng):
        z = rng.standard_normal((400, 2)) * [2.0, 1.0]
        return z @ up + 2 * rng.standard_normal((400, 8)), z @ down + 2 * rng.standard_normal((400, 6))

    spaces = repeated(draw, 100, ridge=0.1, n_components=2)
    spread = np.std([space.held_out_correlations for space in spaces], axis=0)
    error = np.mean([space.standard_errors for space in spaces], axis=0)
    np.testing.assert_allclose(error, spread, rtol=0.35)


def test_the_jackknife_is_the_textbook_one():
    rng = np.random.default_rng(1)
    cross, x, y = rng.standard_normal((4, 3)), rng.uniform(1, 2, (4, 3)), rng.uniform(1, 2, (4, 3))
    left = np.array(
        [
            np.delete(cross, k, 0).sum(0) / np.sqrt(np.delete(x, k, 0).sum(0) * np.delete(y, k, 0).sum(0))
            for k in range(4)
        ]
    )
    expected = np.sqrt(3 / 4 * ((left - left.mean(0)) ** 2).sum(0))
    np.testing.assert_allclose(significance(cross, x, y, 100.0).standard_errors, expected)


def test_what_does_not_vary_shows_nothing():
    zeros = np.zeros((5, 2))
    found = significance(zeros, zeros, zeros, 50.0)
    assert found.signal == (0, 0, 0) or found.signal.low == 0
    np.testing.assert_array_equal(found.standard_errors, 0)
    empty = np.zeros((5, 0))
    assert significance(empty, empty, empty, 50.0).signal == (0, 0, 0)


def test_a_space_keeps_what_was_measured(tmp_path):
    x, y = related(n=300, shared=3)
    space = fitted(x, y)
    space.save_pretrained(tmp_path)
    again = canonsim.CanonicalSpace.from_pretrained(tmp_path)
    assert again.signal == space.signal
    assert again.noise_floor == space.noise_floor
    np.testing.assert_array_equal(again.standard_errors, space.standard_errors)
    assert len(space.truncate(2).standard_errors) == 2
    assert space.truncate(2).signal == space.signal
    card = (tmp_path / "README.md").read_text()
    assert f"{space.signal.directions} directions carry signal" in card
    assert fitted(x, y, ridge=1.0, weights="training").noise_floor is not None
    moments = canonsim.PairedMoments(x.shape[1], y.shape[1], folds=1)
    moments.update(x, y)
    bare = canonsim.fit(moments, ridge=1.0, weights="training")
    assert bare.noise_floor is bare.signal is bare.standard_errors is None


def test_unrelated_sides_are_warned_of():
    rng = np.random.default_rng(2)
    moments = canonsim.PairedMoments(10, 8)
    moments.update(rng.standard_normal((100, 10)), rng.standard_normal((100, 8)))
    with pytest.warns(canonsim.NoSignalWarning, match="check that row i of x belongs to row i of y"):
        canonsim.fit(moments)
