"""Proxies for both servers: they inject faults and record what the servers see of each run."""

from __future__ import annotations

import base64
import http.client
import json
import re
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from werkzeug.wrappers import Request, Response

from infra.local.secrets_manager import LocalSecretsManager, stages_of
from infra.local.server import LoopbackServer
from infra.local.telenor_sandbox import DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, TelenorSandbox
from infra.promises.history import Logout, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Self
    from wsgiref.types import StartResponse, WSGIEnvironment

    from infra.chaos.fault_schedule import FaultSchedule
    from infra.local.secrets_manager import Fault
    from infra.promises.history import History, RunRecord

TOKEN_MARK = "chaos-token-"  # noqa: S105  what every token begins with, to look for in the log
CREDENTIALS = json.dumps({"client_id": DEMO_CLIENT_ID, "client_secret": DEMO_CLIENT_SECRET})
BASIC = base64.b64encode(f"{DEMO_CLIENT_ID}:{DEMO_CLIENT_SECRET}".encode()).decode()

_APP_ID = re.compile(r"\bapp/(\S+)")
_TIMEOUT_SECONDS = 10


class ObservedRun:
    """A run under way: what is recorded of it, and the faults that it meets."""

    def __init__(self, history: History, run: RunRecord, faults: FaultSchedule) -> None:
        self.history = history
        self.run = run
        self.faults = faults


class Registry:
    """Which run each environment is at, and which experiment each secret belongs to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._observed: dict[str, ObservedRun] = {}
        self._histories: dict[str, History] = {}

    def begin(self, environment: str, observed: ObservedRun) -> None:
        """Take note that an environment runs."""
        with self._lock:
            self._observed[environment] = observed

    def end(self, environment: str) -> None:
        """Take note that it has ended; a request of it that still comes in is nobody's."""
        with self._lock:
            self._observed.pop(environment, None)

    def observed(self, environment: str) -> ObservedRun | None:
        """Return what an environment runs."""
        with self._lock:
            return self._observed.get(environment)

    def enter(self, secret_id: str, history: History) -> None:
        """Take note of an experiment's token secret."""
        with self._lock:
            self._histories[secret_id] = history

    def history(self, secret_id: str) -> History | None:
        """Return the experiment of a secret."""
        with self._lock:
            return self._histories.get(secret_id)

    def forget(self, secret_id: str) -> None:
        """Drop what was recorded of a secret."""
        with self._lock:
            self._histories.pop(secret_id, None)


class SecretsManagerProxy(LocalSecretsManager):
    """Secrets Manager with faults, by the AWS_SDK_UA_APP_ID of each environment."""

    def __init__(self, registry: Registry) -> None:
        super().__init__()
        self._registry = registry

    def _next_fault(self, operation: str, _parameters: Mapping[str, Any], agent: str, /) -> Fault | None:
        observed = self._observed(agent)
        if observed is None:
            return None
        with observed.history.lock:
            if operation == "PutSecretValue":
                observed.run.put_at = observed.run.put_at or time.time()
            fault, is_fault = observed.faults.secrets_manager(operation)
            if is_fault:
                observed.run.faults[operation] += 1
        return fault

    def _asked(self, operation: str, environ: WSGIEnvironment, parameters: Mapping[str, Any]) -> Response:
        answer = super()._asked(operation, environ, parameters)
        secret_id = str(parameters.get("SecretId", ""))
        history = self._registry.history(secret_id)
        observed = self._observed(environ.get("HTTP_USER_AGENT", ""))
        if history is None:
            return answer
        with history.lock:
            if (
                operation == "GetSecretValue"
                and observed
                and parameters.get("VersionStage", "AWSCURRENT") == "AWSCURRENT"
            ):
                observed.run.read_current_at = time.time()
            stages = stages_of(secret_id)
            # A read that lags sees another past in its place, which is no state of its own.
            if operation not in {"GetSecretValue", "DescribeSecret"} and (
                not history.states or history.states[-1].stages != stages
            ):
                if (document := _document_in(parameters)) and answer.status_code == http.HTTPStatus.OK:
                    version = json.loads(answer.get_data())["VersionId"]
                    history.values[version] = document["access_token"]
                    history.documented_until[version] = document["expires_at"]
                history.states.append(State(time.time(), observed.run if observed else None, stages))
                if observed is None:
                    # No read lags behind an operator, or no run could see what has been done.
                    self.forget_past(secret_id)
        return answer

    def _observed(self, agent: str) -> ObservedRun | None:
        match = _APP_ID.search(agent)
        return self._registry.observed(match.group(1)) if match else None


