"""The recipe of an experiment: data, encoders, protocol, and what others have published."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import tomllib
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args, get_origin

from canonsim.recipes import readers
from canonsim.recipes.examples import Captioned, Labelled, TwiceCaptioned

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from canonsim.encoders import Encoder
    from canonsim.recipes.readers import Data

Protocol = Literal["classification", "retrieval", "mislabelled", "misleading"]

_FORMS: dict[str, type] = {
    "classification": Labelled,
    "retrieval": Captioned,
    "mislabelled": Labelled,
    "misleading": TwiceCaptioned,
}
_SHIPPED = Path(__file__).parent


@dataclass(frozen=True)
class Published:
    """A figure that others have published.

    Attributes
    ----------
    method : str
    pairs : int or None
        Training pairs; None where nothing was fitted to such pairs.
    measure : str
    value : float
    source : str
        Where it stands.
    same_protocol : bool
        Whether it was measured as this recipe does, so that it may stand in one table with our figures.
    why : str
        What is the same, or what differs.
    """

    method: str
    measure: str
    value: float
    source: str
    same_protocol: bool
    why: str
    pairs: int | None = None


@dataclass(frozen=True)
class Recipe:
    """An experiment as a ``.toml`` file says it.

    Attributes
    ----------
    name : str
        Name of the file, without ``.toml``.
    title : str
    protocol : str
        "classification", "retrieval", "mislabelled" or "misleading".
    data : dict
        "reader" and its options; "how_to_get", a sentence; and "folder", where the data are if they come with the
        package, relative to the file.
    sizes : tuple of int
        Numbers of training pairs, increasing; empty for those of the protocol.
    x, y : dict or None
        Configs of the encoders of both sides, as `make_encoder` takes them; None for ready features.
    joint : str or None
        Name of a model like CLIP that was trained on both sides together, for `canonsim.baselines.ClipBaseline`.
    templates : tuple of str
        Prompts of classes, with ``{}`` for the name.
    published : tuple of Published
    notes : tuple of str
        What a reader of the results must know, one sentence each.
    path : Path
        The file.

    Examples
    --------
    >>> from canonsim.recipes import Recipe
    >>> recipe = Recipe.open("clipart")
    >>> recipe.protocol, recipe.needs_folder
    ('retrieval', False)
    >>> data = recipe.read(limit=50)
    >>> len(data.x), data.y.items[0]
    (150, 'romanian map with counties, romania')
    """

    name: str
    title: str
    protocol: Protocol
    data: dict[str, Any]
    sizes: tuple[int, ...] = ()
    x: dict[str, Any] | None = None
    y: dict[str, Any] | None = None
    joint: str | None = None
    templates: tuple[str, ...] = ()
    published: tuple[Published, ...] = ()
    notes: tuple[str, ...] = ()
    path: Path = _SHIPPED

    @classmethod
    def open(cls, name: str | os.PathLike[str]) -> Self:
        """Open a recipe that ships, by its name, or a ``.toml`` file, by its path.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If no recipe of this name ships; if the file is no TOML, has an unknown key, lacks one, or has a value of
            another type or out of range: the message names the file and the key.
        """
        path = Path(name)
        if path.suffix != ".toml":
            if str(name) not in names():
                raise ValueError(f"there is no recipe {str(name)!r}; there are {', '.join(names())}, or a .toml file")
            path = _SHIPPED / f"{name}.toml"
        elif not path.is_file():
            raise FileNotFoundError(f"{path}: no such recipe")
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is no TOML: {error}") from error
        return cls(**_checked(content, path), name=path.stem, path=path)

    @property
    def needs_folder(self) -> bool:
        """Whether `read` must be told where the data are."""
        folder = inspect.signature(readers.find(self.data["reader"])).parameters.get("folder")
        return "folder" not in self.data and folder is not None and folder.default is inspect.Parameter.empty

    def read(self, folder: str | os.PathLike[str] | None = None, limit: int | None = None) -> Data:
        """Read the data; the training rows come in random order, always the same, so that the first of them are a draw.

        Parameters
        ----------
        folder : str or Path, optional
            Where they are. Not needed where `needs_folder` says so.
        limit : int, optional
            Items of x kept in every part, by chance.

        Returns
        -------
        Labelled for the protocols "classification" and "mislabelled", Captioned for "retrieval", TwiceCaptioned for
        "misleading".

        Raises
        ------
        FileNotFoundError
            If there is no such folder, or a file is missing in it.
        ValueError
            If a folder is needed and not given, or given and of no use; if a file is malformed; or if the data are of
            another form than the protocol needs.
        ImportError
            If the data need a library that is not installed.
        """
        reader = readers.find(self.data["reader"])
        options = {key: value for key, value in self.data.items() if key not in ("reader", "how_to_get", "folder")}
        parameters = inspect.signature(reader).parameters
        if "templates" in parameters:
            options["templates"] = self.templates
        if folder is None and self.needs_folder:
            raise ValueError(f"recipe {self.name!r} needs the folder of its data. {self.data['how_to_get']}")
        if folder is not None and "folder" not in parameters:
            raise ValueError(f"recipe {self.name!r} takes no folder, got {folder}. {self.data['how_to_get']}")
        if folder is None and "folder" in self.data:
            folder = self.path.parent / self.data["folder"]
        if folder is not None:
            options["folder"] = Path(folder)
        data = reader(**options)
        form = _FORMS[self.protocol]
        if not isinstance(data, form):
            raise ValueError(  # noqa: TRY004
                f"{self.path}: protocol {self.protocol!r} needs {form.__name__} data, but the reader "
                f"{self.data['reader']!r} gave {type(data).__name__}"
            )
        if not isinstance(data, TwiceCaptioned) and "test" not in data.parts:
            raise ValueError(f"{self.path}: the data have no part 'test'")
        if self.protocol == "mislabelled" and isinstance(data, Labelled) and data.true_labels is None:
            raise ValueError(f"{self.path}: protocol 'mislabelled' needs corrected labels, which the data do not have")
        return (data if limit is None else data.limit(limit)).mixed()

    def encoders(self) -> tuple[Encoder | None, Encoder | None]:
        """Make the encoders of x and y; None for ready features.

        Raises
        ------
        FileNotFoundError, ValueError, ImportError
            As `make_encoder`.
        """
        x, y = (None if config is None else make_encoder(config) for config in (self.x, self.y))
        return x, y


def names() -> list[str]:
    """Names of the recipes that ship, sorted."""
    return sorted(path.stem for path in _SHIPPED.glob("*.toml"))


def make_encoder(config: dict[str, Any]) -> Encoder:
    """Make an encoder from its config.

    Parameters
    ----------
    config : dict
        As `canonsim.encoders.from_config` takes it, or ``{"class": "DemoImageEncoder"}``, ``{"class":
        "DemoTextEncoder"}``: the encoders of the demo, whose weights come with packages.

    Raises
    ------
    FileNotFoundError
        If the model it names is not there.
    ValueError
        If there is no such class, or it has other options.
    ImportError
        Without the packages of the demo.
    """
    demo = {"DemoImageEncoder": "image_encoder", "DemoTextEncoder": "text_encoder"}
    if config.get("class") in demo:
        if len(config) > 1:
            raise ValueError(f"{config['class']} has no options, got {config}")
        from canonsim.demo import encoders

        make: Callable[[], Encoder] = getattr(encoders, demo[config["class"]])
        return make()
    from canonsim.encoders import from_config

    return from_config(config)


def _checked(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """The fields of a recipe, checked."""
    hints = {
        "title": str,
        "protocol": Protocol,
        "data": dict[str, Any],
        "sizes": list[int],
        "x": dict[str, Any],
        "y": dict[str, Any],
        "joint": str,
        "templates": list[str],
        "published": list[dict[str, Any]],
        "notes": list[str],
    }
    _check_table(content, hints, {"title", "protocol", "data"}, str(path))
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
    sizes, templates = fields.get("sizes", ()), fields.get("templates", ())
    if (
        ("sizes" in fields and not sizes)
        or min(sizes, default=1) < 1
        or any(after <= before for before, after in itertools.pairwise(sizes))
    ):
        raise ValueError(f"{path}: sizes must be positive and increasing, got {list(sizes)}")
    for template in templates:
        if "{}" not in template:
            raise ValueError(f"{path}: templates must have {{}} for the name of the class, got {template!r}")
    for side in ("x", "y"):
        if side in fields and not isinstance(fields[side].get("class"), str):
            raise ValueError(f"{path}: {side} must name the class of an encoder, got {fields[side]}")
    _check_data(fields["data"], templates, path)
    fields["published"] = tuple(_published(entry, path) for entry in fields.get("published", ()))
    return fields


def _check_data(data: dict[str, Any], templates: tuple[str, ...], path: Path) -> None:
    place = f"{path}, data"
    for key in ("reader", "how_to_get"):
        if not isinstance(data.get(key), str):
            raise ValueError(f"{place}: {key} must be a text, got {data.get(key)!r}")  # noqa: TRY004
    try:
        reader = readers.find(data["reader"])
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    hints = typing.get_type_hints(reader)
    parameters = inspect.signature(reader).parameters
    options = {key: hints[key] for key in parameters if key not in ("folder", "templates")}
    needed = {key for key in options if parameters[key].default is inspect.Parameter.empty}
    known = {**options, "reader": str, "how_to_get": str, **({"folder": str} if "folder" in parameters else {})}
    _check_table(data, known, needed, place)
    takes = parameters.get("templates")
    if (templates and takes is None) or (not templates and takes and takes.default is inspect.Parameter.empty):
        raise ValueError(
            f"{path}: templates must be given where there are classes, and only there; the reader {data['reader']!r} "
            f"has {'no ' if takes is None else ''}classes"
        )


def _published(entry: dict[str, Any], path: Path) -> Published:
    hints = typing.get_type_hints(Published)
    needed = {field.name for field in dataclasses.fields(Published) if field.default is dataclasses.MISSING}
    _check_table(entry, hints, needed, f"{path}, published")
    return Published(**{**entry, "value": float(entry["value"])})


def _check_table(table: dict[str, Any], hints: dict[str, Any], needed: set[str], place: str) -> None:
    for key in table:
        if key not in hints:
            raise ValueError(f"{place}: unknown key {key!r}; there are {', '.join(hints)}")
    for key in hints:
        if key in needed and key not in table:
            raise ValueError(f"{place}: the key {key!r} is missing")
    for key, value in table.items():
        if not _fits(value, hints[key]):
            hint = hints[key]
            raise ValueError(f"{place}: {key} must be {getattr(hint, '__name__', hint)}, got {value!r}")


def _fits(value: Any, hint: Any) -> bool:  # noqa: PLR0911
    """Whether a value of a TOML file has the type of an annotation."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin is Literal:
        return value in arguments
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, argument) for argument in arguments)
    if origin is list:
        return isinstance(value, list) and all(_fits(item, arguments[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(item, arguments[1]) for item in value.values())
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
