"""One experiment: a client of its own, twenty seconds of faults, and a recovery without faults."""

from __future__ import annotations

import json
import multiprocessing
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from infra.chaos.environment import serve
from infra.chaos.fault_schedule import FaultSchedule
from infra.chaos.proxies import CREDENTIALS, ObservedRun, Registry, TelenorProxy
from infra.promises.history import EMERGENCY, History, RunRecord

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future
    from multiprocessing.connection import Connection
    from pathlib import Path

    from mypy_boto3_secretsmanager.client import SecretsManagerClient

LIFETIME_SECONDS = 18.0
"""How long a token lives; it is renewed from two thirds of that on."""

SCHEDULE_SECONDS = 1.0
"""How far apart the scheduled runs are."""

RUN_SECONDS = 8.0
"""What a run has until it is killed as Lambda would. Half of it is kept back to store what it gets."""

_CHAOS_SECONDS = 20.0
# A renewal, the grace of what it supersedes, and the run that ends that.
_RECOVERY_SECONDS = LIFETIME_SECONDS
_CONCURRENCY = 3
_MAX_CALLS = 14

_SCHEDULED = "renew-if-due"
_ACTIONS = (_SCHEDULED, "rotate-now", "rotate-now", "rotate-now", EMERGENCY)

# Forked from a process that has imported the handler and nothing else, and has one thread.
_forked = multiprocessing.get_context("forkserver")
_forked.set_forkserver_preload(["infra.chaos.environment"])
_starting = threading.Lock()


class Setup(NamedTuple):
    """What all experiments share."""

    registry: Registry
    telenor: TelenorProxy
    client: SecretsManagerClient
    """An operator's client, whose calls meet no faults."""
    sdk: Mapping[str, str]
    """What the SDK needs in the environment."""
    logs: Path
    variant: str | None


@dataclass
class Environment:
    """A warm process that runs one invocation after the other."""

    name: str
    process: Any
    pipe: Connection

    def kill(self) -> None:
        """End it by SIGKILL."""
        self.process.kill()


