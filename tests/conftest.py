"""Fixtures for all tests: a clock, Secrets Manager, Telenor, and a leak detector."""

from __future__ import annotations

import base64
import functools
import gc
import io
import itertools
import json
import logging
import sys
import traceback
import types
import uuid
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import requests
from botocore import hooks
from botocore.hooks import EventAliaser, HierarchicalEmitter
from botocore.loaders import JSONFileLoader, Loader

from handler import app, errors
from handler.transport import basic
from infra.local.secrets_manager import (
    REGION,
    LocalSecretsManager,
    add_versions,
    create_secret,
    labels_and_tags,
    stages_of,
    value_of,
)
from infra.local.telenor_sandbox import SEEDED_CLIENTS, Client, TelenorSandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_secretsmanager.client import SecretsManagerClient

    from handler.ledger import Entry

# Every secret in every test contains this.
CANARY = "CANARY"
CLIENT_ID = "client-ø"
CLIENT_SECRET = f"{CANARY}-secret-æ"

_CREDENTIALS_SECRET = "telenor/credentials"
_TOKEN_SECRET = "telenor/token"


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what is loaded by now, which stays: it takes a tenth of the tests' time."""
    gc.freeze()


def canaries_in(text: str) -> list[str]:
    """Return the traces of secrets in a text: plain, or as Basic authentication encodes them."""
    basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
    return [canary for canary in (CANARY, basic, basic[-12:]) if canary in text]


class FakeClock:
    """A clock that moves only by `sleep` and `advance`."""

    def __init__(self) -> None:
        self._now = datetime(2026, 11, 23, 21, 30, tzinfo=UTC)
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._now += timedelta(seconds=seconds)

    def advance(self, **time: float) -> None:
        self._now += timedelta(**time)


@dataclass
class Seen:
    """All output of a test: streams, errors and results."""

    capture: pytest.CaptureFixture[str]
    streams: list[str] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    results: list[object] = field(default_factory=list)
    root_log: list[str] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)

    def lines(self) -> list[dict[str, Any]]:
        """Return the JSON lines on stdout: those of the log and those of the metrics."""
        captured = self.capture.readouterr()
        self.streams += [captured.out, captured.err]
        return [json.loads(line) for line in "".join(self.streams).splitlines()]

    def log(self) -> list[dict[str, Any]]:
        return [line for line in self.lines() if "_aws" not in line]

    def messages(self) -> str:
        return "\n".join(line["message"] for line in self.log())

    def metrics(self) -> Counter[str]:
        """Return the metrics of the last run."""
        last = self._last_metrics()
        (directive,) = last["_aws"]["CloudWatchMetrics"]
        (dimensions,) = directive["Dimensions"]
        assert (directive["Namespace"], sorted(dimensions)) == ("TelenorToken", ["client", "service"])
        # As alarms and dashboards read them: a missing counter is zero.
        return Counter({metric["Name"]: last[metric["Name"]][0] for metric in directive["Metrics"]})

    def client(self) -> str:
        """Return the client in the metrics of the last run."""
        return str(self._last_metrics()["client"])

    def _last_metrics(self) -> dict[str, Any]:
        return [line for line in self.lines() if "_aws" in line][-1]

    def codes(self) -> list[str | None]:
        """Return the code of each warning and error."""
        return [line.get("error_code") for line in self.warnings]

    def all_output(self) -> str:
        """Return all of it as text, with the whole chain of each error."""
        texts = [*self.streams, *self.root_log, *self.capture.readouterr(), *map(repr, self.results)]
        for error in self.errors:
            link: BaseException | None = error
            while link is not None:
                texts += [*traceback.format_exception_only(link), repr(link), str(vars(link))]
                link = link.__cause__ or link.__context__
        return "\n".join(texts)


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Run fast tests first: a mutant is done at the first failing test."""
    items.sort(key=lambda item: ("simulation" in item.path.parts, "world" in item.fixturenames))


@pytest.fixture(scope="session", autouse=True)
def _cache_sdk_data() -> Iterator[None]:
    """Parse the SDK's data and its handlers' names once instead of for each client that a test creates."""
    load = functools.cache(functools.partial(JSONFileLoader.load_file, JSONFileLoader()))
    list_services = functools.cache(Loader().list_available_services)
    names: Any = EventAliaser
    alias = functools.cache(functools.partial(names._alias_event_name, names(HierarchicalEmitter())))  # noqa: SLF001  pure
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EventAliaser, "_alias_event_name", lambda _self, event_name: alias(event_name))
        patch.setattr("botocore.hooks.accepts_kwargs", functools.cache(hooks.accepts_kwargs))
        patch.setattr(JSONFileLoader, "load_file", lambda _self, path: load(path))
        patch.setattr(Loader, "list_available_services", lambda _self, type_name: list_services(type_name))
        yield


@pytest.fixture(scope="session")
def _secrets_manager() -> Iterator[LocalSecretsManager]:
    with LocalSecretsManager() as aws:
        yield aws


@pytest.fixture
def aws(_secrets_manager: LocalSecretsManager, monkeypatch: pytest.MonkeyPatch) -> LocalSecretsManager:
    _secrets_manager.reset()
    for name, value in _secrets_manager.environment.items():
        monkeypatch.setenv(name, value)
    # Do not wait between the SDK's attempts.
    monkeypatch.setattr("botocore.endpoint.time", types.SimpleNamespace(sleep=lambda _seconds: None))
    return _secrets_manager


@pytest.fixture(scope="session")
def client(_secrets_manager: LocalSecretsManager) -> SecretsManagerClient:
    """Return a client outside of the handler, with settings that no test changes."""
    # botocore logs secrets at DEBUG; the test of the handler's own client resets this level.
    logging.getLogger("botocore").setLevel(logging.INFO)
    return boto3.client(
        "secretsmanager",
        region_name=REGION,
        endpoint_url=_secrets_manager.url,
        aws_access_key_id="tests",
        aws_secret_access_key="tests",
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr(app, "clock", clock)
    return clock


class _CurrentTest:
    """The values of the current test that the session's sandbox uses."""

    clock = FakeClock()
    numbers: Iterator[int] = itertools.count(1)


