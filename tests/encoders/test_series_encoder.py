"""The features of a series are those of catch22 and correlations of its channels; what is not defined is 0."""

import json
import pickle
import sys
import types

import numpy as np
import pytest
import torch

import canonsim
from canonsim import metrics
from canonsim.encoders import Encoder, TimeSeriesEncoder, from_config

pycatch22 = pytest.importorskip("pycatch22")

RNG = np.random.default_rng(0)
SERIES = np.cumsum(RNG.normal(size=(3, 150)), axis=1)


def test_columns_are_catch22_by_channel_then_correlations():
    features = TimeSeriesEncoder(channels=3).encode([SERIES])[0]
    expected = np.concatenate([pycatch22.catch22_all(channel)["values"] for channel in SERIES])
    np.testing.assert_allclose(features[:66], expected, rtol=1e-6)
    correlations = np.corrcoef(SERIES)
    np.testing.assert_allclose(features[66:], [correlations[0, 1], correlations[0, 2], correlations[1, 2]], rtol=1e-6)


def test_features_with_a_known_answer():
    time = np.arange(600)
    encoder = TimeSeriesEncoder(moments=True)
    assert encoder.dim == 24
    sine, noise = encoder.encode([5 + 2 * np.sin(2 * np.pi * time / 20), RNG.normal(size=600)])
    np.testing.assert_allclose(sine[22:], [5.0, np.sqrt(2 * 600 / 599)], rtol=1e-5)
    names = [row["name"] for row in pycatch22.feature_table()]
    # The autocorrelation of a sine is least at half a period; its values are symmetric, and predictable.
    assert sine[names.index("CO_FirstMin_ac")] == 10
    assert abs(sine[names.index("CO_trev_1_num")]) < 1e-3
    error = names.index("FC_LocalSimple_mean3_stde")
    assert sine[error] < noise[error]


@pytest.mark.parametrize("value", [0.0, 0.1, -7.0])
def test_a_constant_channel_is_zeros(value):
    series = np.vstack([SERIES[0], np.full(150, value), SERIES[1]])
    features = TimeSeriesEncoder(channels=3).encode([series])[0]
    np.testing.assert_array_equal(features[22:44], 0)
    assert (features[:22] != 0).sum() > 15
    # Correlations of channels 1-2, 1-3 and 2-3.
    np.testing.assert_allclose(features[66:], [0, np.corrcoef(SERIES[0], SERIES[1])[0, 1], 0], rtol=1e-6)


@pytest.mark.parametrize("length", [5, 6, 8, 13, 40, 77])
@pytest.mark.parametrize("kind", ["noise", "constant", "spike", "two values", "tiny", "huge"])
def test_any_series_gives_finite_features(length, kind):
    rng = np.random.default_rng(length)
    noise = rng.normal(size=(2, length))
    spike = np.zeros((2, length))
    spike[0, 2] = 1.0
    series = {
        "noise": noise,
        "constant": np.full((2, length), 0.3),
        "spike": spike,
        "two values": np.sign(noise),
        "tiny": noise * 1e-300,
        "huge": noise * 1e37,
    }[kind]
    assert np.isfinite(TimeSeriesEncoder(channels=2, moments=True).encode([series])).all()


def test_level_and_scale_do_not_matter_without_moments():
    encoder = TimeSeriesEncoder(channels=3)
    np.testing.assert_allclose(encoder.encode([SERIES * 256 + 1024]), encoder.encode([SERIES]), rtol=1e-5, atol=1e-6)


def test_features_do_not_depend_on_the_batch_and_lengths_may_differ():
    series = [SERIES[:1], SERIES[1, :90], SERIES[2:, 20:]]
    encoder = TimeSeriesEncoder()
    together = encoder.encode(series)
    np.testing.assert_array_equal(together, np.vstack([encoder.encode([one]) for one in series]))


def test_files_pickle_and_config(tmp_path):
    np.save(tmp_path / "a.npy", SERIES)
    encoder = TimeSeriesEncoder(channels=3, moments=True, normalize=True)
    torch.testing.assert_close(
        pickle.loads(pickle.dumps(encoder.collate))([tmp_path / "a.npy"]), encoder.collate([SERIES])
    )
    again = from_config(json.loads(json.dumps(encoder.config)))
    assert encoder.config == {"class": "TimeSeriesEncoder", "channels": 3, "moments": True, "normalize": True}
    assert again.config == encoder.config
    features = again.encode([tmp_path / "a.npy"])
    np.testing.assert_array_equal(features, encoder.encode([SERIES]))
    np.testing.assert_allclose(np.linalg.norm(features), 1, rtol=1e-6)


def test_series_that_do_not_fit_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", SERIES)
    with pytest.raises(ValueError, match=r"a.npy has 3 channels \(shape \(3, 150\)\), the encoder 2"):
        TimeSeriesEncoder(channels=2).encode([tmp_path / "a.npy"])
    with pytest.raises(ValueError, match=r"too short: shape \(4,\)"):
        TimeSeriesEncoder().encode([np.zeros(4)])
    with pytest.raises(ValueError, match="channels must be at least 1, got 0"):
        TimeSeriesEncoder(channels=0)


def test_a_missing_or_old_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycatch22", None)
    with pytest.raises(ImportError, match=r"pip install canonsim\[timeseries\]"):
        TimeSeriesEncoder()
    monkeypatch.setitem(sys.modules, "pycatch22", types.ModuleType("pycatch22"))
    with pytest.raises(ImportError, match=r"need pycatch22 1.0 or later"):
        TimeSeriesEncoder()


def test_preprocessing_of_a_module_gets_series_as_arrays(tmp_path):
    np.save(tmp_path / "a.npy", SERIES)
    encoder = Encoder.from_module(torch.nn.Identity(), lambda series: series.mean(axis=1), dim=3, kind="series")
    np.testing.assert_allclose(encoder.encode([tmp_path / "a.npy"]), [SERIES.mean(axis=1)], rtol=1e-6)


def test_the_course_of_a_process_is_found_by_its_parameters_and_not_by_others():
    """Series of second-order autoregressions and their parameters, joined: above chance; shuffled, at chance."""
    rng = np.random.default_rng(0)
    n, fitted = 360, 240
    radius, angle = rng.uniform(0.3, 0.97, n), rng.uniform(0.2, 2.8, n)
    parameters = np.column_stack([2 * radius * np.cos(angle), -(radius**2)])
    series, steps = np.zeros((n, 200)), rng.normal(size=(n, 200))
    for t in range(200):
        past = series[:, [t - 1, t - 2]] if t >= 2 else np.zeros((n, 2))
        series[:, t] = (parameters * past).sum(axis=1) + steps[:, t]
    x = TimeSeriesEncoder().encode(list(series))

    def recall(x):
        moments = canonsim.PairedMoments(x.shape[1], 2)
        moments.update(x[:fitted], parameters[:fitted])
        space = canonsim.fit(moments, n_components=None, ridge=0.01)
        return metrics.retrieval_summary(space.similarity, x[fitted:], parameters[fitted:])["mean"]["R@10"]

    assert recall(x) > 0.3
    with pytest.warns(canonsim.NoSignalWarning):
        assert recall(rng.permutation(x)) < 0.2
    assert metrics.recall_chance(n - fitted, 10) == pytest.approx(1 / 12)