class TelenorProxy:
    """A proxy before the sandbox: `/<environment>/...` leads to it, through the faults of what runs there."""

    def __init__(self, sandbox: TelenorSandbox, registry: Registry) -> None:
        self._sandbox = sandbox
        self._registry = registry
        self._server = LoopbackServer(self._answer)

    def __enter__(self) -> Self:
        """Listen, and serve in threads."""
        self._server.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the port."""
        self._server.__exit__(*exception)

    def url(self, environment: str) -> str:
        """Where an environment reaches Telenor."""
        return f"{self._server.url}/{environment}"

    def end(self, history: History, token: str) -> None:
        """End a token as another party would."""
        with history.lock:
            self._ask("GET", "/oauth/v2/logout", {"Authorization": f"Bearer {token}"}, b"")
            history.logouts.append(Logout(time.time(), token, None, None))

    def is_live(self, token: str) -> bool:
        """Tell whether Telenor accepts a token now."""
        return self._sandbox.is_live(token)

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        arrived_at, request = time.time(), Request(environ)
        body = request.get_data()
        _, environment, path = request.path.split("/", 2)
        operation = path.rpartition("/")[2]
        observed = self._registry.observed(environment)
        if observed is None:
            # What a killed run has sent is answered to nobody.
            return Response(status=503)(environ, start_response)
        with observed.history.lock:
            fault, happens, when = observed.faults.telenor(operation)
            if fault is not None:
                observed.run.faults[operation] += 1
        if happens and when == "before":
            happens()
        status, content_type, answer = 503, "text/plain", b""
        if fault is None or fault.when == "after":
            headers = {
                name: value
                for name in ("Authorization", "Content-Type", "Accept")
                if (value := request.headers.get(name)) is not None
            }
            # One at a time in an experiment, so that the record has the order of the effects.
            with observed.history.lock:
                status, content_type, answer = self._ask(request.method, f"/{path}", headers, body)
                if status == http.HTTPStatus.OK:
                    _note(observed, operation, arrived_at, answer, headers)
                    if operation == "token" and fault is None:
                        observed.run.tokens.append(_issued(answer))
        if happens and when == "after":
            happens()
        if fault is None:
            return Response(answer, status, content_type=content_type)(environ, start_response)
        if fault.drop:
            # Shut down, not closed: werkzeug looks at the socket once more, and closes it itself.
            with suppress(OSError):
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        return Response(fault.body or "", fault.status or 503, content_type="application/json")(environ, start_response)

    def _ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str, bytes]:
        address = urlsplit(self._sandbox.url)
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request(method, path, body or None, dict(headers))
            response = connection.getresponse()
            return response.status, response.headers.get("Content-Type", "text/plain"), response.read()
        finally:
            connection.close()


def _note(observed: ObservedRun, operation: str, arrived_at: float, answer: bytes, headers: Mapping[str, str]) -> None:
    if operation == "token":
        observed.history.expires_at[_issued(answer)] = arrived_at + observed.history.lifetime
    elif operation == "logout":
        token = headers["Authorization"].removeprefix("Bearer ")
        observed.history.logouts.append(Logout(time.time(), token, observed.run, observed.run.read_current_at))


def _issued(answer: bytes) -> str:
    return str(json.loads(answer)["access_token"])


def _document_in(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return dict(json.loads(parameters["SecretString"])) if "SecretString" in parameters else {}
