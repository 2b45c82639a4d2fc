"""PairedMoments: against two-pass sums in float64, from every kind of array; refusals leave it as it was."""

import copy
import multiprocessing
import pickle
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import canonsim
from canonsim import PairedMoments
from canonsim.device import DeviceMoments
from synthetic import related


def reference(x, y):
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    dx, dy = x - x.mean(0), y - y.mean(0)
    return {
        "x_mean": x.mean(0),
        "y_mean": y.mean(0),
        "scatter_xx": dx.T @ dx,
        "scatter_yy": dy.T @ dy,
        "scatter_xy": dx.T @ dy,
    }


def assert_moments(moments, x, y, rtol=1e-11):
    assert moments.count == len(x)
    for name, expected in reference(x, y).items():
        found = getattr(moments, name)
        assert found.dtype == np.float64
        assert found.flags.c_contiguous
        np.testing.assert_allclose(found, expected, atol=rtol * np.abs(expected).max(), err_msg=name)


def state_bytes(moments):
    return {name: array.tobytes() for name, array in moments.state().items()}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("folds", [1, 3])
def test_numpy_precisions(dtype, folds, pairs):
    x, y = (side.astype(dtype) for side in pairs)
    moments = PairedMoments(12, 8, folds=folds)
    moments.update(x, y)
    assert_moments(moments, x, y, 1e-11 if dtype is np.float64 else 2e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_torch_precisions(dtype, pairs):
    x, y = (torch.from_numpy(side).to(dtype).requires_grad_() for side in pairs)
    moments = PairedMoments(12, 8)
    moments.update(x, y)
    assert_moments(moments, x.detach().double(), y.detach().double(), 1e-11 if dtype is torch.float64 else 2e-6)


def test_any_memory_layout(pairs):
    x, y = pairs
    wide = np.zeros((len(x), 3, 12))
    wide[:, 1] = x
    swapped = x.astype(">f8")
    read_only = x.copy()
    read_only.flags.writeable = False
    record = np.zeros(len(x), dtype=[("flag", "u1"), ("x", "f8", 12)])
    record["x"] = x
    layouts = [np.asfortranarray(x), wide[:, 1], np.flip(np.flip(x).copy()), swapped, read_only, record["x"]]
    for layout in layouts:
        moments = PairedMoments(12, 8)
        moments.update(layout, y)
        assert_moments(moments, x, y)
    constant = PairedMoments(12, 8)
    constant.update(np.broadcast_to(x[:1], x.shape), y)
    np.testing.assert_allclose(constant.scatter_xx, 0.0, atol=1e-20)


def test_no_rows_are_fine(pairs):
    x, y = pairs
    moments = PairedMoments(12, 8)
    moments.update(x[:0], y[:0])
    assert moments.count == 0
    np.testing.assert_array_equal(moments.scatter_xx, np.zeros((12, 12)))
    moments.update(x, y)
    assert_moments(moments, x, y)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-9)], ids=["float32", "float64"])
@pytest.mark.parametrize("disturbance", ["mean", "drift"])
def test_neither_a_large_mean_nor_a_drift_costs_accuracy(dtype, tolerance, disturbance):
    x, y = related(n=3000)
    if disturbance == "mean":
        x, y = x + 1e4 * x.std(), y - 1e3 * y.std()
    else:
        drift = np.linspace(0, 100, len(x))[:, None]
        x, y = x + drift * x.std(0), y - drift * y.std(0)
    x, y = x.astype(dtype), y.astype(dtype)
    moments = PairedMoments(12, 8)
    for rows in np.array_split(np.arange(len(x)), 11):
        moments.update(x[rows], y[rows], ids=rows)
    exact = [np.linalg.qr(side.astype(np.float64) - side.astype(np.float64).mean(0))[0] for side in (x, y)]
    expected = np.linalg.svd(exact[0].T @ exact[1], compute_uv=False)
    found = canonsim.fit(moments, n_components=None, ridge=0.0).correlations
    np.testing.assert_allclose(found, expected, atol=tolerance)


def test_folds_follow_the_ids(pairs):
    x, y = pairs
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 200, len(x))
    moments = PairedMoments(12, 8, folds=4)
    order = rng.permutation(len(x))
    for rows in np.array_split(order, 5):
        moments.update(x[rows], y[rows], ids=ids[rows])
    fold = canonsim._native.folds_of(ids, 4)
    assert moments.fold_counts.tolist() == np.bincount(fold, minlength=4).tolist()
    for k in range(4):
        assert_moments(moments.fold(k), x[fold == k], y[fold == k])
    # By default the running row number, over all batches.
    running, numbered = PairedMoments(12, 8), PairedMoments(12, 8)
    running.update(x[:100], y[:100])
    running.update(x[100:], y[100:])
    numbered.update(x, y, ids=torch.arange(len(x)))
    assert running.fold_counts.tolist() == numbered.fold_counts.tolist()
    with pytest.raises(IndexError, match="fold 4"):
        moments.fold(4)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), parts=st.integers(1, 5), folds=st.integers(1, 4))
