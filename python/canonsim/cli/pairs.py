"""Where the commands find pairs and encoders: the arguments that they share, and what these mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from canonsim.data import PairDataset
    from canonsim.encoders import Encoder

_FEATURES = (".npy", ".safetensors", ".parquet")

DATA_HELP = (
    "a table (.csv, .json, .jsonl, .parquet) with --x and --y; a folder of lidar scans as KITTI has them (velodyne/ "
    "with image_2/, or --captions); or ready features: two of .npy, .safetensors[:TENSOR], .parquet[:COLUMN], x first"
)


def add_data(parser: argparse.ArgumentParser, least: str = "+") -> None:
    """Add the arguments that name pairs; ``least`` is "*" where there may be none."""
    parser.add_argument("data", nargs=least, metavar="DATA", help=DATA_HELP)
    # KIND is image, text, audio, points or series; points and series need no encoder.
    for side, example in (("x", "image:file or points:scan"), ("y", "text:caption or audio:file")):
        parser.add_argument(f"--{side}", metavar="KIND:COLUMN", help=f"what a table's {side} is, such as {example}")
    parser.add_argument(
        "--captions", metavar="FILE", help="JSON of the captions of a folder of scans, {frame: caption}"
    )
    add_loading(parser)


def add_encoders(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name the encoders."""
    for side in "xy":
        parser.add_argument(f"--{side}-encoder", metavar="NAME", help=f"model of the {side} side: a name or a folder")


def add_loading(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of reading and encoding."""
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="rows encoded at a time (64)")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes that read and preprocess (0)")


def open_pairs(options: argparse.Namespace) -> PairDataset:
    """Open the pairs that the arguments name.

    Raises
    ------
    ValueError
        If they name none.
    """
    from canonsim.data import FeaturePairs, KittiPairs, TablePairs

    data, columns = options.data, (options.x, options.y)
    if len(data) == 2 and columns == (None, None):
        return FeaturePairs(*data)
    if len(data) == 1 and Path(data[0]).is_dir() and columns == (None, None):
        return KittiPairs(data[0], captions=options.captions)
    if len(data) == 1 and None not in columns:
        return TablePairs(data[0], x=options.x, y=options.y)
    if len(data) == 1 and Path(data[0]).suffix in {".csv", ".json", ".jsonl", ".parquet"}:
        raise ValueError(f"the table {data[0]} needs --x KIND:COLUMN and --y KIND:COLUMN, such as --x image:file")
    raise ValueError(f"DATA is {DATA_HELP}; got {' '.join(data)}")


def make_encoder(kind: str, name: str | None, side: str) -> Encoder | None:
    """Make the encoder of one side from its name or path; None for ready features.

    Raises
    ------
    ValueError
        If a name is missing, or there is one where nothing is to be encoded.
    """
    from canonsim.encoders import AudioEncoder, ImageEncoder, PointCloudEncoder, TextEncoder, TimeSeriesEncoder

    if kind == "features":
        if name is not None:
            raise ValueError(f"--{side}-encoder {name}: {side} are ready features, which need no encoder")
        return None
    if kind == "points":
        if name is not None:
            raise ValueError(f"--{side}-encoder {name}: point clouds are encoded by their statistics, without a model")
        return PointCloudEncoder()
    if kind == "series":
        if name is not None:
            raise ValueError(f"--{side}-encoder {name}: time series are encoded by their statistics, without a model")
        return TimeSeriesEncoder()
    if name is None:
        raise ValueError(f"--{side}-encoder is missing: the {kind} side needs a model's name or folder")
    load: dict[str, Callable[[str], Encoder]] = {
        "image": ImageEncoder.from_pretrained,
        "text": TextEncoder.from_pretrained,
        "audio": AudioEncoder.from_pretrained,
    }
    return load[kind](name)


def recorded_encoders(metadata: dict[str, Any], directory: str) -> tuple[Encoder | None, Encoder | None]:
    """Make the encoders that a model was fitted with.

    Raises
    ------
    ValueError
        If the model does not say.
    """
    from canonsim.encoders import from_config

    if not {"x_encoder", "y_encoder"} <= metadata.keys():
        raise ValueError(f"{directory} does not say which encoders it was fitted with")
    x, y = (metadata[f"{side}_encoder"] for side in "xy")
    return (None if x is None else from_config(x)), (None if y is None else from_config(y))


def encode_pairs(
    pairs: PairDataset, x_encoder: Encoder | None, y_encoder: Encoder | None, options: argparse.Namespace
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Encode all pairs, with a progress bar: (n, p) and (n, q) float32."""
    import torch
    from tqdm import tqdm

    from canonsim.data import PairDataModule
    from canonsim.lightning import DualEncoder

    module = DualEncoder(x_encoder, y_encoder)
    loader = PairDataModule(pairs, x_encoder, y_encoder, options.batch_size, options.workers).predict_dataloader()
    done: list[dict[str, torch.Tensor]] = []
    with torch.inference_mode(), tqdm(total=len(pairs), desc="Encoding", unit=" pairs") as bar:
        for number, batch in enumerate(loader):
            done.append(module.predict_step(batch, number))
            bar.update(len(done[-1]["x"]))
    x, y = (torch.cat([batch[side].float() for batch in done]).numpy() for side in "xy")
    return x, y
