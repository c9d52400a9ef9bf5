"""Draws the dashboard on a healthy day and in an outage: `python -m tests.infra.dashboard --charts PYTHON`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.infra.alarms.template import PSEUDO, Template
from tests.infra.dashboard.deployed import Deployed
from tests.infra.dashboard.widgets import drawings

ROOT = Path(__file__).parents[3]

_END = datetime(2026, 11, 24, 21, tzinfo=UTC)
_SHOWN = timedelta(hours=24)
_BEFORE = timedelta(hours=2)


def _outage(hour: int, minute: int, minutes: int) -> tuple[float, float]:
    begin = _END.replace(hour=hour, minute=minute)
    return begin.timestamp(), (begin + timedelta(minutes=minutes)).timestamp()


# One that is shorter than the slack, and one that goes on.
_OUTAGES = {"healthy": [], "outage": [_outage(7, 10, 20), _outage(19, 40, 120)]}


def main() -> int:
    """Live through both days, and draw them."""
    parser = argparse.ArgumentParser(prog="python -m tests.infra.dashboard", description=__doc__)
    parser.add_argument("--charts", type=Path, required=True, help="a Python with matplotlib")
    parser.add_argument("--into", type=Path, default=ROOT / "docs", help="the directory of the pictures")
    arguments = parser.parse_args()
    stack = replace(Template.read().deployed(), pseudo=PSEUDO | {"AWS::StackName": "telenor-token"})
    deployed = Deployed.of(stack)
    with ThreadPoolExecutor() as pool:
        seen = pool.map(lambda outages: deployed.seen(_END - _SHOWN, _END, outages, _BEFORE), _OUTAGES.values())
        for name, view in zip(_OUTAGES, seen, strict=True):
            path = arguments.into / f"dashboard-{name}.svg"
            dashboard = {
                "note": f"Simulated: the 24 hours until {_END:%Y-%m-%d %H:%M} UTC",
                "widgets": drawings(deployed.body, view),
                "begin": view.begin,
                "end": view.end,
            }
            subprocess.run(  # noqa: S603  our own words
                [arguments.charts.absolute(), "-m", "tests.infra.dashboard.drawing", path.absolute()],
                cwd=ROOT,
                input=json.dumps(dashboard),
                text=True,
                check=True,
            )
            print(f"{path}: {path.stat().st_size:,} bytes")  # noqa: T201  what came of it
    return 0


if __name__ == "__main__":
    sys.exit(main())
