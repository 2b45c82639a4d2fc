"""What CSA is compared with: methods that join the same frozen features, with the same face (`fit`, `similarity`)."""

from __future__ import annotations

from canonsim.baselines.asif import ASIF
from canonsim.baselines.procrustes import Procrustes

__all__ = ["ASIF", "Procrustes"]
