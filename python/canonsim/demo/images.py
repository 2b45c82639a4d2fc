"""Pictures and text: two encoders that never met, joined on 900 pairs in one pass, and what that finds."""

from __future__ import annotations

import logging
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar

from canonsim import report
from canonsim.data import PairDataModule, TablePairs
from canonsim.demo.comparison import RECALLS, Features, Result, compare
from canonsim.demo.encoders import image_encoder, text_encoder
from canonsim.encoders import Encoder
from canonsim.lightning import CSACallback, DualEncoder
from canonsim.report import Found, Html
from canonsim.space import CanonicalSpace

CLIPART = Path(__file__).parent / "clipart"
"""The shipped pairs: ``train.csv``, ``test.csv`` and their pictures."""
BATCH = 8
"""Pairs in a batch: larger ones leave the caches of a small machine and are slower there."""
QUERIES = ("an insect", "fruit", "a drink in a cup", "road sign", "a computer", "a house")


class KeepFeatures(Callback):
    """Keep the features of a predict pass in memory: ASIF and Procrustes need the rows, CSA only their moments."""

    def __init__(self) -> None:
        self.x: list[Features] = []
        self.y: list[Features] = []

    def on_predict_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any) -> None:  # noqa: ARG002
        """Keep one batch."""
        self.x.append(outputs["x"].float().cpu().numpy())
        self.y.append(outputs["y"].float().cpu().numpy())


def run(output: Path, data: Path = CLIPART) -> Path:
    """Encode pictures and captions, fit their canonical space, and report what it finds among held-out pairs.

    Prints the numbers, and writes a page to look at and the fitted space.

    Parameters
    ----------
    output : Path
        Folder for ``report.html`` and ``model/`` (`canonsim.CanonicalSpace.from_pretrained`); made if it is missing.
    data : Path
        Folder with ``train.csv`` and ``test.csv``, columns ``image`` (paths relative to it) and ``caption``.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    ImportError
        Without the packages of the demo (``pip install canonsim[demo]``).
    FileNotFoundError, ValueError
        If a table or picture is missing or cannot be read.
    """
    began = time.perf_counter()
    train, test = (TablePairs(data / f"{split}.csv", x="image:image", y="text:caption") for split in ("train", "test"))
    encoders = image_encoder(), text_encoder()
    print(f"{len(train)} pairs to learn from, {len(test)} held out; one pass over the training pairs:")
    csa, kept = CSACallback(), KeepFeatures()
    predict(DualEncoder(*encoders), PairDataModule(train, *encoders, batch_size=BATCH), csa, kept)
    space, moments = csa.space, csa.moments
    assert space is not None
    assert moments is not None
    held_out = [test[row] for row in range(len(test))]
    pictures, captions = [str(pair["x"]) for pair in held_out], [str(pair["y"]) for pair in held_out]
    x = encoders[0].encode(pictures, batch_size=BATCH, progress=True)
    y = encoders[1].encode(captions, batch_size=BATCH, progress=True)
    results = compare(space, moments, (np.concatenate(kept.x), np.concatenate(kept.y)), (x, y))
    print("\n" + as_text(results, len(test)) + "\n")
    answers = search(space, encoders[1], QUERIES, x, pictures, captions)
    for query, found in answers.items():
        print(f"{query}: " + "; ".join(item.text.split(",")[0] for item in found[:4]))
    seconds = time.perf_counter() - began
    checks = list(zip(pictures, check(space, x, y, captions), strict=False))
    document = compose(space, results, answers, checks, len(test), seconds)
    output.mkdir(parents=True, exist_ok=True)
    space.save_pretrained(output / "model")
    path = report.write(output / "report.html", document)
    print(f"\n{seconds:.0f} s. Look at {path}; the space is in {output / 'model'}")
    return path


