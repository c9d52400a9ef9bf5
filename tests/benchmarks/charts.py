"""Draws the chart of docs/benchmarks.md: `python -m tests.benchmarks.charts DIRECTORY`, with figures on stdin.

Runs by itself in an environment that has matplotlib and nothing of this project.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt

from tests.charts import save

_COLOURS = ("#2f6f4f", "#7a9cc6", "#c98f3c", "#b0483c")


def main() -> None:
    """Draw the chart."""
    figures, directory = json.load(sys.stdin), Path(sys.argv[1])
    _consumers(figures["consumers"], directory / "benchmarks-consumers.svg")


def _consumers(climates: list[dict[str, Any]], path: Path) -> None:
    chart, all_axes = plt.subplots(1, len(climates), figsize=(11, 5), sharey=True, sharex=True, layout="constrained")
    for axes, climate in zip(all_axes, climates, strict=True):
        ways, caches = climate["ways"], climate["cache_seconds"]
        height = 0.8 / len(caches)
        for index, (cache, colour) in enumerate(zip(caches, _COLOURS, strict=True)):
            rows = [number + (index - (len(caches) - 1) / 2) * height for number in range(len(ways))]
            bars = axes.barh(
                rows, [way["refused"][index] for way in ways], height, color=colour, label=f"cached {cache} s"
            )
            axes.bar_label(bars, labels=[f"{way['refused'][index]:,.0f}" for way in ways], padding=2, fontsize=6)
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xlim(0, 1_000_000)
        axes.set_yticks(range(len(ways)), [way["name"].replace("`", "") for way in ways])
        axes.set_title(climate["title"], fontsize=10)
        axes.set_xlabel("requests refused a month by two consumers (log)")
    all_axes[0].invert_yaxis()
    chart.legend(*all_axes[0].get_legend_handles_labels(), fontsize=8, loc="outside lower center", ncols=4)
    save(chart, path)


if __name__ == "__main__":
    main()
