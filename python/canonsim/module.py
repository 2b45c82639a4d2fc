"""A canonical space as a `torch.nn.Module`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from canonsim import scoring
from canonsim.scoring import Score, Side

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class CanonicalModule(torch.nn.Module):
    """The verbs of `CanonicalSpace` over buffers that move, save and export like those of any module.

    Made by `CanonicalSpace.module`. Rows have the dtype and device of the buffers: ``x_mean`` (p,), ``x_projection``
    (p, r), the same for y, ``correlations`` and ``weights`` (r,), and what the scores are made with.

    Examples
    --------
    >>> import numpy as np, torch
    >>> import canonsim
    >>> x = np.random.default_rng(0).standard_normal((200, 4))
    >>> moments = canonsim.PairedMoments(4, 2)
    >>> moments.update(x, x[:, :2])
    >>> module = canonsim.fit(moments, n_components=2).module()
    >>> module(torch.zeros(3, 4), torch.zeros(5, 2)).shape
    torch.Size([3, 5])
    """

    def __init__(
        self,
        x: Side,
        y: Side,
        correlations: npt.NDArray[np.float64],
        weights: npt.NDArray[np.float64],
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.register_buffer("correlations", torch.as_tensor(correlations, dtype=dtype).clone())
        self.register_buffer("weights", torch.as_tensor(weights, dtype=dtype).clone())
        for prefix, side in (("x", x), ("y", y)):
            for name, array in side.arrays.items():
                self.register_buffer(f"{prefix}_{name}", torch.tensor(array, dtype=dtype))
        # The buffers take the places of these arrays.
        self._empty = {prefix: side.with_arrays(dict.fromkeys(side.arrays)) for prefix, side in (("x", x), ("y", y))}

    def _side(self, prefix: str) -> Side:
        empty = self._empty[prefix]
        return empty.with_arrays({name: getattr(self, f"{prefix}_{name}") for name in empty.arrays})

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Similarity of every row of x (n, p) with every row of y (m, q): (n, m)."""
        return self.similarity(x, y)

    def project_x(self, x: torch.Tensor) -> torch.Tensor:
        """Canonical variates (n, r) of x (n, p)."""
        variates: torch.Tensor = scoring.project(self._side("x"), x)
        return variates

    def project_y(self, y: torch.Tensor) -> torch.Tensor:
        """Canonical variates (n, r) of y (n, q)."""
        variates: torch.Tensor = scoring.project(self._side("y"), y)
        return variates

    def embed_x(self, x: torch.Tensor, score: Score = "similarity") -> torch.Tensor:
        """Vectors (n, r), or (n, r + 2) for log odds, of x (n, p): see `CanonicalSpace.embed_x`."""
        embedded: torch.Tensor = scoring.vectors(self._side("x"), self.project_x(x), score, is_x=True)
        return embedded

    def embed_y(self, y: torch.Tensor, score: Score = "similarity") -> torch.Tensor:
        """Vectors (n, r), or (n, r + 2) for log odds, of y (n, q)."""
        embedded: torch.Tensor = scoring.vectors(self._side("y"), self.project_y(y), score, is_x=False)
        return embedded

    def similarity(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Similarity of every row of x (n, p) with every row of y (m, q): (n, m)."""
        return self.embed_x(x) @ self.embed_y(y).T

    def similarity_pairwise(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Similarity of row i of x (n, p) with row i of y (n, q): (n,)."""
        return (self.embed_x(x) * self.embed_y(y)).sum(-1)

    def log_odds(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Log odds of every row of x (n, p) with every row of y (m, q): (n, m)."""
        return self.embed_x(x, "log_odds") @ self.embed_y(y, "log_odds").T

    def log_odds_pairwise(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Log odds of row i of x (n, p) with row i of y (n, q): (n,)."""
        return (self.embed_x(x, "log_odds") * self.embed_y(y, "log_odds")).sum(-1)
