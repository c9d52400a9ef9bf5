"""Measures everything and writes docs/benchmarks.md: `python -m tests.benchmarks`."""

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
from tests.benchmarks.faults_of_a_month import Outages, fault_rates
from tests.benchmarks.rotation_strategies import EVERY_MINUTE, OTHERS, POLICY, THIS_JOB
from tests.benchmarks.simulated_month import simulate

if TYPE_CHECKING:
    from tests.benchmarks.simulated_month import Months

_STARTS, _RUNS, _PEAKS, _MONTHS = 21, 20, 5, 6

# The tolerance is the lifetime less the age at renewal, the grace and a schedule period; one more period passes until
# the first run after the due time.
_TOLERANCE = timedelta(seconds=3599) * (1 - POLICY.renew_at_fraction) - POLICY.grace - 2 * POLICY.schedule
_WITHIN = Outages(15, timedelta(minutes=1), _TOLERANCE)
_BEYOND = Outages(15, timedelta(minutes=20), timedelta(minutes=50))


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--runtime", type=Path, required=True, help="a Python as in Lambda, with boto3")
    runtime = str(parser.parse_args().runtime.absolute())
    git = ["git", "-C", str(artifact.ROOT), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603  our own words
    with tempfile.TemporaryDirectory() as scratch:
        _log("the artifact")
        directory = Path(scratch) / "artifact"
        artifact.make(directory)
        zipped = artifact.zipped(directory)
        _log("start-up")
        starts = startup.measure(zipped, Path(scratch), _STARTS, runtime)
    _log("one run")
    kinds = run_cost.measure(_RUNS)
    _log("memory")
    rotation_peak_kib = run_cost.peak_of_a_rotation_kib(_PEAKS)
    _log("months")
    within, beyond = _simulated()
    text = report.document(
        origin=f"on {datetime.now(UTC):%Y-%m-%d}, at commit {commit}, on Python {platform.python_version()} and"
        f" {os.cpu_count()} cores",
        starts=starts,
        kinds=kinds,
        packages=artifact_size.packages(zipped),
        zipped_bytes=len(zipped),
        rotation_peak_kib=rotation_peak_kib,
        outages=(_WITHIN, _BEYOND),
        within=within,
        beyond=beyond,
    )
    (artifact.ROOT / "docs" / "benchmarks.md").write_text(text, encoding="utf-8")
    _log("written: docs/benchmarks.md")
    return 0


def _simulated() -> list[dict[str, Months]]:
    """Simulate the months of each strategy, on all cores: the time they take is not measured."""
    with ProcessPoolExecutor() as pool:
        # The slowest first. A run each minute takes five times as long to simulate, so it gets half of the months.
        minutely = pool.submit(simulate, EVERY_MINUTE, fault_rates(_BEYOND), range(1, _MONTHS // 2 + 1))
        futures = [
            [
                pool.submit(simulate, strategy, fault_rates(outages), range(1, _MONTHS + 1))
                for strategy in (THIS_JOB, *OTHERS)
            ]
            for outages in (_WITHIN, _BEYOND)
        ]
        futures[1].insert(1, minutely)
        return [{future.result().strategy: future.result() for future in each} for each in futures]


def _log(step: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {step}", file=sys.stderr, flush=True)  # noqa: T201  it takes minutes


if __name__ == "__main__":
    sys.exit(main())
