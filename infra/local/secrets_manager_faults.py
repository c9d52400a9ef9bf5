"""Faults of a call to Secrets Manager: it fails, something happens beside it, or it returns an earlier state."""

from __future__ import annotations

import json
import math
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from werkzeug.wrappers import Response

if TYPE_CHECKING:
    from collections.abc import Callable
    from wsgiref.types import WSGIEnvironment


class Ask(Protocol):
    """Sends the call to Secrets Manager."""

    def __call__(self, *, writes_ago: int = 0, within_seconds: float = math.inf) -> Response:
        """Return the response, by the present state or the state before the last writes."""


class Fault(Protocol):
    """A fault of one call."""

    @property
    def operation(self) -> str:
        """The operation of the call."""

    def answer(self, environ: WSGIEnvironment, ask: Ask) -> Response:
        """Return a response, with or without Secrets Manager."""


@dataclass(frozen=True, kw_only=True)
class CallFault:
    """A failing call: refused with an error code, or dropped without a response if `code` is None.

    With `when` "before" it has no effect; with "after" it takes effect first.
    """

    operation: str
    when: Literal["before", "after"] = "before"
    code: str | None = None
    status: int = 400
    message: str = "made to fail"

    def answer(self, environ: WSGIEnvironment, ask: Ask) -> Response:
        """Return the fault's response."""
        if self.when == "after":
            ask()
        if self.code is None:
            # Shut down, not closed: werkzeug uses the socket once more, and closes it itself.
            with suppress(OSError):
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        return refusal(self.code, self.message, self.status)


@dataclass(frozen=True, kw_only=True)
class Meanwhile:
    """A call while something else happens before or after it; it goes well, or has a fault of its own."""

    operation: str
    happens: Callable[[], object]
    when: Literal["before", "after"] = "before"
    fault: Fault | None = None

    def answer(self, environ: WSGIEnvironment, ask: Ask) -> Response:
        """Run the action before or after the call."""
        if self.when == "before":
            self.happens()
        answer = self.fault.answer(environ, ask) if self.fault else ask()
        if self.when == "after":
            self.happens()
        return answer


@dataclass(frozen=True, kw_only=True)
class Lag:
    """A read that lags: it returns the state before the last writes to that secret.

    It still sees writes older than `within_seconds`.
    """

    operation: str
    writes: int = 1
    within_seconds: float = math.inf

    def answer(self, _environ: WSGIEnvironment, ask: Ask) -> Response:
        """Return the earlier state."""
        return ask(writes_ago=self.writes, within_seconds=self.within_seconds)


def refusal(code: str | None, message: str, status: int = 400) -> Response:
    """Return an error as AWS sends it."""
    body = {"__type": code, "message": message}
    return Response(json.dumps(body), status, content_type="application/x-amz-json-1.1")
