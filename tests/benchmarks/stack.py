"""The servers that the job runs against, in a process of their own, so that their time is not the job's.

`python -m tests.benchmarks.stack` says in a line of JSON what the environment must be, and answers each line with the
calls so far. It ends when its stdin closes.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from infra.local.secrets_manager import LocalSecretsManager
from infra.local.telenor_sandbox import DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, TelenorSandbox
from infra.local.worker_process import WorkerProcess

if TYPE_CHECKING:
    from typing import Self

CREDENTIALS = {"client_id": DEMO_CLIENT_ID, "client_secret": DEMO_CLIENT_SECRET}


@dataclass(frozen=True)
class Calls:
    """What has been called so far."""

    aws: Counter[str]
    telenor: Counter[str]

    def since(self, before: Calls) -> Calls:
        """Return what has been called in between."""
        return Calls(self.aws - before.aws, self.telenor - before.telenor)


class Stack(WorkerProcess):
    """Both servers; `environment` leads the SDK and the handler there."""

    def __init__(self) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed with the stack
        super().__init__("tests.benchmarks.stack", {}, self._log)

    def __enter__(self) -> Self:
        environment = self.receive()
        if environment is None:
            self.stop()
            raise RuntimeError("the servers did not start")
        self.environment: dict[str, str] = environment
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._log.close()

    def calls(self) -> Calls:
        """Ask for the calls so far."""
        self.send("calls")
        answer = self.receive()
        return Calls(Counter(answer["aws"]), Counter(answer["telenor"]))


def main() -> None:
    """Serve until stdin closes."""
    with LocalSecretsManager() as aws, TelenorSandbox() as sandbox:
        _say({**aws.environment, "TELENOR_BASE_URL": sandbox.url})
        for _ in sys.stdin:
            counters = sandbox.state()["counters"]
            telenor = {operation: sum(counter.values()) for operation, counter in counters.items()}
            _say({"aws": aws.calls(), "telenor": telenor})


def _say(document: object) -> None:
    print(json.dumps(document), flush=True)  # noqa: T201  what the parent waits for


if __name__ == "__main__":
    main()
