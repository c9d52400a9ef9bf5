"""A day of the deployed job: the real handler over the local servers, with a clock whose hours pass in an instant.

`python -m tests.infra.dashboard.day` is the function's process. It takes a `Day` as JSON on stdin. It prints what the
handler logs, its metrics, and what Lambda and the queue put out by themselves. Every event is delivered, and none waits
for long.
"""

from __future__ import annotations

import io
import json
import logging
import os
import random
import subprocess
import sys
import uuid
from contextlib import redirect_stdout, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3

from handler import app
from handler.errors import RotationError
from infra.local.secrets_manager import LocalSecretsManager
from infra.local.telenor_sandbox import SEEDED_CLIENTS, TelenorSandbox
from tests.infra.alarms.cloudwatch import CloudWatch, Metric
from tests.infra.alarms.page import LATEST_METRIC

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from infra.local.secrets_manager import Fate

_ROOT = Path(__file__).parents[3]

# Assumed: what each call takes, how late the schedule starts a run, how long an event waits, and how often an attempt
# at Telenor's token endpoint fails on a good day.
_AWS_SECONDS = 0.02
_TELENOR_SECONDS = (0.15, 0.6)
_LATEST_START_SECONDS = 20
_WAITING_MILLISECONDS = (15, 90)
_FAILING_ATTEMPTS = 0.02

_RUN_MILLISECONDS = 120_000

# One execution environment lives through the whole day.
_LOG_STREAM = "2026/11/23/[$LATEST]0a1b2c3d4e5f60718293a4b5c6d7e8f9"


@dataclass(frozen=True)
class Day:
    """What is deployed under which names, and what happens. Times are epoch seconds."""

    environ: Mapping[str, str]
    """The function's variables."""
    function: str
    queue: str
    begin: float
    end: float
    outages: Sequence[tuple[float, float]] = ()
    """When Telenor's token endpoint answers 503: from and until."""
    events: Sequence[Mapping[str, str]] = field(default=({},))
    """What the schedules send, one for each client."""


@dataclass(frozen=True)
class Seen:
    """What CloudWatch has of a day."""

    day: Day
    cloudwatch: CloudWatch
    log: list[dict[str, Any]]
    """The function's log, as Logs Insights shows it."""


def live(day: Day) -> Seen:
    """Live through a day. Raises CalledProcessError."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.infra.dashboard.day"],
        cwd=_ROOT,
        env={**os.environ, **day.environ},
        input=json.dumps(asdict(day)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seen = Seen(day, CloudWatch(), [])
    for at, document in map(json.loads, process.stdout.splitlines()):
        if "_aws" in document:
            for metric, value in _embedded(document):
                seen.cloudwatch.put(metric, at, value, at + LATEST_METRIC)
        else:
            seen.log.append({"@timestamp": at, "@logStream": _LOG_STREAM, **document})
    return seen


def _embedded(document: Mapping[str, Any]) -> Iterator[tuple[Metric, float]]:
    """Read CloudWatch's embedded metric format."""
    for directive in document["_aws"]["CloudWatchMetrics"]:
        for names in directive["Dimensions"]:
            dimensions = frozenset((name, document[name]) for name in names)
            for metric in directive["Metrics"]:
                values = document[metric["Name"]]
                for value in values if isinstance(values, list) else [values]:
                    yield Metric(directive["Namespace"], metric["Name"], dimensions), value


class _Clock:
    """The day's clock."""

    def __init__(self, begin: float) -> None:
        self.time = datetime.fromtimestamp(begin, UTC)

    def now(self) -> datetime:
        return self.time

    def seconds(self) -> float:
        return self.time.timestamp()

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    def wait_until(self, at: float) -> None:
        self.sleep(max(0, at - self.seconds()))


