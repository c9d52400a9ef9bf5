"""Each example runs unchanged in a separate process while tokens rotate.

The examples' caches use the machine's clock, so caches that must expire last for one to four seconds. The clocks of the
job and of Telenor are simulated.
"""

from __future__ import annotations

import asyncio
import json
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import httpx
import pytest
from botocore.config import Config
from werkzeug.wrappers import Request, Response

from infra.local.loopback_server import LoopbackServer
from infra.local.secrets_manager_faults import CallFault
from tests.examples.lambda_extension_and_agent import LambdaExtension, SecretsManagerAgent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.world import World

ROOT = Path(__file__).parents[2]
PATH = "/service-tickets/v2/incidents"
DRIVER = str(Path(__file__).with_name("python_example_driver.py"))
AWS_CLI = ROOT / ".venv-awscli" / "bin"
NODE_MODULES = ROOT / "examples" / "node" / "node_modules"

GRACE_SECONDS = 600
LONG_SECONDS = 300
PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Example:
    """A file of the repository, and the command that runs it."""

    file: str
    runs_it: tuple[str, ...]
    looks_at_expiry: bool = False
    """It sends nothing if the token document's expiry has passed."""
    keeps_unreadable: bool = False
    """It keeps using the last token while Secrets Manager fails."""
    short_seconds: int = 1
    """A cache lifetime that is short, but longer than the time between two calls."""


PYTHON = (sys.executable,)
LAMBDA = (sys.executable, DRIVER)

EXAMPLES = [
    Example("examples/python/with_powertools.py", PYTHON),
    Example("examples/python/with_caching_client.py", PYTHON, keeps_unreadable=True),
    Example("examples/python/with_httpx.py", PYTHON),
    Example("examples/python/with_authlib.py", PYTHON, looks_at_expiry=True),
    Example("examples/python/with_requests_oauthlib.py", PYTHON, looks_at_expiry=True),
    Example("examples/python/with_lambda_extension.py", LAMBDA),
    Example("examples/node/with-aws-sdk.mjs", ("node",)),
    Example("examples/shell/with-aws-cli.sh", ("bash",), short_seconds=4),
    Example("infra/consumer/app.py", LAMBDA),
    Example("examples/java/WithAgent.java", ("java",)),
    Example("examples/go/with_agent.go", ("go", "run")),
    Example("examples/dotnet/WithAgent.csproj", ("dotnet", "run", "--project")),
]


@pytest.fixture(params=EXAMPLES, ids=lambda example: f"{Path(example.file).parent.name}-{Path(example.file).stem}")
def example(request: pytest.FixtureRequest) -> Example:
    """Skip an example that this machine cannot run, or fail if `make examples` should have installed its tools."""
    example: Example = request.param
    program = example.runs_it[0]
    installed = {"node": NODE_MODULES, "bash": AWS_CLI}.get(program)
    if not shutil.which(program) or (installed and not installed.is_dir()):
        lacking = pytest.fail if installed and os.environ.get("EXAMPLES") == "all" else pytest.skip
        lacking(f"there is no {program} on this machine, or `make examples` has not installed what it runs with")
    return example


@pytest.fixture
def surviving(example: Example) -> Example:
    """Run the example in a service, which continues after a call that raises."""
    if example.runs_it not in {PYTHON, LAMBDA}:
        pytest.skip("a failed read ends its process; see test_a_failed_read_ends_a_program")
    return replace(example, runs_it=(sys.executable, DRIVER, "--survive"))


@dataclass
class Consumer:
    """A running example, and its calls."""

    example: Example
    world: World
    process: subprocess.Popen[str]
    calls: int = 0
    failed: int = 0

    def get(self, path: str = PATH) -> int:
        """Let it call the API once, and return the status that it prints."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(path + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line.strip().isdigit(), f"{self.example.file} has ended or does not respond; see its stderr"
        self.calls += 1
        self.failed += int(line) != 200
        return int(line)

    def get_for(self, seconds: float) -> None:
        """Let it call the API without pause for some time, at least twice."""
        end = time.monotonic() + seconds
        self.get()
        self.get()
        while time.monotonic() < end:
            self.get()

    @property
    def requests(self) -> int:
        """The number of requests that reached the API."""
        return sum(self.world.telenor.state()["counters"].get("incidents", {}).values())

    @property
    def refused(self) -> int:
        return int(self.world.telenor.state()["counters"].get("incidents", {}).get("401", 0))

    @property
    def reads(self) -> int:
        """The number of reads from Secrets Manager on its behalf."""
        return self.world.aws.calls("example")["GetSecretValue"]


@pytest.fixture
def consumers_world(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Set the job's clock to the machine's time, since the libraries compare `expires_at` with that."""
    monkeypatch.setenv("GRACE_SECONDS", str(GRACE_SECONDS))
    world.clock.advance(seconds=(datetime.now(UTC).replace(microsecond=0) - world.clock.now()).total_seconds())
    world.run()
    return world


