"""R@10 and mismatch AUC against the number of pairs, with intervals and labels at the lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from quality import Result

OURS = ("#1f5fbf", "#5b9bd5", "#17a398")
RIVALS = ("#b0483a", "#d98032", "#8a8a8a", "#5a5a5a", "#b59f3b", "#8e5ea2", "#c77ba0")


def draw(results: list[Result], chance: dict[str, float], file: Path) -> None:
    """One row of panels for each data set: R@10 left, AUC right."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(
        len(chance), 2, figsize=(12, 5 * len(chance)), layout="constrained", squeeze=False, sharex="row"
    )
    for (data, level), row in zip(chance.items(), panels, strict=True):
        chosen = [result for result in results if result.data == data]
        for axes, name, at_chance in zip(row, ("R@10", "AUC"), (level, 0.5), strict=True):
            panel(axes, chosen, name, at_chance)
            axes.set(title=f"{data}: {name}", xlabel="training pairs")
    figure.savefig(file, dpi=130)


def panel(axes: Any, results: list[Result], name: str, chance: float) -> None:
    """The lines of all methods, ours strong with their intervals, rivals thin with theirs faint."""
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    sizes = sorted({result.pairs for result in results})
    ours, rivals = iter(OURS), iter(RIVALS)
    ends = []
    for method in dict.fromkeys(result.method for result in results):
        line = sorted((result for result in results if result.method == method), key=lambda result: result.pairs)
        mine = line[0].ours
        color = next(ours if mine else rivals)
        low, high = zip(*(result.intervals[name] for result in line), strict=True)
        values = [result.values[name] for result in line]
        axes.fill_between(sizes, low, high, color=color, alpha=0.16 if mine else 0.05, linewidth=0)
        axes.plot(sizes, values, color=color, linewidth=2.2 if mine else 1.1, marker="o", markersize=4 if mine else 2.5)
        ends.append((values[-1], method, color, mine))
    axes.axhline(chance, color="black", linewidth=0.8, linestyle=":")
    axes.text(sizes[0], chance, " chance", va="bottom", fontsize=8)
    axes.set_xscale("log")
    # The number of all pairs is always told; one close below it would be written over it.
    axes.xaxis.set_major_locator(FixedLocator([size for size in sizes if size == sizes[-1] or 2 * size < sizes[-1]]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, axis="y", alpha=0.25)
    bottom, top = axes.get_ylim()
    ends.sort()
    places = spread([value for value, *_ in ends], (top - bottom) * 0.045)
    for place, (value, method, color, mine) in zip(places, ends, strict=True):
        axes.annotate(
            method,
            (sizes[-1], value),
            (1.06, (place - bottom) / (top - bottom)),
            textcoords="axes fraction",
            color=color,
            fontsize=8.5,
            fontweight="bold" if mine else "normal",
            va="center",
            arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.5, "relpos": (0.0, 0.5)},
        )
    axes.set_ylim(bottom, top)


def spread(values: list[float], gap: float) -> np.ndarray:
    """Places for labels of ascending values: at least a gap apart, as near to the values as pushing upwards leaves."""
    places = np.array(values)
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + gap)
    # Half of what the labels were pushed upwards is taken back, all together.
    return places - (places - values).max() / 2