class Experiment:
    """Everything in it is drawn from its seed; only how its runs interleave is up to the machine."""

    def __init__(self, setup: Setup, seed: int) -> None:
        self._setup = setup
        self._rng = Random(seed)  # noqa: S311  what is wanted of it is that it repeats itself
        self.seed = seed
        self._name = f"e{seed}"
        self._secret_id = f"{self._name}/token"
        self.history = History(grace=float(self._rng.choice((0, 1, 2, 2))), lifetime=LIFETIME_SECONDS)
        self._verifies = self._rng.random() < 0.3  # noqa: PLR2004  of the experiments
        self._environments: list[Environment] = []
        self._idle = threading.Semaphore(_CONCURRENCY)
        self._free: list[Environment] = []
        self._lock = threading.Lock()
        self._started = 0
        self._ids: list[str] = []

    def play(self) -> History:
        """Play it, and return what the servers have seen."""
        setup, history = self._setup, self.history
        setup.client.create_secret(Name=f"{self._name}/credentials", SecretString=CREDENTIALS)
        setup.client.create_secret(Name=self._secret_id)
        setup.registry.enter(self._secret_id, history)
        runs = ThreadPoolExecutor(_CONCURRENCY)
        try:
            self._inject_faults(runs)
            # All runs end before the recovery phase begins.
            runs.shutdown()
            self._recover()
        finally:
            runs.shutdown()
            for environment in self._environments:
                environment.kill()
            setup.registry.forget(self._secret_id)
            for secret_id in (self._secret_id, f"{self._name}/credentials"):
                setup.client.delete_secret(SecretId=secret_id, ForceDeleteWithoutRecovery=True)
        return history

    def log(self) -> str:
        """Return what its environments have logged."""
        return "".join(path.read_text(errors="replace") for path in self._setup.logs.glob(f"{self._name}-*.log"))

    # The plan

    def _inject_faults(self, runs: ThreadPoolExecutor) -> None:
        began_at = time.time()
        under_way: list[Future[None]] = []
        while time.time() < began_at + _CHAOS_SECONDS:
            under_way += [runs.submit(self._invoke, *invocation) for invocation in self._next_invocations()]
            if self._verifies and self._rng.random() < 0.05:  # noqa: PLR2004  of the seconds
                self._revoke_current_token_elsewhere()
            time.sleep(SCHEDULE_SECONDS * self._rng.uniform(0.3, 1.2))
        for run in under_way:
            run.result()

    def _next_invocations(self) -> list[tuple[str, str, FaultSchedule]]:
        """Draw what happens next: a run, two that overlap, or one event delivered twice, at once or late."""
        kind = self._rng.choice(("one", "one", "one", "two", "twins", "late twin"))
        if kind == "late twin" and self._ids:
            return [(self._rng.choice(("rotate-now", EMERGENCY)), self._rng.choice(self._ids), self._fault_schedule())]
        action = self._rng.choice(_ACTIONS)
        if kind == "twins":
            request_id = self._new_id()
            return [(action, request_id, self._fault_schedule()) for _ in range(2)]
        return [
            (self._rng.choice(_ACTIONS), self._new_id(), self._fault_schedule())
            for _ in range(2 if kind == "two" else 1)
        ]

    def _fault_schedule(self) -> FaultSchedule:
        rng = Random(self._rng.random())  # noqa: S311  likewise
        faults = FaultSchedule(rng, share=rng.choice((0.0, 0.0, 0.1, 0.3)), is_write_ambiguous=rng.random() < 0.1)  # noqa: PLR2004
        if rng.random() < 0.15:  # noqa: PLR2004  of the runs
            faults.kill_at = rng.randint(1, _MAX_CALLS)
        elif rng.random() < 0.15:  # noqa: PLR2004  of the others
            faults.operator_acts_at = rng.randint(1, _MAX_CALLS)
            faults.operator_action = partial(self._roll_back, rng)
        return faults

    def _new_id(self) -> str:
        self._ids.append(str(uuid.UUID(int=self._rng.getrandbits(128), version=4)))
        return self._ids[-1]

    def _recover(self) -> None:
        """Keep the schedule, without faults."""
        history = self.history
        history.recovery_from = began_at = time.time()
        number = 0
        while (due_at := began_at + number * SCHEDULE_SECONDS) < began_at + _RECOVERY_SECONDS:
            time.sleep(max(0.0, due_at - time.time()))
            history.schedule_delay = max(history.schedule_delay, time.time() - due_at)
            self._invoke(_SCHEDULED, self._new_id(), FaultSchedule(Random(0)), is_recovery=True)  # noqa: S311  unused
            number += 1
        history.ended_at = time.time()

    # What operators and others do

    def _roll_back(self, rng: Random) -> None:
        """Move AWSCURRENT back to a version that is still tracked and active."""
        with self.history.lock:
            if not self.history.states:
                return
            last, values = self.history.states[-1], dict(self.history.values)
        current = last.current
        older = sorted(
            version
            for version in last.tracked - {current}
            if version in values and self._setup.telenor.is_live(values[version])
        )
        if current is None or not older:
            return
        # Somebody else may have been faster, as with operators too.
        try:
            self._setup.client.update_secret_version_stage(
                SecretId=self._secret_id,
                VersionStage="AWSCURRENT",
                MoveToVersionId=rng.choice(older),
                RemoveFromVersionId=current,
            )
        except self._setup.client.exceptions.InvalidParameterException:
            return

    def _revoke_current_token_elsewhere(self) -> None:
        with self.history.lock:
            state = self.history.states[-1] if self.history.states else None
            token = self.history.values.get(state.current or "") if state else None
        if token is not None:
            self._setup.telenor.end(self.history, token)

    # One run

    def _invoke(self, action: str, request_id: str, faults: FaultSchedule, *, is_recovery: bool = False) -> None:
        environment = self._acquire()
        run = RunRecord(
            name=f"{self.seed}-{len(self.history.runs)}",
            request_id=request_id,
            action=action,
            began_at=time.time(),
            is_recovery=is_recovery,
        )
        with self.history.lock:
            self.history.runs.append(run)
        faults.kill = environment.kill
        self._setup.registry.begin(environment.name, ObservedRun(self.history, run, faults))
        logged = self._log_of(environment).stat().st_size
        has_survived = self._wait_for(environment, run, action, request_id)
        self._setup.registry.end(environment.name)
        run.ended_at = time.time()
        run.is_killed = not has_survived
        if has_survived:
            run.abandoned = _abandoned(self._log_of(environment), logged)
            with self.history.lock:
                published = set(self.history.values.values())
            run.left_active = sum(self._setup.telenor.is_live(token) for token in run.tokens if token not in published)
        self._release(environment, has_survived=has_survived)

    def _wait_for(self, environment: Environment, run: RunRecord, action: str, request_id: str) -> bool:
        """Wait for the run, and return whether the environment survived it."""
        event = {} if action == _SCHEDULED else {"action": action}
        try:
            environment.pipe.send((event, request_id, RUN_SECONDS))
            if not environment.pipe.poll(RUN_SECONDS + 0.5):
                environment.kill()
            run.failure = environment.pipe.recv()
        except (EOFError, OSError):
            return False
        return True

    def _acquire(self) -> Environment:
        self._idle.acquire()
        with self._lock:
            if self._free:
                return self._free.pop()
            self._started += 1
            name = f"{self._name}-{self._started}"
        return self._start(name)

    def _release(self, environment: Environment, *, has_survived: bool) -> None:
        with self._lock:
            if has_survived:
                self._free.append(environment)
            else:
                environment.pipe.close()
                environment.process.join()
                self._environments.remove(environment)
        self._idle.release()

    def _start(self, name: str) -> Environment:
        ours, theirs = _forked.Pipe()
        url = self._setup.telenor.url(name)
        environ = {
            **self._setup.sdk,
            "AWS_SDK_UA_APP_ID": name,
            "CLIENT_NAME": self._name,
            "CREDENTIALS_SECRET_ID": f"{self._name}/credentials",
            "TOKEN_SECRET_ID": self._secret_id,
            "TELENOR_BASE_URL": url,
            "VERIFY_URL": f"{url}/service-tickets/v2/incidents" if self._verifies else "",
            "GRACE_SECONDS": str(int(self.history.grace)),
            "SCHEDULE_MINUTES": str(SCHEDULE_SECONDS / 60),
        }
        log = str(self._setup.logs / f"{name}.log")
        process = _forked.Process(target=serve, args=(theirs, environ, log, self._setup.variant), daemon=True)
        # One at a time: the server that forks is asked over one socket.
        with _starting:
            process.start()
        theirs.close()
        environment = Environment(name, process, ours)
        with self._lock:
            self._environments.append(environment)
        ours.recv()
        return environment

    def _log_of(self, environment: Environment) -> Path:
        return self._setup.logs / f"{environment.name}.log"


def _abandoned(log: Path, offset: int) -> int:
    """Return how many tokens a run reported as abandoned: the metric, from the log."""
    with log.open("rb") as file:
        file.seek(offset)
        text = file.read().decode(errors="replace")
    return sum(_metrics(line).get("RevocationAbandoned", 0) for line in text.splitlines() if '"_aws"' in line)


def _metrics(line: str) -> dict[str, int]:
    document = json.loads(line)
    return {name: int(value[0]) for name, value in document.items() if isinstance(value, list)}
