"""From the outputs of a transformer to one row of features for each item."""

from __future__ import annotations

from typing import Any

import torch


def mean_tokens(hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Average the tokens that the mask keeps: sum_t m_t h_t / sum_t m_t, added up in f32.

    Parameters
    ----------
    hidden : (n, t, d)
    mask : (n, t) or None
        1 for tokens, 0 for padding; None keeps all.

    Returns
    -------
    (n, d)
    """
    if mask is None:
        return hidden.mean(dim=1, dtype=torch.float32).to(hidden.dtype)
    weights = mask.to(torch.float32).unsqueeze(2)
    return ((hidden.float() * weights).sum(dim=1) / weights.sum(dim=1)).to(hidden.dtype)


def first_token(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Take the first token that is no padding, (n, d), of ``hidden`` (n, t, d): padding may stand on the left."""
    return hidden[torch.arange(len(hidden), device=hidden.device), mask.int().argmax(dim=1)]


def last_token(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Take the last token that is no padding, (n, d), of ``hidden`` (n, t, d)."""
    positions = mask.shape[1] - 1 - mask.int().flip(1).argmax(dim=1)
    return hidden[torch.arange(len(hidden), device=hidden.device), positions]


def pooler_output(output: Any) -> torch.Tensor:
    """Take the vector that the model itself pools, (n, d).

    Raises
    ------
    ValueError
        If the model makes none.
    """
    pooled = getattr(output, "pooler_output", None)
    if pooled is None:
        raise ValueError("the model makes no pooler output; choose another pooling")
    return torch.flatten(pooled, start_dim=1)


def projected(output: Any) -> torch.Tensor:
    """Take the answer of ``get_image_features``, (n, d): a tensor in transformers 4, an output object in 5."""
    return output if isinstance(output, torch.Tensor) else pooler_output(output)
