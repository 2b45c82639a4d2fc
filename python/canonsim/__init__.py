"""Join two frozen encoders with a few thousand pairs and one matrix decomposition.

`PairedMoments` accumulates paired features in one pass, `fit` turns the moments into a `CanonicalSpace`, and the space
scores pairs and makes vectors for any inner-product index; `canonsim.tasks` searches and classifies with it. `CSA` is
all of it as a scikit-learn estimator, `canonsim.lightning.CSACallback` as a callback.

Names are imported when they are first used: `import canonsim` alone needs neither numpy nor torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from canonsim import baselines, data, demo, encoders, lightning, maps, metrics, report, tasks
    from canonsim.canonical import fit
    from canonsim.estimator import CSA
    from canonsim.maps.candidates import CandidateMoments
    from canonsim.maps.selection import fit_best
    from canonsim.moments import PairedMoments, merge
    from canonsim.robust import RobustFit, fit_robust
    from canonsim.sides import JointSpace, MultiMoments, fit_joint
    from canonsim.significance import NoSignalWarning
    from canonsim.space import CanonicalSpace
    from canonsim.threads import get_num_threads, set_num_threads

__version__ = "0.1.0"

_HOMES = {
    "CSA": "canonsim.estimator",
    "CandidateMoments": "canonsim.maps.candidates",
    "CanonicalSpace": "canonsim.space",
    "JointSpace": "canonsim.sides.space",
    "MultiMoments": "canonsim.sides.moments",
    "NoSignalWarning": "canonsim.significance",
    "PairedMoments": "canonsim.moments",
    "RobustFit": "canonsim.robust",
    "fit": "canonsim.canonical",
    "fit_best": "canonsim.maps.selection",
    "fit_joint": "canonsim.sides.joint",
    "fit_robust": "canonsim.robust",
    "get_num_threads": "canonsim.threads",
    "merge": "canonsim.moments",
    "set_num_threads": "canonsim.threads",
}
_SUBPACKAGES = ("baselines", "data", "demo", "encoders", "lightning", "maps", "metrics", "report", "tasks")

__all__ = [
    "CSA",
    "CandidateMoments",
    "CanonicalSpace",
    "JointSpace",
    "MultiMoments",
    "NoSignalWarning",
    "PairedMoments",
    "RobustFit",
    "__version__",
    "baselines",
    "data",
    "demo",
    "encoders",
    "fit",
    "fit_best",
    "fit_joint",
    "fit_robust",
    "get_num_threads",
    "lightning",
    "maps",
    "merge",
    "metrics",
    "report",
    "set_num_threads",
    "tasks",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    elif name in _SUBPACKAGES:
        value = importlib.import_module(f"canonsim.{name}")
    else:
        raise AttributeError(f"module 'canonsim' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
