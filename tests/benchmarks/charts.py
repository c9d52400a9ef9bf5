"""Draws the charts of docs/benchmarks.md: `python -m tests.benchmarks.charts DIRECTORY`, with figures on stdin.

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
    """Draw both charts."""
    figures, directory = json.load(sys.stdin), Path(sys.argv[1])
    _consumers(figures["consumers"], directory / "benchmarks-consumers.svg")
    _clients(figures["clients"], directory / "benchmarks-clients.svg")


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


def _clients(sizes: list[dict[str, Any]], path: Path) -> None:
    chart, (rates, memory) = plt.subplots(1, 2, figsize=(11, 3.5), layout="constrained")
    clients = [size["clients"] for size in sizes]
    for key, label, colour in (
        ("bare", "bare DescribeSecret calls", _COLOURS[1]),
        ("looks", "runs that are not due", _COLOURS[2]),
        ("rotations", "rotations", _COLOURS[0]),
    ):
        rates.plot(clients, [size[key] for size in sizes], marker="o", color=colour, label=label)
    rates.set_ylabel("per second, on this machine")
    memory.plot(clients, [size["peak_mib"] for size in sizes], marker="o", color=_COLOURS[3], label="largest worker")
    memory.set_ylabel("peak memory, MiB")
    for axes in (rates, memory):
        axes.set_xscale("log")
        axes.set_ylim(0, 1.25 * axes.get_ylim()[1])
        axes.set_xticks(clients, [f"{number:,}" for number in clients])
        axes.set_xlabel("clients")
        axes.legend(fontsize=8)
    save(chart, path)


if __name__ == "__main__":
    main()
