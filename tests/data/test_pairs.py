"""Every data set of pairs numbers its rows, selects them, and ends."""

import pickle

import numpy as np
import pytest

from canonsim.data import FeaturePairs


@pytest.fixture
def pairs():
    x = np.arange(20, dtype=np.float32).reshape(10, 2)
    return FeaturePairs(x, -x)


def test_a_pair_holds_both_items_and_its_row(pairs):
    pair = pairs[3]
    assert pair["x"].tolist() == [6, 7]
    assert pair["y"].tolist() == [-6, -7]
    assert pair["index"] == 3


def test_iteration_gives_every_row_once(pairs):
    assert [pair["index"] for pair in pairs] == list(range(10))


@pytest.mark.parametrize("row", [-1, 10])
def test_a_row_that_is_not_there_is_refused(pairs, row):
    with pytest.raises(IndexError, match=f"row {row} of 10 pairs"):
        pairs[row]
    with pytest.raises(IndexError, match=f"row {row} of 10 pairs"):
        pairs.select([0, row])


def test_selected_rows_keep_their_numbers_also_when_selected_again(pairs):
    held_out = pairs.select(np.array([7, 2, 7])).select([1, 2])
    assert [pair["index"] for pair in held_out] == [2, 7]
    assert held_out[0]["x"].tolist() == [4, 5]
    assert (held_out.x_kind, held_out.y_kind) == ("features", "features")
    assert [pair["index"] for pair in pickle.loads(pickle.dumps(held_out))] == [2, 7]
