"""Secrets Manager on this machine: moto's server on a loopback port, with one correction.

    with LocalSecretsManager() as aws:
        os.environ.update(aws.environment)
        boto3.client("secretsmanager").create_secret(Name="telenor/token")

Calls are counted by operation and can be made to fail. One at a time in a process, since moto keeps its secrets there.
"""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter, defaultdict, deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol
from unittest.mock import patch

import moto.backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.secretsmanager.models import FakeSecret
from werkzeug.wrappers import Request, Response

from infra.local.server import LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Self
    from wsgiref.types import StartResponse, WSGIEnvironment

REGION = "eu-north-1"


def _make_current(secret: FakeSecret, version: dict[str, Any], version_id: str) -> None:
    """Put a version under the labels of its PutSecretValue, as AWS does.

    moto 5.2.5 sets the labels of the version that loses AWSCURRENT to just ["AWSPREVIOUS"], and takes the version
    that was last put for the current one. AWS leaves every label where it is that the call does not name, and moves
    AWSPREVIOUS to the version that really had AWSCURRENT. The ledger of live tokens rests on that.
    """
    for other in secret.versions.values():
        stages = other["version_stages"]
        was_current = "AWSCURRENT" in stages
        other["version_stages"] = [
            stage for stage in stages if stage != "AWSPREVIOUS" and stage not in version["version_stages"]
        ] + ["AWSPREVIOUS"] * was_current
    secret.versions[version_id] = version
    secret.set_default_version_id(version_id)


class Fate(Protocol):
    """What becomes of one call."""

    @property
    def operation(self) -> str:
        """The operation that is called."""

    def answer(self, environ: WSGIEnvironment, ask: Callable[[], Response]) -> Response:
        """Answer, with or without asking Secrets Manager."""


@dataclass(frozen=True, kw_only=True)
class CallFault:
    """A call that goes wrong: refused with an error code, or dropped without an answer where `code` is None.

    `when` says whether it takes effect: "before" it could, or "after" it has.
    """

    operation: str
    when: Literal["before", "after"] = "before"
    code: str | None = None
    status: int = 400

    def answer(self, environ: WSGIEnvironment, ask: Callable[[], Response]) -> Response:
        """Answer in place of Secrets Manager."""
        if self.when == "after":
            ask()
        else:
            Request(environ).get_data()
        if self.code is None:
            # Shut down, not closed: werkzeug looks at the socket once more, and closes it itself.
            with suppress(OSError):
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        body = {"__type": self.code, "message": "made to fail"}
        return Response(json.dumps(body), self.status, content_type="application/x-amz-json-1.1")


@dataclass(frozen=True, kw_only=True)
class Meanwhile:
    """A call that goes well, while something else happens before or after it takes effect."""

    operation: str
    happens: Callable[[], object]
    when: Literal["before", "after"] = "before"

    def answer(self, _environ: WSGIEnvironment, ask: Callable[[], Response]) -> Response:
        """Let it happen, and ask Secrets Manager."""
        if self.when == "before":
            self.happens()
        answer = ask()
        if self.when == "after":
            self.happens()
        return answer


class LocalSecretsManager:
    """Secrets Manager at `url`, empty when the `with` block begins."""

    def __init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = LoopbackServer(self._answer)
        self._lock = threading.Lock()
        self._one_at_a_time = threading.Lock()
        self._calls: deque[tuple[str, str]] = deque()
        self._fates: defaultdict[str, deque[Fate | None]] = defaultdict(deque)
        self._correction = patch.object(FakeSecret, "reset_default_version", _make_current)

    def __enter__(self) -> Self:
        """Correct moto, and listen."""
        self._correction.start()
        self.reset()
        self._server.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop listening, and leave moto as it was."""
        self._server.__exit__(*exception)
        self._correction.stop()

    @property
    def url(self) -> str:
        """Where it is reached."""
        return self._server.url

    @property
    def environment(self) -> dict[str, str]:
        """What the SDK needs in the environment to come here; moto takes any credentials."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
        }

    def calls(self, app_id: str | None = None) -> Counter[str]:
        """Count the calls by operation; those of one application where an AWS_SDK_UA_APP_ID is given."""
        with self._lock:
            return Counter(operation for operation, agent in self._calls if app_id is None or f"app/{app_id}" in agent)

    def fault(self, fault: Fate, times: int = 1, after: int = 0) -> None:
        """Let some calls of an operation meet a fate: the next ones, or those `after` as many that go well."""
        with self._lock:
            self._fates[fault.operation] += [*[None] * after, *[fault] * times]

    def reset(self) -> None:
        """Forget the secrets, the faults and the calls."""
        with self._lock:
            moto.backends.get_backend("secretsmanager").reset()
            self._fates.clear()
            self._calls.clear()

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # The protocol of Secrets Manager names the operation here: "secretsmanager.GetSecretValue".
        operation = environ.get("HTTP_X_AMZ_TARGET", "").partition(".")[2]
        with self._lock:
            self._calls.append((operation, environ.get("HTTP_USER_AGENT", "")))
            fates = self._fates[operation]
            fate = fates.popleft() if fates else None

        def ask() -> Response:
            # One at a time: a write is atomic in Secrets Manager, and moto knows no locks.
            with self._one_at_a_time:
                return Response.from_app(self._moto, environ, buffered=True)

        answer = fate.answer(environ, ask) if fate else ask()
        return answer(environ, start_response)
