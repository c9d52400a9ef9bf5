"""The job on this machine, with all that its runs do recorded: both servers, and the workers of each job."""

from __future__ import annotations

import base64
import itertools
import json
import os
import tempfile
import time
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import boto3
from botocore.config import Config

from infra.local.fast_clock import FastClock
from infra.local.lambda_worker import LambdaWorker
from infra.local.telenor_sandbox import DEMO_CLIENT_ID, DEMO_CLIENT_SECRET
from infra.promises.fault_schedule import FaultSchedule
from infra.promises.history import History, RunRecord
from infra.promises.recording_servers import Histories, ObservedRun, RecordingSecretsManager, RecordingTelenor, Runs

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping
    from typing import Self

# Variables that send the SDKs and the handler to other servers.
_REDIRECTING_VARIABLES = (
    *("AWS_", "POWERTOOLS_", "TELENOR_", "TOKEN_", "REVOCATION_", "CLIENT_", "VERIFY_", "SERVES_", "ROUTINE_"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"),
)
# Settings that are given as a path at Telenor's sandbox, which each worker reaches by a path of its own.
URLS = ("VERIFY_URL", "TOKEN_URL", "REVOCATION_URL")
_MAX_CONNECTIONS = 50
_BASIC = base64.b64encode(f"{DEMO_CLIENT_ID}:{DEMO_CLIENT_SECRET}".encode()).decode()


class LocalStack:
    """Both servers and a folder for logs; the environment leads to these servers and to no others."""

    def __init__(self, clock: FastClock | None = None, port: int = 0) -> None:
        self.clock = clock or FastClock()
        self.runs: Runs = {}
        self.histories: Histories = {}
        self.aws = RecordingSecretsManager(self.runs, self.histories, self.clock, port and port + 1)
        self.telenor = RecordingTelenor(self.runs, self.clock, port)
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        self._opened.enter_context(patch.dict(os.environ))
        for name in [name for name in os.environ if name.upper().startswith(_REDIRECTING_VARIABLES)]:
            del os.environ[name]
        self.logs = Path(self._opened.enter_context(tempfile.TemporaryDirectory(prefix="telenor-")))
        self._opened.enter_context(self.telenor)
        self._opened.enter_context(self.aws)
        # No profile of the user's either.
        os.environ.update(self.aws.environment, AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)
        self.client = boto3.client("secretsmanager", config=Config(max_pool_connections=_MAX_CONNECTIONS))
        return self

    def __exit__(self, *_: object) -> None:
        """Stop them, and delete the logs."""
        self._opened.close()

    def log(self, job: str = "") -> str:
        """Return the log of a job's workers, or of all processes."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.logs.glob(f"{job}*.log")))


class RecordedJob:
    """The job of one client: two secrets, a few warm workers, and the history of its runs."""

    def __init__(  # noqa: PLR0913  what the programs differ in
        self,
        stack: LocalStack,
        name: str,
        history: History,
        environ: Mapping[str, str],
        *,
        run_seconds: float,
        warm: int = 0,
        patch_handler: Callable[[], None] | None = None,
    ) -> None:
        """Create the secrets; `warm` workers start before the first run, and others when they are needed."""
        self.stack, self.name, self.history = stack, name, history
        self.secret_id = f"{name}/token"
        self.environ = {
            "CREDENTIALS_SECRET_ID": f"{name}/credentials",
            "TOKEN_SECRET_ID": self.secret_id,
            "GRACE_SECONDS": f"{history.grace:.0f}",
            **environ,
        }
        self._run_seconds = run_seconds
        self._warm, self._patch_handler = warm, patch_handler
        self._numbers = itertools.count(1)
        self._workers: dict[str, LambdaWorker] = {}
        self._idle: list[LambdaWorker] = []
        credentials = json.dumps({"client_id": DEMO_CLIENT_ID, "client_secret": DEMO_CLIENT_SECRET})
        stack.client.create_secret(Name=f"{name}/credentials", SecretString=credentials)
        stack.client.create_secret(Name=self.secret_id)
        stack.histories[self.secret_id] = history

    def __enter__(self) -> Self:
        self._idle += [self._start() for _ in range(self._warm)]
        return self

    def __exit__(self, *_: object) -> None:
        for worker in list(self._workers.values()):
            worker.close()

    def invoke(
        self,
        action: str | None = None,
        request_id: str | None = None,
        faults: FaultSchedule | None = None,
        *,
        is_recovery: bool = False,
    ) -> RunRecord:
        """Run once, in a free worker."""
        try:
            worker = self._idle.pop()
        except IndexError:
            worker = self._start()
        run = RunRecord(
            name=f"{worker.name}-{len(self.history.runs)}",
            request_id=request_id or str(uuid.uuid4()),
            action=action or "renew-if-due",
            began_at=self.stack.clock.time(),
            is_recovery=is_recovery,
            kill=worker.kill,
        )
        with self.history.lock:
            self.history.runs.append(run)
        logged = worker.log.stat().st_size
        self.stack.runs[worker.name] = ObservedRun(self.history, run, faults or FaultSchedule())
        result = worker.run({"action": action} if action else {}, run.request_id, self._run_seconds)
        del self.stack.runs[worker.name]
        run.ended_at = self.stack.clock.time()
        if result is None:
            run.is_killed = True
            worker.close()
            del self._workers[worker.name]
            return run
        run.failure = result.get("error")
        run.abandoned = _abandoned(worker.log, logged)
        with self.history.lock:
            published = set(self.history.values.values())
        run.left_active = sum(self.stack.telenor.is_live(token) for token in run.tokens if token not in published)
        self._idle.append(worker)
        return run

    def keep_schedule(
        self, stop: threading.Event, period_seconds: float, on_run: Callable[[RunRecord], object] = lambda _: None
    ) -> None:
        """Start runs as EventBridge does, until stopped. Skip a tick during a run."""
        clock, period = self.stack.clock, period_seconds / self.stack.clock.speed
        began_at, before = time.monotonic(), None
        while not stop.is_set():
            now = clock.time()
            if before is not None:
                self.history.schedule_delay = max(self.history.schedule_delay, now - before - period_seconds)
            before = now
            on_run(self.invoke(is_recovery=self.history.recovery_from is not None))
            stop.wait(period - (time.monotonic() - began_at) % period)

    def secrets_in(self, log: str) -> bool:
        """Return whether a token or the client secret is in a log."""
        return any(secret in log for secret in (*self.history.issued_at, DEMO_CLIENT_SECRET, _BASIC))

    def _start(self) -> LambdaWorker:
        name = f"{self.name}-{next(self._numbers)}"
        # Also what leads the SDK here: the process that forks may be older than these servers.
        environ = {**self.stack.aws.environment, **self.environ, "TELENOR_BASE_URL": f"{self.stack.telenor.url}/{name}"}
        for variable in URLS:
            if path := environ.get(variable):
                environ[variable] = environ["TELENOR_BASE_URL"] + path
        log = self.stack.logs / f"{name}.log"
        worker = self._workers[name] = LambdaWorker(name, environ, log, self.stack.clock, self._patch_handler)
        return worker


def _abandoned(log: Path, offset: int) -> int:
    """Return how many tokens a run reported as abandoned: the metric, from the log."""
    with log.open("rb") as file:
        file.seek(offset)
        lines = [json.loads(line) for line in file if b'"_aws"' in line]
    return sum(int(line["RevocationAbandoned"][0]) for line in lines if "RevocationAbandoned" in line)
