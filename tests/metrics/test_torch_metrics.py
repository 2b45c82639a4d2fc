"""Many-to-many retrieval against brute force and at chance, and the same by torchmetrics on several processes."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys

import lightning.pytorch as pl
import matplotlib as mpl
import metric_ranks
import numpy as np
import pytest
import torch
import torchmetrics
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

import processes
from canonsim import metrics
from canonsim.metrics import MedianRank, PairedMAP, PairedRecall

KINDS = {
    "R@1": (PairedRecall, "R@1"),
    "R@5": (lambda *args, **options: PairedRecall(5, *args, **options), "R@5"),
    "rank": (MedianRank, "median_rank"),
    "map": (PairedMAP, "mAP"),
}


def dot(x, y):
    return x @ y.T


def filled(kind, *args, dtype=torch.float64, **options):
    metric = KINDS[kind][0](*args, **options)
    metric.update(*metric_ranks.rows(dtype))
    return metric


def expected_summary(dtype=torch.float64):
    return metrics.many_to_many_summary(dot, *(side.numpy() for side in metric_ranks.rows(dtype)), ks=(1, 5))


@st.composite
def tied_scores(draw, most=5):
    """Scores of a few queries and items with many ties, ids with and without partners, at least one pair."""
    queries, items = draw(st.integers(1, 4)), draw(st.integers(1, most))
    scores = draw(
        st.lists(st.lists(st.integers(0, 2), min_size=items, max_size=items), min_size=queries, max_size=queries)
    )
    query_ids = draw(st.lists(st.integers(0, 2), min_size=queries, max_size=queries))
    item_ids = draw(st.lists(st.integers(0, 2), min_size=items, max_size=items))
    item_ids[0] = query_ids[0]
    return np.array(scores, dtype=float), np.array(query_ids), np.array(item_ids)


def brute_force(scores, query_ids, item_ids, k):
    """Recall, median of mean first ranks and mAP, by going through all orders of the items that scores allow."""
    hits, firsts, precisions = [], [], []
    for row, own in zip(scores, query_ids, strict=True):
        if own not in item_ids:
            continue
        ranks = [
            1 + np.flatnonzero(item_ids[list(order)] == own)
            for order in itertools.permutations(range(len(row)))
            if (np.diff(row[list(order)]) <= 0).all()
        ]
        hits.append(np.mean([found[0] <= k for found in ranks]))
        firsts.append(np.mean([found[0] for found in ranks]))
        precisions.append(np.mean([np.mean(np.arange(1, len(found) + 1) / found) for found in ranks]))
    return np.mean(hits), np.median(firsts), np.mean(precisions)


@settings(max_examples=60)
@given(tied_scores(), st.integers(1, 6))
def test_all_orders_of_ties_are_averaged(case, k):
    recall, rank, precision = brute_force(*case, k)
    assert metrics.recall_at_k(*case, k) == pytest.approx(recall, abs=1e-12)
    assert metrics.median_rank(*case) == pytest.approx(rank, abs=1e-12)
    assert metrics.mean_average_precision(*case) == pytest.approx(precision, abs=1e-12)


@settings(max_examples=40)
@given(tied_scores(), st.integers(1, 6))
def test_equal_scores_give_the_recall_and_the_precision_of_chance(case, k):
    scores, *ids = case
    chance = metrics.many_to_many_chance(*ids, ks=(k,))
    assert metrics.recall_at_k(0 * scores, *ids, k) == pytest.approx(chance[f"R@{k}"], abs=1e-12)
    assert metrics.mean_average_precision(0 * scores, *ids) == pytest.approx(chance["mAP"], abs=1e-12)


@settings(max_examples=40)
@given(st.integers(2, 20), st.integers(0, 2**32 - 1), st.integers(1, 7))
def test_single_partners_give_the_numbers_of_pairs(rows, seed, block):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(-2, 3, (2, rows, 3)).astype(float)
    ids, order = rng.permutation(10 * rows)[:rows], rng.permutation(rows)
    found = metrics.many_to_many_summary(dot, x, y[order], ids, ids[order], block=block)
    pairs = metrics.retrieval_summary(dot, x, y)
    for direction in ("x_to_y", "y_to_x", "mean"):
        for name, value in pairs[direction].items():
            assert found[direction][name] == pytest.approx(value)
            assert found["chance"][direction][name] == pytest.approx(pairs["chance"][name])


def test_the_precision_without_ties_is_that_of_scikit_learn_and_of_torchmetrics():
    rng = np.random.default_rng(0)
    scores, query_ids, item_ids = rng.random((40, 300)), rng.integers(0, 12, 40), rng.integers(0, 12, 300)
    truth = query_ids[:, None] == item_ids
    found = metrics.mean_average_precision(scores, query_ids, item_ids)
    each = [average_precision_score(target, row) for target, row in zip(truth, scores, strict=True)]
    assert found == pytest.approx(np.mean(each), abs=1e-12)
    peer = torchmetrics.retrieval.RetrievalMAP()
    queries = torch.arange(40).repeat_interleave(300)
    value = peer(torch.from_numpy(scores).flatten(), torch.from_numpy(truth).flatten(), indexes=queries)
    assert found == pytest.approx(value.item(), abs=1e-6)


def test_a_known_order_of_five_captions():
    # The captions of picture 0 come in places 2 and 4, that of picture 1 in place 5.
    scores, item_ids = np.array([[5.0, 4, 3, 2, 1]] * 2), [9, 0, 9, 0, 1]
    assert [metrics.recall_at_k(scores, [0, 1], item_ids, k) for k in (1, 2, 4, 5)] == [0.0, 0.5, 0.5, 1.0]
    assert metrics.median_rank(scores, [0, 1], item_ids) == 3.5
    assert metrics.mean_average_precision(scores, [0, 1], item_ids) == pytest.approx((0.5 + 0.2) / 2)


def test_rows_without_partners_are_rivals_and_no_queries():
    assert metrics.recall_at_k([[1.0, 2.0], [9.0, 0.0]], [0, 5], [0, 1], k=1) == 0.0
    assert metrics.recall_at_k([[1.0, 2.0], [9.0, 0.0]], [0, 5], [0, 1], k=2) == 1.0


def test_unrelated_vectors_are_at_chance():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((600, 8)), rng.standard_normal((3000, 8))
    found = metrics.many_to_many_summary(dot, x, y, np.arange(600), np.repeat(np.arange(600), 5))
    for direction in ("x_to_y", "y_to_x"):
        chance = found["chance"][direction]
        assert found[direction]["R@10"] == pytest.approx(chance["R@10"], abs=0.01)
        assert found[direction]["mAP"] == pytest.approx(chance["mAP"], rel=0.3)
        assert found[direction]["median_rank"] == pytest.approx(chance["median_rank"], rel=0.1)
    assert found["chance"]["y_to_x"]["median_rank"] == 300.5
    # The first of 5 among 3,000 is before the place where a share of 2^(-1/5) is left.
    assert found["chance"]["x_to_y"]["median_rank"] == pytest.approx(3000 * (1 - 0.5**0.2), rel=0.01)


def test_scores_of_other_kinds_and_strides_are_taken():
    scores = np.array([[3, 1, 2], [1, 3, 2], [1, 2, 3]])
    frozen = np.broadcast_to(np.float32(1), (3, 3))
    for form in (scores, scores.tolist(), torch.from_numpy(scores), scores[::-1][::-1], scores.astype(">f8"), scores.T):
        assert metrics.mean_average_precision(form, range(3), range(3)) == pytest.approx(1.0)
    assert metrics.recall_at_k(frozen, range(3), range(3), k=1) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.recall_at_k(np.eye(2), [0, 1], [0, 1], 0), "k must be at least 1, not 0"),
        (lambda: metrics.recall_at_k(np.ones(2), [0], [0, 1], 1), r"\(n, m\), not \(2,\)"),
        (lambda: metrics.median_rank(np.eye(2), [0], [0, 1]), r"query_ids .* shape \(2,\), got shape \(1,\)"),
        (lambda: metrics.median_rank(np.eye(2), [0, 1], [2, 3]), "none of 2 queries has a partner among 2 items"),
        (
            lambda: metrics.mean_average_precision([[1, 2], [np.inf, 0]], [0, 1], [0, 1]),
            "finite, first not so of query 1",
        ),
        (lambda: metrics.many_to_many_chance([0], [0], ks=(1, 0)), "not 0"),
        (lambda: metrics.many_to_many_summary(dot, np.eye(2), np.ones(2), [0, 1], [0, 1]), r"\(2, 2\) and \(2,\)"),
        (lambda: metrics.many_to_many_summary(dot, np.eye(2), np.eye(2), [0, 1], [0, 1], block=0), "block"),
        (
            lambda: metrics.many_to_many_summary(lambda x, _: x, np.eye(3)[:2], np.eye(2), [0, 1], [0, 1]),
            r"\(2, 2\), got",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_ids_must_be_integers():
    with pytest.raises(TypeError, match="item_ids must be integers, got float64"):
        metrics.recall_at_k(np.eye(2), [0, 1], [0.0, 1.0], 1)
    with pytest.raises(TypeError, match="y_ids must be integers"):
        PairedRecall().update(torch.eye(2), torch.eye(2), [0, 1], ["a", "b"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("direction", ["x_to_y", "y_to_x", "mean"])
def test_classes_give_the_numbers_of_the_functions(kind, direction):
    expected, name = expected_summary(), KINDS[kind][1]
    metric = filled(kind, direction=direction, block=5)
    assert metric.compute().item() == pytest.approx(expected[direction][name])
    assert metric.chance == pytest.approx(expected["chance"][direction][name])


@settings(max_examples=20)
@given(st.lists(st.integers(0, metric_ranks.CAPTIONS), max_size=5), st.integers(0, 2**32 - 1))
def test_batches_and_their_order_do_not_matter(cuts, seed):
    x, y, x_ids, y_ids = metric_ranks.rows()
    rng = np.random.default_rng(seed)
    orders = torch.from_numpy(rng.permutation(len(x))), torch.from_numpy(rng.permutation(len(y)))
    metric = PairedMAP()
    for part in np.split(np.arange(len(y)), sorted(cuts)):
        own, other = orders[0][part[part < len(x)]], orders[1][part]
        metric.update(x[own], y[other], x_ids[own], y_ids[other])
    assert metric.compute().item() == pytest.approx(expected_summary()["mean"]["mAP"])


def test_without_ids_rows_are_pairs():
    x, y = metric_ranks.pairs()
    metric = PairedRecall(5)
    for part in (slice(0, 20), slice(20, 21), slice(21, None)):
        metric.update(x[part], y[part])
    expected = metrics.retrieval_summary(dot, x.numpy(), y.numpy())
    assert metric.compute().item() == pytest.approx(expected["mean"]["R@5"])
    assert metric.chance == pytest.approx(expected["chance"]["R@5"])


def test_forward_gives_the_value_of_a_batch_and_keeps_the_rows():
    x, y = metric_ranks.pairs()
    metric = PairedRecall(1)
    for part in (slice(0, 20), slice(20, None)):
        alone = PairedRecall(1)
        alone.update(x[part], y[part])
        assert metric(x[part], y[part]) == alone.compute()
        assert metric.chance == alone.chance
    expected = metrics.retrieval_summary(dot, x.numpy(), y.numpy())["mean"]["R@1"]
    assert metric.compute().item() == pytest.approx(expected)
    copies = metric.clone(), pickle.loads(pickle.dumps(metric))
    assert [copy.compute() for copy in copies] == [metric.compute()] * 2
    with pytest.raises(ValueError, match="call compute first"):
        _ = PairedRecall(1).chance
    chance = metric.chance
    metric.reset()
    assert (metric.x_vectors, metric.chance) == ([], chance)


def test_scores_are_never_held_all_at_once(monkeypatch):
    from canonsim.metrics import torch_metrics

    held = []

    def watched(x, y):
        held.append((len(x), len(y)))
        return dot(x, y)

    monkeypatch.setattr(torch_metrics, "inner_products", watched)
    metric = PairedRecall(1, block=8)
    metric.update(torch.randn(50, 3), torch.randn(50, 3))
    metric.compute()
    assert held == ([(8, 50)] * 6 + [(2, 50)]) * 2


def test_what_was_collected_is_apart_from_the_batch_and_its_gradients():
    x = torch.eye(3, requires_grad=True)
    metric = PairedRecall(1)
    metric.update(x * 1, x * 1)
    assert not metric.x_vectors[0].requires_grad
    rows = torch.eye(3)
    metric.reset()
    metric.update(rows, rows)
    rows.zero_()
    assert metric.compute() == 1


def test_metrics_of_a_collection_keep_the_rows_once():
    collection = torchmetrics.MetricCollection({"R@1": PairedRecall(1), "rank": MedianRank(), "map": PairedMAP()})
    for part in (slice(0, 10), slice(10, None)):
        x, y, x_ids, y_ids = metric_ranks.rows()
        collection.update(x[part], y[part], x_ids[part], y_ids[part])
    assert list(collection.compute_groups.values()) == [["R@1", "map", "rank"]]
    expected = expected_summary()
    for name, value in collection.compute().items():
        assert value.item() == pytest.approx(expected["mean"][KINDS[name][1]])
        assert collection[name].chance == pytest.approx(expected["chance"]["mean"][KINDS[name][1]])


def test_casts_round_neither_ids_nor_vectors():
    large = 2**53 + np.arange(3)  # bf16 and f64 would make them one
    metric = PairedRecall(1)
    metric.update(torch.full((3, 1), 1 / 3, dtype=torch.float64), torch.ones(3, 1, dtype=torch.bfloat16), large, large)
    metric.to(torch.bfloat16).half().set_dtype(torch.float16)
    torch.set_default_dtype(torch.bfloat16)  # as Lightning does around the steps of a module in bf16
    try:
        value = metric.compute()
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(metric.x_ids[0], torch.from_numpy(large))
    assert metric.x_vectors[0].dtype == torch.float64
    assert metric.y_vectors[0].dtype == torch.float32
    assert value.dtype == torch.float32
    assert value == pytest.approx(1 / 3)


class Validated(pl.LightningModule):
    """Logs metrics of vectors as they come."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.recall = PairedRecall(1)
        self.precision = PairedMAP()

    def validation_step(self, batch, batch_idx):
        x, y, x_ids, y_ids = batch
        for name, metric in (("recall", self.recall), ("precision", self.precision)):
            metric.update(x.double(), y.double(), x_ids, y_ids)
            self.log(name, metric)


