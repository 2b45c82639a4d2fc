"""`canonsim encode`: from pairs to files of features."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from canonsim.cli.pairs import add_data, add_encoders, make_encoder, open_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from canonsim.encoders import Encoder

_EXAMPLES = """examples:
  canonsim encode captions.csv --x image:file --y text:caption \\
      --x-encoder facebook/dinov2-small --y-encoder sentence-transformers/all-MiniLM-L6-v2 -o features
  canonsim fit features/x.npy features/y.npy -o model
"""

# Rows written at a time.
_ROWS = 8192


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "encode",
        help="encode pairs to files of features",
        description="Encode pairs once and keep their features: x.npy and y.npy (float32, one row for each pair) and "
        "features.json (the encoders, the data, the rows). An item that several pairs share is encoded once. After an "
        "interruption the same command goes on where it stopped; what that needs is kept in FOLDER/cache, which may be "
        "deleted afterwards.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_data(parser)
    add_encoders(parser)
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="folder of the features")
    parser.add_argument("--limit", type=int, metavar="N", help="encode the first N pairs only")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Encode both sides, write them, and say what they are."""
    from canonsim.data import FeaturePairs
    from canonsim.encoders.feature_files import remove_unfinished, write_rows
    from canonsim.files import write_atomically

    if options.limit is not None and options.limit < 1:
        raise ValueError(f"--limit must be at least 1, got {options.limit}")
    pairs = open_pairs(options)
    if isinstance(pairs, FeaturePairs):
        already = " and ".join(options.data)
        raise ValueError(f"{already} are features already: canonsim fit takes them as they are")  # noqa: TRY004
    encoders = {
        "x": make_encoder(pairs.x_kind, options.x_encoder, "x"),
        "y": make_encoder(pairs.y_kind, options.y_encoder, "y"),
    }
    chosen = [pairs[row] for row in range(min(len(pairs), options.limit or len(pairs)))]
    items = {"x": [pair["x"] for pair in chosen], "y": [pair["y"] for pair in chosen]}
    folder = Path(options.output)
    encoded = {
        side: _encode(encoder, items[side], folder / "cache", options)
        for side, encoder in encoders.items()
        if encoder is not None
    }
    # Where it is there, x.npy and y.npy are whole and belong together.
    (folder / "features.json").unlink(missing_ok=True)
    for side, (features, rows) in encoded.items():
        shape = len(rows), features.shape[1]
        write_rows(folder / f"{side}.npy", shape, (features[rows[i : i + _ROWS]] for i in range(0, len(rows), _ROWS)))
        print(f"{folder / side}.npy: {shape[0]} rows of {shape[1]}, of {len(features)} different items")
    description = {
        **{f"{side}_encoder": encoder and encoder.config for side, encoder in encoders.items()},
        "data": [Path(part).name for part in options.data],
        "rows": len(chosen),
    }
    write_atomically(folder / "features.json", f"{json.dumps(description, indent=2)}\n".encode())
    remove_unfinished(folder, "x.npy", "y.npy", "features.json")


def _encode(
    encoder: Encoder, items: Sequence[Any], cache: Path, options: argparse.Namespace
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Features of the different items, and the row of each item in them."""
    import torch

    from canonsim.encoders import FeatureCache

    places: dict[Any, int] = {}
    rows = np.array([places.setdefault(item, len(places)) for item in items])
    if torch.cuda.is_available():
        encoder.to("cuda")
    features = FeatureCache(cache).encode(
        encoder,
        list(places),
        batch_size=options.batch_size,
        workers=options.workers,
        progress=True,
        rows=np.unique(rows, return_index=True)[1].tolist(),
    )
    return features, rows
