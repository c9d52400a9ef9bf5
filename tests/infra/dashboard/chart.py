"""Draws one simulated day: `python -m tests.infra.dashboard.chart FILE`, with its figures as JSON on stdin.

It runs in an environment that has matplotlib but none of this project's packages.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
# Keep text as text and identifiers fixed, so that the same figures give the same file.
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "dashboard", "font.family": "sans-serif"})

from matplotlib import dates  # noqa: E402  after the back end is chosen
from matplotlib import pyplot as plt  # noqa: E402  likewise


def main() -> None:
    """Draw the seconds until expiry, and the rotations and failed runs of each hour."""
    day, path = json.load(sys.stdin), Path(sys.argv[1])
    chart, (seconds, runs) = plt.subplots(2, 1, figsize=(9, 5), sharex=True, layout="constrained")
    times = [datetime.fromtimestamp(at, UTC) for at, _ in day["seconds"]]
    seconds.plot(times, [value for _, value in day["seconds"]], linewidth=1)
    seconds.axhspan(0, day["grace"], color="#d62728", alpha=0.15, label="GRACE_SECONDS")
    seconds.set_ylim(0, 4000)
    seconds.set_ylabel("SecondsUntilExpiry")
    seconds.legend(loc="lower left", fontsize=8)
    for name, colour in (("TokenRotated", "#2ca02c"), ("RotationFailed", "#d62728")):
        hours = [datetime.fromtimestamp(at, UTC) for at, _ in day[name]]
        runs.step(hours, [count for _, count in day[name]], where="post", label=f"{name} an hour", color=colour)
    runs.legend(loc="upper left", fontsize=8)
    runs.set_ylim(0, 13)
    runs.xaxis.set_major_formatter(dates.DateFormatter("%H:%M", tz=UTC))
    chart.suptitle(day["title"], fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    chart.savefig(path, metadata={"Date": None, "Creator": None})
    # matplotlib writes trailing spaces.
    path.write_text("".join(f"{line.rstrip()}\n" for line in path.read_text(encoding="utf-8").splitlines()))


if __name__ == "__main__":
    main()
