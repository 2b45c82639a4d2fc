"""Two real gloo processes give what one process gives, whatever rows each of them sees."""

import time

import numpy as np
import passes
import pytest

import processes
from canonsim import CanonicalSpace, PairedMoments

REFUSED = {
    "same-rows": "ranks 0 and 1 saw the same 97 rows",
    "no-ids-known": "the row ids of batch 0 are unknown",
    "shuffled": "each rank would shuffle in its own way",
    "padded": "the loader's DistributedSampler delivers 98 rows for 97",
}
SCENARIOS = ("ids", "no-ids", "empty-rank", "bf16", "unpaired", *REFUSED)


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    ranks = processes.start_ranks(passes.predict_on_ranks, folder, SCENARIOS)
    assert processes.exit_codes(*ranks) == [0, 0]
    return folder


@pytest.mark.parametrize("scenario", ["ids", "no-ids", "empty-rank"])
@pytest.mark.parametrize("rank", [0, 1])
def test_ranks_give_the_space_of_one_process(two_ranks, scenario, rank):
    space, moments = passes.expected()
    found = np.load(two_ranks / f"{scenario}-{rank}.npz")
    assert tuple(found["ridge"]) == space.ridge
    np.testing.assert_allclose(found["correlations"], space.correlations, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found["held_out_correlations"], space.held_out_correlations, rtol=0, atol=1e-9)
    state = moments.state()
    np.testing.assert_array_equal(found["counts"], state["counts"])
    np.testing.assert_allclose(found["means"], state["means"], rtol=1e-12)
    for name in ("weights", "scatters", "cubes", "fourths"):
        np.testing.assert_allclose(found[name], state[name], rtol=1e-9, atol=1e-9)


def test_both_ranks_hold_the_same_bits(two_ranks):
    first, second = (np.load(two_ranks / f"ids-{rank}.npz") for rank in (0, 1))
    for name in ("counts", "means", "scatters", "correlations"):
        np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.parametrize("rank", [0, 1])
def test_rows_of_one_side_are_reduced_too(two_ranks, rank):
    x, _ = passes.features()
    expected = PairedMoments(8, 6)
    expected.update_x(x + np.arange(len(x))[:, None] % 2)
    found = np.load(two_ranks / f"unpaired-{rank}.npz")
    for name in ("counts", "weights", "means", "scatters", "cubes", "fourths"):
        unpaired = expected.state()[f"unpaired_x.{name}"]
        np.testing.assert_allclose(found[f"unpaired_x.{name}"], unpaired, rtol=1e-9, atol=1e-9)
    assert found["unpaired_y.counts"].sum() == 0


def test_bf16_features_are_summed_in_f64(two_ranks):
    found = np.load(two_ranks / "bf16-0.npz")
    assert found["scatters"].dtype == np.float64
    assert found["counts"].sum() == passes.ROWS
    assert ((found["correlations"] >= 0) & (found["correlations"] <= 1)).all()


def test_rank_zero_writes_the_space_and_the_moments(two_ranks):
    space, moments = passes.expected()
    np.testing.assert_allclose(
        CanonicalSpace.from_pretrained(two_ranks / "ids").correlations, space.correlations, rtol=0, atol=1e-9
    )
    assert PairedMoments.load(two_ranks / "ids" / "moments.safetensors").count == moments.count
    assert not (two_ranks / "ids" / "progress").exists()


@pytest.mark.parametrize("scenario", REFUSED)
@pytest.mark.parametrize("rank", [0, 1])
def test_loaders_that_would_not_count_each_row_once_are_refused(two_ranks, scenario, rank):
    assert REFUSED[scenario] in (two_ranks / f"{scenario}-{rank}.txt").read_text()


@pytest.mark.usefixtures("two_ranks")  # the processes have started: what is timed is the failure
def test_a_failing_rank_ends_the_others_and_writes_no_space(tmp_path):
    begin = time.monotonic()
    ranks = processes.start_ranks(passes.predict_on_ranks, tmp_path, ["fails"])
    assert all(code not in (0, None) for code in processes.exit_codes(*ranks))
    assert time.monotonic() - begin < 40
    assert not (tmp_path / "fails" / "config.json").exists()


def test_killed_ranks_go_on_where_they_stopped(tmp_path):
    ranks = processes.start_ranks(passes.predict_on_ranks, tmp_path, ["killed"])
    assert -9 in processes.exit_codes(*ranks)
    ranks = processes.start_ranks(passes.predict_on_ranks, tmp_path, ["resumed"])
    assert processes.exit_codes(*ranks) == [0, 0]
    space, _ = passes.expected()
    first, second = (np.load(tmp_path / f"resumed-{rank}.npz") for rank in (0, 1))
    np.testing.assert_allclose(first["held_out_correlations"], space.held_out_correlations, rtol=0, atol=1e-9)
    assert first["counts"].sum() == passes.ROWS
    assert second["encoded"].tolist() == [6, 7, 8, 9, 10, 11]
    assert not (tmp_path / "killed" / "progress").exists()