def predict(model: DualEncoder, data: PairDataModule, *callbacks: Callback) -> None:
    """Run one pass on the CPU, with a progress bar and without Lightning's advice."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # The pictures are small: more processes would only compete with the encoders for the cores.
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            trainer = Trainer(
                accelerator="cpu",
                devices=1,
                logger=False,
                enable_checkpointing=False,
                enable_model_summary=False,
                callbacks=[*callbacks, TQDMProgressBar()],
            )
            trainer.predict(model, datamodule=data, return_predictions=False)
    finally:
        logger.setLevel(level)


def search(
    space: CanonicalSpace,
    encoder: Encoder,
    queries: tuple[str, ...],
    x: Features,
    pictures: list[str],
    captions: list[str],
) -> dict[str, list[Found]]:
    """Find the six pictures of a gallery that fit each query best, by log odds."""
    scores = space.log_odds(x, encoder.encode(queries))
    best = np.argsort(-scores, axis=0, kind="stable")[:6]
    return {
        query: [Found(pictures[row], captions[row], float(scores[row, column])) for row in best[:, column]]
        for column, query in enumerate(queries)
    }


def check(space: CanonicalSpace, x: Features, y: Features, captions: list[str]) -> list[list[Found]]:
    """Judge each of the first nine pictures with its own caption (a hit) and the next one's, the better one first."""
    others = np.roll(np.arange(len(captions)), -1)
    own, other = space.log_odds_pairwise(x, y), space.log_odds_pairwise(x, y[others])
    judged = [
        [
            Found(None, captions[row], float(own[row]), hit=True),
            Found(None, captions[others[row]], float(other[row])),
        ]
        for row in range(min(9, len(captions)))
    ]
    return [sorted(pair, key=lambda found: -found.score) for pair in judged]


def as_text(results: list[Result], items: int) -> str:
    """Write the numbers for a terminal."""
    heads = [f"{'':28}", *(f"{name:>7}" for name in RECALLS), "  mismatch AUC"]
    lines = [f"{items} held-out pairs, mean of both directions", "".join(heads)]
    for result in results:
        cells = "".join(f"{result.mean[name]:7.3f}" for name in RECALLS)
        lines.append(f"{result.method:28}{cells}{result.mismatch_auc:14.3f}")
    return "\n".join(lines)


def compose(
    space: CanonicalSpace,
    results: list[Result],
    answers: dict[str, list[Found]],
    checks: list[tuple[str, list[Found]]],
    items: int,
    seconds: float,
) -> Html:
    """Compose the page."""
    csa, chance = results[0], results[-1]
    lead = (
        "Two frozen encoders that never met, EfficientNet-Lite0 for pictures and all-MiniLM-L6-v2 for text, joined by "
        f"{space.count} clip-arts with captions: one pass, one matrix decomposition. Everything below is about {items} "
        "pairs it never saw."
    )
    tiles = report.figures(
        [
            (f"{csa.mean['R@10']:.0%}", "partner in the first ten", f"of {items}; chance {chance.mean['R@10']:.0%}"),
            (f"{csa.mean['R@1']:.0%}", "partner comes first", f"of {items}; chance {chance.mean['R@1']:.1%}"),
            (f"{csa.mismatch_auc:.2f}", "mismatch AUC", "true pairs against wrong ones; chance 0.50"),
            (f"{seconds:.0f} s", "from pictures to this page", "encoding included, on a CPU"),
        ]
    )
    numbers = report.table(
        ["", *RECALLS, *RECALLS, "AUC"],
        [[r.method, *(r.y_to_x[n] for n in RECALLS), *(r.x_to_y[n] for n in RECALLS), r.mismatch_auc] for r in results],
        groups=[("text to picture", 3), ("picture to text", 3), ("mismatch", 1)],
        mark=[0],
        note="R@k: the share of queries whose own partner is among the first k, ties counted fairly. Mismatch AUC: the "
        "probability that a true pair scores above a wrong one. All methods saw the same training pairs and features.",
    )
    asked = [report.gallery(query, found) for query, found in answers.items()]
    judged = [report.gallery("", found, picture=picture) for picture, found in checks]
    curves = report.spectrum(space.correlations, space.held_out_correlations)
    return report.page(
        "Pictures and words, joined in one pass",
        tiles,
        report.section(
            "Ask in words",
            report.paragraph(
                "The held-out pictures that fit best, with the log odds that picture and text belong together: above "
                "0, they are more likely a pair than not. The captions are shown for you; the search did not use them."
            ),
            *asked,
        ),
        report.section(
            "Does the text belong?",
            report.paragraph(
                "The first held-out pictures, each with its own caption (shaded) and with the next one's, the likelier "
                f"one first. Over all {items}, a true pair scores above a wrong one with probability "
                f"{csa.mismatch_auc:.2f} (chance: 0.50)."
            ),
            report.columns(*judged),
        ),
        report.section("The numbers", numbers),
        report.section(
            "What the space holds",
            report.paragraph(
                "Canonical correlations of the training pairs, and of training pairs left out in turn. The scores "
                f"weight each direction by the held-out one. {space.n_components} directions, ridge {space.ridge[0]:g} "
                f"and {space.ridge[1]:g} times the mean variance, both chosen by what holds up on left-out pairs."
            ),
            curves,
        ),
        lead=lead,
    )