@pytest.fixture(scope="session")
def _telenor() -> Iterator[TelenorSandbox]:
    clients = {name: replace(seeded, secret=CLIENT_SECRET) for name, seeded in SEEDED_CLIENTS.items()}
    clients[CLIENT_ID] = Client(secret=CLIENT_SECRET, scopes=frozenset({"incidents.read"}))
    with TelenorSandbox(
        clients=clients,
        clock=lambda: _CurrentTest.clock.now().timestamp(),
        sleep=lambda seconds: _CurrentTest.clock.sleep(seconds),  # noqa: PLW0108  the clock of the current test
        new_token=lambda: f"{CANARY}-token-{next(_CurrentTest.numbers)}",
    ) as sandbox:
        yield sandbox


@pytest.fixture
def telenor(_telenor: TelenorSandbox, clock: FakeClock) -> TelenorSandbox:
    _CurrentTest.clock, _CurrentTest.numbers = clock, itertools.count(1)
    _telenor.reset()
    return _telenor


class _Stream(io.TextIOBase):
    """Calls a function with each written text."""

    def __init__(self, on_write: Callable[[str], object]) -> None:
        self._on_write = on_write

    def write(self, text: str) -> int:
        self._on_write(text)
        return len(text)


@pytest.fixture(autouse=True)
def seen(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Seen]:
    """Fail the test if a secret appears in a stream, an error, a result, a label or a tag."""
    seen = Seen(capfd)
    log_handler = app.logger.registered_handler
    assert isinstance(log_handler, logging.StreamHandler)

    def log(text: str) -> None:
        line = json.loads(text)
        seen.warnings += [line] if line["level"] in {"WARNING", "ERROR", "CRITICAL"} else []
        # The current sys.stdout; the logger would keep the one that it was created with.
        sys.stdout.write(text)

    # Not setStream, which would flush a stream that an earlier test has closed.
    log_handler.stream = _Stream(log)
    # Lambda's runtime client has a handler on the root logger, whose level may be set to DEBUG.
    runtime_handler = logging.StreamHandler(_Stream(seen.root_log.append))
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [*root.handlers, runtime_handler])
    monkeypatch.setattr(root, "level", logging.DEBUG)

    remember = errors.RotationError.__init__

    def raise_and_remember(error: errors.RotationError, *arguments: Any, **details: Any) -> None:
        remember(error, *arguments, **details)
        seen.errors.append(error)

    monkeypatch.setattr(errors.RotationError, "__init__", raise_and_remember)
    yield seen
    assert [line for line in seen.warnings if line.get("error_code") not in set(errors.ErrorCode)] == [], "no code"
    labels = labels_and_tags() if "aws" in request.fixturenames else ""
    assert canaries_in(seen.all_output() + labels) == [], "a secret has leaked"