@pytest.mark.parametrize("precision", ["32-true", "bf16-true"])
def test_a_module_in_bf16_logs_the_numbers_of_its_vectors(precision):
    x, y, x_ids, y_ids = metric_ranks.rows()
    data = [(x[part], y[part], x_ids[part] + 2**40, y_ids[part] + 2**40) for part in (slice(0, 12), slice(12, None))]
    trainer = pl.Trainer(
        accelerator="cpu",
        precision=precision,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    model = Validated()
    logged = trainer.validate(model, torch.utils.data.DataLoader(data, batch_size=None), verbose=False)[0]
    # Lightning takes batches of f32 and f64 to bf16 before a step sees them: what is exact is done on these.
    seen = [side.to(torch.bfloat16).double() if precision == "bf16-true" else side for side in (x, y)]
    expected = metrics.many_to_many_summary(
        dot, *(side.numpy() for side in seen), x_ids.numpy(), y_ids.numpy(), ks=(1,)
    )
    assert logged["recall"] == pytest.approx(expected["mean"]["R@1"])
    assert logged["precision"] == pytest.approx(expected["mean"]["mAP"])
    assert model.recall.chance == pytest.approx(expected["chance"]["mean"]["R@1"])


@pytest.mark.parametrize("kind", KINDS)
def test_plots_show_values_and_chance(kind):
    with mpl.rc_context({"backend": "Agg"}):
        import matplotlib.pyplot as plt

        metric = filled(kind)
        figure, axes = metric.plot()
        assert [line for line in axes.lines if set(line.get_ydata()) == {metric.chance}]
        assert [line for line in axes.lines if np.allclose(line.get_ydata(), metric.compute())]
        plt.close(figure)
        figure, axes = plt.subplots()
        assert type(metric)().plot([torch.tensor(3.0), torch.tensor(2.0)], axes) == (None, axes)
        plt.close(figure)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.update(np.eye(2), torch.eye(2)), TypeError, "x must be a torch tensor, got ndarray"),
        (lambda m: m.update(torch.eye(2), torch.eye(2).long()), TypeError, "y must hold f16, bf16, f32 or f64"),
        (lambda m: m.update(torch.eye(2), torch.eye(3)[:2]), ValueError, "y has 3 columns, expected 2"),
        (lambda m: m.update(torch.eye(2), torch.eye(2)[:1]), ValueError, "got 2, 1"),
        (lambda m: m.update(torch.eye(2), torch.tensor([[0.0, 1], [torch.nan, 0]])), ValueError, "y holds .* row 1"),
        (lambda m: m.update(torch.eye(2), torch.eye(2), [0, 1]), ValueError, "together"),
        (lambda m: m.update(torch.eye(2), torch.eye(2), [0, 1], [0]), ValueError, r"y_ids .* got shape \(1,\)"),
        (lambda m: m.update(torch.eye(2)[0], torch.eye(2)), ValueError, "x must have two dimensions"),
        (lambda m: m.update(torch.tensor(1.0), torch.eye(2)), ValueError, "x must have two dimensions"),
    ],
)
def test_bad_rows_are_refused_and_leave_the_metric_as_it_was(call, error, message):
    metric = PairedRecall(1)
    with pytest.raises(error, match=message):
        call(metric)
    assert not any(metric.metric_state.values())
    metric.update(torch.eye(2), torch.eye(2))
    assert metric.compute() == 1
    with pytest.raises(ValueError, match="in all updates or in none"):
        metric.update(torch.eye(2), torch.eye(2), [0, 1], [0, 1])
    with pytest.raises(ValueError, match="x has 3 columns, expected 2"):
        metric.update(torch.eye(3), torch.eye(3))


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="k must be at least 1, not 0"):
        PairedRecall(0)
    with pytest.raises(ValueError, match="direction must be one of x_to_y, y_to_x, mean, got 'both'"):
        PairedMAP("both")
    with pytest.raises(ValueError, match="block must be at least 1, not 0"):
        MedianRank(block=0)
    with pytest.warns(UserWarning, match="before the ``update``"), pytest.raises(ValueError, match="0 rows of x and 0"):
        PairedMAP().compute()


