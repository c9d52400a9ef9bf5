"""One warm execution environment that measures itself: `python -m tests.benchmarks.worker`.

It takes a line `{"do": ..., ...}` and answers a line. What the handler prints goes to stderr, which is a file.
"""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools.metrics import MetricUnit

from handler import app
from infra.local.worker_process import WorkerProcess
from tests.benchmarks.stack import CREDENTIALS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_secretsmanager.client import SecretsManagerClient


class Worker(WorkerProcess):
    """The process, seen from the one that asks."""

    def __init__(self, environ: Mapping[str, str], log: IO[bytes]) -> None:
        super().__init__("tests.benchmarks.worker", environ, log)
        self._own_log = log

    def ask(self, **what: Any) -> Any:
        """Let it do something, and wait for its answer."""
        self.send(what)
        return self.answer()

    def answer(self) -> Any:
        """Wait for the answer to what it was sent."""
        answer = self.receive()
        if answer is None:
            self.stop()
            self._own_log.seek(0)
            raise RuntimeError(f"a worker has ended: {self._own_log.read()[-2000:].decode(errors='replace')}")
        return answer


# As long as what a run tells of itself.
_METRICS = ("One",)
_SUMMARY = {
    "outcome": "not-due",
    "reason": "fresh",
    "version_id": str(uuid.UUID(int=0)),
    "expires_at": 1795472999,
    "renews_at": 1795471200,
    "revoked": [],
    "pending_revocations": 0,
    "attempts": 0,
    "revocations_failed": 0,
    "revocations_abandoned": 0,
    "telenor_seconds": 0.0,
    "duration_seconds": 0.005,
}


class _Clock:
    """The machine's own clock, moved forward between runs."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class _Context:
    """Lambda's context, as far as the handler uses it."""

    def __init__(self) -> None:
        self.aws_request_id = str(uuid.uuid4())

    def get_remaining_time_in_millis(self) -> int:
        return 120_000


class _Environment:
    def __init__(self) -> None:
        self._clock = app.clock = _Clock()
        self._client: SecretsManagerClient = boto3.client("secretsmanager")

    def create(self, clients: list[str]) -> int:
        """Create the two secrets of each client; return how many clients that were."""
        for name in clients:
            self._client.create_secret(Name=f"{name}/credentials", SecretString=json.dumps(CREDENTIALS))
            self._client.create_secret(Name=f"{name}/token")
        return len(clients)

    def invoke(self, clients: list[str], action: str = "renew-if-due", ahead_seconds: float = 0) -> list[Any]:
        """Run once for each client; return what each run took and answered."""
        self._clock.ahead += timedelta(seconds=ahead_seconds)
        return [self._timed(lambda name=name: self._run(name, action)) for name in clients]  # type: ignore[misc]

    def describe(self, clients: list[str]) -> list[Any]:
        """Make one bare call for each client, as boto3 makes it."""
        return [self._timed(lambda name=name: self._describe(name)) for name in clients]  # type: ignore[misc]

    def in_turn(self, client: str, times: int) -> list[Any]:
        """Make a bare call, one that is told of as a run tells of itself, and a run, close to each other."""
        # With the address that is deployed: a loopback one takes a check that https does not. Nothing is sent there.
        loopback = os.environ.pop("TELENOR_BASE_URL")
        took = [
            [*self.describe([client]), self._timed(lambda: self._describe_and_tell(client)), *self.invoke([client])]
            for _ in range(times)
        ]
        os.environ["TELENOR_BASE_URL"] = loopback
        return took

    def peak_kib(self) -> int:
        """Return the most memory that this process has had, in KiB."""
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))

    def _run(self, name: str, action: str) -> object:
        event = {
            "action": action,
            "client": name,
            "credentials_secret_id": f"{name}/credentials",
            "token_secret_id": f"{name}/token",
        }
        return app.lambda_handler(event, _Context())

    def _describe(self, name: str) -> None:
        self._client.describe_secret(SecretId=f"{name}/token")

    def _describe_and_tell(self, name: str) -> None:
        """Make a bare call, write one log line as long as the job's, and as many metrics as a run that is not due."""
        self._describe(name)
        app.logger.info("run ended: not-due", extra=_SUMMARY)
        for metric in _METRICS:
            app.metrics.add_metric(metric, MetricUnit.Count, 0)
        app.metrics.flush_metrics()

    @staticmethod
    def _timed(act: Callable[[], object]) -> dict[str, object]:
        wall, own = time.perf_counter(), time.process_time()
        answer = act()
        return {"own": time.process_time() - own, "wall": time.perf_counter() - wall, "answer": answer}


def main() -> None:
    """Do what each line says, until stdin closes."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1, encoding="utf-8") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        environment = _Environment()
        for line in sys.stdin:
            asked = json.loads(line)
            answer = getattr(environment, asked.pop("do"))(**asked)
            sys.stdout.flush()
            answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
