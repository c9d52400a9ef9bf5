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
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from infra.chaos.broken_variants import BROKEN_VARIANTS
from infra.chaos.experiment import LIFETIME_SECONDS, Experiment
from infra.promises.checker import Violation, is_slow, violations
from infra.promises.history import History, render_events
from infra.promises.local_servers import LocalServers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


_MAX_PRINTED = 20


class Played(NamedTuple):
    """A finished experiment."""

    seed: int
    history: History
    violations: list[Violation]


def summary(played: Sequence[Played]) -> Iterator[str]:
    """Yield the figures of all experiments, one line each."""
    histories = [each.history for each in played]
    runs = [(run, history) for history in histories for run in history.runs]
    killed, failed = sum(run.is_killed for run, _ in runs), sum(run.failure is not None for run, _ in runs)
    slow = sum(is_slow(run, history) for run, history in runs)
    faults = sum((run.faults for run, _ in runs), Counter[str]())
    rollbacks = sum(state.by is None for history in histories for state in history.states)
    tokens, published, revoked = (
        sum(len(getattr(history, name)) for history in histories) for name in ("issued_at", "values", "logouts")
    )
    broken = Counter(violation.promise for each in played for violation in each.violations)
    yield f"experiments {len(played):>7,}"
    yield f"runs        {len(runs):>7,}   {killed:,} killed, {failed:,} failed, {slow:,} slow"
    yield f"faults      {faults.total():>7,}   {_counts(faults)}"
    yield f"rollbacks   {rollbacks:>7,}"
    yield f"tokens      {tokens:>7,}   {published:,} were published, {revoked:,} logged out"
    yield f"violations  {broken.total():>7,}   {_counts(broken)}".rstrip()


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counter.most_common())


def main(argv: Sequence[str] | None = None) -> int:
    """Run experiments until the time is up; return 0 if no guarantee was broken."""
    parser = argparse.ArgumentParser(prog="python -m infra.chaos", description=__doc__)
    seed_help = "the first seed; it draws the events and faults, but not how runs interleave"
    parser.add_argument("--seconds", type=float, default=120, help="for how long experiments begin (%(default)s)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help=seed_help)
    parser.add_argument("--experiments", type=int, help="how many at most (as many as there is time for)")
    parser.add_argument("--concurrency", type=int, default=8, help="how many side by side (%(default)s)")
    parser.add_argument("--variant", choices=sorted(BROKEN_VARIANTS), help="a broken variant of the handler to run")
    arguments = parser.parse_args(argv)
    for number in (signal.SIGINT, signal.SIGTERM):  # both: a shell starts its background jobs deaf to Ctrl-C
        signal.signal(number, signal.default_int_handler)
    try:
        played = run(**vars(arguments))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    violations = [(each.seed, violation) for each in played for violation in each.violations]
    for seed, violation in violations[:_MAX_PRINTED]:
        print(f"{violation.promise}: {violation.how}\n    python -m infra.chaos --seed {seed} --experiments 1")  # noqa: T201
    print(*summary(played), f"seed        {arguments.seed:>7}", sep="\n")  # noqa: T201
    return 1 if violations or not played else 0


def run(  # noqa: PLR0913  the options of `make chaos`
    *,
    seed: int,
    seconds: float,
    concurrency: int,
    experiments: int | None = None,
    variant: str | None = None,
    until_broken: str | None = None,
) -> list[Played]:
    """Run experiments side by side until the time is up, their number is reached, or this promise is broken."""
    played, broken, end_at = list[Played](), set[str](), time.monotonic() + seconds
    seeds = iter(itertools.count(seed) if experiments is None else range(seed, seed + experiments))
    with LocalServers() as servers, ThreadPoolExecutor(concurrency) as pool:
        servers.telenor.knobs(lifetime_seconds=LIFETIME_SECONDS)

        def play() -> None:
            """Play one experiment after the other."""
            while time.monotonic() < end_at and until_broken not in broken:
                number = next(seeds, None)
                if number is None:
                    return
                experiment = Experiment(servers, number, BROKEN_VARIANTS[variant][1] if variant else None)
                experiment.play()
                log = servers.log(f"{experiment.job.name}-")
                found = violations(experiment.history)
                if experiment.job.secrets_in(log):
                    found.append(Violation("P4", "a secret is in the log"))
                broken.update(violation.promise for violation in found)
                played.append(Played(number, experiment.history, found))
                if found:
                    kept = Path(tempfile.gettempdir()) / f"telenor-chaos-{number}.txt"
                    kept.write_text(render_events(experiment.history) + "\n" + log, encoding="utf-8")
                    print(f"The events of the experiment with seed {number} are in {kept}", file=sys.stderr)  # noqa: T201

        for playing in [pool.submit(play) for _ in range(concurrency)]:
            playing.result()
    return played


if __name__ == "__main__":
    sys.exit(main())
