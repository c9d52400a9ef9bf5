"""A log of requests and responses, without secrets."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flask import Request

HISTORY = 1000  # received requests that are kept

_SCHEMES = {"basic": "Basic", "bearer": "Bearer", "": ""}
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization"})
_OPEN_FIELDS = frozenset({"grant_type", "scope", "redirect_uri", "response_type"})


@dataclass(frozen=True)
class Received:
    """A request as it came in, without what is secret in it."""

    operation: str
    headers: Mapping[str, str]
    """Names in lower case; of Authorization only the scheme."""
    form_keys: tuple[str, ...]
    form: Mapping[str, str]
    """The fields that hold no secret."""

    @classmethod
    def of(cls, operation: str, sent: Request) -> Received:
        """Take down a request."""
        headers = {name.lower(): value for name, value in sent.headers}
        for name in _SECRET_HEADERS & headers.keys():
            headers[name] = _SCHEMES.get(headers[name].partition(" ")[0].lower(), "other")
        open_fields = {name: value for name, value in sent.form.items() if name in _OPEN_FIELDS}
        return cls(operation, headers, tuple(sent.form), open_fields)


class RequestLog:
    """Received requests, and answers by status; the caller holds the lock."""

    def __init__(self, operations: Iterable[str]) -> None:
        self.requests: deque[Received] = deque(maxlen=HISTORY)
        self.counters: Mapping[str, Counter[str]] = {operation: Counter() for operation in operations}
        self.protected = {"accepted": 0, "refused": 0}
