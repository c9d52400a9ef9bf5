"""Fixtures for all tests: a clock, Secrets Manager, Telenor, and a leak detector."""

from __future__ import annotations

import functools
import gc
import io
import itertools
import json
import logging
import sys
import types
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore import hooks
from botocore.hooks import EventAliaser, HierarchicalEmitter
from botocore.loaders import JSONFileLoader, Loader

from handler import app, errors
from infra.local.secrets_manager import REGION, LocalSecretsManager, create_secret, labels_and_tags
from infra.local.telenor_sandbox import SEEDED_CLIENTS, Client, TelenorSandbox
from infra.terraform_cli import MissingError, find
from tests.captured_output import CapturedOutput
from tests.leak_detector import CANARY, CLIENT_ID, CLIENT_SECRET, canaries_in
from tests.world import CREDENTIALS_SECRET, TOKEN_SECRET, FakeClock, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_secretsmanager.client import SecretsManagerClient


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what is loaded by now, which stays: it takes a tenth of the tests' time."""
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Run fast tests first: a mutant is done at the first failing test."""
    items.sort(key=lambda item: ("simulation" in item.path.parts, "world" in item.fixturenames))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a marked test, with the reason, if Terraform is not installed."""
    if item.get_closest_marker("terraform"):
        try:
            find()
        except MissingError as missing:
            pytest.skip(str(missing))


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
) -> Iterator[CapturedOutput]:
    """Fail the test if a secret appears in a stream, an error, a result, a label or a tag."""
    seen = CapturedOutput(capfd)
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


@pytest.fixture
def world(
    clock: FakeClock,
    aws: LocalSecretsManager,
    telenor: TelenorSandbox,
    client: SecretsManagerClient,
    seen: CapturedOutput,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    """Create both secrets, the token secret without a value, and set the handler's environment."""
    create_secret(CREDENTIALS_SECRET, json.dumps({"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}))
    create_secret(TOKEN_SECRET)
    optional = "CLIENT_NAME GRACE_SECONDS RENEW_AT_FRACTION SCHEDULE_MINUTES SERVES_CLIENTS TELENOR_SCOPE VERIFY_URL "
    optional += "TOKEN_URL REVOCATION_URL CLIENT_AUTHENTICATION TOKEN_PARAMETERS ROUTINE_METRICS"
    for name in optional.split():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(aws, "clock", lambda: clock.now().timestamp())
    monkeypatch.setenv("CREDENTIALS_SECRET_ID", CREDENTIALS_SECRET)
    monkeypatch.setenv("TOKEN_SECRET_ID", TOKEN_SECRET)
    monkeypatch.setenv("TELENOR_BASE_URL", telenor.url)
    return World(clock, aws, telenor, client, seen)


@pytest.fixture
def serves_clients(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Let events name clients, as the Terraform module does."""
    monkeypatch.setenv("SERVES_CLIENTS", "true")
    return world
