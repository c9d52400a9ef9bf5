"""The job of one client on this machine, with all that its runs do recorded."""

from __future__ import annotations

import base64
import itertools
import json
import time
import uuid
from typing import TYPE_CHECKING

from infra.local.lambda_worker import LambdaWorker
from infra.local.telenor_sandbox import DEMO_CLIENT_ID, DEMO_CLIENT_SECRET
from infra.promises.history import History, RunRecord
from infra.promises.instrumented_servers import ObservedRun
from infra.promises.random_faults import RandomFaults

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Self

    from infra.promises.local_servers import LocalServers

# Settings that are given as a path at Telenor's sandbox, which each worker reaches by a path of its own.
URLS = ("VERIFY_URL", "TOKEN_URL", "REVOCATION_URL")
_BASIC = base64.b64encode(f"{DEMO_CLIENT_ID}:{DEMO_CLIENT_SECRET}".encode()).decode()


class RecordedJob:
    """The job of one client: two secrets, a few warm workers, and the history of its runs."""

    def __init__(  # noqa: PLR0913  what the programs differ in
        self,
        servers: LocalServers,
        name: str,
        history: History,
        environ: Mapping[str, str],
        *,
        run_seconds: float,
        warm: int = 0,
        patch_handler: Callable[[], None] | None = None,
    ) -> None:
        """Create the secrets; `warm` workers start before the first run, and others when they are needed."""
        self.servers, self.name, self.history = servers, name, history
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
        servers.client.create_secret(Name=f"{name}/credentials", SecretString=credentials)
        servers.client.create_secret(Name=self.secret_id)
        servers.histories[self.secret_id] = history

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
        faults: RandomFaults | None = None,
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
            began_at=self.servers.clock.time(),
            is_recovery=is_recovery,
            kill=worker.kill,
        )
        with self.history.lock:
            self.history.runs.append(run)
        logged = worker.log.stat().st_size
        self.servers.runs[worker.name] = ObservedRun(self.history, run, faults or RandomFaults())
        result = worker.run({"action": action} if action else {}, run.request_id, self._run_seconds)
        del self.servers.runs[worker.name]
        run.ended_at = self.servers.clock.time()
        if result is None:
            run.is_killed = True
            worker.close()
            del self._workers[worker.name]
            return run
        run.failure = result.get("error")
        run.abandoned = _abandoned(worker.log, logged)
        with self.history.lock:
            published = set(self.history.values.values())
        run.left_active = sum(self.servers.telenor.is_live(token) for token in run.tokens if token not in published)
        self._idle.append(worker)
        return run

    def keep_schedule(
        self, stop: threading.Event, period_seconds: float, on_run: Callable[[RunRecord], object] = lambda _: None
    ) -> None:
        """Start runs as EventBridge does, until stopped. Skip a tick during a run."""
        clock, period = self.servers.clock, period_seconds / self.servers.clock.speed
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
        url = f"{self.servers.telenor.url}/{name}"
        environ = {**self.servers.aws.environment, **self.environ, "TELENOR_BASE_URL": url}
        for variable in URLS:
            if path := environ.get(variable):
                environ[variable] = url + path
        log = self.servers.logs / f"{name}.log"
        worker = self._workers[name] = LambdaWorker(name, environ, log, self.servers.clock, self._patch_handler)
        return worker


def _abandoned(log: Path, offset: int) -> int:
    """Return how many tokens a run reported as abandoned: the metric, from the log."""
    with log.open("rb") as file:
        file.seek(offset)
        lines = [json.loads(line) for line in file if b'"_aws"' in line]
    return sum(int(line["RevocationAbandoned"][0]) for line in lines if "RevocationAbandoned" in line)
