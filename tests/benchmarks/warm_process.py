"""The functions of a warm execution environment, a process that measures itself."""

from __future__ import annotations

import functools
import os
import tempfile
import time
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools.metrics import MetricUnit

from handler import app
from handler.model import Outcome, Reason
from handler.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable

Times = dict[str, Any]
"""The CPU time and the time that something took, and what it returned."""

# As long as the log line of a run that is not due.
_AT = datetime(2026, 11, 24, tzinfo=UTC)
_REPORT = Report("default", Outcome.NOT_DUE, Reason.FRESH, str(uuid.UUID(int=0)), expires_at=_AT, renews_at=_AT)
_SUMMARY = _REPORT.summary(timedelta(milliseconds=5))


class _Clock(app.SystemClock):
    """The machine's own clock, moved forward."""

    def __init__(self, minutes: int) -> None:
        self._ahead = timedelta(minutes=minutes)

    def now(self) -> datetime:
        return super().now() + self._ahead


@functools.cache
def _client() -> Any:
    return boto3.client("secretsmanager")


def _timed(act: Callable[[], object]) -> Times:
    wall, own = time.perf_counter(), time.process_time()
    result = act()
    return {"own": time.process_time() - own, "wall": time.perf_counter() - wall, "result": result}


def _describe(client: str) -> None:
    _client().describe_secret(SecretId=f"{client}/token")


def describe(client: str) -> Times:
    """Make one bare call."""
    return _timed(lambda: _describe(client))


def invoke(client: str, minutes: int, action: str = "renew-if-due") -> Times:
    """Run once, `minutes` from now."""
    app.clock = _Clock(minutes)
    context: Any = SimpleNamespace(aws_request_id=str(uuid.uuid4()), get_remaining_time_in_millis=lambda: 120_000)
    event = {
        "action": action,
        "client": client,
        "credentials_secret_id": f"{client}/credentials",
        "token_secret_id": f"{client}/token",
    }
    return _timed(lambda: app.lambda_handler(event, context))


def in_turn(client: str, minutes: int, times: int) -> list[list[Times]]:
    """Make a bare call, a call with a run's log line and metric, and a run, in quick succession."""

    def describe_and_log() -> None:
        _describe(client)
        app.logger.info("run ended: not-due", extra=_SUMMARY)
        app.metrics.add_metric("One", MetricUnit.Count, 0)
        app.metrics.flush_metrics()

    # The deployed URL: a loopback one needs a check that https does not. Nothing is sent there.
    loopback = os.environ.pop("TELENOR_BASE_URL")
    took = [[describe(client), _timed(describe_and_log), invoke(client, minutes)] for _ in range(times)]
    os.environ["TELENOR_BASE_URL"] = loopback
    return took


def redirect_output() -> None:
    """Let the handler write into a file instead of stdout."""
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 1)
