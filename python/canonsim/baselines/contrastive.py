"""Contrastive heads: a small network on each side, trained so that partners find each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from canonsim.baselines.baseline import Baseline
from canonsim.baselines.rows import mean_and_std, paired_rows, rows, set_aside, unit

if TYPE_CHECKING:
    import torch

    from canonsim.baselines.heads import Heads


class ContrastiveHeads(Baseline):
    """Train a head for each side with the symmetric InfoNCE loss, then compare by cosine.

    The loss and its learned temperature are those of CLIP (Radford et al., ICML 2021, section 2.3 and figure 3), on
    frozen features whose columns are standardised by the training rows. A part of the training pairs is set aside;
    training stops when the loss on it has not improved for some epochs, and the heads of the best epoch are kept.
    Torch and Lightning are imported by `fit`. The same rows, seed and number of threads give the same heads.

    Parameters
    ----------
    hidden : int or None
        Width of the hidden layer of each head (GELU, dropout); None for linear heads.
    dim : int
        Width of the common space.
    learning_rate, weight_decay : float
        Of AdamW.
    dropout : float
        Share of the standardised features (linear heads) or of the hidden units (others) that a step leaves out.
    batch_size : int
        Pairs in a step, which are each other's negatives.
    max_epochs, patience : int
        Epochs at most, and epochs without a better loss after which training stops.
    validation : float
        Share of the training pairs that is set aside, between 0 and 1.
    seed : int
        Of the split, the initial weights and the order of the rows.

    Attributes
    ----------
    heads_ : Heads
        The `LightningModule` with the heads ``x`` and ``y``.
    losses_ : list of float
        Loss on the validation part after each epoch; the best one is that of the heads.
    x_mean_, y_mean_, x_std_, y_std_ : ndarray (p,), (q,), (p,), (q,)
        What standardises.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 8))
    >>> y = x @ rng.normal(size=(8, 6))
    >>> heads = ContrastiveHeads(dim=8, learning_rate=0.02, max_epochs=50).fit(x[:150], y[:150])
    >>> found = heads.score(x[150:], y[150:]).argmax(axis=1) == np.arange(50)
    >>> bool(found.mean() > 0.5)
    True
    """

    heads_: Heads
    losses_: list[float]
    x_mean_: NDArray[np.float64]
    y_mean_: NDArray[np.float64]
    x_std_: NDArray[np.float64]
    y_std_: NDArray[np.float64]

    def __init__(
        self,
        hidden: int | None = None,
        *,
        dim: int = 256,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.1,
        dropout: float = 0.0,
        batch_size: int = 512,
        max_epochs: int = 200,
        patience: int = 10,
        validation: float = 0.1,
        seed: int = 0,
    ) -> None:
        counts = {"dim": dim, "batch_size": batch_size, "max_epochs": max_epochs, "patience": patience}
        for name, count in {"hidden": 1 if hidden is None else hidden, **counts}.items():
            if count < 1:
                raise ValueError(f"{name} must be at least 1, not {count}")
        if learning_rate <= 0 or weight_decay < 0:
            raise ValueError(
                f"learning_rate must be positive and weight_decay at least 0, not {learning_rate} and {weight_decay}"
            )
        if not 0 <= dropout < 1 or not 0 < validation < 1:
            raise ValueError(f"dropout and validation must be shares below 1, not {dropout} and {validation}")
        self.hidden = hidden
        self.dim = dim
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.patience = patience
        self.validation = validation
        self.seed = seed

    def fit(self, X: ArrayLike, Y: ArrayLike, ids: ArrayLike | None = None) -> Self:
        """Train on pairs X (n, p), Y (n, q); rows with the same id (n,) are set aside together, or not at all.

        Raises
        ------
        ValueError
            If the training or the validation part would hold fewer than two pairs.
        """
        import torch

        from canonsim.baselines.heads import Heads, train

        x, y = paired_rows(X, Y)
        groups = np.arange(len(x)) if ids is None else np.asarray(ids)
        if groups.shape != (len(x),):
            raise ValueError(f"ids must have the shape ({len(x)},), got {groups.shape}")
        left_out = set_aside(groups, self.validation, self.seed)
        if min(left_out.sum(), (~left_out).sum()) < 2:
            raise ValueError(
                f"training and validation need at least 2 pairs each; validation={self.validation} leaves "
                f"{(~left_out).sum()} and {left_out.sum()} of {len(x)}"
            )
        self.x_mean_, self.x_std_ = mean_and_std(x[~left_out])
        self.y_mean_, self.y_std_ = mean_and_std(y[~left_out])
        training, validation = (
            (_tensor(x[part], self.x_mean_, self.x_std_), _tensor(y[part], self.y_mean_, self.y_std_))
            for part in (~left_out, left_out)
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.heads_ = Heads(
                x.shape[1],
                y.shape[1],
                hidden=self.hidden,
                dim=self.dim,
                dropout=self.dropout,
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay,
            )
            self.losses_ = train(
                self.heads_,
                training,
                validation,
                batch_size=self.batch_size,
                max_epochs=self.max_epochs,
                patience=self.patience,
            )
        return self

    def embed_x(self, X: ArrayLike) -> NDArray[np.float64]:
        """Send items X (n, p) through their head: (n, dim), rows of unit length."""
        return _vectors(self.heads_.x, _tensor(rows(X, len(self.x_mean_)), self.x_mean_, self.x_std_))

    def embed_y(self, Y: ArrayLike) -> NDArray[np.float64]:
        """Send items Y (n, q) through their head: (n, dim), rows of unit length."""
        return _vectors(self.heads_.y, _tensor(rows(Y, len(self.y_mean_)), self.y_mean_, self.y_std_))


def _tensor(matrix: NDArray[np.float64], mean: NDArray[np.float64], std: NDArray[np.float64]) -> torch.Tensor:
    """Standardised rows as the f32 that heads take."""
    import torch

    return torch.from_numpy(((matrix - mean) / std).astype(np.float32))


def _vectors(head: torch.nn.Module, items: torch.Tensor) -> NDArray[np.float64]:
    import torch

    with torch.no_grad():
        vectors: NDArray[np.float64] = unit(head(items).double().numpy())
    return vectors
