"""What CSA is compared with: methods that join the same frozen features, with one face.

`fit` takes training pairs, `score` scores all rows with all rows, `score_pairwise` row i with row i.
`LinearProbe` takes labels in place of a second side.
"""

from __future__ import annotations

from canonsim.baselines.asif import ASIF
from canonsim.baselines.baseline import Baseline
from canonsim.baselines.clip import ClipBaseline
from canonsim.baselines.contrastive import ContrastiveHeads
from canonsim.baselines.linear_probe import LinearProbe
from canonsim.baselines.pls import PLS
from canonsim.baselines.procrustes import Procrustes
from canonsim.baselines.ridge import RidgeMap
from canonsim.baselines.unridged import UnridgedCSA

__all__ = [
    "ASIF",
    "PLS",
    "Baseline",
    "ClipBaseline",
    "ContrastiveHeads",
    "LinearProbe",
    "Procrustes",
    "RidgeMap",
    "UnridgedCSA",
]
