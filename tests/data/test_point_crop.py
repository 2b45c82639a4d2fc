"""Cropping keeps what lies within its bounds; a voxel keeps the mean of its points, wherever the cloud came from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonsim.data import crop, voxel_downsample

CLOUD = (np.random.default_rng(0).normal(size=(3000, 4)) * [20, 20, 2, 1]).astype(np.float32)
CUBE = (-10.0, -5.0, -1.0, 15.0, 5.0, 2.0)


def means_by_dictionary(points, size):
    """Means by voxel, a point at a time, in float64."""
    voxels = {}
    for point in points.astype(np.float64):
        voxels.setdefault(tuple(np.floor(point[:3] / size).astype(int)), []).append(point)
    return np.array([np.mean(voxels[place], axis=0) for place in sorted(voxels)])


def test_ranges_are_distances_from_the_sensor():
    distance = np.linalg.norm(CLOUD[:, :3].astype(np.float64), axis=1)
    np.testing.assert_array_equal(crop(CLOUD, max_range=30.0), CLOUD[distance <= 30])
    np.testing.assert_array_equal(crop(CLOUD, min_range=5.0), CLOUD[distance >= 5])
    np.testing.assert_array_equal(crop(CLOUD, max_range=30, min_range=5), CLOUD[(distance <= 30) & (distance >= 5)])


def test_bounds_belong_to_what_they_bound():
    points = np.array([[3, 4, 0], [0, 0, 2], [0, 0, 5.5]])
    np.testing.assert_array_equal(crop(points, max_range=5.0, min_range=2.0), points[:2])
    np.testing.assert_array_equal(crop(points, box=(0, 0, 0, 3, 4, 2)), points[:2])


@pytest.mark.parametrize("columns", [3, 4, 6])
def test_a_box_keeps_every_column(columns):
    points = np.hstack([CLOUD, CLOUD])[:, :columns]
    within = ((points[:, :3] >= CUBE[:3]) & (points[:, :3] <= CUBE[3:])).all(axis=1)
    assert 0 < within.sum() < len(points)
    np.testing.assert_array_equal(crop(points, box=CUBE), points[within])
    np.testing.assert_array_equal(crop(points.astype(np.float64), box=CUBE), points[within])


def test_without_bounds_all_is_kept_and_the_input_is_left_alone():
    before = CLOUD.copy()
    kept = crop(CLOUD)
    np.testing.assert_array_equal(kept, CLOUD)
    kept[:] = 0
    voxel_downsample(CLOUD, 1.0)
    np.testing.assert_array_equal(CLOUD, before)


def test_points_far_beyond_any_range_are_left_out():
    far = np.vstack([CLOUD, np.full((1, 4), 1e30)])
    np.testing.assert_array_equal(crop(far, max_range=500.0), CLOUD)


def test_nothing_left_is_an_error_that_says_by_what():
    with pytest.raises(ValueError, match=r"none of the 3000 points is left by max_range=0.001"):
        crop(CLOUD, max_range=0.001)
    with pytest.raises(ValueError, match=r"left by min_range=1000, box=\(0, 0, 0, 1, 1, 1\)"):
        crop(CLOUD, min_range=1000, box=(0, 0, 0, 1, 1, 1))
    with pytest.raises(ValueError, match="none of the 0 points"):
        crop(CLOUD[:0])


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"max_range": 0.0}, "max_range must hold, got None and 0.0"),
        ({"max_range": np.nan}, "got None and nan"),
        ({"max_range": np.inf}, "got None and inf"),
        ({"min_range": -1.0}, "got -1.0 and None"),
        ({"max_range": 2.0, "min_range": 2.0}, "got 2.0 and 2.0"),
        ({"box": (0, 0, 0, 1, 1)}, "box must be x, y, z"),
        ({"box": (0, 0, 0, 1, 0, 1)}, "box must be x, y, z"),
        ({"box": (0, 0, 0, 1, np.inf, 1)}, "box must be x, y, z"),
    ],
)
def test_bounds_must_leave_room(bounds, message):
    with pytest.raises(ValueError, match=message):
        crop(CLOUD, **bounds)


@pytest.mark.parametrize("size", [0.05, 0.7, 3.0, 1000.0])
@pytest.mark.parametrize("columns", [3, 4])
def test_a_voxel_has_the_mean_of_its_points(size, columns):
    expected = means_by_dictionary(CLOUD[:, :columns], size)
    points = voxel_downsample(CLOUD[:, :columns], size)
    assert points.dtype == np.float32
    np.testing.assert_allclose(points, expected, rtol=1e-6, atol=1e-6)


@given(seed=st.integers(0, 1000), n=st.integers(1, 60), scale=st.sampled_from([0.0, 0.3, 1.0, 50.0, 4e5]))
def test_any_cloud_is_grouped_as_a_dictionary_groups_it(seed, n, scale):
    rng = np.random.default_rng(seed)
    points = (rng.integers(-4, 5, (n, 3)) * 0.5 * scale).astype(np.float32)
    expected = means_by_dictionary(points, 1.0)
    np.testing.assert_allclose(voxel_downsample(points, 1.0), expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(voxel_downsample(rng.permutation(points), 1.0), expected, rtol=1e-6, atol=1e-6)


def test_voxels_have_their_places_from_the_origin_not_from_the_cloud():
    """Two points on either side of a plane of the grid stay apart, whatever else is there."""
    pair = np.array([[0.9, 0.5, 0.5], [1.1, 0.5, 0.5]], dtype=np.float32)
    assert len(voxel_downsample(pair, 1.0)) == 2
    assert len(voxel_downsample(pair - [0.5, 0, 0], 1.0)) == 1
    assert len(voxel_downsample(np.vstack([pair, [[-7.3, 2, 9]]]), 1.0)) == 3


def test_the_same_points_give_the_same_bytes():
    assert voxel_downsample(CLOUD, 0.5).tobytes() == voxel_downsample(CLOUD.copy(order="F"), 0.5).tobytes()


def test_downsampled_points_are_one_to_a_voxel():
    points = voxel_downsample(CLOUD, 5.0)
    assert len(points) < len(CLOUD) / 2
    assert len(np.unique(np.floor(points[:, :3].astype(np.float64) / 5.0), axis=0)) == len(points)


@pytest.mark.parametrize("size", [0.0, -1.0, np.nan, np.inf])
def test_a_size_must_be_positive(size):
    with pytest.raises(ValueError, match="size must be positive"):
        voxel_downsample(CLOUD, size)


def test_what_cannot_be_put_in_voxels_is_refused():
    with pytest.raises(ValueError, match=r"size 1e-06 is too small: the cloud is \d+ voxels across"):
        voxel_downsample(CLOUD, 1e-6)
    with pytest.raises(ValueError, match="too small"):
        voxel_downsample(CLOUD * np.float32(1e30), 1e-300)
    with pytest.raises(ValueError, match="finite values, got 0 points"):
        voxel_downsample(CLOUD[:0], 1.0)
    with pytest.raises(ValueError, match="finite values"):
        voxel_downsample(np.where(np.arange(3000)[:, None] == 7, np.nan, CLOUD), 1.0)


@pytest.mark.parametrize("points", [CLOUD[:, :2], CLOUD[0], CLOUD.astype(int)])
def test_points_have_their_shape(points):
    for shrink in (crop, lambda cloud: voxel_downsample(cloud, 1.0)):
        with pytest.raises(ValueError, match=r"points must be an \(n, 3 or more\) float array"):
            shrink(points)
