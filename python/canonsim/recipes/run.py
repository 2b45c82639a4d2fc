"""A recipe from raw items to results: read, encode, measure."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from canonsim.recipes.examples import Captioned, Items, Labelled, TwiceCaptioned
from canonsim.recipes.recipe import Recipe

if TYPE_CHECKING:
    from canonsim import CanonicalSpace
    from canonsim.encoders import Encoder
    from canonsim.protocols import Results
    from canonsim.rows import Rows


def default_cache() -> Path:
    """Where features are kept: ``canonsim/features`` in the user's cache (``XDG_CACHE_HOME``, or ``~/.cache``)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "canonsim" / "features"


def run(
    recipe: Recipe,
    folder: str | os.PathLike[str] | None = None,
    *,
    limit: int | None = None,
    sizes: Sequence[int] | None = None,
    transfer: CanonicalSpace | None = None,
    cache: str | os.PathLike[str] | None = None,
    batch_size: int = 64,
    workers: int = 0,
    progress: bool = False,
) -> Results:
    """Read the data of a recipe, encode them, and measure by its protocol.

    Features are kept (`canonsim.encoders.FeatureCache`): a run that was killed goes on, and the next one encodes
    nothing.

    Parameters
    ----------
    recipe : Recipe
    folder : path, optional
        Of the data; some recipes need none.
    limit : int, optional
        Items of each part at most, for a quick try.
    sizes : sequence of int, optional
        Numbers of training pairs in place of the recipe's.
    transfer : CanonicalSpace, optional
        For classification: a space of the recipe's encoders, fitted on other pairs.
    cache : path, optional
        Folder of the kept features; `default_cache` by default.
    batch_size, workers, progress
        As of `canonsim.encoders.FeatureCache.encode`.

    Returns
    -------
    canonsim.protocols.Results

    Raises
    ------
    ValueError
        If the folder is needed and not given, or the data are malformed; for a transfer in another protocol.
    FileNotFoundError
        If a file of the data is missing.
    ImportError
        If a package that the data or encoders need is missing.

    Examples
    --------
    >>> from canonsim.recipes import Recipe, run
    >>> run(Recipe.open("clipart"), limit=50).protocol  # doctest: +SKIP
    'retrieval'
    """
    if transfer is not None and recipe.protocol != "classification":
        raise ValueError(f"transfer is for classification, but {recipe.name} is about {recipe.protocol}")
    data = recipe.read(folder, limit)
    encoding = _Encoding(recipe, default_cache() if cache is None else Path(cache), batch_size, workers, progress)
    options: dict[str, Any] = {}
    if sizes or recipe.sizes:
        options["sizes"] = tuple(sizes or recipe.sizes)
    if isinstance(data, Labelled):
        return _labelled(recipe, data, encoding, transfer, options)
    if isinstance(data, TwiceCaptioned):
        return _twice_captioned(recipe, data, encoding, options)
    from canonsim.protocols.retrieval import retrieval

    x, y = encoding.both(data)
    if (joint := encoding.joint()) is not None:
        options["joint"] = joint.both(data)
    return retrieval(recipe.title, x, y, data.owners, data.parts, **options)


class _Encoding:
    """Items to features, by the encoders of a recipe or by those of its joint model."""

    def __init__(
        self, recipe: Recipe, cache: Path, batch_size: int, workers: int, progress: bool, joint: bool = False
    ) -> None:
        from canonsim.encoders import FeatureCache

        self._recipe = recipe
        self._cache = FeatureCache(cache)
        self._options: dict[str, Any] = {"batch_size": batch_size, "workers": workers, "progress": progress}
        self._folder = cache
        self._encoders: tuple[Encoder | None, Encoder | None] = self._joint_encoders() if joint else recipe.encoders()

    def joint(self) -> _Encoding | None:
        """That of the joint model, where the recipe names one."""
        if self._recipe.joint is None:
            return None
        return _Encoding(self._recipe, self._folder, **self._options, joint=True)

    def both(self, data: Captioned) -> tuple[Rows, Rows]:
        return self.x(data.x), self.y(data.y)

    def x(self, items: Items) -> Rows:
        return self._encode(0, items)

    def y(self, items: Items) -> Rows:
        return self._encode(1, items)

    def texts(self, data: Labelled) -> Rows:
        """Features of the texts of classes, (classes, templates, q)."""
        flat = Items("text", [text for texts in data.texts for text in texts])
        features: Rows = np.asarray(self.y(flat)).reshape(len(data.texts), len(data.texts[0]), -1)
        return features

    def _encode(self, side: int, items: Items) -> Rows:
        encoder = self._encoders[side]
        if encoder is None:
            return np.asarray(items.items, dtype=np.float32)
        features: Rows = self._cache.encode(encoder, list(items.items), name=_version(encoder), **self._options)
        return features

    def _joint_encoders(self) -> tuple[Encoder, Encoder]:
        from canonsim.baselines import ClipBaseline

        assert self._recipe.joint is not None
        model = ClipBaseline.from_pretrained(self._recipe.joint)
        return model.x_encoder, model.y_encoder


def _version(encoder: Encoder) -> str | None:
    """What stands for the code of an encoder made of a module: of recipes, that is the demo's of pictures alone."""
    if encoder.config["class"] != "Encoder":
        return None
    from canonsim.demo.encoders import image_encoder_version

    return image_encoder_version()


def _labelled(
    recipe: Recipe,
    data: Labelled,
    encoding: _Encoding,
    transfer: CanonicalSpace | None,
    options: dict[str, Any],
) -> Results:
    x, class_y = encoding.x(data.x), encoding.texts(data)
    if (joint := encoding.joint()) is not None:
        options["joint"] = joint.x(data.x), np.asarray(joint.texts(data)).mean(axis=1)
    if recipe.protocol == "classification":
        from canonsim.protocols.classification import classification

        return classification(
            recipe.title, x, data.labels, data.parts, class_y, data.names, transfer=transfer, **options
        )
    from canonsim.protocols.mislabelled import mislabelled

    assert data.true_labels is not None
    options.pop("sizes", None)
    # What is known of some rows is only that their label is wrong: another one stands for the unknown.
    other = (data.labels + 1) % len(data.names)
    true = np.where(data.true_labels < 0, other, data.true_labels)
    return mislabelled(recipe.title, x, data.labels, true, class_y, data.names, parts=data.parts, **options)


def _twice_captioned(recipe: Recipe, data: TwiceCaptioned, encoding: _Encoding, options: dict[str, Any]) -> Results:
    from canonsim.protocols.misleading import JointVectors, misleading

    def features(by: _Encoding) -> JointVectors:
        return JointVectors(*by.both(data.pairs), by.x(data.x), by.y(data.first), by.y(data.second))

    if (joint := encoding.joint()) is not None:
        options["joint"] = features(joint)
    x, y, asked, first, second = features(encoding)
    return misleading(
        recipe.title, x, y, data.pairs.owners, data.pairs.parts, asked, first, second, data.misleading, **options
    )
