"""Pictures come upright, in RGB, on white; a damaged file is refused by name."""

import io
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from canonsim.data import read_image


def gradient(mode="RGB", size=(40, 30)):
    rows = np.linspace(0, 255, size[0] * size[1] * 3).reshape(size[1], size[0], 3).astype(np.uint8)
    return Image.fromarray(rows).convert(mode)


def encoded(kind):
    buffer = io.BytesIO()
    gradient().save(buffer, kind)
    return buffer.getvalue()


def read_quietly(path):
    """Pillow warns of what it then fails on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read_image(path)


CONTENTS = {kind: encoded(kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")}


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "CMYK", "1", "HSV"])
def test_every_mode_becomes_rgb(mode):
    picture = read_image(gradient(mode))
    assert (picture.mode, picture.size) == ("RGB", (40, 30))


def test_paths_pictures_and_arrays_are_the_same(tmp_path):
    gradient().save(tmp_path / "a.png")
    expected = np.asarray(gradient())
    for item in (tmp_path / "a.png", str(tmp_path / "a.png"), gradient(), expected):
        np.testing.assert_array_equal(np.asarray(read_image(item)), expected)


def test_transparent_pixels_are_laid_on_white():
    picture = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    picture.putpixel((0, 0), (0, 0, 0, 0))
    assert np.asarray(read_image(picture)).tolist() == [[[255, 255, 255], [255, 0, 0]]]


def test_pictures_are_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    gradient().save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").size == (30, 40)


def test_16_bit_greys_are_scaled(tmp_path):
    Image.fromarray(np.array([[0, 0x80FF, 0xFFFF]], dtype=np.uint16)).save(tmp_path / "deep.png")
    assert np.asarray(read_image(tmp_path / "deep.png"))[0].tolist() == [[0] * 3, [128] * 3, [255] * 3]


@pytest.mark.parametrize("kind", CONTENTS)
@settings(deadline=None)
@given(share=st.floats(0, 0.8))
def test_a_truncated_picture_is_refused_by_name(tmp_path_factory, kind, share):
    path = tmp_path_factory.mktemp("truncated") / "picture"
    path.write_bytes(CONTENTS[kind][: int(len(CONTENTS[kind]) * share)])
    with pytest.raises(ValueError, match=r"truncated.*/picture"):
        read_quietly(path)


@pytest.mark.parametrize("kind", CONTENTS)
@settings(deadline=None)
@given(place=st.floats(0, 0.999), byte=st.integers(0, 255))
def test_an_altered_picture_is_read_or_refused(tmp_path_factory, kind, place, byte):
    content = bytearray(CONTENTS[kind])
    content[int(place * len(content))] = byte
    path = tmp_path_factory.mktemp("altered") / "picture"
    path.write_bytes(content)
    try:
        mode, message = read_quietly(path).mode, ""
    except ValueError as error:
        mode, message = "", str(error)
    assert mode == "RGB" or str(path) in message


def test_a_picture_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    gradient().save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ValueError, match=r"bomb.png: Image size \(1200 pixels\) exceeds limit"):
        read_image(tmp_path / "bomb.png")


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"text.png \(10 bytes\) is no picture"):
        read_image(tmp_path / "text.png")
    with pytest.raises(ValueError, match="is no readable picture"):
        read_image(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"gone.png: no such picture"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(TypeError, match="got int"):
        read_image(7)
    with pytest.raises(ValueError, match=r"\(2, 2\) float64"):
        read_image(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="floats of unknown range"):
        read_image(Image.fromarray(np.zeros((2, 2), dtype=np.float32)))
