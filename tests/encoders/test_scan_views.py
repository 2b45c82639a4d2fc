"""Views of point clouds and the encoders on them, against loops over points in f64."""

import math

import numpy as np
import pytest
import torch

from canonsim.encoders import (
    BirdsEyeEncoder,
    ConcatEncoder,
    Encoder,
    ImageEncoder,
    PointCloudEncoder,
    RangeImageEncoder,
    TextEncoder,
    from_config,
)
from canonsim.encoders.views import BirdsEyeView, RangeView


@pytest.fixture
def tiny_vit(model_folder):
    return model_folder("vit")


@pytest.fixture
def tiny_bert(model_folder):
    return model_folder("bert")


def street(seed: int = 0, n: int = 4000) -> np.ndarray:
    """Points about a sensor, denser near it, some beyond every edge."""
    rng = np.random.default_rng(seed)
    distance = rng.exponential(15, n)
    around = rng.uniform(-np.pi, np.pi, n)
    height = rng.uniform(-4, 8, n)
    points = np.column_stack([distance * np.cos(around), distance * np.sin(around), height, rng.gamma(2, 30, n)])
    return points.astype(np.float32)


def naive_range(points: np.ndarray, view: RangeView) -> np.ndarray:
    picture = np.zeros((view.height, view.width, 3))
    nearest = np.full((view.height, view.width), np.inf)
    brightest = None
    inside = []
    for point in points.astype(np.float64):
        depth = math.sqrt(sum(v * v for v in point[:3]))
        elevation = math.degrees(math.asin(point[2] / depth))
        row = (view.fov_up - elevation) / (view.fov_up - view.fov_down) * view.height
        if 0 <= row < view.height and depth <= view.max_range:
            column = int((0.5 - math.atan2(point[1], point[0]) / (2 * math.pi)) * view.width)
            inside.append((int(row), min(column, view.width - 1), depth, point))
    brightest = np.quantile([point[3] for *_, point in inside], 0.99)
    for row, column, depth, point in inside:
        if depth < nearest[row, column]:
            nearest[row, column] = depth
            shade = math.log1p(depth) / math.log1p(view.max_range)
            picture[row, column] = shade, min(point[3] / brightest, 1), min(max((point[2] + 3) / 10, 0), 1)
    return picture


def test_the_range_image_shows_the_nearest_point_of_each_direction():
    view = RangeView(height=16, width=64, fov_up=20, fov_down=-30, max_range=40, strips=1)
    found, expected = view(street()), naive_range(street(), view)
    # f32 angles put a few points of the thousands on the other side of a pixel's edge.
    agree = np.isclose(found, expected, atol=1e-5).all(axis=2)
    assert agree.mean() > 0.99
    assert (expected[..., 0] > 0).mean() > 0.5


@pytest.mark.parametrize(("strips", "row", "column"), [(1, 4, 32), (2, 8 + 4, 16), (4, 16 + 4, 8)])
def test_straight_ahead_lies_in_the_middle_of_a_strip(strips: int, row: int, column: int):
    view = RangeView(height=8, width=64, fov_up=10, fov_down=-10, strips=strips)
    picture = view(np.array([[10.0, -0.01, -0.01]], dtype=np.float32))
    assert picture.shape == (8 * strips, 64 // strips, 3)
    assert np.argwhere(picture[..., 0] > 0).tolist() == [[row, column]]


def test_normals_of_a_wall_and_of_the_ground():
    angles = np.linspace(-0.5, 0.5, 200)
    wall = np.array([[10.0, 10 * math.tan(a), 10 / math.cos(a) * math.tan(e)] for a in angles for e in angles / 2])
    view = RangeView(height=32, width=256, fov_up=12, fov_down=-12, channels=("depth", "normals"), strips=1)
    picture = view(wall.astype(np.float32))
    inner = picture[4:-4, 118:138]
    # A wall ahead faces the sensor: its normal is (-1, 0, 0), shown as (0, .5, .5).
    assert inner[..., 0].min() > 0
    assert np.abs(np.median(inner[..., 1:], axis=(0, 1)) - [0, 0.5, 0.5]).max() < 0.05
    alone = view(np.array([[10.0, 0, 0]], dtype=np.float32))
    assert alone[alone[..., 0] > 0][0, 1:].tolist() == [0.5, 0.5, 0.5]


def test_the_birds_eye_view_shows_the_highest_point_of_each_cell():
    view, points = BirdsEyeView(cells=16, max_range=20), street(1)
    expected = np.zeros((16, 16, 3))
    counts, highest = np.zeros((16, 16)), np.full((16, 16), -np.inf)
    inside = [p for p in points.astype(np.float64) if max(abs(p[0]), abs(p[1])) < 20]
    brightest = np.quantile([p[3] for p in inside], 0.99)
    for p in inside:
        row, column = math.floor((1 - p[0] / 20) * 8), math.floor((1 - p[1] / 20) * 8)
        counts[row, column] += 1
        if p[2] > highest[row, column]:
            highest[row, column] = p[2]
            expected[row, column, 0] = min(max((p[2] + 3) / 10, 0), 1)
            expected[row, column, 2] = min(p[3] / brightest, 1)
    expected[..., 1] = np.minimum(np.log1p(counts) / math.log1p(64), 1)
    np.testing.assert_allclose(view(points), expected, atol=1e-5)


def test_clouds_without_intensity_have_none():
    for view in (RangeView(strips=1, fov_up=30, fov_down=-30), BirdsEyeView()):
        assert view(street()[:, :3])[..., view.channels.index("intensity")].max() == 0


@pytest.mark.parametrize("view", [RangeView(), BirdsEyeView()])
def test_a_cloud_out_of_sight_is_refused(view):
    with pytest.raises(ValueError, match="none of 5 points"):
        view(np.full((5, 4), 500.0, dtype=np.float32))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RangeView(height=0), "height must be at least 1, got 0"),
        (lambda: RangeView(fov_up=-30), "fov_down must lie below fov_up"),
        (lambda: RangeView(width=10, strips=4), "strips must divide the width, got 4 and 10"),
        (lambda: RangeView(channels=("colour",)), "channels must be different ones of .*'colour'"),
        (lambda: RangeView(max_range=0), "max_range must be positive"),
        (lambda: BirdsEyeView(channels=()), "channels must be"),
        (lambda: BirdsEyeView(cells=0), "cells must be at least 1"),
    ],
)
def test_impossible_views_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_torch_module_sees_all_channels():
    net = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())
    encoder = RangeImageEncoder(Encoder.from_module(net, dim=20), channels=("depth", "height", "normals"))
    view = RangeView(channels=("depth", "height", "normals"))(street())
    expected = view.reshape(2, 128, 2, 128, 5).mean(axis=(1, 3)).transpose(2, 0, 1).ravel()
    np.testing.assert_allclose(encoder.encode([street()])[0], expected, atol=1e-5)


