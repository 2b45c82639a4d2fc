"""Pictures as the image encoders take them: upright, RGB, on white."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL import Image


def read_image(item: Any) -> Image.Image:
    """Read one picture as RGB.

    It is turned upright after its EXIF orientation, transparent pixels are laid on white, and 16-bit greys are scaled
    to 8 bits.

    Parameters
    ----------
    item : str, Path, PIL image or array
        A file in any format that Pillow reads, a PIL image, or a (height, width, 3) uint8 array.

    Returns
    -------
    PIL.Image.Image
        Mode RGB.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, damaged or no picture (the message names it), or the array has another shape or dtype.
    TypeError
        For any other kind of item.
    ImportError
        Without Pillow (``pip install canonsim[images]``).

    Examples
    --------
    >>> import numpy as np
    >>> from canonsim.data import read_image
    >>> read_image(np.zeros((4, 6, 3), dtype=np.uint8)).size
    (6, 4)
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise ImportError("pictures need Pillow: pip install canonsim[images]") from error
    if isinstance(item, Image.Image):
        return _to_rgb(item)
    if isinstance(item, np.ndarray):
        if item.dtype != np.uint8 or item.ndim != 3 or item.shape[2] != 3:
            raise ValueError(f"a picture must be a (height, width, 3) uint8 array, got {item.shape} {item.dtype}")
        return Image.fromarray(item)
    if not isinstance(item, (str, Path)):
        raise TypeError(f"a picture must be a path, a PIL image or an array, got {type(item).__name__}")
    try:
        with Image.open(item) as image:
            return _to_rgb(image)
    except FileNotFoundError:
        raise FileNotFoundError(f"{item}: no such picture") from None
    except UnidentifiedImageError:
        raise ValueError(f"{item} ({Path(item).stat().st_size} bytes) is no picture that Pillow can read") from None
    # What Pillow's plugins raise for damaged files; the bomb error is an Exception of its own.
    except (OSError, SyntaxError, ValueError, IndexError, KeyError, TypeError, EOFError, struct.error) as error:
        raise ValueError(f"{item} is no readable picture: {error}") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"{item}: {error}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise ValueError("its pixels are floats of unknown range")
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
