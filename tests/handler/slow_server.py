"""A server that writes its answers byte by byte as a test says: whole, or in drips that do not end."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.local.server import HOST

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

_DRIP_SECONDS = 0.1
_MOST_BYTES = 65_536


@dataclass(frozen=True)
class Drip:
    """The start of an answer, and what then comes again and again for `seconds`."""

    start: bytes
    drop: bytes
    seconds: float


def whole(document: object, *, before: bytes = b"") -> bytes:
    """Return a good answer, after these bytes."""
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return before + head.encode() + body


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

# A start and a drop for each part of an answer that can drip.
DRIPS = {
    "the status line": (b"HTTP/1.1 200 O", b"K"),
    "a header": (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
    "headers without end": (b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n"),
    "a 100 Continue after the other": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "the size of a chunk": (CHUNKED, b"0"),
    "chunks without end": (CHUNKED, b"1\r\n \r\n"),
    "trailers without end": (CHUNKED + b"2\r\n{}\r\n0\r\n", b"X-More: 1\r\n"),
    "empty gzip members": (OK + b"Content-Encoding: gzip\r\nContent-Length: 60000\r\n\r\n", gzip.compress(b"")),
    "the body": (OK + b"Content-Length: 60000\r\n\r\n", b" "),
}


class SlowServer:
    """Answers on a loopback port; `answer` gets the path of each request, and one connection serves one request."""

    def __init__(self, answer: Callable[[str], bytes | Drip]) -> None:
        self._answer = answer
        self._listener = socket.create_server((HOST, 0))
        self.paths: list[str] = []
        self._outlasted = 0
        self._cut = 0
        self._speaking: list[threading.Thread] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # Shut down first, since closing alone does not wake the thread that accepts.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._listener.getsockname()[1]}"

    @property
    def outlasted(self) -> int:
        """How many drips ended before their client hung up; waits for those under way."""
        self._wait()
        return self._outlasted

    @property
    def cut(self) -> int:
        """How many drips their client did not wait for; waits for those under way."""
        self._wait()
        return self._cut

    def _wait(self) -> None:
        for thread in list(self._speaking):
            thread.join()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._speak, args=(connection,), daemon=True)
                thread.start()
                self._speaking.append(thread)

    def _speak(self, connection: socket.socket) -> None:
        with connection:
            line = connection.recv(_MOST_BYTES).split(b" ", 2)
            # A client of TLS sends no path.
            path = line[1].decode(errors="replace") if len(line) > 1 else ""
            self.paths.append(path)
            answer = self._answer(path)
            if isinstance(answer, bytes):
                with suppress(OSError):
                    connection.sendall(answer)
                return
            end_at = time.monotonic() + answer.seconds
            try:
                connection.sendall(answer.start)
                while time.monotonic() < end_at:
                    connection.sendall(answer.drop)
                    time.sleep(_DRIP_SECONDS)
            except OSError:
                self._cut += 1
            else:
                self._outlasted += 1
