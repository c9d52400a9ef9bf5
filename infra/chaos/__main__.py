"""The job under every fault at once, over real sockets: `python -m infra.chaos`.

Processes that are forked from one that has imported the handler run it against a Secrets Manager and Telenor's sandbox:
overlapping, twice, and killed; every call of both servers may fail before or after its effect, reads lag, operators
roll back. The checker compares what both servers recorded with the promises. The exit status is 0 only if no promise
was broken.
"""

from __future__ import annotations

import argparse
import itertools
import secrets
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from infra.chaos.broken_variants import BROKEN_VARIANTS
from infra.chaos.event_log import render_events
from infra.chaos.experiment import LIFETIME_SECONDS, Experiment
from infra.promises.checker import Violation, is_slow, violations
from infra.promises.recorded_job import LocalStack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from infra.promises.history import History

_MAX_PRINTED = 20


@dataclass
class Tally:
    """What came of all experiments."""

    experiments: int = 0
    runs: int = 0
    killed: int = 0
    failed: int = 0
    slow: int = 0
    rollbacks: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    published: int = 0
    revoked: int = 0
    violations: list[tuple[int, Violation]] = field(default_factory=list)

    def add(self, seed: int, history: History, found: Sequence[Violation]) -> None:
        """Add an experiment's figures and violations."""
        self.experiments += 1
        self.runs += len(history.runs)
        self.killed += sum(run.is_killed for run in history.runs)
        self.slow += sum(is_slow(run, history) for run in history.runs)
        self.failed += sum(run.failure is not None for run in history.runs)
        self.rollbacks += sum(state.by is None for state in history.states)
        for run in history.runs:
            self.faults += run.faults
        self.tokens += len(history.expires_at)
        self.published += len(history.values)
        self.revoked += len(history.logouts)
        self.violations += [(seed, violation) for violation in found]

    def lines(self) -> Iterator[str]:
        """Yield the figures, one line each."""
        yield f"experiments {self.experiments:>7,}"
        yield f"runs        {self.runs:>7,}   {self.killed:,} killed, {self.failed:,} failed, {self.slow:,} slow"
        faults = ", ".join(f"{name} {count:,}" for name, count in self.faults.most_common())
        yield f"faults      {self.faults.total():>7,}   {faults}"
        yield f"rollbacks   {self.rollbacks:>7,}"
        yield f"tokens      {self.tokens:>7,}   {self.published:,} were published, {self.revoked:,} logged out"
        kinds = Counter(violation.promise for _, violation in self.violations)
        told = ", ".join(f"{promise} {count:,}" for promise, count in sorted(kinds.items()))
        yield f"violations  {len(self.violations):>7,}   {told}".rstrip()


def main(argv: Sequence[str] | None = None) -> int:
    """Run experiments until the time is up; 0 says that no promise was broken."""
    arguments = _arguments(argv)
    for number in (signal.SIGINT, signal.SIGTERM):  # both: a shell starts its background jobs deaf to Ctrl-C
        signal.signal(number, signal.default_int_handler)
    try:
        tally = run(
            seed=arguments.seed,
            seconds=arguments.seconds,
            concurrency=arguments.concurrency,
            experiments=arguments.experiments,
            variant=arguments.variant,
        )
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    for seed, violation in tally.violations[:_MAX_PRINTED]:
        print(f"{violation.promise}: {violation.how}\n    python -m infra.chaos --seed {seed} --experiments 1")  # noqa: T201
    print(*tally.lines(), f"seed        {arguments.seed:>7}", sep="\n")  # noqa: T201
    return 1 if tally.violations or not tally.runs else 0


def run(  # noqa: PLR0913  what `make chaos` can be told
    *,
    seed: int,
    seconds: float,
    concurrency: int,
    experiments: int | None = None,
    variant: str | None = None,
    until: Callable[[Tally], bool] = lambda _: False,
) -> Tally:
    """Run experiments side by side until the time is up, their number is reached, or `until` says so."""
    tally, end_at, counting = Tally(), time.monotonic() + seconds, threading.Lock()
    seeds = iter(itertools.count(seed) if experiments is None else range(seed, seed + experiments))
    with LocalStack() as stack, ThreadPoolExecutor(concurrency) as pool:
        stack.telenor.knobs(lifetime_seconds=LIFETIME_SECONDS)

        def play() -> None:
            """Play one experiment after the other."""
            while time.monotonic() < end_at and not until(tally):
                with counting:
                    number = next(seeds, None)
                if number is None:
                    return
                experiment = Experiment(stack, number, BROKEN_VARIANTS[variant] if variant else None)
                experiment.play()
                log = stack.log(f"{experiment.job.name}-")
                found = violations(experiment.history)
                if experiment.job.secrets_in(log):
                    found.append(Violation("P4", "a secret is in the log"))
                with counting:
                    tally.add(number, experiment.history, found)
                if found:
                    _keep(number, render_events(experiment.history) + "\n" + log)

        for playing in [pool.submit(play) for _ in range(concurrency)]:
            playing.result()
    return tally


def _keep(seed: int, text: str) -> None:
    kept = Path(tempfile.gettempdir()) / f"telenor-chaos-{seed}.txt"
    kept.write_text(text, encoding="utf-8")
    print(f"What happened in the experiment of seed {seed} is in {kept}", file=sys.stderr)  # noqa: T201


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m infra.chaos",
        description="Run the handler over real sockets under faults of every kind, and check what both "
        "servers recorded against the promises. Nothing is kept, and nothing leaves this machine.",
    )
    parser.add_argument(
        "--seconds", type=float, default=120, help="for how long experiments begin (default: %(default)s)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=None,
        help="where to begin; the same seed draws the same events and faults, and the machine how they interleave",
    )
    parser.add_argument(
        "--experiments", type=int, help="how many experiments at most (default: as many as there is time for)"
    )
    parser.add_argument(
        "--concurrency", type=int, default=8, help="how many experiments side by side (default: %(default)s)"
    )
    parser.add_argument("--variant", choices=sorted(BROKEN_VARIANTS), help="a broken variant of the handler to run")
    arguments = parser.parse_args(argv)
    if arguments.seed is None:
        arguments.seed = secrets.randbelow(1_000_000)
    return arguments


if __name__ == "__main__":
    sys.exit(main())