def test_a_model_of_pictures_sees_the_view(tmp_path, tiny_vit):
    encoder = RangeImageEncoder.from_pretrained(tiny_vit, pooling="mean", width=256, strips=4)
    pictures = ImageEncoder.from_pretrained(tiny_vit, pooling="mean")
    shown = (RangeView(width=256, strips=4)(street()) * 255).round().astype(np.uint8)
    np.testing.assert_allclose(encoder.encode([street()]), pictures.encode([shown]), atol=1e-6)
    street().tofile(tmp_path / "scan.bin")
    again = from_config(encoder.config)
    np.testing.assert_array_equal(again.encode([tmp_path / "scan.bin"]), encoder.encode([street()]))
    assert again.config == encoder.config
    np.full((3, 4), 500.0, dtype=np.float32).tofile(tmp_path / "far.bin")
    with pytest.raises(ValueError, match=r"far\.bin: none of 3 points"):
        encoder.encode([tmp_path / "far.bin"])


def test_encoders_of_other_things_are_refused(tiny_bert):
    with pytest.raises(ValueError, match=r"encoder must take pictures or arrays .*'text'"):
        BirdsEyeEncoder(TextEncoder.from_pretrained(tiny_bert))


def test_a_picture_has_three_channels(tiny_vit):
    with pytest.raises(ValueError, match="a picture has 3 channels, got 1: depth"):
        RangeImageEncoder.from_pretrained(tiny_vit, pooling="mean", channels=("depth",))


def test_features_side_by_side(tiny_vit):
    view = BirdsEyeEncoder.from_pretrained(tiny_vit, pooling="mean", normalize=True)
    both = ConcatEncoder([view, PointCloudEncoder(normalize=True)])
    clouds = [street(seed) for seed in range(3)]
    expected = np.hstack([view.encode(clouds), PointCloudEncoder(normalize=True).encode(clouds)])
    np.testing.assert_allclose(both.encode(clouds), expected, atol=1e-6)
    assert from_config(both.config).config == both.config
    assert both.dim == expected.shape[1]


def test_a_batch_of_named_tensors_reaches_its_encoder(tiny_bert):
    texts = ["a dog", "two red cars on a road"]
    parts = [TextEncoder.from_pretrained(tiny_bert, pooling=pooling) for pooling in ("mean", "cls")]
    expected = np.hstack([part.encode(texts) for part in parts])
    np.testing.assert_allclose(ConcatEncoder(parts).encode(texts), expected, atol=1e-6)


def test_what_cannot_stand_side_by_side_is_refused(tiny_bert):
    with pytest.raises(ValueError, match="two or more, got 1"):
        ConcatEncoder([PointCloudEncoder()])
    with pytest.raises(ValueError, match="of one kind, got points, text"):
        ConcatEncoder([PointCloudEncoder(), TextEncoder.from_pretrained(tiny_bert)])
