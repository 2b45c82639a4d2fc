"""The folder of a model: arrays, configuration, and a page that says what it is."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import canonsim
from canonsim.files import Tensors, pack, unpack, write_atomically
from canonsim.scoring import information

_FORMAT = "canonsim.space"
_MODEL, _CONFIG, _CARD = "model.safetensors", "config.json", "README.md"


def save(
    directory: str | os.PathLike[str],
    arrays: Tensors,
    config: dict[str, Any],
    kind: str = _FORMAT,
    make_card: Callable[[Tensors, dict[str, Any]], str] | None = None,
) -> None:
    """Write ``model.safetensors``, ``config.json`` and ``README.md``, made by ``make_card`` or else that of a space.

    The configuration also stands inside the safetensors file, under its checksum: an edited or foreign ``config.json``
    is told apart.
    """
    folder = Path(directory)
    config = {"format": kind, "canonsim_version": canonsim.__version__, **config}
    text = json.dumps(config, indent=2, sort_keys=True)
    content = pack(arrays, kind, {"config": text})
    page = (make_card or _card)(arrays, config)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / _MODEL, content)
    write_atomically(folder / _CONFIG, text.encode())
    write_atomically(folder / _CARD, page.encode())


def load(directory: str | os.PathLike[str], kind: str = _FORMAT) -> tuple[Tensors, dict[str, Any]]:
    """Arrays and configuration of `save`.

    Raises
    ------
    FileNotFoundError
        If the folder or one of the two files is missing.
    ValueError
        If a file is truncated or altered, or is none of this kind.
    """
    folder = Path(directory)
    for name in (_MODEL, _CONFIG):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} holds no canonical space ({kind}): {name} is missing")
    arrays, entries = unpack((folder / _MODEL).read_bytes(), kind, str(folder / _MODEL))
    try:
        config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{folder / _CONFIG} is no JSON, or is truncated: {error}") from None
    if config != json.loads(entries.get("config", "null")):
        raise ValueError(f"{folder / _CONFIG} was altered, or belongs to another {_MODEL}")
    return arrays, config


def _card(arrays: Tensors, config: dict[str, Any]) -> str:
    """A model card: what was fitted, on what, how well."""
    held_out = arrays.get("held_out_correlations")
    correlations = arrays["correlations"]
    shown = [i for i in (0, 1, 4, 9, 19, 49, 99, 199, 499) if i < len(correlations)]
    rows = [
        f"| {i + 1} | {correlations[i]:.3f} | {'not measured' if held_out is None else f'{held_out[i]:.3f}'} |"
        for i in shown
    ]
    ridge = ", ".join(f"{value:g}" for value in config["ridge"])
    summary = (
        f"Canonical similarity analysis of {config['count']} pairs of features of widths {config['x_dim']} and "
        f"{config['y_dim']}: {config['n_components']} directions, relative ridges {ridge}, weights {config['weights']}."
    )
    mapped = [(side, config[f"{side}_map"]["kind"]) for side in ("x", "y") if f"{side}_map" in config]
    lines = [
        summary,
        *[f"Rows of {side} pass through the feature map `{kind}` first." for side, kind in mapped],
        "",
        *about(config),
        "| direction | training correlation | held-out correlation |",
        "|---:|---:|---:|",
        *rows,
        "",
    ]
    if held_out is not None and len(held_out):
        lines += [f"Held-out information: {information(held_out):.2f} nats a pair.", ""]
    if "signal" in config:
        directions, low, high = config["signal"]
        lines += [
            f"About {directions} directions carry signal (95 % interval {low} to {high}).",
            f"Held-out correlations up to {config['noise_floor']:.3f} are within chance.",
            "",
        ]
    if config.get("log_odds_scale", 1.0) != 1:
        lines += [f"Log odds are calibrated: multiplied by {config['log_odds_scale']:.3g}.", ""]
    example = [
        'space = canonsim.CanonicalSpace.from_pretrained("path/to/this/folder")',
        "scores = space.similarity(x, y)  # (n, m), or space.log_odds(x, y)",
    ]
    return card("A canonical space", lines, example, config)


def about(config: dict[str, Any]) -> list[str]:
    """The metadata of a model as a list of its card, with an empty line after it."""
    entries = sorted(config["metadata"].items())
    listed = [f"- {name.replace('_', ' ')}: `{json.dumps(value)}`" for name, value in entries]
    return [*listed, ""] if listed else []


def card(title: str, lines: list[str], example: list[str], config: dict[str, Any]) -> str:
    """A model card around its lines, which end with an empty one, and an example of its use."""
    page = [
        "---",
        "library_name: canonsim",
        "tags:",
        "- canonical-correlation-analysis",
        "- multimodal",
        "---",
        "",
        f"# {title}",
        "",
        *lines,
        "```python",
        "import canonsim",
        "",
        *example,
        "```",
        "",
        f"Made by canonsim {config['canonsim_version']}.",
        "",
    ]
    return "\n".join(page)
