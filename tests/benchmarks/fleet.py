"""Many clients, served by one function: as many execution environments as cores, against the local stack."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

from tests.benchmarks.runs import settings
from tests.benchmarks.stack import Calls, Stack
from tests.benchmarks.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

CLIENTS = (1, 10, 100, 1000)


@dataclass(frozen=True)
class Size:
    """What one number of clients took."""

    clients: int
    rotations_per_second: float
    looks_per_second: float
    """Runs that are not due."""
    bare_calls_per_second: float
    """Bare DescribeSecret calls by the same workers."""
    aws_calls: int
    http_calls: int
    server_share: float
    """The CPU time of the servers' one process, against the time that the rotations took."""
    peak_mib: float
    """The most memory of the largest worker."""


def measure() -> list[Size]:
    """Serve each number of clients with servers and workers of their own."""
    return [_measure(clients) for clients in CLIENTS]


def _measure(clients: int) -> Size:
    names = [f"client-{number}" for number in range(clients)]
    with Stack() as stack, tempfile.TemporaryFile() as log, ExitStack() as workers:
        fleet = [Worker({**stack.environment, **settings()}, log) for _ in range(os.cpu_count() or 1)]
        for worker in fleet:
            workers.callback(worker.stop)
        # Warm, and with every module loaded: a rotation of its own for each worker.
        warm = [f"warm-{number}" for number in range(len(fleet))]
        fleet[0].ask(do="create", clients=[*warm, *names])
        _together(fleet, warm, do="invoke")
        shares = [names[number :: len(fleet)] for number in range(len(fleet))]
        bare_seconds = _repeated(fleet, names, do="describe")
        before = stack.calls()
        rotation_seconds = _together(fleet, names, do="invoke")
        made = stack.calls().since(before)
        look_seconds = _repeated(fleet, names, do="invoke")
        _check(clients, made)
        peak_kib = max(worker.ask(do="peak_kib") for worker, share in zip(fleet, shares, strict=True) if share)
    return Size(
        clients,
        clients / rotation_seconds,
        clients / look_seconds,
        clients / bare_seconds,
        made.aws.total(),
        made.telenor.total(),
        made.server_seconds / rotation_seconds,
        peak_kib / 1024,
    )


def _repeated(fleet: Sequence[Worker], names: Sequence[str], do: str) -> float:
    """Return the mean seconds of a pass over all clients; the few are passed over more often."""
    return mean(_together(fleet, names, do=do) for _ in range(max(1, 100 // len(names))))


def _together(fleet: Sequence[Worker], names: Sequence[str], do: str) -> float:
    """Let the workers share the clients; return the seconds until the last one is done."""
    began_at = time.perf_counter()
    for number, worker in enumerate(fleet):
        worker.send({"do": do, "clients": list(names[number :: len(fleet)])})
    for worker in fleet:
        worker.answer()
    return time.perf_counter() - began_at


def _check(clients: int, made: Calls) -> None:
    """See that every client got one token."""
    if made.telenor["token"] != clients or made.aws["PutSecretValue"] != clients:
        raise RuntimeError(f"{clients} clients were not rotated once each: {made.aws}, {made.telenor}")
