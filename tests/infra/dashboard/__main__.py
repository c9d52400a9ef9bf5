"""Draws a healthy day and an outage: `python -m tests.infra.dashboard --charts PYTHON`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from infra.artifact import ROOT
from infra.load_template import load
from tests.infra.dashboard.simulated_day import simulate
from tests.infra.resolved_template import stack_of

_END = datetime(2026, 11, 24, 21, tzinfo=UTC)
_BEGIN = _END - timedelta(hours=24)
_HOUR = 3600


def _outage(hour: int, minute: int, minutes: int) -> tuple[datetime, datetime]:
    begin = _END.replace(hour=hour, minute=minute)
    return begin, begin + timedelta(minutes=minutes)


# The first outage is shorter than the tolerance; the second one does not end.
_OUTAGES = {"healthy": [], "outage": [_outage(7, 10, 20), _outage(19, 40, 120)]}


def main() -> int:
    """Simulate both days, and draw them."""
    parser = argparse.ArgumentParser(prog="python -m tests.infra.dashboard", description=__doc__)
    parser.add_argument("--charts", type=Path, required=True, help="a Python with matplotlib")
    parser.add_argument("--into", type=Path, default=ROOT / "docs", help="the directory of the pictures")
    arguments = parser.parse_args()
    (function,) = stack_of(load()).resources("AWS::Serverless::Function").values()
    environ = {name: str(value) for name, value in function["Environment"]["Variables"].items()}
    for name, outages in _OUTAGES.items():
        day = simulate(environ, _BEGIN - timedelta(hours=1), _END, outages)
        path = arguments.into / f"dashboard-{name}.svg"
        subprocess.run(  # noqa: S603  a module of this repository
            [arguments.charts.absolute(), "-m", "tests.infra.dashboard.chart", path.absolute()],
            cwd=ROOT,
            input=json.dumps(_figures(name, day, int(environ["GRACE_SECONDS"]))),
            text=True,
            check=True,
        )
        print(f"{path}: {path.stat().st_size:,} bytes")  # noqa: T201  the program's output
    return 0


def _figures(name: str, day: list[dict[str, Any]], grace: int) -> dict[str, Any]:
    shown = [line for line in day if "_aws" in line and line["at"] >= _BEGIN.timestamp()]
    counts = {metric: Counter[float]() for metric in ("TokenRotated", "RotationFailed")}
    for line in shown:
        for metric, count in counts.items():
            count[line["at"] // _HOUR * _HOUR] += int(sum(line.get(metric, [])))
    return {
        "title": f"{name}, simulated: the 24 hours until {_END:%Y-%m-%d %H:%M} UTC",
        "grace": grace,
        "seconds": [(line["at"], int(sum(line["SecondsUntilExpiry"]))) for line in shown],
        **{metric: sorted(count.items()) for metric, count in counts.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
