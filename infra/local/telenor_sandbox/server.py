"""The sandbox over HTTP: the API's operations, and the faults under /_sandbox/."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter, deque
from contextlib import suppress
from email.utils import formatdate
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from flask import Flask, Response, request
from pydantic import ValidationError

from infra.local.loopback_server import LoopbackServer
from infra.local.telenor_sandbox import authorization_server
from infra.local.telenor_sandbox.error_kinds import ErrorKind
from infra.local.telenor_sandbox.knobs_and_faults import Fault, Knobs
from infra.local.telenor_sandbox.outgoing_response import OutgoingResponse
from infra.local.telenor_sandbox.response_formats import ResponseFormats

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OPERATIONS: Mapping[str, tuple[str, str]] = {
    "token": ("POST", "/oauth/v2/token"),
    "logout": ("GET", "/oauth/v2/logout"),
    "incidents": ("GET", "/service-tickets/v2/incidents"),
}

REVOCATION_PATH = "/oauth/v2/revoke"
"""RFC 7009's revocation, for a job that has `TOKEN_URL`: another request for the operation "logout"."""

INCIDENTS = (
    {"id": "INC-1001", "status": "open", "title": "No signal at Fornebu"},
    {"id": "INC-1002", "status": "resolved", "title": "Slow line in Bodø"},
)

# For an operation without effect; its fault drops or replaces this response.
_NO_RESPONSE = OutgoingResponse(status=503)
_MAX_REQUESTS = 1000
_OPEN_FIELDS = frozenset({"grant_type", "scope"})


class Received(NamedTuple):
    """A received request without its secrets."""

    operation: str
    headers: Mapping[str, str]
    """Names in lower case; of Authorization only the scheme."""
    form: Mapping[str, str]
    """The fields that hold no secret."""


