"""What one run calls, and what it takes, in units of one bare DescribeSecret by boto3 in the same process."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.benchmarks.stack import Calls, Stack
from tests.benchmarks.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Mapping

# A run that is not due is what the goal is about, and it can be repeated.
_TURNS = 12

# GRACE_SECONDS is the default, 600; the clock is moved forward between the runs.
_MINUTE = 60.0


@dataclass
class Kind:
    """One kind of run, with the least that any job would call for the same."""

    name: str
    least_aws: int
    least_http: int
    why: str
    aws: Counter[str] = field(default_factory=Counter)
    http: Counter[str] = field(default_factory=Counter)
    own_ratios: list[float] = field(default_factory=list)
    wall_ratios: list[float] = field(default_factory=list)
    told_ratios: list[float] = field(default_factory=list)

    @property
    def told_ratio(self) -> float:
        """The CPU time of the bare call with a log line and metrics, against the bare call's."""
        return median(self.told_ratios)

    def add(self, bare: Mapping[str, float], run: Mapping[str, float]) -> None:
        """Take a run and the bare call beside it into account."""
        self.own_ratios.append(run["own"] / bare["own"])
        self.wall_ratios.append(run["wall"] / bare["wall"])

    @property
    def own_ratio(self) -> float:
        """The CPU time of this process, against the bare call's."""
        return median(self.own_ratios)

    @property
    def wall_ratio(self) -> float:
        """The time that passed, servers included, against the bare call's."""
        return median(self.wall_ratios)


def measure(rounds: int) -> list[Kind]:
    """Run each kind `rounds` times, a bare call beside each. A new secret for each round."""
    kinds = {
        "first": Kind("first run", 3, 1, "state, credentials, write; token"),
        "not-due": Kind("not due", 1, 0, "state"),
        "rotated": Kind("rotated", 3, 1, "state, credentials, write; token"),
        "revoked": Kind("not due, one revoked", 3, 1, "state, superseded token, label; logout"),
        "both": Kind("rotated, one revoked", 5, 2, "state, credentials, write, superseded token, label; token, logout"),
    }
    with Stack() as stack, tempfile.TemporaryFile() as log:
        worker = Worker({**stack.environment, **settings()}, log)
        try:
            for number in range(rounds):
                name = f"client-{number}"
                worker.ask(do="create", clients=[name])
                _run(stack, worker, name, kinds["first"], ahead_seconds=0)
                _run(stack, worker, name, kinds["not-due"], ahead_seconds=5 * _MINUTE)
                _in_turn(worker, name, kinds["not-due"])
                _run(stack, worker, name, kinds["rotated"], ahead_seconds=25 * _MINUTE)
                _run(stack, worker, name, kinds["revoked"], ahead_seconds=11 * _MINUTE)
                worker.ask(do="invoke", clients=[name], action="rotate-now")
                _run(stack, worker, name, kinds["both"], ahead_seconds=30 * _MINUTE)
        finally:
            worker.stop()
    return list(kinds.values())


def settings() -> Mapping[str, str]:
    """Return the environment of a worker, besides what leads to the servers."""
    return {
        "CREDENTIALS_SECRET_ID": "none/credentials",
        "TOKEN_SECRET_ID": "none/token",
        "SERVES_CLIENTS": "true",
        "POWERTOOLS_SERVICE_NAME": "telenor-token",
        "POWERTOOLS_LOG_LEVEL": "INFO",
    }


def _run(stack: Stack, worker: Worker, name: str, kind: Kind, *, ahead_seconds: float) -> None:
    (bare,) = worker.ask(do="describe", clients=[name])
    before = stack.calls()
    (run,) = worker.ask(do="invoke", clients=[name], ahead_seconds=ahead_seconds)
    made = stack.calls().since(before)
    _check(kind, run["answer"], made)
    kind.aws, kind.http = made.aws, made.telenor
    kind.add(bare, run)


def _in_turn(worker: Worker, name: str, kind: Kind) -> None:
    # What it took among other things is not what a warm run takes.
    kind.own_ratios.pop()
    kind.wall_ratios.pop()
    for bare, told, run in worker.ask(do="in_turn", client=name, times=_TURNS):
        kind.add(bare, run)
        kind.told_ratios.append(told["own"] / bare["own"])


def _check(kind: Kind, answer: Mapping[str, Any], made: Calls) -> None:
    """See that the run was of its kind, and called what the others of its kind have called."""
    rotated = kind.name.startswith(("first", "rotated"))
    revoked = kind.name.endswith("revoked")
    if answer["outcome"] != ("rotated" if rotated else "not-due") or len(answer["revoked"]) != revoked:
        raise RuntimeError(f"a run that should be '{kind.name}' ended as {answer}")
    if kind.aws and (kind.aws, kind.http) != (made.aws, made.telenor):
        raise RuntimeError(f"two runs of '{kind.name}' called different things: {kind.aws} and {made.aws}")