@dataclass
class World:
    """The complete job over both servers, with helpers to inspect it."""

    clock: FakeClock
    aws: LocalSecretsManager
    telenor: TelenorSandbox
    client: SecretsManagerClient
    seen: Seen

    def run(
        self, action: str | None = None, *, request_id: str | None = None, seconds: float = 120, **event: Any
    ) -> dict[str, Any]:
        """Invoke the handler as Lambda does."""
        event = ({"action": action} if action else {}) | event
        context = types.SimpleNamespace(
            aws_request_id=request_id or str(uuid.uuid4()), get_remaining_time_in_millis=lambda: int(seconds * 1000)
        )
        response = app.lambda_handler(event, context)
        self.seen.results.append(response)
        result: dict[str, Any] = json.loads(json.dumps(response))
        return result

    def failure(self, action: str | None = None, **options: Any) -> str:
        """Invoke the handler, expect it to fail, and return its error code."""
        with pytest.raises(errors.RotationError) as failure:
            self.run(action, **options)
        return failure.value.error_code

    def supersede(self) -> tuple[str, str]:
        """Publish twice, a minute apart; return the superseded version and the current one."""
        first = self.run("rotate-now")["version_id"]
        self.clock.advance(minutes=1)
        return first, self.run("rotate-now")["version_id"]

    def labels(self) -> dict[str, list[str]]:
        """Return the staging labels by version, without unlabelled versions, as on AWS."""
        return {version_id: sorted(labels) for version_id, labels in stages_of(_TOKEN_SECRET).items() if labels}

    def tracked(self) -> set[str]:
        """Return the versions in the ledger."""
        return {version_id for version_id, labels in self.labels().items() if any("LIVE_" in label for label in labels)}

    def document(self) -> dict[str, Any]:
        """Return the token document that consumers read."""
        document: dict[str, Any] = json.loads(value_of(_TOKEN_SECRET))
        return document

    def token(self, version_id: str | None = None) -> str:
        """Return the token of a version, or the one that consumers read."""
        return str(json.loads(value_of(_TOKEN_SECRET, version_id))["access_token"])

    def obtain(self) -> str:
        """Return a token that the job knows nothing of."""
        url, form = f"{self.telenor.url}/oauth/v2/token", {"grant_type": "client_credentials"}
        response = requests.post(url, form, auth=basic(CLIENT_ID, CLIENT_SECRET), timeout=5)
        return str(response.json()["access_token"])

    def rotate(self) -> str:
        """Replace the current token, and return the replaced one."""
        replaced = self.token()
        assert self.run("rotate-now")["outcome"] == "rotated"
        return replaced

    def is_current_live(self) -> bool:
        return self.telenor.is_live(self.token())

    def is_live(self, version_id: str) -> bool:
        return self.telenor.is_live(self.token(version_id))

    def operations(self) -> list[str | None]:
        """Return the operations that Telenor received."""
        return [request.operation for request in self.telenor.requests]

    def live(self) -> int:
        """Count the tokens that Telenor accepts."""
        return sum(token["status"] == "live" for token in self.telenor.state()["tokens"].values())

    def issued(self) -> int:
        return len(self.telenor.state()["tokens"])

    def put(self, content: str, entry: Entry | None = None) -> str:
        """Put a value, as an operator or as the job with an entry of its ledger, and return its version."""
        as_job: dict[str, Any] = {}
        if entry is not None:
            as_job = {"ClientRequestToken": entry.version_id, "VersionStages": ["AWSCURRENT", *entry.labels]}
        return self.client.put_secret_value(SecretId=_TOKEN_SECRET, SecretString=content, **as_job)["VersionId"]

    def fill_day(self, count: int) -> None:
        """Add versions written today by another party."""
        add_versions(_TOKEN_SECRET, count, self.clock.now().timestamp())

    def put_credentials(self, content: str) -> None:
        self.client.put_secret_value(SecretId=_CREDENTIALS_SECRET, SecretString=content)

    def put_client(self, client_id: str, client_secret: str) -> None:
        self.put_credentials(json.dumps({"client_id": client_id, "client_secret": client_secret}))

    def roll_back_to(self, version_id: str) -> None:
        current = next(version for version, labels in self.labels().items() if "AWSCURRENT" in labels)
        self.client.update_secret_version_stage(
            SecretId=_TOKEN_SECRET, VersionStage="AWSCURRENT", MoveToVersionId=version_id, RemoveFromVersionId=current
        )

    def unlabel(self, version_id: str) -> None:
        """Remove the LIVE labels of a version as an operator."""
        for label in self.labels()[version_id]:
            if label.startswith("LIVE_"):
                self.client.update_secret_version_stage(
                    SecretId=_TOKEN_SECRET, VersionStage=label, RemoveFromVersionId=version_id
                )

    def label(self, version_id: str, label: str) -> None:
        self.client.update_secret_version_stage(SecretId=_TOKEN_SECRET, VersionStage=label, MoveToVersionId=version_id)


@pytest.fixture
def world(
    clock: FakeClock,
    aws: LocalSecretsManager,
    telenor: TelenorSandbox,
    client: SecretsManagerClient,
    seen: Seen,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    """Create both secrets, the token secret without a value, and set the handler's environment."""
    create_secret(_CREDENTIALS_SECRET, json.dumps({"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}))
    create_secret(_TOKEN_SECRET)
    optional = "CLIENT_NAME GRACE_SECONDS RENEW_AT_FRACTION SCHEDULE_MINUTES SERVES_CLIENTS TELENOR_SCOPE VERIFY_URL "
    optional += "TOKEN_URL REVOCATION_URL CLIENT_AUTHENTICATION TOKEN_PARAMETERS ROUTINE_METRICS"
    for name in optional.split():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(aws, "clock", lambda: clock.now().timestamp())
    monkeypatch.setenv("CREDENTIALS_SECRET_ID", _CREDENTIALS_SECRET)
    monkeypatch.setenv("TOKEN_SECRET_ID", _TOKEN_SECRET)
    monkeypatch.setenv("TELENOR_BASE_URL", telenor.url)
    return World(clock, aws, telenor, client, seen)


@pytest.fixture
def serves_clients(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Let events name clients, as the Terraform module does."""
    monkeypatch.setenv("SERVES_CLIENTS", "true")
    return world
