"""Contrastive heads: the loss, what they learn, and how training ends."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from canonsim import metrics
from canonsim.baselines import ContrastiveHeads
from canonsim.baselines.heads import Heads
from synthetic import related

QUICK = {"dim": 8, "learning_rate": 0.01, "max_epochs": 30}


@pytest.mark.parametrize("hidden", [None, 16])
def test_easy_pairs_are_found(hidden):
    x, y = related(n=700, noise=0.3)
    found = ContrastiveHeads(hidden, **QUICK).fit(x[:500], y[:500])
    assert metrics.retrieval_summary(found.score, x[500:], y[500:])["mean"]["R@10"] > 0.7
    assert found.losses_[-1] < found.losses_[0]


def test_the_loss_is_the_formula():
    heads = Heads(4, 3, hidden=None, dim=5, dropout=0.0, learning_rate=1.0, weight_decay=0.0)
    x, y = torch.randn(6, 4), torch.randn(6, 3)
    u, v = (side.detach().double().numpy() for side in (heads.x(x), heads.y(y)))
    u, v = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (u, v))
    odds = np.exp(u @ v.T / 0.07)
    expected = (
        -np.log(np.diag(odds) / odds.sum(axis=1)).mean() / 2 - np.log(np.diag(odds) / odds.sum(axis=0)).mean() / 2
    )
    assert heads.loss(x, y).item() == pytest.approx(expected, rel=1e-5)


def test_the_same_seed_gives_the_same_heads_and_leaves_torchs_own_alone():
    x, y = related(n=200)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = ContrastiveHeads(16, dropout=0.5, **QUICK).fit(x, y)
    assert torch.equal(torch.rand(3), expected)
    again = ContrastiveHeads(16, dropout=0.5, **QUICK).fit(x, y)
    np.testing.assert_array_equal(first.score(x, y), again.score(x, y))
    assert first.losses_ == again.losses_
    other = ContrastiveHeads(16, dropout=0.5, seed=1, **QUICK).fit(x, y)
    assert np.abs(first.score(x, y) - other.score(x, y)).max() > 0.01


def test_training_stops_early_and_the_best_epoch_is_restored():
    x, y = np.random.default_rng(0).standard_normal((2, 100, 10))
    found = ContrastiveHeads(dim=16, learning_rate=0.1, max_epochs=60, patience=4).fit(x, y)
    best = int(np.argmin(found.losses_))
    assert len(found.losses_) == best + 1 + 4 < 60
    upto = ContrastiveHeads(dim=16, learning_rate=0.1, max_epochs=best + 1, patience=4).fit(x, y)
    np.testing.assert_array_equal(found.score(x, y), upto.score(x, y))


def test_rows_with_one_id_are_set_aside_together():
    x, y = related(n=40)
    with pytest.raises(ValueError, match=r"validation=0.1 leaves 0 and 40 of 40"):
        ContrastiveHeads().fit(x, y, ids=np.zeros(40, int))
    ContrastiveHeads(dim=4, max_epochs=1).fit(x, y, ids=np.arange(40) // 2)


def test_it_is_quiet_and_writes_nothing(tmp_path, monkeypatch, capfd, caplog):
    monkeypatch.chdir(tmp_path)
    level = logging.getLogger("lightning.pytorch").level
    x, y = related(n=60)
    with caplog.at_level(logging.INFO):
        ContrastiveHeads(dim=4, max_epochs=2).fit(x, y)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert not list(Path(tmp_path).iterdir())
    assert logging.getLogger("lightning.pytorch").level == level


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": 0}, "hidden must be at least 1, not 0"),
        ({"dim": 0}, "dim must be at least 1, not 0"),
        ({"patience": 0}, "patience must be at least 1, not 0"),
        ({"learning_rate": 0.0}, "not 0.0 and 0.1"),
        ({"dropout": 1.0}, "not 1.0 and 0.1"),
        ({"validation": 1.0}, "not 0.0 and 1.0"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ContrastiveHeads(**options)


def test_too_few_pairs_and_misshapen_ids_are_named():
    x, y = related(n=8)
    with pytest.raises(ValueError, match="leaves 7 and 1 of 8"):
        ContrastiveHeads().fit(x, y)
    with pytest.raises(ValueError, match=r"ids must have the shape \(8,\), got \(7,\)"):
        ContrastiveHeads().fit(x, y, ids=np.arange(7))