def test_sharding_does_not_matter(seed, parts, folds):
    x, y = related(seed, n=80, p=4, q=3, shared=2)
    rng = np.random.default_rng(seed)
    shards = []
    for rows in np.array_split(rng.permutation(80), parts):
        shard = PairedMoments(4, 3, folds=folds)
        shard.update(x[rows], y[rows], ids=rows)
        shards.append(shard)
    merged = canonsim.merge(shards)
    whole = PairedMoments(4, 3, folds=folds)
    whole.update(x, y)
    assert_moments(merged, x, y)
    for name, array in whole.state().items():
        np.testing.assert_allclose(merged.state()[name], array, atol=1e-10)


def test_merging_leaves_the_other_as_it_was(pairs):
    x, y = pairs
    a, b = PairedMoments(12, 8), PairedMoments(12, 8)
    a.update(x[:200], y[:200])
    b.update(x[200:], y[200:], ids=np.arange(200, len(x)))
    before = state_bytes(b)
    a.merge(b)
    assert_moments(a, x, y)
    assert state_bytes(b) == before
    a.merge(a)
    assert a.count == 2 * len(x)
    for other in (PairedMoments(12, 8, folds=2), PairedMoments(11, 8), PairedMoments(12, 9)):
        with pytest.raises(ValueError, match="cannot merge"):
            a.merge(other)
    with pytest.raises(TypeError, match="other"):
        a.merge("moments")
    with pytest.raises(ValueError, match="none"):
        canonsim.merge([])


def test_remove_undoes_update(pairs):
    x, y = pairs
    moments = PairedMoments(12, 8)
    moments.update(x, y)
    moments.remove(x[400:], y[400:], np.arange(400, len(x)))
    assert_moments(moments, x[:400], y[:400], 1e-9)
    before = state_bytes(moments)
    with pytest.raises(ValueError, match="never added"):
        moments.remove(100 + x[:9], y[:9], np.arange(9))
    with pytest.raises(ValueError, match="never added"):
        moments.remove(x, y, np.zeros(len(x), np.int64))
    assert state_bytes(moments) == before


def test_unpaired_rows_stay_apart(pairs):
    x, y = pairs
    moments = PairedMoments(12, 8)
    moments.update(x[:300], y[:300])
    moments.update_x(x[300:])
    moments.update_y(torch.from_numpy(y[400:]))
    assert_moments(moments, x[:300], y[:300])
    side = moments.unpaired_x
    expected = reference(x[300:], y[300:])
    assert side.count == len(x) - 300
    np.testing.assert_allclose(side.mean, expected["x_mean"])
    np.testing.assert_allclose(side.scatter, expected["scatter_xx"], atol=1e-9)
    assert moments.unpaired_y.count == len(y) - 400