@contextmanager
def running(example: Example, world: World, cache_seconds: int, *, base_url: str | None = None) -> Iterator[Consumer]:
    """Run an example with a setting of its cache."""
    with ExitStack() as stack:
        environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(AWS_CLI), os.environ["PATH"]]),
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_SDK_UA_APP_ID": "example",
            "CACHE_SECONDS": str(cache_seconds),
            "DOTNET_NOLOGO": "1",
            "TELENOR_BASE_URL": base_url or world.telenor.url,
        }
        client = boto3.client("secretsmanager", config=Config(user_agent_extra="app/example"))
        if "extension" in example.file:
            environment["AWS_SESSION_TOKEN"] = "session"
            extension = stack.enter_context(LambdaExtension(client, "session", cache_seconds))
            environment["PARAMETERS_SECRETS_EXTENSION_HTTP_PORT"] = extension.port
        if example.runs_it[0] in {"java", "go", "dotnet"}:
            # The agent caches for long, so the example must request a refresh.
            agent = stack.enter_context(SecretsManagerAgent(client, "agent", LONG_SECONDS))
            token_file = stack.enter_context(tempfile.NamedTemporaryFile("w", encoding="ascii"))
            token_file.write("agent\n")
            token_file.flush()
            environment["AGENT_URL"] = agent.url
            environment["AGENT_TOKEN_FILE"] = token_file.name
        if example.looks_at_expiry:
            # Without this, requests-oauthlib sends no token over plain http.
            environment["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
        process = stack.enter_context(
            subprocess.Popen(  # noqa: S603  a file of this repository
                [*example.runs_it, str(ROOT / example.file)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
                cwd=tempfile.gettempdir(),
            )
        )
        watchdog = threading.Timer(PATIENCE_SECONDS, process.kill)
        stack.callback(watchdog.cancel)
        watchdog.start()
        try:
            yield Consumer(example, world, process)
        finally:
            process.communicate()
    assert process.returncode == 0


def rotate_with_grace(consumer: Consumer, times: int) -> None:
    """Rotate, wait for the example's cache to expire, and let the grace of the old token end."""
    consumer.get()
    for _ in range(times):
        superseded = consumer.world.document()["access_token"]
        consumer.world.run("rotate-now")
        consumer.get_for(consumer.example.short_seconds)
        # The time in a label is up to two seconds late, so that the grace is never too short.
        consumer.world.clock.advance(seconds=GRACE_SECONDS + 2)
        assert len(consumer.world.run()["revoked"]) == 1
        assert not consumer.world.telenor.is_live(superseded)
        consumer.get_for(0)


def test_no_request_is_refused_while_tokens_rotate(example: Example, consumers_world: World) -> None:
    with running(example, consumers_world, example.short_seconds) as consumer:
        rotate_with_grace(consumer, 2)
    assert (consumer.failed, consumer.refused) == (0, 0)
    assert consumer.requests == consumer.calls
    assert consumer.reads >= 1 + 2


def test_a_token_revoked_without_grace_costs_a_401_and_no_failed_call(example: Example, consumers_world: World) -> None:
    with running(example, consumers_world, LONG_SECONDS) as consumer:
        consumer.get_for(0)
        for refused in (1, 2, 3):
            consumers_world.run("rotate-and-revoke-now")
            consumer.get_for(0)
            assert consumer.refused == refused
    assert consumer.failed == 0
    assert consumer.requests == consumer.calls + 3


def test_a_cache_longer_than_the_grace_causes_401s(example: Example, consumers_world: World) -> None:
    with running(example, consumers_world, LONG_SECONDS) as consumer:
        rotate_with_grace(consumer, 1)
    assert (consumer.failed, consumer.refused) == (0, 1)


def test_a_401_for_the_current_token_is_not_retried(example: Example, consumers_world: World) -> None:
    with running(example, consumers_world, LONG_SECONDS) as consumer:
        consumer.get()
        reads = consumer.reads
        consumers_world.telenor.fault(operation="incidents", status=401)
        assert consumer.get() == 401
        assert (consumer.refused, consumer.reads) == (1, reads + 1)
        consumers_world.telenor.clear_faults()
        assert consumer.get() == 200


def test_calls_succeed_again_after_the_first_publication(example: Example, consumers_world: World) -> None:
    # Published two hours ago, so that the token has expired by the machine's clock but not by Telenor's.
    consumers_world.clock.advance(hours=-2)
    consumers_world.run("rotate-now")
    with running(example, consumers_world, LONG_SECONDS) as consumer:
        assert consumer.get() == (401 if example.looks_at_expiry else 200)
        assert consumer.requests == (0 if example.looks_at_expiry else 1)
        consumers_world.clock.advance(hours=2)
        assert consumer.get() == 401
        assert consumers_world.run()["outcome"] == "rotated"
        assert [consumer.get(), consumer.get()] == [200, 200]


class OtherHost(LoopbackServer):
    """Another host than Telenor, which answers with an empty list."""

    def __init__(self) -> None:
        super().__init__(self._respond)
        self.requests: list[Request] = []

    def _respond(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.requests.append(Request(environ))
        return Response("[]", content_type="application/json")(environ, start_response)


@pytest.fixture
def other_host() -> Iterator[OtherHost]:
    with OtherHost() as host:
        yield host


@pytest.mark.parametrize("path", [":{port}/x", ".evil.example/x", "@127.0.0.1:{port}/x", "x"])
def test_a_path_cannot_send_the_token_to_another_host(
    example: Example, consumers_world: World, path: str, other_host: OtherHost
) -> None:
    if example.file == "infra/consumer/app.py":
        pytest.skip("its path is fixed")
    path = path.format(port=other_host.url.rpartition(":")[2])
    with (
        pytest.raises(AssertionError, match="has ended"),
        running(example, consumers_world, LONG_SECONDS, base_url="http://localhost") as consumer,
    ):
        consumer.get(path)
    assert other_host.requests == []
    assert "a path must begin with /" in consumers_world.seen.all_output()


def test_a_base_url_may_end_with_a_slash(example: Example, consumers_world: World, other_host: OtherHost) -> None:
    with running(example, consumers_world, LONG_SECONDS, base_url=f"{other_host.url}/gateway/") as consumer:
        assert consumer.get() == 200
    assert [request.path for request in other_host.requests] == [f"/gateway{PATH}"]


@pytest.mark.parametrize("token", ["put-by\n-hand", "put-by\u20ac-hand"])
def test_a_token_that_no_header_can_carry_is_not_shown(example: Example, consumers_world: World, token: str) -> None:
    consumers_world.put(json.dumps(consumers_world.document() | {"access_token": token}, ensure_ascii=False))
    with suppress(AssertionError), running(example, consumers_world, LONG_SECONDS) as consumer:
        consumer.get()
    assert "put-by" not in consumers_world.seen.all_output()


def test_a_redirect_is_not_followed(example: Example, consumers_world: World, other_host: OtherHost) -> None:
    with (
        LoopbackServer(Response(status=302, headers={"Location": other_host.url + PATH})) as telenor,
        running(example, consumers_world, LONG_SECONDS, base_url=telenor.url) as consumer,
    ):
        assert [consumer.get(), consumer.get()] == [302, 302]
    assert other_host.requests == []


def fail_reads(world: World) -> None:
    """Let Secrets Manager refuse every read, with an error that the SDKs do not retry."""
    world.aws.fault(CallFault(operation="GetSecretValue", code="AccessDeniedException"), times=9999)
    world.aws.fault(CallFault(operation="DescribeSecret", code="AccessDeniedException"), times=9999)


def test_a_cached_token_is_used_while_secrets_manager_fails(example: Example, consumers_world: World) -> None:
    with running(example, consumers_world, LONG_SECONDS) as consumer:
        consumer.get()
        fail_reads(consumers_world)
        assert [consumer.get(), consumer.get()] == [200, 200]
        consumers_world.aws.clear_faults()


def call_until_the_cache_expires(consumer: Consumer) -> None:
    """Call until the cache has expired, while all reads fail."""
    consumer.get()
    fail_reads(consumer.world)
    end = time.monotonic() + consumer.example.short_seconds + 1
    while time.monotonic() < end and consumer.get():
        pass


def test_a_failed_read_ends_a_program(example: Example, consumers_world: World) -> None:
    if example.runs_it in {PYTHON, LAMBDA}:
        pytest.skip("the next test runs it in a service")
    with (
        pytest.raises(AssertionError, match="has ended"),
        running(example, consumers_world, example.short_seconds) as consumer,
    ):
        call_until_the_cache_expires(consumer)
    consumers_world.aws.clear_faults()


def test_a_failed_read_does_not_extend_the_cache(surviving: Example, consumers_world: World) -> None:
    with running(surviving, consumers_world, surviving.short_seconds) as consumer:
        call_until_the_cache_expires(consumer)
        requests = consumer.requests
        assert {consumer.get() for _ in range(3)} == ({200} if surviving.keeps_unreadable else {0})
        assert consumer.requests == requests + (3 if surviving.keeps_unreadable else 0)
        consumers_world.aws.clear_faults()
        while consumer.get() != 200:  # AWS's caching client waits between its reads
            pass


def test_a_401_is_not_retried_if_the_secret_cannot_be_read(surviving: Example, consumers_world: World) -> None:
    with running(surviving, consumers_world, LONG_SECONDS) as consumer:
        consumer.get()
        consumers_world.run("rotate-and-revoke-now")
        fail_reads(consumers_world)
        assert consumer.get() == 0
        assert consumer.refused == 1
        consumers_world.aws.clear_faults()
        while consumer.get() != 200:  # see above
            pass


def test_the_last_input_line_may_lack_a_newline(example: Example, consumers_world: World) -> None:
    with running(example, consumers_world, LONG_SECONDS) as consumer:
        printed, _ = consumer.process.communicate(PATH)
    assert printed.split() == ["200"]


@pytest.fixture
def shared_token(consumers_world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the Auth class of the example for httpx, in this process."""
    monkeypatch.setenv("AWS_SDK_UA_APP_ID", "example")
    namespace = runpy.run_path(str(ROOT / "examples/python/with_httpx.py"))
    namespace["client"].close()
    return namespace["SharedToken"](os.environ["TOKEN_SECRET_ID"], consumers_world.telenor.url)


def test_threads_that_get_401_together_share_one_read(consumers_world: World, shared_token: Any) -> None:
    url = consumers_world.telenor.url + PATH
    with httpx.Client(auth=shared_token) as client, ThreadPoolExecutor(8) as threads:
        assert client.get(url).status_code == 200
        consumers_world.run("rotate-and-revoke-now")
        before = consumers_world.aws.calls("example")["GetSecretValue"]
        assert {response.status_code for response in threads.map(lambda _: client.get(url), range(40))} == {200}
    assert consumers_world.aws.calls("example")["GetSecretValue"] == before + 1


def test_the_auth_class_works_with_asyncio_and_handles_a_401(consumers_world: World, shared_token: Any) -> None:
    url = consumers_world.telenor.url + PATH

    async def gets() -> list[int]:
        async with httpx.AsyncClient(auth=shared_token) as client:
            return [response.status_code for response in await asyncio.gather(*(client.get(url) for _ in range(8)))]

    assert asyncio.run(gets()) == [200] * 8
    consumers_world.run("rotate-and-revoke-now")
    before = consumers_world.aws.calls("example")["GetSecretValue"]
    assert asyncio.run(gets()) == [200] * 8
    assert consumers_world.aws.calls("example")["GetSecretValue"] == before + 1


def test_the_auth_class_sends_its_token_only_to_its_origin(consumers_world: World, shared_token: Any) -> None:
    other = consumers_world.telenor.url.replace("127.0.0.1", "localhost") + PATH
    before = len(consumers_world.telenor.requests)
    with httpx.Client(auth=shared_token) as client, pytest.raises(ValueError, match="goes elsewhere"):
        client.get(other)
    assert len(consumers_world.telenor.requests) == before
