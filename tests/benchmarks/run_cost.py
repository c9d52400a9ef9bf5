"""The calls of one run, its memory, and its cost in units of one bare DescribeSecret by boto3 in the same process."""

from __future__ import annotations

import json
import os
import uuid
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from statistics import median
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from infra.local.secrets_manager import LocalSecretsManager, create_secret
from infra.local.telenor_sandbox import DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, TelenorSandbox
from tests.benchmarks import startup, warm_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# A run that is not due can be repeated, and the goal is about this one.
_REPEATED = 12

_SETTINGS = {
    "CREDENTIALS_SECRET_ID": "none/credentials",
    "TOKEN_SECRET_ID": "none/token",
    "SERVES_CLIENTS": "true",
    "POWERTOOLS_SERVICE_NAME": "telenor-token",
    "POWERTOOLS_LOG_LEVEL": "INFO",
}

_ROTATION = """
from types import SimpleNamespace
from handler import app
event = {{
    "action": "rotate-now",
    "client": "{name}",
    "credentials_secret_id": "{name}/credentials",
    "token_secret_id": "{name}/token",
}}
context = SimpleNamespace(aws_request_id="{request_id}", get_remaining_time_in_millis=lambda: 120_000)
assert app.lambda_handler(event, context)["outcome"] == "rotated"
"""

Calls = Counter[str]
"""Calls to Secrets Manager, and requests to Telenor, by operation."""


@dataclass
class Kind:
    """One kind of run, with the minimum number of calls that any job needs for it."""

    name: str
    minimum_aws: int
    minimum_http: int
    why: str
    aws: Calls = field(default_factory=Counter)
    http: Calls = field(default_factory=Counter)
    own_ratios: list[float] = field(default_factory=list)
    """The CPU time of this process, against the bare call's."""
    wall_ratios: list[float] = field(default_factory=list)
    """The time that passed, servers included, against the bare call's."""
    logged_ratios: list[float] = field(default_factory=list)
    """The CPU time of the bare call with a log line and a metric, against the bare call's."""

    def add(self, bare: Mapping[str, float], run: Mapping[str, float]) -> None:
        """Add a run and the bare call beside it."""
        self.own_ratios.append(run["own"] / bare["own"])
        self.wall_ratios.append(run["wall"] / bare["wall"])


@contextmanager
def servers() -> Iterator[tuple[Mapping[str, str], Callable[[], tuple[Calls, Calls]]]]:
    """Serve from this process; yield the environment for the handler, and a function that counts all calls."""
    with LocalSecretsManager() as aws, TelenorSandbox() as sandbox:

        def calls() -> tuple[Calls, Calls]:
            counters = sandbox.state()["counters"]
            return aws.calls(), Counter({name: sum(statuses.values()) for name, statuses in counters.items()})

        yield {**aws.environment, "TELENOR_BASE_URL": sandbox.url, **_SETTINGS}, calls


def create_client_secrets(name: str) -> None:
    """Create the two secrets of a client."""
    create_secret(f"{name}/credentials", json.dumps({"client_id": DEMO_CLIENT_ID, "client_secret": DEMO_CLIENT_SECRET}))
    create_secret(f"{name}/token")


def measure(rounds: int) -> list[Kind]:
    """Run each kind `rounds` times, a bare call beside each. A new client for each round."""
    first = Kind("first run", 3, 1, "state, credentials, write; token")
    not_due = Kind("not due", 1, 0, "state")
    rotated = Kind("rotated", 3, 1, "state, credentials, write; token")
    revoked = Kind("not due, one revoked", 3, 1, "state, superseded token, label; logout")
    both = Kind("rotated, one revoked", 5, 2, "state, credentials, write, superseded token, label; token, logout")
    with (
        servers() as (environ, calls),
        patch.dict(os.environ, environ),
        ProcessPoolExecutor(1, get_context("spawn"), warm_process.redirect_output) as process,
    ):

        def run(kind: Kind, client: str, minutes: int) -> None:
            bare, (aws, http) = process.submit(warm_process.describe, client).result(), calls()
            run = process.submit(warm_process.invoke, client, minutes).result()
            aws_after, http_after = calls()
            _check(kind, run["result"], aws_after - aws, http_after - http)
            if kind is not not_due:
                kind.add(bare, run)

        for client in (f"client-{number}" for number in range(rounds)):
            create_client_secrets(client)
            # GRACE_SECONDS is the default, 600.
            run(first, client, minutes=0)
            run(not_due, client, minutes=5)
            for bare, logged, repeated in process.submit(warm_process.in_turn, client, 5, _REPEATED).result():
                not_due.add(bare, repeated)
                not_due.logged_ratios.append(logged["own"] / bare["own"])
            run(rotated, client, minutes=30)
            run(revoked, client, minutes=41)
            process.submit(warm_process.invoke, client, 41, "rotate-now").result()
            run(both, client, minutes=71)
    return [first, not_due, rotated, revoked, both]


def _check(kind: Kind, result: Mapping[str, Any], aws: Calls, http: Calls) -> None:
    """Check that a run was of its kind, and made the same calls as the others of its kind."""
    is_rotated = kind.name.startswith(("first", "rotated"))
    is_revoked = kind.name.endswith("revoked")
    if result["outcome"] != ("rotated" if is_rotated else "not-due") or len(result["revoked"]) != is_revoked:
        raise RuntimeError(f"a run that should be '{kind.name}' ended as {result}")
    if kind.aws and (kind.aws, kind.http) != (aws, http):
        raise RuntimeError(f"two runs of '{kind.name}' called different things: {kind.aws} and {aws}")
    kind.aws, kind.http = aws, http


def peak_of_a_rotation_kib(rounds: int) -> float:
    """Return the peak memory of a fresh process that starts the handler and rotates once."""
    peaks = []
    with servers() as (environ, _calls):
        for number in range(rounds):
            create_client_secrets(f"memory-{number}")
            rotation = _ROTATION.format(name=f"memory-{number}", request_id=uuid.uuid4())
            peaks.append(startup.run(rotation, environ).peak_kib)
    return median(peaks)
