"""Items of one side as a reader sees them: small pictures, texts, names of files, or numbers of rows."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canonsim.report import Html

if TYPE_CHECKING:
    from canonsim.data import PairDataset
    from canonsim.data.pairs import Kind

# Pixels of the longer side of a picture, and what WebP keeps of it: some 5 to 20 kB each.
_PIXELS = 320
_QUALITY = 75

# Characters of a text.
_LENGTH = 240


@dataclass(frozen=True)
class Contents:
    """Raw items of one side.

    Attributes
    ----------
    kind : str
        What the items are: "image", "text", "audio", "points" or "features".
    item : callable
        From the place of a row to its item: a path, a text, or anything where they are features.
    folder : Path, optional
        Paths below it are named from there.

    Examples
    --------
    >>> words = Contents("text", ["one", "two"].__getitem__)
    >>> words.name(1), words.picture(1)
    ('two', None)
    """

    kind: Kind
    item: Callable[[int], Any]
    folder: Path | None = None

    @classmethod
    def both(cls, pairs: PairDataset, folder: Path | None = None) -> tuple[Contents, Contents]:
        """The items of x and of y."""
        return cls(pairs.x_kind, lambda row: pairs[row]["x"], folder), cls(
            pairs.y_kind, lambda row: pairs[row]["y"], folder
        )

    def name(self, row: int) -> str:
        """A text, the name of a file, or ``"row 17"`` of features."""
        return f"row {row}" if self.kind == "features" else item_name(self.item(row), self.folder)

    def caption(self, row: int) -> str:
        """The name, cut short where it is long."""
        name = " ".join(self.name(row).split())
        return name if len(name) <= _LENGTH else name[:_LENGTH] + " ..."

    def picture(self, row: int) -> Html | None:
        """A small picture of an image; None of other items.

        Raises
        ------
        FileNotFoundError, ValueError
            If the image cannot be read.
        """
        return thumbnail(self.item(row)) if self.kind == "image" else None


def folder_of(data: str) -> Path:
    """Where items of a folder, or of a table, are named from."""
    origin = Path(data)
    return origin if origin.is_dir() else origin.parent


def item_name(item: Any, folder: Path | None) -> str:
    """Name a file from the folder that it lies below; texts are their own names.

    >>> item_name(Path("data/pictures/1.png"), Path("data"))
    'pictures/1.png'
    """
    below = isinstance(item, Path) and folder is not None and item.is_relative_to(folder)
    return str(item.relative_to(folder) if below else item)


def thumbnail(item: Any, pixels: int = _PIXELS) -> Html:
    """Make a picture small, as a data URI of WebP; items and errors as of `canonsim.data.read_image`.

    Parameters
    ----------
    item : str, Path, PIL image or array
    pixels : int
        Of the longer side, at most: small pictures stay as large as they are.
    """
    from canonsim.data import read_image

    picture = read_image(item)
    picture.thumbnail((pixels, pixels))
    content = io.BytesIO()
    picture.save(content, "WEBP", quality=_QUALITY)
    return Html(f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}")
