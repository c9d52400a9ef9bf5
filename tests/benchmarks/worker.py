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

from handler import app
from infra.local.child import Child
from tests.benchmarks.stack import CREDENTIALS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_secretsmanager.client import SecretsManagerClient


class Worker(Child):
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

    def pairs(self, client: str, times: int) -> list[Any]:
        """Make a bare call and a run, in turn, as close to each other as can be."""
        return [self.describe([client]) + self.invoke([client]) for _ in range(times)]

    def peak_kib(self) -> int:
        """Return the most memory that this process has had, in KiB."""
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))

    def _run(self, name: str, action: str) -> object:
        event = {
            "action": action,
            "credentials_secret_id": f"{name}/credentials",
            "token_secret_id": f"{name}/token",
        }
        return app.lambda_handler(event, _Context())

    def _describe(self, name: str) -> None:
        self._client.describe_secret(SecretId=f"{name}/token")

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