BAD = {
    "NaN": (
        lambda x, y: (np.where(np.arange(len(x))[:, None] == 7, np.nan, x), y),
        ValueError,
        r"x holds NaN in row 7",
    ),
    "infinity": (lambda x, y: (x, np.where(np.arange(len(y))[:, None] == 5, np.inf, y)), ValueError, r"y .*inf.*row 5"),
    "overflow": (lambda x, y: (x * 1e200, y), ValueError, "overflows"),
    "NaN in bf16": (
        lambda x, y: (torch.tensor(x).bfloat16().masked_fill(torch.arange(len(x))[:, None] == 2, torch.nan), y),
        ValueError,
        "row 2",
    ),
    "other lengths": (lambda x, y: (x, y[:-1]), ValueError, "y has 599 rows, but x has 600"),
    "wide x": (lambda x, y: (np.hstack([x, x]), y), ValueError, "x has 24 columns, expected 12"),
    "narrow y": (lambda x, y: (x, y[:, 1:]), ValueError, "y has 7 columns, expected 8"),
    "one dimension": (lambda x, y: (x[0], y), ValueError, "two dimensions"),
    "integers": (lambda x, y: (x.astype(int), y), TypeError, "int64"),
    "integer tensor": (lambda x, y: (torch.tensor(x).int(), torch.tensor(y)), TypeError, "int32"),
    "objects": (lambda x, y: (x.astype(object), y), TypeError, "object"),
    "complex": (lambda x, y: (x.astype(complex), y), TypeError, "complex"),
    "masked": (lambda x, y: (np.ma.masked_greater(x, 1.0), y), TypeError, "MaskedArray"),
    "list": (lambda x, y: (x.tolist(), y), TypeError, "x must be a numpy array or torch tensor"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_rows_are_named_and_change_nothing(case, pairs):
    spoil, error, message = BAD[case]
    moments = PairedMoments(12, 8)
    moments.update(*pairs)
    before = state_bytes(moments)
    with pytest.raises(error, match=message):
        moments.update(*spoil(*pairs))
    assert state_bytes(moments) == before


@pytest.mark.parametrize(
    ("ids", "error"),
    [
        (np.arange(599), ValueError),
        (np.arange(600.0), TypeError),
        (np.zeros((600, 1), int), ValueError),
        ("a", TypeError),
    ],
)
def test_bad_ids(ids, error, pairs):
    moments = PairedMoments(12, 8)
    with pytest.raises(error, match="ids"):
        moments.update(*pairs, ids=ids)
    assert moments.count == 0


@pytest.mark.parametrize(
    ("arguments", "error"),
    [((0, 3), ValueError), ((3, -1), ValueError), ((3, 3, 0), ValueError), ((2.5, 3), TypeError)],
)
def test_bad_widths(arguments, error):
    with pytest.raises(error, match="must be"):
        PairedMoments(*arguments)
    with pytest.raises((MemoryError, OverflowError)):
        PairedMoments(2**40, 2**40)


def test_files(tmp_path, pairs):
    moments = PairedMoments(12, 8, folds=3)
    moments.update(*pairs)
    moments.update_x(pairs[0])
    moments.save(tmp_path / "pairs.moments")
    loaded = PairedMoments.load(tmp_path / "pairs.moments")
    assert state_bytes(loaded) == state_bytes(moments)
    assert state_bytes(copy.deepcopy(moments)) == state_bytes(moments)
    assert state_bytes(pickle.loads(pickle.dumps(moments))) == state_bytes(moments)
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.moments"]
    with pytest.raises(FileNotFoundError):
        PairedMoments.load(tmp_path / "none.moments")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_truncated_or_altered_bytes_are_refused(data):
    moments = PairedMoments(3, 2, folds=2)
    moments.update(*related(n=20, p=3, q=2, shared=1))
    content = bytearray(moments.to_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match="bytes"):
        PairedMoments.from_bytes(bytes(content))


def test_states_that_no_rows_made_are_refused(pairs):
    moments = PairedMoments(12, 8, folds=2)
    moments.update(*pairs)
    for spoil in (
        lambda s: s.pop("means"),
        lambda s: s.update(counts=-s["counts"]),
        lambda s: s.update(counts=s["counts"].astype(float)),
        lambda s: s.update(scatters=s["scatters"][:, 1:]),
        lambda s: s.update(scatters=s["scatters"] * np.nan),
        lambda s: s.update(scatters=-s["scatters"]),
        lambda s: s.update(means=s["means"][:1]),
        lambda s: s.update(means=s["means"][:, 1:]),
        lambda s: s.update(roundoffs=s["roundoffs"] * 0),
        lambda s: s.update(counts=np.full(2, 2**63, np.uint64)),
        lambda s: s.update(means=s["means"] * 1e200),
        lambda s: s["scatters"].__setitem__((0, 1), 1e9),
        lambda s: s.update(weights=s["weights"] * 2),
        lambda s: s.update(weights=s["weights"][:, :1]),
        lambda s: s.update(fourths=s["fourths"] / 100),
        lambda s: s.pop("cubes"),
    ):
        state = moments.state()
        spoil(state)
        with pytest.raises(ValueError, match=r"state|mean"):
            PairedMoments.from_state(state)


def test_moments_on_a_device_are_the_same(pairs):
    # The path of CUDA tensors, on the CPU device: it is the same code.
    x, y = (torch.from_numpy(side) for side in pairs)
    ids = np.arange(len(x)) * 3
    direct = PairedMoments(12, 8)
    direct.update(x, y, ids=ids)
    device = DeviceMoments(12, 8, 5, torch.device("cpu"))
    for rows in np.array_split(np.arange(len(x)), 4):
        device.update(x[rows], y[rows], ids[rows])
    with pytest.raises(ValueError, match="x holds nan in row 1, column 2"):
        device.update(
            x[:4].index_fill(0, torch.tensor([1]), 0).where(torch.arange(48).view(4, 12) != 14, torch.nan),
            y[:4],
            ids[:4],
        )
    large = torch.full((4, 12), 1.0, dtype=torch.float64)
    large[2, 3] = 1e200
    with pytest.raises(ValueError, match="row 2, column 3"):
        device.update(large, y[:4], ids[:4])
    found = PairedMoments.from_state(device.state())
    assert found.fold_counts.tolist() == direct.fold_counts.tolist()
    assert_moments(found, *pairs)
    for name in ("weights", "cubes", "fourths"):
        np.testing.assert_allclose(found.state()[name], direct.state()[name], rtol=1e-9, atol=1e-8)


def test_a_device_keeps_the_precision_of_the_rows(pairs):
    x, y = (torch.from_numpy(side).half() for side in pairs)
    direct = PairedMoments(12, 8, folds=1)
    direct.update(x, y)
    device = DeviceMoments(12, 8, 1, torch.device("cpu"))
    device.update(x, y, np.arange(len(x)))
    assert device.state()["roundoffs"] == direct.state()["roundoffs"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_tensors_are_accumulated_there(pairs):
    x, y = (torch.from_numpy(side).cuda() for side in pairs)
    moments = PairedMoments(12, 8)
    moments.update(x, y)
    assert moments.count == len(x)
    assert_moments(moments, *pairs)
    moments.update(pairs[0], pairs[1])
    assert moments.count == 2 * len(x)


def test_many_threads_share_one_object(pairs):
    x, y = pairs
    moments = PairedMoments(12, 8)

    def add(rows):
        for row in rows:
            moments.update(x[row : row + 1], y[row : row + 1], ids=np.array([row]))
            _ = moments.count

    threads = [threading.Thread(target=add, args=(range(start, len(x), 4),)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_moments(moments, x, y)


# Large enough for the fit to start faer's threads.
WIDE = {"n": 2000, "p": 300, "q": 260}


def _fit_in_child(queue):
    moments = PairedMoments(WIDE["p"], WIDE["q"])
    moments.update(*related(**WIDE))
    queue.put((canonsim.fit(moments, ridge=1.0).correlations[0], canonsim.get_num_threads()))


@pytest.mark.timeout(60)
# Python itself warns of forks beside threads; that a fit in the child neither hangs nor differs is the point.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("threads", [None, 2])
def test_works_after_a_fork(threads, restored_threads):
    if threads:
        canonsim.set_num_threads(threads)
    moments = PairedMoments(WIDE["p"], WIDE["q"])
    moments.update(*related(**WIDE))
    expected = canonsim.fit(moments, ridge=1.0).correlations[0]
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_fit_in_child, args=(queue,))
    child.start()
    correlation, used = queue.get(timeout=50)
    child.join()
    assert correlation == pytest.approx(expected, abs=1e-9)
    assert used == (threads or 1)


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy, list], ids=["numpy", "torch", "list"])
def test_weighted_rows_have_weighted_moments(pairs, convert):
    x, y = pairs
    weights = np.random.default_rng(3).uniform(0, 2, len(x)) * (np.arange(len(x)) % 4 > 0)
    moments = PairedMoments(12, 8, folds=3)
    moments.update(x[:50], y[:50], weights=convert(weights[:50]))
    moments.update(x[50:], y[50:], weights=convert(weights[50:]))
    centred = x - np.average(x, axis=0, weights=weights)
    np.testing.assert_allclose(moments.x_mean, np.average(x, axis=0, weights=weights), atol=1e-12)
    np.testing.assert_allclose(moments.scatter_xx, (centred * weights[:, None]).T @ centred, atol=1e-9)
    assert moments.count == (weights > 0).sum()
    np.testing.assert_allclose(moments.state()["weights"].sum(axis=0), [weights.sum(), (weights**2).sum()])
    moments.remove(x[:50], y[:50], np.arange(50), weights=weights[:50])
    assert moments.count == (weights[50:] > 0).sum()
    moments.update_x(x, weights=weights)
    np.testing.assert_allclose(moments.unpaired_x.scatter, (centred * weights[:, None]).T @ centred, atol=1e-9)


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ([1.0, -1.0, 1.0], ValueError, "got -1 in row 1"),
        ([1.0, 2.0], ValueError, r"weights must be one number for each row, shape \(3,\), got shape \(2,\)"),
        ([1.0, float("nan"), 1.0], ValueError, "NaN in row 1"),
        ([1.0, 1e10, 1.0], ValueError, "between 0 and 1e9"),
        (["a", "b", "c"], TypeError, "weights must be floats"),
    ],
)
def test_bad_weights_leave_the_state_as_it_was(pairs, weights, error, message):
    moments = PairedMoments(12, 8)
    x, y = pairs[0][:3], pairs[1][:3]
    for update in (
        lambda: moments.update(x, y, weights=weights),
        lambda: moments.update_x(x, weights=weights),
        lambda: moments.update_y(y, weights=weights),
    ):
        with pytest.raises(error, match=message):
            update()
    assert moments.count == moments.unpaired_x.count == moments.unpaired_y.count == 0
