"""`canonsim fit`: from pairs to a model."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canonsim.cli.pairs import add_data, add_encoders, make_encoder, open_pairs

if TYPE_CHECKING:
    from canonsim.data import FeaturePairs, PairDataset
    from canonsim.encoders import Encoder
    from canonsim.space import CanonicalSpace

_EXAMPLES = """examples:
  canonsim fit captions.csv --x image:file --y text:caption \\
      --x-encoder facebook/dinov2-small --y-encoder sentence-transformers/all-MiniLM-L6-v2 -o model
  canonsim fit scans.csv --x points:scan --y text:caption --y-encoder sentence-transformers/all-MiniLM-L6-v2 -o model
  canonsim fit images.npy texts.npy -o model
"""

# Rows of ready features read at a time.
_ROWS = 8192


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "fit",
        help="fit a model to pairs",
        description="Encode pairs, or take ready features, and fit their canonical space in one pass.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_data(parser)
    add_encoders(parser)
    parser.add_argument("-o", "--output", required=True, metavar="MODEL", help="folder of the model")
    parser.add_argument(
        "--ridge", default="auto", metavar="R", help="auto (default), oas, ledoit-wolf, a number, or two: RX,RY"
    )
    parser.add_argument("--components", default="auto", metavar="S", help="auto (default), all, or a number")
    parser.add_argument(
        "--weights", default="held-out", choices=("held-out", "training", "equal"), help="held-out is the default"
    )
    parser.add_argument("--folds", type=int, default=5, metavar="K", help="folds for held-out numbers (5); 1 for none")
    parser.add_argument("--devices", type=int, default=1, metavar="N", help="processes that encode (1)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Fit, save, and say how well."""
    from canonsim.canonical import checked_ridge
    from canonsim.data import FeaturePairs

    arguments = {
        "ridge": _ridge(options.ridge),
        "n_components": _components(options.components),
        "weights": options.weights,
    }
    if options.folds == 1 and (options.ridge == "auto" or options.weights == "held-out"):
        raise ValueError(
            "--folds 1 holds nothing out: it needs --ridge NUMBER (or oas) and --weights training (or equal)"
        )
    checked_ridge(arguments["ridge"])
    pairs = open_pairs(options)
    x_encoder = make_encoder(pairs.x_kind, options.x_encoder, "x")
    y_encoder = make_encoder(pairs.y_kind, options.y_encoder, "y")
    if isinstance(pairs, FeaturePairs):
        space = _fit_features(pairs, options.folds, arguments)
    else:
        space = _fit_encoded(pairs, x_encoder, y_encoder, options, arguments)
    if os.environ.get("LOCAL_RANK", "0") != "0":
        # Lightning runs this program once for each device; the first one writes and speaks.
        return
    space.save_pretrained(
        options.output,
        metadata={
            "x_encoder": x_encoder and x_encoder.config,
            "y_encoder": y_encoder and y_encoder.config,
            "data": [Path(part).name for part in options.data],
        },
    )
    print(_summary(space))
    print(f"Written to {options.output}")


def _fit_features(pairs: FeaturePairs, folds: int, arguments: dict[str, Any]) -> CanonicalSpace:
    """Stream ready features: nothing is encoded, so nothing but the moments takes time."""
    from tqdm import tqdm

    import canonsim

    moments = canonsim.PairedMoments(pairs.x.shape[1], pairs.y.shape[1], folds=folds)
    with tqdm(total=len(pairs), desc="Reading", unit=" pairs") as bar:
        for start in range(0, len(pairs), _ROWS):
            rows = slice(start, start + _ROWS)
            try:
                moments.update(pairs.x[rows], pairs.y[rows])
            except ValueError as error:
                raise ValueError(f"in the rows from {start} on: {error}") from None
            bar.update(min(_ROWS, len(pairs) - start))
    return canonsim.fit(moments, **arguments)


def _fit_encoded(
    pairs: PairDataset,
    x_encoder: Encoder | None,
    y_encoder: Encoder | None,
    options: argparse.Namespace,
    arguments: dict[str, Any],
) -> CanonicalSpace:
    import logging

    import lightning.pytorch as pl

    from canonsim.data import PairDataModule
    from canonsim.lightning import CSACallback, DualEncoder

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    callback = CSACallback(folds=options.folds, **arguments)
    trainer = pl.Trainer(
        callbacks=callback,
        devices=options.devices,
        strategy="ddp" if options.devices > 1 else "auto",
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    data = PairDataModule(pairs, x_encoder, y_encoder, options.batch_size, options.workers)
    trainer.predict(DualEncoder(x_encoder, y_encoder), data, return_predictions=False)
    if callback.space is None:
        raise RuntimeError("the pass ended without a space")
    return callback.space


def _summary(space: CanonicalSpace) -> str:
    ridge = ", ".join(f"{value:g}" for value in space.ridge)
    lines = [f"{space.count} pairs, {space.n_components} directions, relative ridges {ridge}"]
    shown = [i for i in (0, 4, 9, 19, 49, 99) if i < space.n_components]
    rows = [("correlation of direction", [str(i + 1) for i in shown])]
    rows.append(("in training, ridged", [f"{space.correlations[i]:.2f}" for i in shown]))
    if space.held_out_correlations is not None:
        rows.append(("held out", [f"{space.held_out_correlations[i]:.2f}" for i in shown]))
    lines += [f"{name:<26}" + "".join(f"{value:>7}" for value in values) for name, values in rows]
    if space.signal is not None:
        directions, low, high = space.signal
        lines.append(
            f"about {directions} directions carry signal (95 % interval {low} to {high}); held-out correlations up to "
            f"{space.noise_floor:.2f} are within chance"
        )
    return "\n".join(lines)


def _ridge(text: str) -> Any:
    if text in {"auto", "oas", "ledoit-wolf"}:
        return text
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--ridge must be auto, oas, ledoit-wolf, a number or two numbers, got {text!r}") from None
    return values[0] if len(values) == 1 else values


def _components(text: str) -> Any:
    if text == "auto":
        return "auto"
    if text == "all":
        return None
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"--components must be auto, all or a number, got {text!r}") from None
