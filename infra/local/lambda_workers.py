"""Lambda on this machine: warm execution environments, each a process that runs the handler again and again.

`python -m infra.local.execution_environments` is one of them. It takes a delivery a line, `{"event", "request_id",
"seconds"}`, and answers a line, `{"result"}` or `{"error"}`; what the handler prints goes to stderr.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from handler import app
from handler.errors import RotationError
from infra.local.child import Child
from infra.local.story import Story

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self


Ending = dict[str, Any] | None
"""How a run ended: with {"result"}, with {"error"}, or with the end of its process."""


@dataclass(frozen=True)
class Delivery:
    """An event under a request id, which Lambda keeps when it delivers the event again."""

    event: Mapping[str, Any]
    request_id: str

    @classmethod
    def new(cls, event: Mapping[str, Any]) -> Delivery:
        """Give an event a request id of its own."""
        return cls(event, str(uuid.uuid4()))


class ExecutionEnvironments:
    """A few warm execution environments that take turns; one that dies is replaced."""

    def __init__(
        self, environ: Mapping[str, str], log: IO[bytes], story: Story, *, run_seconds: float, size: int = 2
    ) -> None:
        self._environ = {**environ, **story.environ}
        self._log = log
        self._run_seconds = run_seconds
        self._size = size
        self._lock = threading.Lock()
        self._idle: queue.Queue[_Environment] = queue.Queue()
        self._running: list[_Environment] = []

    def __enter__(self) -> Self:
        """Start the environments, and wait until they are warm."""
        environments = [self._start() for _ in range(self._size)]
        for environment in environments:
            environment.warm_up()
            self._idle.put(environment)
        return self

    def __exit__(self, *_: object) -> None:
        """End them; no run may be under way any more."""
        while not self._idle.empty():
            self._idle.get().stop()

    def invoke(self, *deliveries: Delivery) -> list[Ending]:
        """Run all of them at the same instant, each in an environment that is free, and return how they ended."""
        # Taken before any is used. Whoever takes several must be alone in that, or two would wait for each other.
        taken = [self._idle.get() for _ in deliveries]
        with ThreadPoolExecutor(len(taken)) as at_once:
            return list(at_once.map(self._run, taken, deliveries))

    def kill_running(self) -> bool:
        """End one that is running by SIGKILL; tell whether that is how it ended."""
        with self._lock:
            running = self._running[:1]
        return any(environment.kill() == -signal.SIGKILL for environment in running)

    def _start(self) -> _Environment:
        return _Environment(self._environ, self._log, self._run_seconds)

    def _run(self, environment: _Environment, delivery: Delivery) -> Ending:
        environment.warm_up()
        with self._lock:
            self._running.append(environment)
        ending = environment.run(delivery)
        with self._lock:
            self._running.remove(environment)
        if ending is None:
            environment.stop()
            environment = self._start()
        self._idle.put(environment)
        return ending


class _Environment(Child):
    """One execution environment, cold at first."""

    def __init__(self, environ: Mapping[str, str], log: IO[bytes], run_seconds: float) -> None:
        super().__init__("infra.local.execution_environments", environ, log)
        self._run_seconds = run_seconds
        self._is_warm = False

    def warm_up(self) -> None:
        """Wait until it has started."""
        if not self._is_warm and self.receive() is None:
            self.stop()
            raise RuntimeError("an execution environment did not start: the log says why")
        self._is_warm = True

    def run(self, delivery: Delivery) -> Ending:
        """Run the handler once, for as long as it may take."""
        timeout = threading.Timer(self._run_seconds, self.kill)
        timeout.start()
        self.send({"event": delivery.event, "request_id": delivery.request_id, "seconds": self._run_seconds})
        ending: Ending = self.receive()
        timeout.cancel()
        return ending


class _Context:
    """Lambda's context, as far as the handler uses it, by the handler's clock."""

    def __init__(self, request_id: str, seconds: float, speed: float) -> None:
        self.aws_request_id = request_id
        self._ends_at = time.monotonic() + seconds
        self._speed = speed

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the run would be ended."""
        return max(0, int((self._ends_at - time.monotonic()) * self._speed * 1000))


def _answer(line: dict[str, Any], story: Story) -> dict[str, Any]:
    # Any other exception ends the environment, as it does in Lambda.
    try:
        context = _Context(line["request_id"], line["seconds"], story.speed)
        return {"result": app.lambda_handler(line["event"], context)}
    except RotationError as error:
        return {"error": str(error)}


def main() -> None:
    """Be one execution environment until stdin closes."""
    app.clock = story = Story.of(os.environ)
    # Answers have the pipe for themselves: everything else that is written to stdout from here on goes to stderr.
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1, encoding="utf-8") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        answers.write('{"ready": true}\n')
        for line in sys.stdin:
            answer = _answer(json.loads(line), story)
            sys.stdout.flush()
            answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
