"""The statistics of a cloud are finite, of fixed width, and do not depend on the order of its points."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from canonsim.encoders import PointCloudEncoder, from_config

CLOUD = np.random.default_rng(0).normal(size=(500, 4)) * [20, 20, 1, 1]


@settings(deadline=None)
@given(
    n=st.integers(1, 20),
    columns=st.sampled_from([3, 4]),
    scale=st.sampled_from([0, 1e-6, 1, 1e4]),
    seed=st.integers(0, 1_000),
)
def test_any_cloud_gives_finite_statistics(n, columns, scale, seed):
    cloud = np.random.default_rng(seed).integers(-3, 4, (n, columns)).astype(np.float32) * np.float32(scale)
    features = PointCloudEncoder().encode([cloud])
    assert features.shape == (1, 97)
    assert np.isfinite(features).all()


def test_the_order_of_points_does_not_matter():
    shuffled = np.random.default_rng(1).permutation(CLOUD)
    encoder = PointCloudEncoder()
    np.testing.assert_allclose(encoder.encode([CLOUD]), encoder.encode([shuffled]), rtol=1e-5, atol=1e-6)


def test_shapes_are_told_apart():
    rng = np.random.default_rng(0)
    line = np.outer(rng.uniform(-1, 1, 400), [1.0, 2.0, 0.5])
    plane = rng.uniform(-1, 1, (400, 2)) @ np.array([[1.0, 0, 0], [0, 1, 0]])
    ball = rng.normal(size=(400, 3))
    shapes = PointCloudEncoder().encode([line, plane, ball])[:, 7:10]
    assert shapes.argmax(axis=1).tolist() == [0, 1, 2]
    np.testing.assert_allclose(shapes.sum(axis=1), 1, rtol=1e-5)


def test_shares_of_rings_and_intensity_add_up_to_one():
    features = PointCloudEncoder(max_range=30.0).encode([CLOUD, CLOUD[:, :3]])
    np.testing.assert_allclose((features[:, 25:89] ** 2).sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose((features[:, 89:] ** 2).sum(axis=1), [1, 0], rtol=1e-5)


def test_it_reads_files_and_its_collate_pickles(tmp_path):
    cloud = CLOUD.astype(np.float32)
    cloud.tofile(tmp_path / "a.bin")
    encoder = PointCloudEncoder()
    torch.testing.assert_close(
        pickle.loads(pickle.dumps(encoder.collate))([tmp_path / "a.bin"]), encoder.collate([cloud])
    )


def test_declared_columns_are_kept_in_its_config(tmp_path):
    cloud = CLOUD.astype(np.float32)
    np.hstack([cloud, np.ones((500, 1), dtype=np.float32)]).tofile(tmp_path / "a.bin")
    encoder = from_config(PointCloudEncoder(columns=5).config)
    torch.testing.assert_close(encoder.collate([tmp_path / "a.bin"]), PointCloudEncoder().collate([cloud]))
    assert "columns" not in PointCloudEncoder().config
    with pytest.raises(ValueError, match="columns must be at least 3"):
        PointCloudEncoder(columns=2)


@pytest.mark.parametrize("max_range", [0.0, -1.0, float("nan"), float("inf")])
def test_the_range_must_be_positive(max_range):
    with pytest.raises(ValueError, match="max_range must be positive"):
        PointCloudEncoder(max_range=max_range)
