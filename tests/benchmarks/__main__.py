"""Measures everything, prints the document and writes it: `python -m tests.benchmarks`."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from infra import artifact
from tests.benchmarks import artifact_size, report, run_cost, startup
from tests.benchmarks.simulated_month import added, fault_rates, month
from tests.benchmarks.strategies import EVERY_MINUTE, OTHERS, POLICY, THIS_JOB

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from tests.benchmarks.simulated_month import FaultRates, Month
    from tests.benchmarks.strategies import Strategy

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_STARTS, _RUNS, _PEAKS = 21, 20, 5
_SEEDS = range(1, 7)
# A run a minute takes five times as long to simulate.
_SEEDS_EVERY_MINUTE = range(1, 4)

# Life less renewal, grace and a schedule period is the slack; one period more for the wait until the first run after
# the time of renewal.
_LIFE = timedelta(seconds=3599)
_WITHIN = _LIFE * (1 - POLICY.renew_at_fraction) - POLICY.grace - 2 * POLICY.schedule


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--runtime", type=Path, required=True, help="a Python as in Lambda, with boto3")
    parser.add_argument("--command", default="make bench", help="how this was called, for the document")
    arguments = parser.parse_args()
    if not Path("/proc/self/status").exists():
        parser.error("the peak of a process's memory is read from /proc, so this needs Linux")
    origin = _origin(arguments.command)
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch) / "artifact"
        _say("the artifact")
        artifact.make(directory)
        _say("start-up")
        starts = startup.measure(directory, Path(scratch), _STARTS, str(arguments.runtime.absolute()))
        _say("one run")
        kinds = run_cost.measure(_RUNS)
        _say("memory")
        peak_kib = artifact_size.peak_of_a_rotation_kib(_PEAKS)
        _say("months")
        within, beyond = _months()
        results = report.Results(
            origin,
            starts,
            kinds,
            artifact_size.packages(directory),
            artifact_size.zipped_bytes(directory),
            peak_kib,
            within,
            beyond,
        )
    text = report.document(results)
    (DOCS / "benchmarks.md").write_text(text, encoding="utf-8")
    print(text)  # noqa: T201  what it is for
    return 0


def _months() -> tuple[report.Comparison, report.Comparison]:
    """Simulate all months, on all cores: the time they take is not measured."""
    within = fault_rates(timedelta(minutes=1), _WITHIN)
    beyond = fault_rates(timedelta(minutes=20), timedelta(minutes=50))
    with ProcessPoolExecutor() as pool:

        def simulated(rates: FaultRates, strategies: Sequence[Strategy]) -> list[list[Future[Month]]]:
            return [
                [
                    pool.submit(month, strategy, rates, seed)
                    for seed in (_SEEDS_EVERY_MINUTE if strategy is EVERY_MINUTE else _SEEDS)
                ]
                for strategy in strategies
            ]

        short, long = simulated(within, (THIS_JOB, *OTHERS)), simulated(beyond, (THIS_JOB, EVERY_MINUTE, *OTHERS))
        in_short, in_long = ([added([one.result() for one in own]) for own in each] for each in (short, long))
    return (
        report.Comparison("Outages within the tolerance", within.outages["token"], in_short),
        report.Comparison("Longer outages", beyond.outages["token"], in_long),
    )


def _origin(command: str) -> report.Origin:
    def git(*words: str) -> str:
        return subprocess.run(  # noqa: S603  our own words
            ["git", *words],  # noqa: S607  wherever it is
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    is_changed = bool(git("status", "--porcelain", "--", ".", ":!docs"))
    commit = git("rev-parse", "--short=12", "HEAD") + (" with changes" if is_changed else "")
    machine = f"Python {platform.python_version()} and {os.cpu_count()} cores"
    return report.Origin(f"{datetime.now(UTC):%Y-%m-%d}", commit, command, machine)


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what} ...", file=sys.stderr, flush=True)  # noqa: T201  it takes minutes


if __name__ == "__main__":
    sys.exit(main())
