"""A server that writes its answers byte by byte as a test says: whole, or in drips that do not end."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING, Any, NamedTuple

from infra.local.server import HOST

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

_MOST_BYTES = 65_536

# Nobody waits for a drip to end.
LONG_SECONDS = 4
_DRIP_SECONDS = 0.01


class Drip(NamedTuple):
    """The start of an answer, and what then comes again and again."""

    start: bytes
    drop: bytes


def whole(document: object, *, before: bytes = b"") -> bytes:
    """Return a good answer, after these bytes."""
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return before + head.encode() + body


class SlowServer(ThreadingTCPServer):
    """Answers on a loopback port; `answer` gets the path of each request, and one connection serves one request.

    After the `with` block, `outlasted` is the number of drips that ended before their client hung up.
    """

    def __init__(self, answer: Callable[[str], bytes | Drip]) -> None:
        super().__init__((HOST, 0), BaseRequestHandler)
        self._answer = answer
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
        """Answer one request."""
        self.requests.append(request.recv(_MOST_BYTES))
        # A client of TLS sends no path.
        path = self.requests[-1].partition(b" ")[2].partition(b" ")[0].decode(errors="replace")
        self.paths.append(path)
        answer = self._answer(path)
        with suppress(OSError):
            if isinstance(answer, bytes):
                request.sendall(answer)
                return
            request.sendall(answer.start)
            end_at = time.monotonic() + LONG_SECONDS
            while time.monotonic() < end_at:
                request.sendall(answer.drop)
                time.sleep(_DRIP_SECONDS)
            self.outlasted += 1
