"""Image-text retrieval on Flickr8k features from 1,000 and 4,000 pairs: CSA in its variants beside ASIF and Procrustes.

The folder holds `image_efflite0.npy` (8091, 1280) and `text_minilm.npy` (8091, 5, 384): EfficientNet-Lite0 and
all-MiniLM-L6-v2 features of the photos and their captions, of which the first is used. Test are the first 1,000 rows of
a fixed permutation, training the next ones; nothing is chosen on the test rows, except where a line says so.

    python benches/flickr8k.py --data flickr8k
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import canonsim
from canonsim import metrics
from canonsim.baselines import ASIF, Procrustes

TEST = 1000


DIRECTIONS = (10, 20, 50, 100, 200)
"""Numbers of directions s that the published method may choose from, on the test rows."""


def methods(x: np.ndarray, y: np.ndarray) -> dict[str, list[tuple[Callable, Callable]]]:
    """Fit every method; return its scores of all pairs and of equal rows, once for each choice it has."""
    moments = canonsim.PairedMoments(x.shape[1], y.shape[1])
    moments.update(x, y)
    ridged, chosen = canonsim.fit(moments, ridge=1.0), canonsim.fit(moments)
    auto = f"ridge {chosen.ridge[0]:g} (auto)"
    found = {
        "CSA log odds, ridge 1": [(ridged.log_odds, ridged.log_odds_pairwise)],
        f"CSA log odds, {auto}": [(chosen.log_odds, chosen.log_odds_pairwise)],
        "CSA held-out cosine, ridge 1": [similarity(ridged)],
        f"CSA held-out cosine, {auto}": [similarity(chosen)],
    }
    for name, ridge in {"ridge 1": 1.0, "ridge 1e-5": 1e-5, "no ridge": 0.0}.items():
        space = canonsim.fit(moments, n_components=None, ridge=ridge, weights="training")
        found[f"CSA, paper weights, {name}, best s of test"] = [similarity(space.truncate(s)) for s in DIRECTIONS]
    for name, baseline in {
        "ASIF k=800 p=8": ASIF(),
        "ASIF k=100 p=4": ASIF(100, 4),
        "Procrustes": Procrustes(),
    }.items():
        baseline.fit(x, y)
        found[name] = [(baseline.similarity, baseline.similarity_pairwise)]
    return found


def similarity(space: canonsim.CanonicalSpace) -> tuple[Callable, Callable]:
    """Return the similarities of a space."""
    return space.similarity, space.similarity_pairwise


def main() -> int:
    """Print one table for each number of training pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the features")
    parser.add_argument(
        "--pairs", type=int, nargs="+", default=[1000, 4000], help="training pairs (default: 1000 4000)"
    )
    arguments = parser.parse_args()
    images = np.load(arguments.data / "image_efflite0.npy").astype(np.float32)
    texts = np.load(arguments.data / "text_minilm.npy")[:, 0].astype(np.float32)
    rows = np.random.default_rng(0).permutation(len(images))
    x, y = images[rows[:TEST]], texts[rows[:TEST]]
    for pairs in arguments.pairs:
        train = rows[TEST : TEST + pairs]
        began = time.perf_counter()
        print(f"\n{len(train)} training pairs, {TEST} test pairs      R@1    R@10  mismatch AUC")
        for name, choices in methods(images[train], texts[train]).items():
            results = []
            for score, score_pairs in choices:
                recall = metrics.retrieval_summary(score, x, y)["mean"]
                results.append((recall["R@10"], recall["R@1"], metrics.mismatch_auc(score_pairs, x, y)))
            at_10, at_1, area = max(results)
            print(f"{name:42} {at_1:.3f}   {at_10:.3f}     {area:.3f}")
        print(f"{'chance':42} {1 / TEST:.3f}   {10 / TEST:.3f}     0.500    ({time.perf_counter() - began:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
