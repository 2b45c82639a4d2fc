"""The pictures of the ablation: correlations, numbers of pairs, the ladder, reliability."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from quality import Result as OfMethod
from quality_plot import panel

if TYPE_CHECKING:
    from ablation import Calibrated, Correlations, Result

OURS, PLAIN, GREY, PALE = "#1f5fbf", "#b0483a", "#8a8a8a", "#c9d8ee"
METHODS = ("log odds", "CSA, no ridge", "ASIF", "Procrustes")
DPI = 110


def draw(
    steps: list[Result],
    calibrated: list[Calibrated],
    correlations: list[Correlations],
    quality: tuple[Path, dict[str, float]] | None,
    folder: Path,
) -> None:
    """Write all pictures; that of numbers of pairs from a file of quality.py and the chance level of each data set."""
    import matplotlib as mpl

    mpl.use("Agg")
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        draw_correlations(correlations, folder / "correlations.png")
        draw_ladder(steps, folder / "ladder.png")
        draw_reliability(calibrated, folder / "calibration.png")
        if quality:
            draw_pairs(*quality, folder / "pairs.png")


def draw_correlations(found: list[Correlations], file: Path) -> None:
    """Training, held-out and test correlations: without a ridge above, with the automatic one below."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import StrMethodFormatter

    sizes = sorted({each.pairs for each in found})
    figure, panels = plt.subplots(
        2, len(sizes), figsize=(3.3 * len(sizes), 5.4), layout="constrained", sharex=True, sharey=True, squeeze=False
    )
    for each in found:
        axes = panels[int(each.ridge != (0.0, 0.0)), sizes.index(each.pairs)]
        directions = np.arange(1, len(each.training) + 1)
        axes.scatter(directions, each.test, s=5, color=GREY, alpha=0.55, linewidth=0, label="on test pairs")
        axes.plot(directions, each.training, color=PLAIN, linewidth=2, label="training")
        axes.plot(directions[: len(each.held_out)], each.held_out, color=OURS, linewidth=2, label="held out")
        axes.axhline(each.noise_floor, color="black", linewidth=0.9, linestyle=":", label="noise floor")
        directions, low, high = each.signal
        axes.axvspan(low, high, color="black", alpha=0.08, linewidth=0)
        axes.axvline(directions, color="black", linewidth=0.9, label="signal directions")
        ridge = "no ridge" if each.ridge == (0.0, 0.0) else f"ridge {each.ridge[0]:g} and {each.ridge[1]:g}"
        axes.set_title(f"{each.pairs:,} pairs, {ridge}", fontsize=10)
        axes.set(xscale="log", ylim=(-0.2, 1.05))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    figure.supxlabel("direction", fontsize=10)
    figure.supylabel("correlation", fontsize=10)
    lines, labels = panels[0, 0].get_legend_handles_labels()
    columns = min(len(labels), 2 * len(sizes))
    figure.legend(lines, labels, loc="outside upper center", ncols=columns, frameon=False, markerscale=2)
    figure.savefig(file, dpi=DPI)
    plt.close(figure)


def draw_pairs(file: Path, chance: dict[str, float], picture: Path) -> None:
    """R@10 of some methods against the number of pairs."""
    import matplotlib.pyplot as plt

    results = [OfMethod(**entry) for entry in json.loads(file.read_text(encoding="utf-8"))]
    results = [each for each in results if each.method in METHODS and each.data in chance]
    names = list(dict.fromkeys(each.data for each in results))
    if not names:
        raise SystemExit(f"{file} holds none of {', '.join(METHODS)} for {', '.join(chance)}")
    figure, panels = plt.subplots(1, len(names), figsize=(6.2 * len(names), 3.8), layout="constrained", squeeze=False)
    for axes, name in zip(panels[0], names, strict=True):
        panel(axes, [each for each in results if each.data == name], "R@10", chance[name])
        axes.set(title=name, xlabel="training pairs", ylabel="R@10")
    figure.savefig(picture, dpi=DPI)
    plt.close(figure)


def draw_ladder(steps: list[Result], file: Path) -> None:
    """R@10 of each step with its interval, a panel for each data set."""
    import matplotlib.pyplot as plt

    sets = {name: [each for each in steps if each.data == name] for name in dict.fromkeys(each.data for each in steps)}
    rungs = len(next(iter(sets.values())))
    figure, panels = plt.subplots(
        1,
        len(sets),
        figsize=(3 + 3.2 * len(sets), 0.8 + 0.34 * rungs),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    for axes, (name, found) in zip(panels[0], sets.items(), strict=True):
        values = np.array([each.values["R@10"] for each in found])
        ends = np.array([each.intervals["R@10"] for each in found])
        colors = [PLAIN, *((PALE if each.beside else OURS) for each in found[1:])]
        places = np.arange(rungs)
        axes.barh(places, values, color=colors, height=0.72)
        axes.errorbar(values, places, xerr=np.abs(ends.T - values), fmt="none", ecolor="black", elinewidth=0.8)
        for place, value, (_, high) in zip(places, values, ends, strict=True):
            axes.text(high, place, f"  {value:.3f}", va="center", fontsize=9)
        axes.set_yticks(places, [f"instead: {each.step}" if each.beside else each.step for each in found])
        axes.set(title=f"{name}, {found[0].pairs:,} pairs", xlabel="R@10", xlim=(0, 1.22 * ends.max()))
        axes.tick_params(axis="y", length=0)
    panels[0, 0].invert_yaxis()
    figure.savefig(file, dpi=DPI)
    plt.close(figure)


def draw_reliability(calibrated: list[Calibrated], file: Path) -> None:
    """How often pairs of a predicted probability are pairs, as fitted and calibrated, a panel for each data set."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import PercentFormatter

    names = list(dict.fromkeys(each.data for each in calibrated))
    figure, panels = plt.subplots(1, len(names), figsize=(4.2 * len(names), 4.2), layout="constrained", squeeze=False)
    styles = {"as fitted": PLAIN, "calibrated by cross-fitting": OURS}
    for axes, name in zip(panels[0], names, strict=True):
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
        for each in calibrated:
            if each.data == name and each.space in styles:
                label = f"{each.space}: ECE {each.expected_calibration_error:.3f}"
                axes.plot(
                    each.predicted, each.observed, color=styles[each.space], marker="o", markersize=4, label=label
                )
        axes.set(title=f"{name}: log odds", xlabel="predicted probability of a pair", aspect="equal")
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.legend(frameon=False, fontsize=9, loc="lower right")
    panels[0, 0].set_ylabel("frequency of pairs")
    figure.savefig(file, dpi=DPI)
    plt.close(figure)
