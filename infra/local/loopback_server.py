"""A WSGI application on a loopback port of this machine, for as long as a `with` block lasts."""

from __future__ import annotations

import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from typing import Self
    from wsgiref.types import WSGIApplication

HOST = "127.0.0.1"


class _QuietHandler(WSGIRequestHandler):
    """Answers without a line to stderr for each request."""

    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        """Begin without a tracer: measuring the coverage of a server would double the time of its answers."""
        sys.settrace(None)
        super().setup()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Print no line for a request."""

    def send_response(self, code: int, message: str | None = None) -> None:
        """Leave the Date header to the application, which may have another clock."""
        self.send_response_only(code, message)


class LoopbackServer:
    """Serves an application in threads. Port 0 takes a free one."""

    def __init__(self, app: WSGIApplication, port: int = 0) -> None:
        self._app = app
        self._port = port
        self._running: tuple[BaseWSGIServer, threading.Thread] | None = None

    def __enter__(self) -> Self:
        server = make_server(HOST, self._port, self._app, threaded=True, request_handler=_QuietHandler)
        # Polled often, because stopping waits for the next poll.
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01), daemon=True)
        thread.start()
        self._running = server, thread
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening, without waiting for delayed responses."""
        if self._running:
            server, thread = self._running
            server.shutdown()
            thread.join()
        self._running = None

    @property
    def url(self) -> str:
        """The base URL, without a slash at the end."""
        if self._running is None:
            raise RuntimeError("The server is not running.")
        return f"http://{HOST}:{self._running[0].port}"
