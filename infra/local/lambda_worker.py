"""Lambda on this machine: a warm process that runs the handler repeatedly."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from handler import app
from handler.errors import RotationError
from handler.secrets_manager import create_client

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from multiprocessing.connection import Connection
    from pathlib import Path

    from infra.local.fast_clock import FastClock

RunResult = dict[str, Any] | None
"""How a run ended: with {"result"}, with {"error"}, or with the end of its process."""

# Forked from a process that has imported the handler and nothing else, and has one thread.
_forked = multiprocessing.get_context("forkserver")
_forked.set_forkserver_preload([__name__])
_starting = threading.Lock()

# Created once, so that the SDK has read its data on Secrets Manager before any worker is forked.
if os.environ.get("AWS_REGION"):
    create_client()


class LambdaWorker:
    """A warm worker; its output goes to `log`."""

    def __init__(
        self,
        name: str,
        environ: Mapping[str, str],
        log: Path,
        clock: FastClock,
        patch_handler: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._pipe, theirs = _forked.Pipe()
        arguments = (theirs, {**environ, "AWS_SDK_UA_APP_ID": name}, str(log), clock, patch_handler)
        self._process = _forked.Process(target=_serve, args=arguments, daemon=True)
        # One at a time: the fork server has one socket.
        with _starting:
            self._process.start()
        theirs.close()
        self._pipe.recv()

    def run(self, event: Mapping[str, Any], request_id: str, seconds: float) -> RunResult:
        """Run the handler once, and kill the worker if that takes longer than `seconds` of the machine."""
        try:
            self._pipe.send((event, request_id, seconds))
            if not self._pipe.poll(seconds + 0.5):
                self.kill()
            result: RunResult = self._pipe.recv()
        except (EOFError, OSError):
            return None
        return result

    def kill(self) -> None:
        """Kill the process."""
        self._process.kill()

    def close(self) -> None:
        """Kill the process, and wait for its end."""
        self.kill()
        self._process.join()
        self._pipe.close()


class _Context:
    """The part of Lambda's context that the handler uses, by the handler's clock."""

    def __init__(self, request_id: str, seconds: float, speed: float) -> None:
        self.aws_request_id = request_id
        self._ends_at = time.monotonic() + seconds
        self._speed = speed

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the run would be ended."""
        return max(0, int((self._ends_at - time.monotonic()) * self._speed * 1000))


def _serve(
    pipe: Connection, environ: Mapping[str, str], log: str, clock: FastClock, patch_handler: Callable[[], None] | None
) -> None:
    """Run the events from the pipe until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends this one
    os.environ.update(environ)
    output = os.open(log, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(output, stream.fileno())
    app.clock = clock
    if patch_handler:
        patch_handler()
    pipe.send("ready")
    while True:
        event, request_id, seconds = pipe.recv()
        try:
            result: RunResult = {"result": app.lambda_handler(event, _Context(request_id, seconds, clock.speed))}
        except RotationError as error:
            result = {"error": str(error)}
        sys.stdout.flush()
        pipe.send(result)