class TelenorSandbox(LoopbackServer):
    """The sandbox on a port of this machine, for as long as the ``with`` block lasts.

    ``clock`` gives epoch seconds and decides when tokens expire; ``sleep`` is what delays wait with;
    ``new_token`` makes the values of access tokens.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        clients: Mapping[str, authorization_server.Client] = authorization_server.SEEDED_CLIENTS,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        new_token: Callable[[], str] = authorization_server.random_text,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._new_issuer = partial(authorization_server.AuthorizationServer, clients, clock, new_token)
        self._lock = threading.Lock()
        super().__init__(self._flask(), port)
        self.reset()

    @property
    def requests(self) -> list[Received]:
        """The last requests to the API, oldest first."""
        with self._lock:
            return list(self._requests)

    def is_live(self, access_token: str) -> bool:
        """Return whether this token is neither revoked nor expired; the protected resource may not know yet."""
        with self._lock:
            return self._issuer.is_live(access_token)

    def state(self) -> dict[str, Any]:
        """Show every token by its short id, and the counters; no secrets."""
        with self._lock:
            now = self._clock()
            return {
                "tokens": {
                    authorization_server.short_id(token.value): token.view(now)
                    for token in self._issuer.tokens.values()
                },
                "counters": {name: dict(counter) for name, counter in self._counters.items()},
                "protected": {name: self._protected[name] for name in ("accepted", "refused")},
            }

    def fault(self, /, **given: Any) -> None:  # noqa: ANN401 - checked one by one
        """Add a fault, with the fields of `Fault`."""
        fault = Fault.model_validate(given)
        with self._lock:
            self._faults.append(fault)

    def clear_faults(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def knobs(self, /, **given: Any) -> None:  # noqa: ANN401 - checked one by one
        """Set the given knobs, with the fields of `Knobs`."""
        with self._lock:
            self._issuer.knobs = Knobs.model_validate(self._issuer.knobs.model_dump() | given)

    def reset(self) -> None:
        """Remove tokens, faults, knobs and records."""
        with self._lock:
            self._issuer = self._new_issuer()
            self._rng = Random(1)  # noqa: S311 - hides nothing
            self._requests = deque[Received](maxlen=_MAX_REQUESTS)
            self._counters: Mapping[str, Counter[str]] = {operation: Counter() for operation in OPERATIONS}
            self._protected = Counter[str]()
            self._faults: list[Fault] = []

    @property
    def _response_formats(self) -> ResponseFormats:
        return ResponseFormats(self._issuer.knobs, self._rng)

    def _flask(self) -> Flask:
        app = Flask("telenor-sandbox", static_folder=None)
        self._route(app, "", self._serve)
        app.get("/_sandbox/state")(self.state)
        app.post("/_sandbox/faults")(self._add_fault)
        app.delete("/_sandbox/faults")(self._delete_faults)
        app.register_error_handler(404, self._not_found)
        return app

    def _route(self, app: Flask, prefix: str, serve: Callable[..., Response]) -> None:
        for operation, (method, path) in OPERATIONS.items():
            app.add_url_rule(prefix + path, prefix + path, partial(serve, operation), methods=[method])
        path = prefix + REVOCATION_PATH
        app.add_url_rule(path, path, partial(serve, "logout"), methods=["POST"])

    def _add_fault(self) -> tuple[dict[str, Any], int]:
        # Forced, because curl -d calls everything a form.
        sent = request.get_json(force=True, silent=True)
        fault = sent if isinstance(sent, dict) else {}
        try:
            self.fault(**fault)
        except ValidationError as error:
            return {"error": str(error)}, 400
        return fault, 200

    def _delete_faults(self) -> tuple[str, int]:
        self.clear_faults()
        return "", 204

    def _not_found(self, _error: Exception) -> Response:
        with self._lock:
            return self._response(self._response_formats.refusal(ErrorKind.NOT_FOUND))

    def _serve(self, operation: str) -> Response:
        fault = self._arrived(operation)
        if fault and fault.delay_seconds and fault.when == "before":
            self._sleep(fault.delay_seconds)
        response = self._decided(operation, fault)
        if fault and fault.delay_seconds and fault.when == "after":
            self._sleep(fault.delay_seconds)
        if fault and fault.drop:
            # Shut down, not closed: werkzeug looks at the socket once more, and closes it itself.
            with suppress(OSError):  # the client may have gone first
                request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return Response()
        with self._lock:
            return self._response(response)

    def _response(self, response: OutgoingResponse) -> Response:
        date = formatdate(self._clock() + self._issuer.knobs.clock_ahead_seconds, usegmt=True)
        return Response(
            response.body, response.status, {"Date": date, **response.headers}, content_type=response.content_type
        )

    def _arrived(self, operation: str) -> Fault | None:
        """Record the request, and consume its next fault."""
        headers = {name.lower(): value for name, value in request.headers}
        if "authorization" in headers:
            scheme = headers["authorization"].partition(" ")[0]
            headers["authorization"] = scheme if scheme in {"Basic", "Bearer"} else "other"
        # Reads the body, which a slow client may hold back.
        form = {name: value for name, value in request.form.items() if name in _OPEN_FIELDS}
        with self._lock:
            self._requests.append(Received(operation, headers, form))
            for index, fault in enumerate(self._faults):
                if fault.operation == operation:
                    self._faults[index : index + 1] = fault.left_over()
                    return fault
        return None

    def _decided(self, operation: str, fault: Fault | None) -> OutgoingResponse:
        """Perform the operation unless the fault prevents it, and record the response."""
        with self._lock:
            response = self._performed(operation) if fault is None or fault.acts else _NO_RESPONSE
            if fault:
                response = response.with_fault(fault)
            outcome = "dropped" if fault and fault.drop else response.status
            self._counters[operation][str(outcome)] += 1
        return response

    def _performed(self, operation: str) -> OutgoingResponse:
        """Perform the operation, or refuse it in the current error format."""
        authorization, formats = request.authorization, self._response_formats
        try:
            if operation == "token":
                return formats.issued(self._issuer.create_token(authorization, request.form), self._clock())
            if operation == "logout":
                if request.method == "POST":
                    return formats.logged_out(self._issuer.revoke(authorization, request.form))
                return formats.logged_out(self._issuer.logout(authorization))
            self._issuer.open(authorization)
        except authorization_server.RefusalError as refusal:
            self._protected["refused"] += operation == "incidents"
            return formats.refusal(refusal.kind)
        self._protected["accepted"] += 1
        return formats.json(200, INCIDENTS)
