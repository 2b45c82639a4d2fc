"""Scan Context and local shape, against their definitions."""

import cmath
import math

import numpy as np
import pytest

from canonsim.encoders import FPFHEncoder, ScanContextEncoder, from_config


def clouds(count: int = 2, n: int = 3000) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(rng.normal(size=(n, 4)) * [30, 30, 2, 1]).astype(np.float32) for _ in range(count)]


def test_scan_context_is_that_of_the_definition():
    cloud = clouds(1)[0]
    cells = np.zeros((5, 12))
    for x, y, z, _ in cloud.astype(np.float64):
        distance = math.hypot(x, y)
        if distance < 50:
            sector = int((math.atan2(y, x) % (2 * math.pi)) / (2 * math.pi) * 12) % 12
            cells[int(distance / 10), sector] = max(cells[int(distance / 10), sector], z + 2)
    expected = [
        abs(sum(cells[ring, s] * cmath.exp(-2j * math.pi * k * s / 12) for s in range(12))) / 12
        for ring in range(5)
        for k in range(3)
    ]
    found = ScanContextEncoder(rings=5, sectors=12, max_range=50, harmonics=3).encode([cloud])[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found[::3], cells.mean(axis=1), atol=1e-5)


@pytest.mark.parametrize("sectors_turned", [1, 7, 30])
def test_the_heading_changes_nothing(sectors_turned: int):
    cloud = clouds(1)[0].astype(np.float64)
    angle = 2 * np.pi * sectors_turned / 60
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned = cloud.copy()
    turned[:, :2] = cloud[:, :2] @ turn
    here, there = ScanContextEncoder().encode([cloud, turned])
    # A point or two may cross the edge of a cell in f32.
    assert np.linalg.norm(here - there) < 1e-2 * np.linalg.norm(here)


def test_other_places_have_other_features():
    one, other = ScanContextEncoder().encode(clouds())
    assert np.linalg.norm(one - other) > 0.1 * np.linalg.norm(one)


def test_points_beyond_the_range_count_for_nothing():
    cloud = clouds(1)[0]
    near = cloud[np.hypot(cloud[:, 0], cloud[:, 1]) < 20]
    far = np.full((1, 4), 1000.0, dtype=np.float32)
    encoder = ScanContextEncoder(max_range=20)
    np.testing.assert_array_equal(encoder.encode([np.vstack([near, far])]), encoder.encode([near]))


def test_planes_have_one_shape_and_balls_another():
    rng = np.random.default_rng(0)
    # Below the sensor, which tells the sides of a surface apart.
    plane = np.column_stack([rng.uniform(-10, 10, (3000, 2)), np.full(3000, -2.0)])
    moved = np.column_stack([rng.uniform(-10, 10, (3000, 2)), np.full(3000, -1.6)])
    ball = rng.normal(size=(3000, 3)) * 3
    encoder = FPFHEncoder()
    flat, round_, also_flat = encoder.encode([plane, ball, moved])
    assert np.linalg.norm(flat - also_flat) < 0.3 * np.linalg.norm(flat - round_)
    assert flat.shape == (66,)
    # Three histograms of the point itself and three of its neighbours, each in per cent.
    assert round_[:33].sum() == pytest.approx(600, rel=0.05)


@pytest.mark.parametrize("encoder", [ScanContextEncoder(rings=7, harmonics=2), FPFHEncoder(voxel=1.5)])
def test_the_config_makes_the_encoder_again(encoder):
    again = from_config(encoder.config)
    assert again.config == encoder.config
    np.testing.assert_array_equal(again.encode(clouds(1)), encoder.encode(clouds(1)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ScanContextEncoder(rings=0), "rings and sectors must be at least 1, got 0 and 60"),
        (lambda: ScanContextEncoder(harmonics=32), r"harmonics must lie in \[1, 31\], got 32"),
        (lambda: ScanContextEncoder(max_range=-1), "max_range must be positive"),
        (lambda: FPFHEncoder(voxel=0), "voxel must be positive, got 0"),
    ],
)
def test_impossible_options_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
