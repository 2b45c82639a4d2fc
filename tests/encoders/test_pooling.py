"""Pooling looks at tokens and never at padding, wherever it stands."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from canonsim.encoders import pooling


@settings(deadline=None)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5), left=st.booleans())
def test_every_token_pooling_equals_pooling_each_row_alone(lengths, left):
    longest = max(lengths)
    hidden = torch.randn(len(lengths), longest, 4, generator=torch.Generator().manual_seed(0))
    places = torch.arange(longest)
    mask = torch.stack([places >= longest - n if left else places < n for n in lengths]).long()
    rows = [row[kept.bool()] for row, kept in zip(hidden, mask, strict=True)]
    torch.testing.assert_close(pooling.mean_tokens(hidden, mask), torch.stack([row.mean(0) for row in rows]))
    torch.testing.assert_close(pooling.first_token(hidden, mask), torch.stack([row[0] for row in rows]))
    torch.testing.assert_close(pooling.last_token(hidden, mask), torch.stack([row[-1] for row in rows]))


def test_means_of_half_precision_are_added_up_in_f32():
    hidden = torch.full((1, 4000, 1), 3.0, dtype=torch.bfloat16)
    for mask in (None, torch.ones(1, 4000)):
        pooled = pooling.mean_tokens(hidden, mask)
        assert pooled.dtype == torch.bfloat16
        assert pooled.item() == 3.0


def test_a_model_without_pooler_is_refused():
    with pytest.raises(ValueError, match="makes no pooler output"):
        pooling.pooler_output(object())