def test_metrics_need_torch_only_when_it_is_used():
    code = (
        "import sys, canonsim.metrics as m\n"
        "m.retrieval_recall([[1.0]], 1)\n"
        "print('torch' in sys.modules, 'PairedRecall' in dir(m))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["False", "True"]
    assert metrics.PairedRecall is PairedRecall
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = metrics.Nothing


REFUSED = {"ids-on-one-rank": "ids must be given on all processes or on none", "widths": "differ in shape"}
SCENARIOS = ("ids", "pairs", "empty-rank", "one-side-each")


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("metrics")
    ranks = processes.start_ranks(metric_ranks.compute_on_ranks, folder, (*SCENARIOS, *REFUSED))
    assert processes.exit_codes(*ranks) == [0, 0]
    return folder


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("rank", [0, 1])
def test_two_processes_give_the_numbers_of_one(two_ranks, scenario, rank):
    found = np.load(two_ranks / f"{scenario}-{rank}.npz")
    own = {"ids": (20, 3), "pairs": (40, 20), "empty-rank": (23, 0), "one-side-each": (23, 0)}[scenario][rank]
    x, y = metric_ranks.pairs()
    pairs = metrics.retrieval_summary(dot, x.numpy(), y.numpy(), ks=(1, 5))
    expected = expected_summary()
    for kind, (_, name) in KINDS.items():
        value, chance = found[kind]
        if scenario != "pairs":
            assert (value, chance) == pytest.approx((expected["mean"][name], expected["chance"]["mean"][name]))
            assert set(found[f"{kind} ids"]) <= {"torch.int64"}
        elif name in pairs["mean"]:
            assert (value, chance) == pytest.approx((pairs["mean"][name], pairs["chance"][name]))
        assert found[f"{kind} rows"] == own


@pytest.mark.parametrize("scenario", REFUSED)
@pytest.mark.parametrize("rank", [0, 1])
def test_processes_that_disagree_are_told_so(two_ranks, scenario, rank):
    assert REFUSED[scenario] in (two_ranks / f"{scenario}-{rank}.txt").read_text()
