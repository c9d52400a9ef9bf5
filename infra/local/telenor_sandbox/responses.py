"""An HTTP response before it is sent, and how a fault changes it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.local.telenor_sandbox.authorization_server import IssuedToken
    from infra.local.telenor_sandbox.settings import Fault

HTML_PAGE = "<!doctype html><html><title>Sorry</title><body><h1>Back in a moment</h1></body></html>"


@dataclass(frozen=True)
class ApiResponse:
    """An HTTP response before it is sent, and the token that it is about."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    token: IssuedToken | None = None

    @classmethod
    def plain(cls, text: str, status: int = 200) -> ApiResponse:
        """Send text as text."""
        return cls(status, text.encode(), "text/plain; charset=utf-8")

    def with_fault(self, fault: Fault) -> ApiResponse:
        """Return what the client gets to see of it."""
        seen = self._replaced(fault) if fault.replaces else self
        retry = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        return replace(
            seen,
            body=seen.body[: fault.truncate_bytes],
            content_type=fault.content_type or seen.content_type,
            headers={**seen.headers, **(fault.headers or {}), **retry},
        )

    def _replaced(self, fault: Fault) -> ApiResponse:
        if fault.html:
            return ApiResponse(fault.status or 200, HTML_PAGE.encode(), "text/html; charset=utf-8", token=self.token)
        return replace(ApiResponse.plain(fault.body or "", fault.status or 200), token=self.token)
