"""The streaming pass and the training monitor on Lightning: `DualEncoder` and `CSACallback`."""

from canonsim.lightning.callback import CSACallback
from canonsim.lightning.dual_encoder import DualEncoder

__all__ = ["CSACallback", "DualEncoder"]
