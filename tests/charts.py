"""Matplotlib, set up so that the same figures give the same file. For the environment that has it, `.venv-bench`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl

if TYPE_CHECKING:
    from pathlib import Path

mpl.use("svg")
# Text stays text, and identifiers are not random.
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "benchmarks", "font.family": "sans-serif"})

from matplotlib import pyplot as plt  # noqa: E402  after the back end is chosen


def save(chart: Any, path: Path) -> None:
    """Write a chart as SVG without dates."""
    path.parent.mkdir(parents=True, exist_ok=True)
    chart.savefig(path, metadata={"Date": None, "Creator": None})
    # matplotlib ends lines with blanks.
    path.write_text("".join(f"{line.rstrip()}\n" for line in path.read_text(encoding="utf-8").splitlines()))
    plt.close(chart)
