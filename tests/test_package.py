"""The package as a whole: light to import, with the names it promises."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import canonsim


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout


def test_import_is_light():
    loaded = run("import sys, canonsim; print(sorted(sys.modules))")
    for heavy in ("numpy", "torch", "lightning", "transformers", "open3d", "sklearn"):
        assert f"'{heavy}'" not in loaded


def test_core_needs_no_torch():
    loaded = run(
        "import sys, numpy, canonsim\n"
        "m = canonsim.PairedMoments(2, 2); x = numpy.random.default_rng(0).standard_normal((50, 2)); m.update(x, x)\n"
        "s = canonsim.fit(m); s.similarity(x, x); canonsim.CSA().fit(x, x)\n"
        "print(sorted(sys.modules))"
    )
    assert "'torch'" not in loaded


def test_import_is_fast():
    # The fastest of several: the machine may be busy.
    times = run(
        "import subprocess, sys, time\n"
        "for _ in range(5):\n"
        "    start = time.perf_counter()\n"
        "    subprocess.run([sys.executable, '-c', 'import canonsim'], check=True)\n"
        "    total = time.perf_counter() - start\n"
        "    start = time.perf_counter()\n"
        "    subprocess.run([sys.executable, '-c', ''], check=True)\n"
        "    print(total - (time.perf_counter() - start))\n"
    )
    assert min(map(float, times.split())) < 0.3


def test_names():
    for name in canonsim.__all__:
        assert getattr(canonsim, name) is not None
    assert "fit" in dir(canonsim)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = canonsim.nothing


def test_threads(restored_threads):
    canonsim.set_num_threads(3)
    assert canonsim.get_num_threads() == 3
    with pytest.raises(ValueError, match="threads"):
        canonsim.set_num_threads(0)


@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({"CANONSIM_NUM_THREADS": "7"}, 7),
        ({"OMP_NUM_THREADS": "5"}, 5),
        ({"CANONSIM_NUM_THREADS": "7", "OMP_NUM_THREADS": "5"}, 7),
        ({"CANONSIM_NUM_THREADS": "many", "OMP_NUM_THREADS": "5"}, 5),
        ({}, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
    ],
)
def test_the_environment_sets_the_threads(environment, threads):
    told = subprocess.run(
        [sys.executable, "-c", "import canonsim; print(canonsim.get_num_threads())"],
        env={"PATH": "", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(told.stdout) == threads


def test_the_version_is_the_same_everywhere():
    root = Path(__file__).parent.parent
    for file in ("pyproject.toml", "Cargo.toml"):
        version = re.search(r'^version = "(.+)"', (root / file).read_text(), re.MULTILINE)
        assert version is not None
        assert version[1] == canonsim.__version__
