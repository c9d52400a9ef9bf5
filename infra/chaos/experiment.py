"""One experiment: a client of its own, twenty seconds of faults, and a recovery without faults."""

from __future__ import annotations

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from infra.promises.history import EMERGENCY, History
from infra.promises.random_faults import RandomFaults
from infra.promises.recorded_job import RecordedJob

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from infra.promises.history import RunRecord
    from infra.promises.local_servers import LocalServers

LIFETIME_SECONDS = 18.0
"""Lifetime of a token; it is renewed from two thirds of that on."""

SCHEDULE_SECONDS = 1.0
"""The schedule interval."""

RUN_SECONDS = 8.0
"""The timeout of a run. Half of it is reserved to store a token."""

_CHAOS_SECONDS = 20.0
# A renewal, the grace of what it supersedes, and the run that ends that.
_RECOVERY_SECONDS = LIFETIME_SECONDS
_CONCURRENCY = 3
_MAX_CALLS = 14

_ACTIONS = (None, "rotate-now", "rotate-now", "rotate-now", EMERGENCY)


class Experiment:
    """Draws everything from its seed; only the interleaving of runs depends on the machine."""

    def __init__(self, servers: LocalServers, seed: int, patch: Callable[[], None] | None) -> None:
        self._rng = Random(seed)  # noqa: S311  what is wanted of it is that it repeats itself
        self.history = History(grace=float(self._rng.choice((0, 1, 2, 2))))
        self._verifies = self._rng.random() < 0.3  # noqa: PLR2004  of the experiments
        environ = {
            "SCHEDULE_MINUTES": str(SCHEDULE_SECONDS / 60),
            "VERIFY_URL": "/service-tickets/v2/incidents" if self._verifies else "",
        }
        self._servers = servers
        self.job = RecordedJob(servers, f"e{seed}", self.history, environ, run_seconds=RUN_SECONDS, patch_handler=patch)
        self._ids: list[str] = []

    def play(self) -> None:
        """Inject faults, wait until all runs have ended, and keep the schedule without faults."""
        with self.job:
            with ThreadPoolExecutor(_CONCURRENCY) as runs:
                self._inject_faults(runs)
            self.history.recovery_from = self._servers.clock.time()
            stop = threading.Event()
            threading.Timer(_RECOVERY_SECONDS, stop.set).start()
            self.job.keep_schedule(stop, SCHEDULE_SECONDS)
            self.history.ended_at = self._servers.clock.time()

    def _inject_faults(self, runs: ThreadPoolExecutor) -> None:
        began_at = time.monotonic()
        under_way: list[Future[RunRecord]] = []
        while time.monotonic() < began_at + _CHAOS_SECONDS:
            under_way += [runs.submit(self.job.invoke, *invocation) for invocation in self._next_invocations()]
            if self._verifies and self._rng.random() < 0.05:  # noqa: PLR2004  of the seconds
                self._revoke_current_token_elsewhere()
            time.sleep(SCHEDULE_SECONDS * self._rng.uniform(0.3, 1.2))
        for run in under_way:
            run.result()

    def _next_invocations(self) -> list[tuple[str | None, str, RandomFaults]]:
        """Draw the next invocations: one run, two overlapping runs, or a duplicate event, at once or late."""
        kind = self._rng.choice(("one", "one", "one", "two", "duplicate", "late duplicate"))
        if kind == "late duplicate" and self._ids:
            return [(self._rng.choice(("rotate-now", EMERGENCY)), self._rng.choice(self._ids), self._random_faults())]
        action, request_id = self._rng.choice(_ACTIONS), self._new_id()
        first = (action, request_id, self._random_faults())
        if kind == "duplicate":
            return [first, (action, request_id, self._random_faults())]
        if kind == "two":
            return [first, (self._rng.choice(_ACTIONS), self._new_id(), self._random_faults())]
        return [first]

    def _random_faults(self) -> RandomFaults:
        rng = Random(self._rng.random())  # noqa: S311  likewise
        faults = RandomFaults(rng, share=rng.choice((0.0, 0.0, 0.1, 0.3)), is_write_ambiguous=rng.random() < 0.1)  # noqa: PLR2004
        if rng.random() < 0.3:  # noqa: PLR2004  of the runs: they are killed, or an operator rolls back
            faults.event_at = rng.randint(1, _MAX_CALLS)
            faults.operator_action = rng.choice((None, partial(self._roll_back, rng)))
        return faults

    def _new_id(self) -> str:
        self._ids.append(str(uuid.UUID(int=self._rng.getrandbits(128), version=4)))
        return self._ids[-1]

    def _roll_back(self, rng: Random) -> None:
        """Move AWSCURRENT back to a version that is still tracked and active."""
        with self.history.lock:
            if not self.history.states:
                return
            last, values = self.history.states[-1], dict(self.history.values)
        older = [version for version in sorted(last.tracked - {last.current}) if version in values]
        active = [version for version in older if self._servers.telenor.is_live(values[version])]
        if last.current is None or not active:
            return
        client = self._servers.client
        # Another operator may have been faster.
        with suppress(client.exceptions.InvalidParameterException):
            client.update_secret_version_stage(
                SecretId=self.job.secret_id,
                VersionStage="AWSCURRENT",
                MoveToVersionId=rng.choice(active),
                RemoveFromVersionId=last.current,
            )

    def _revoke_current_token_elsewhere(self) -> None:
        with self.history.lock:
            current = self.history.states[-1].current if self.history.states else None
            token = self.history.values.get(current or "")
        if token is not None:
            self._servers.telenor.revoke_elsewhere(self.history, token)
