"""The bench runs, in small: every table with every rival that the tests' environment has."""

import subprocess
import sys
from pathlib import Path

SPEED = Path(__file__).parents[2] / "benches" / "speed.py"


def test_the_smoke_run_prints_every_table_and_the_plot(tmp_path):
    plot = tmp_path / "speed.png"
    told = subprocess.run(
        [
            sys.executable,
            str(SPEED),
            "--smoke",
            "--rivals",
            "numpy",
            "torch",
            "formula",
            "sklearn",
            "--plot",
            str(plot),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert told.returncode == 0, told.stderr
    for header in ("Gram product", "one fit", "cost of this / of that", "f16 files on disk"):
        assert f"| {header}" in told.stdout
    assert plot.stat().st_size > 10_000
