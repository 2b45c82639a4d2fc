"""More than two sides: moments of all of them, and a space that they share.

`MultiMoments` accumulates rows that have any of the sides, `MultiMoments.pair` gives the `canonsim.PairedMoments` of
two of them, and `fit_joint` the `JointSpace` of all.
"""

from canonsim.sides.joint import fit_joint
from canonsim.sides.moments import MultiMoments
from canonsim.sides.space import JointSpace

__all__ = ["JointSpace", "MultiMoments", "fit_joint"]
