"""The sandbox over HTTP: the API's operations, and what turns and breaks them under /_sandbox/."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import Flask, Request, Response, request

from infra.local.server import LoopbackServer
from infra.local.telenor_sandbox.authorization_server import AuthorizationServer, RefusalError, random_text, short_id
from infra.local.telenor_sandbox.clients import SEEDED_CLIENTS, Client
from infra.local.telenor_sandbox.error_formats import ErrorFormats
from infra.local.telenor_sandbox.errors import ErrorKind
from infra.local.telenor_sandbox.request_log import Received, RequestLog
from infra.local.telenor_sandbox.responses import ApiResponse
from infra.local.telenor_sandbox.settings import BadSettingError, Fault, Knobs, checked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

OPERATIONS: Mapping[str, tuple[str, str]] = {
    "token": ("POST", "/oauth/v2/token"),
    "logout": ("GET", "/oauth/v2/logout"),
    "incidents": ("GET", "/service-tickets/v2/incidents"),
}

INCIDENTS = (
    {"id": "INC-1001", "status": "open", "title": "No signal at Fornebu"},
    {"id": "INC-1002", "status": "resolved", "title": "Slow line in Bodø"},
)

# Of an operation that a fault kept from acting; the fault drops or replaces it.
_NO_RESPONSE = ApiResponse(status=503)


def _hang_up(sent: Request) -> Response:
    # Shut down, not closed: werkzeug looks at the socket once more, and closes it itself.
    with suppress(OSError):  # the client may have gone first
        sent.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    return Response()


def _json_response(document: object, status: int = 200) -> Response:
    return Response(json.dumps(document) + "\n", status, content_type="application/json")


def _fields_sent() -> dict[str, Any]:
    # Forced, because curl -d calls everything a form.
    document = request.get_json(force=True, silent=True)
    if not isinstance(document, dict):
        raise BadSettingError("The body must be one JSON object.")
    return document


class TelenorSandbox:
    """The sandbox on a port of this machine, for as long as the ``with`` block lasts.

    ``clock`` gives epoch seconds and decides when tokens expire; ``sleep`` is what delays wait with;
    ``new_token`` makes the values of access tokens; ``seed`` decides on the variations of its answers.
    """

    def __init__(  # noqa: PLR0913 - by name, and each has a default
        self,
        *,
        port: int = 0,
        clients: Mapping[str, Client] | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        new_token: Callable[[], str] = random_text,
        seed: int = 1,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._seed = seed
        self._new_issuer = partial(
            AuthorizationServer, SEEDED_CLIENTS if clients is None else dict(clients), clock, new_token
        )
        self._lock = threading.Lock()
        self._server = LoopbackServer(self._app(), port)
        self.reset()

    def __enter__(self) -> Self:
        """Listen, and serve in a thread."""
        self._server.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop listening; an answer that is still delayed is not waited for."""
        self._server.__exit__(*exception)

    @property
    def url(self) -> str:
        """Where it is reached, without a slash at the end."""
        return self._server.url

    @property
    def requests(self) -> list[Received]:
        """The last requests to the API, oldest first."""
        with self._lock:
            return list(self._request_log.requests)

    def is_live(self, access_token: str) -> bool:
        """Say whether this token is neither revoked nor expired; its protected resource may not know yet."""
        with self._lock:
            return self._issuer.is_live(access_token)

    def is_accepted(self, access_token: str) -> bool:
        """Say whether the protected resource would let this token in now."""
        with self._lock:
            return self._issuer.is_accepted(access_token)

    def state(self) -> dict[str, Any]:
        """Show every token by its short id, and the counters; no secrets."""
        with self._lock:
            now = self._clock()
            tokens = self._issuer.tokens.values()
            return {
                "tokens": {short_id(token.value): token.view(now) for token in tokens},
                "counters": {name: dict(counter) for name, counter in self._request_log.counters.items()},
                "protected": dict(self._request_log.protected),
            }

    def fault(self, /, **given: Any) -> dict[str, Any]:  # noqa: ANN401 - checked one by one
        """Break something; the fields are those of `Fault`."""
        fault = checked(Fault, given)
        with self._lock:
            self._faults.append(fault)
        return fault.model_dump()

    def faults(self) -> list[dict[str, Any]]:
        """List the faults that are still to come, in their order."""
        with self._lock:
            return [fault.model_dump() for fault in self._faults]

    def clear_faults(self) -> None:
        """Let everything work again."""
        with self._lock:
            self._faults.clear()

    def knobs(self, /, **given: Any) -> dict[str, Any]:  # noqa: ANN401 - checked one by one
        """Turn the given knobs, which are those of `Knobs`, and show all of them."""
        with self._lock:
            self._issuer.knobs = checked(Knobs, self._issuer.knobs.model_dump() | given)
            return self._issuer.knobs.model_dump()

    def reset(self) -> None:
        """Forget tokens, faults, knobs and everything seen."""
        with self._lock:
            self._issuer = self._new_issuer()
            self._error_formats = ErrorFormats(self._seed)
            self._request_log = RequestLog(OPERATIONS)
            self._faults: list[Fault] = []

    def _app(self) -> Flask:
        app = Flask("telenor-sandbox", static_folder=None)
        for operation, (method, path) in OPERATIONS.items():
            app.add_url_rule(path, operation, partial(self._serve, operation), methods=[method])
        for (method, name), act in self._controls().items():
            view = partial(self._control, act)
            app.add_url_rule(f"/_sandbox/{name}", f"{method} {name}", view, methods=[method])
        app.register_error_handler(404, self._not_found)
        return app

    def _controls(self) -> Mapping[tuple[str, str], Callable[[], object]]:
        return {
            ("POST", "faults"): lambda: self.fault(**_fields_sent()),
            ("GET", "faults"): self.faults,
            ("DELETE", "faults"): self.clear_faults,
            ("PATCH", "knobs"): lambda: self.knobs(**_fields_sent()),
            ("GET", "knobs"): self.knobs,
            ("GET", "state"): self.state,
            ("POST", "reset"): self.reset,
        }

    def _control(self, act: Callable[[], object]) -> Response:
        try:
            result = act()
        except BadSettingError as error:
            return _json_response({"error": str(error)}, 400)
        return Response(status=204) if result is None else _json_response(result)

    def _not_found(self, _error: Exception) -> Response:
        with self._lock:
            return self._response(self._error_formats.refusal(ErrorKind.NOT_FOUND, self._issuer.knobs))

    def _serve(self, operation: str) -> Response:
        fault = self._arrived(operation)
        if fault and fault.when == "before":
            self._delay(fault)
        response = self._decided(operation, fault)
        if fault and fault.when == "after":
            self._delay(fault)
        if fault and fault.drop:
            return _hang_up(request)
        with self._lock:
            return self._response(response)

    def _response(self, response: ApiResponse) -> Response:
        date = formatdate(self._clock() + self._issuer.knobs.clock_ahead_seconds, usegmt=True)
        return Response(
            response.body, response.status, {"Date": date, **response.headers}, content_type=response.content_type
        )

    def _arrived(self, operation: str) -> Fault | None:
        """Take the request down, and use up the first fault that waits for it."""
        received = Received.of(operation, request)  # reads the body, which a slow client may hold back
        with self._lock:
            self._request_log.requests.append(received)
            for index, fault in enumerate(self._faults):
                if fault.operation == operation:
                    self._faults[index : index + 1] = fault.left_over()
                    return fault
        return None

    def _delay(self, fault: Fault) -> None:
        if fault.delay_seconds:
            self._sleep(fault.delay_seconds)

    def _decided(self, operation: str, fault: Fault | None) -> ApiResponse:
        """Act unless the fault prevents it, and put on record what the client gets to see."""
        with self._lock:
            response = self._performed(operation) if fault is None or fault.acts else _NO_RESPONSE
            if fault and fault.kind:
                response = replace(self._error_formats.refusal(fault.kind, self._issuer.knobs), token=response.token)
            if fault:
                response = response.with_fault(fault)
            outcome = "dropped" if fault and fault.drop else response.status
            self._request_log.counters[operation][str(outcome)] += 1
        return response

    def _performed(self, operation: str) -> ApiResponse:
        """Do what was asked, or refuse it in the error format of the moment."""
        authorization, knobs = request.headers.get("Authorization", ""), self._issuer.knobs
        try:
            if operation == "token":
                return self._error_formats.issued(self._issuer.create_token(authorization, request.form), knobs)
            if operation == "logout":
                ended = self._issuer.logout(authorization)
                return replace(self._error_formats.logged_out(knobs), token=ended)
            return self._incidents(authorization)
        except RefusalError as refusal:
            return replace(self._error_formats.refusal(refusal.kind, knobs), token=refusal.token)

    def _incidents(self, authorization: str) -> ApiResponse:
        try:
            token = self._issuer.open(authorization)
        except RefusalError:
            self._request_log.protected["refused"] += 1
            raise
        self._request_log.protected["accepted"] += 1
        return replace(self._error_formats.resource(INCIDENTS, self._issuer.knobs), token=token)
