"""Time and memory on a machine that is shared with others: paired runs, medians, and processes of their own."""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Pair:
    """Two pieces of work measured in turn."""

    first: float
    """Median seconds of the first."""
    second: float
    """Median seconds of the second."""
    ratio: float
    """Median of the second's seconds over the first's, pair by pair."""


# The threads of OpenBLAS and OpenMP spin for a while after their work, on the cores of whoever comes next.
PAUSE = 0.25


def seconds(work: Callable[[], Any]) -> float:
    """Seconds of the work, after a pause."""
    time.sleep(PAUSE)
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def paired(first: Callable[[], Any], second: Callable[[], Any], runs: int) -> Pair:
    """Run both in turn, A B A B, after one warm-up of each where there are several runs."""
    if runs > 1:
        first()
        second()
    gc.collect()
    times = [(seconds(first), seconds(second)) for _ in range(runs)]
    return Pair(
        statistics.median(a for a, _ in times),
        statistics.median(b for _, b in times),
        statistics.median(b / a for a, b in times),
    )


def resident(field: str = "RssAnon") -> float:
    """A line of /proc/self/status in MB: what is in memory and no file's, by default."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(field)) / 1024


def peak_above(work: Callable[[], Any]) -> float:
    """Peak memory of the work in MB, above what the process holds before it."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = resident("VmRSS")
    work()
    return resident("VmHWM") - before


def in_own_process(script: str, *arguments: object) -> list[float]:
    """The numbers that a script prints with these arguments: memory is clean of what ran before."""
    command = [sys.executable, script, *map(str, arguments)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [float(value) for value in printed.split()]


def table(header: str, rows: list[tuple[object, ...]]) -> str:
    """A Markdown table whose columns after the first are numbers."""
    columns = header.split("|")
    lines = [f"| {' | '.join(column.strip() for column in columns)} |", "|---" + "|---:" * (len(columns) - 1) + "|"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join(lines)
