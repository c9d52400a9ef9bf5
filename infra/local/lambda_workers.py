"""Lambda on this machine: warm workers, each a process that runs the handler again and again.

`python -m infra.local.lambda_workers` is one of them. It takes a delivery a line, `{"event", "request_id",
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
from infra.local.fast_clock import FastClock
from infra.local.worker_process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self


RunResult = dict[str, Any] | None
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


class LambdaWorkers:
    """A few warm workers that take turns; a worker that exits is replaced."""

    def __init__(
        self, environ: Mapping[str, str], log: IO[bytes], clock: FastClock, *, run_seconds: float, size: int = 2
    ) -> None:
        self._environ = {**environ, **clock.environ}
        self._log = log
        self._run_seconds = run_seconds
        self._size = size
        self._lock = threading.Lock()
        self._idle: queue.Queue[_Worker] = queue.Queue()
        self._running: list[_Worker] = []

    def __enter__(self) -> Self:
        """Start the workers, and wait until they are warm."""
        workers = [self._start() for _ in range(self._size)]
        for worker in workers:
            worker.warm_up()
            self._idle.put(worker)
        return self

    def __exit__(self, *_: object) -> None:
        """End them; no run may be under way any more."""
        while not self._idle.empty():
            self._idle.get().stop()

    def invoke(self, *deliveries: Delivery) -> list[RunResult]:
        """Run all of them at the same instant, each in a free worker, and return their results."""
        # Taken before any is used. Whoever takes several must be alone in that, or two would wait for each other.
        taken = [self._idle.get() for _ in deliveries]
        with ThreadPoolExecutor(len(taken)) as at_once:
            return list(at_once.map(self._run, taken, deliveries))

    def kill_running(self) -> bool:
        """End one that is running by SIGKILL; tell whether that is how it ended."""
        with self._lock:
            running = self._running[:1]
        return any(worker.kill() == -signal.SIGKILL for worker in running)

    def _start(self) -> _Worker:
        return _Worker(self._environ, self._log, self._run_seconds)

    def _run(self, worker: _Worker, delivery: Delivery) -> RunResult:
        worker.warm_up()
        with self._lock:
            self._running.append(worker)
        result = worker.run(delivery)
        with self._lock:
            self._running.remove(worker)
        if result is None:
            worker.stop()
            worker = self._start()
        self._idle.put(worker)
        return result


class _Worker(WorkerProcess):
    """One worker, cold at first."""

    def __init__(self, environ: Mapping[str, str], log: IO[bytes], run_seconds: float) -> None:
        super().__init__("infra.local.lambda_workers", environ, log)
        self._run_seconds = run_seconds
        self._is_warm = False

    def warm_up(self) -> None:
        """Wait until it has started."""
        if not self._is_warm and self.receive() is None:
            self.stop()
            raise RuntimeError("a worker did not start: the log says why")
        self._is_warm = True

    def run(self, delivery: Delivery) -> RunResult:
        """Run the handler once, for as long as it may take."""
        timeout = threading.Timer(self._run_seconds, self.kill)
        timeout.start()
        self.send({"event": delivery.event, "request_id": delivery.request_id, "seconds": self._run_seconds})
        result: RunResult = self.receive()
        timeout.cancel()
        return result


class _Context:
    """Lambda's context, as far as the handler uses it, by the handler's clock."""

    def __init__(self, request_id: str, seconds: float, speed: float) -> None:
        self.aws_request_id = request_id
        self._ends_at = time.monotonic() + seconds
        self._speed = speed

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the run would be ended."""
        return max(0, int((self._ends_at - time.monotonic()) * self._speed * 1000))


def _answer(line: dict[str, Any], clock: FastClock) -> dict[str, Any]:
    # Any other exception ends the worker, as it does in Lambda.
    try:
        context = _Context(line["request_id"], line["seconds"], clock.speed)
        return {"result": app.lambda_handler(line["event"], context)}
    except RotationError as error:
        return {"error": str(error)}


def main() -> None:
    """Run as one worker until stdin closes."""
    app.clock = clock = FastClock.of(os.environ)
    # Answers have the pipe for themselves: everything else that is written to stdout from here on goes to stderr.
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1, encoding="utf-8") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        answers.write('{"ready": true}\n')
        for line in sys.stdin:
            answer = _answer(json.loads(line), clock)
            sys.stdout.flush()
            answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
