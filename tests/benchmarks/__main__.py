"""Measures everything, prints the document and writes it: `python -m tests.benchmarks --charts PYTHON`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from infra import artifact
from tests.benchmarks import artifact_size, report, run_cost, startup
from tests.benchmarks.month import CACHE_SECONDS, added, climate, month
from tests.benchmarks.ways import OTHERS, POLICY, THIS_JOB, THIS_JOB_EARLIER

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_STARTS, _RUNS, _PEAKS = 21, 20, 5
_SEEDS = (1, 2, 3)

# Life less renewal, grace and a schedule period is the slack; one period more for the wait until the first run after
# the time of renewal.
_LIFE = timedelta(seconds=3599)
_WITHIN = _LIFE * (1 - POLICY.renew_at_fraction) - POLICY.grace - 2 * POLICY.schedule


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--charts", type=Path, required=True, help="a Python with matplotlib")
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
    _draw(arguments.charts, results)
    print(text)  # noqa: T201  what it is for
    return 0


def _months() -> tuple[report.Weathered, report.Weathered]:
    """Live through all months, on all cores: the time they take is not measured."""
    within = climate(timedelta(minutes=1), _WITHIN)
    beyond = climate(timedelta(minutes=20), timedelta(minutes=50))
    with ProcessPoolExecutor() as pool:
        lived = [
            [pool.submit(month, way, weather, seed) for seed in _SEEDS]
            for weather, ways in ((within, (THIS_JOB, *OTHERS)), (beyond, (THIS_JOB, THIS_JOB_EARLIER, *OTHERS)))
            for way in ways
        ]
        months = [added([one.result() for one in of_a_way]) for of_a_way in lived]
    split = 1 + len(OTHERS)
    return (
        report.Weathered("Outages within the slack", within.outages["token"], months[:split]),
        report.Weathered("Longer outages", beyond.outages["token"], months[split:]),
    )


def _draw(python: Path, results: report.Results) -> None:
    figures = {
        "consumers": [
            {
                "title": weathered.title,
                "cache_seconds": CACHE_SECONDS,
                "ways": [
                    {
                        "name": one.way,
                        "refused": [one.felt[seconds].refused / one.months for seconds in CACHE_SECONDS],
                    }
                    for one in weathered.months
                    if one.way != THIS_JOB_EARLIER.name
                ],
            }
            for weathered in (results.within, results.beyond)
        ],
    }
    subprocess.run(  # noqa: S603  our own words
        [python.absolute(), "-m", "tests.benchmarks.charts", DOCS],
        cwd=ROOT,
        input=json.dumps(figures),
        text=True,
        check=True,
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
