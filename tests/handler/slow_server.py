"""A server that sends complete responses, or dripping ones that do not end before the client's deadline."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING, Any, NamedTuple

from infra.local.loopback_server import HOST

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

_MOST_BYTES = 65_536

# Dripping lasts longer than any test waits.
LONG_SECONDS = 4
_DRIP_SECONDS = 0.01


class Drip(NamedTuple):
    """A dripping response: its start, and the bytes that then follow repeatedly."""

    start: bytes
    drop: bytes


def whole(document: object, *, before: bytes = b"") -> bytes:
    """Return a complete valid response, after the bytes `before`."""
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return before + head.encode() + body


class SlowServer(ThreadingTCPServer):
    """Listens on a loopback port. `respond` gets the path of each request; each connection serves one request.

    `outlasted` is the number of dripping responses that ended before their client hung up.
    """

    def __init__(self, respond: Callable[[str], bytes | Drip]) -> None:
        super().__init__((HOST, 0), BaseRequestHandler)
        self._respond = respond
        self.url = f"http://{HOST}:{self.server_address[1]}"
        self.requests: list[bytes] = []
        self.paths: list[str] = []
        self.outlasted = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def finish_request(self, request: Any, _client_address: Any) -> None:
        """Respond to one request."""
        self.requests.append(request.recv(_MOST_BYTES))
        # A TLS client sends no path here.
        path = self.requests[-1].partition(b" ")[2].partition(b" ")[0].decode(errors="replace")
        self.paths.append(path)
        response = self._respond(path)
        with suppress(OSError):
            if isinstance(response, bytes):
                request.sendall(response)
                return
            request.sendall(response.start)
            end_at = time.monotonic() + LONG_SECONDS
            while time.monotonic() < end_at:
                request.sendall(response.drop)
                time.sleep(_DRIP_SECONDS)
            self.outlasted += 1