class _Told(io.TextIOBase):
    """Takes the handler's lines, and writes down when each was printed."""

    def __init__(self, clock: _Clock, out: Any) -> None:
        self._clock = clock
        self._out = out

    def write(self, text: str) -> int:
        for line in filter(None, text.splitlines()):  # print writes the end of a line by itself
            self.note(json.loads(line))
        return len(text)

    def note(self, document: dict[str, Any]) -> None:
        print(json.dumps([self._clock.seconds(), document]), file=self._out)

    def note_metrics(self, namespace: str, dimension: str, of: str, values: Mapping[str, float]) -> None:
        directive = {
            "Namespace": namespace,
            "Dimensions": [[dimension]],
            "Metrics": [{"Name": name} for name in values],
        }
        self.note({"_aws": {"CloudWatchMetrics": [directive]}, dimension: of, **values})


class _Secrets(LocalSecretsManager):
    """Takes its time for each call."""

    def __init__(self, clock: _Clock) -> None:
        super().__init__(clock.seconds)
        self._sleep = clock.sleep

    def _fate(self, operation: str, parameters: Mapping[str, Any], agent: str, /) -> Fate | None:
        self._sleep(_AWS_SECONDS)
        return super()._fate(operation, parameters, agent)


def _ticks(day: Day, dice: random.Random) -> Iterator[tuple[float, Mapping[str, str]]]:
    period = int(day.environ["SCHEDULE_MINUTES"]) * 60
    for number in range(int((day.end - day.begin) // period)):
        ticks = [(day.begin + number * period + dice.uniform(0, _LATEST_START_SECONDS), event) for event in day.events]
        yield from sorted(ticks, key=lambda tick: tick[0])


def _weather(day: Day, sandbox: TelenorSandbox, now: float, dice: random.Random) -> None:
    """Let the next run meet the weather of its time."""
    sandbox.clear_faults()
    sandbox.fault(operation="logout", delay_seconds=dice.uniform(*_TELENOR_SECONDS))
    is_out = any(begin <= now < end for begin, end in day.outages)
    if is_out or dice.random() < _FAILING_ATTEMPTS:
        sandbox.fault(
            operation="token", status=503, delay_seconds=dice.uniform(*_TELENOR_SECONDS), times=None if is_out else 1
        )
    sandbox.fault(operation="token", delay_seconds=dice.uniform(*_TELENOR_SECONDS))


def main() -> None:
    """Be the function for a day."""
    day = Day(**json.load(sys.stdin))
    dice = random.Random(1)  # noqa: S311  to be repeated, not kept secret
    random.seed(1)  # the waits between attempts
    app.clock = clock = _Clock(day.begin)
    told = _Told(clock, sys.stdout)
    with _Secrets(clock) as aws, TelenorSandbox(clock=clock.seconds, sleep=clock.sleep) as sandbox:
        os.environ.update({**aws.environment, "TELENOR_BASE_URL": sandbox.url})
        _create_secrets(day)
        log_handler = app.logger.registered_handler
        assert isinstance(log_handler, logging.StreamHandler)
        log_handler.setStream(told)
        for at, event in _ticks(day, dice):
            clock.wait_until(at)
            _weather(day, sandbox, at, dice)
            waited = dice.uniform(*_WAITING_MILLISECONDS)
            context = SimpleNamespace(
                aws_request_id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{at}")),
                get_remaining_time_in_millis=lambda: _RUN_MILLISECONDS,
            )
            failed = 1
            with suppress(RotationError), redirect_stdout(told):
                app.lambda_handler(event, context)
                failed = 0
            told.note_metrics(
                "AWS/Lambda",
                "FunctionName",
                day.function,
                {"Invocations": 1, "Errors": failed, "Throttles": 0, "AsyncEventAge": waited},
            )
            told.note_metrics("AWS/SQS", "QueueName", day.queue, {"ApproximateNumberOfMessagesVisible": 0})


def _create_secrets(day: Day) -> None:
    client = boto3.client("secretsmanager")
    client_id, known = next(iter(SEEDED_CLIENTS.items()))
    credentials = json.dumps({"client_id": client_id, "client_secret": known.secret})
    for event in day.events:
        names = {**day.environ, **{name.upper(): value for name, value in event.items()}}
        client.create_secret(Name=names["CREDENTIALS_SECRET_ID"], SecretString=credentials)
        client.create_secret(Name=names["TOKEN_SECRET_ID"])


if __name__ == "__main__":
    main()
