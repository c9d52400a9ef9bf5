"""One episode: a client of its own, some twenty seconds of bad weather, and a calm in which everything heals."""

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
from infra.chaos.history import EMERGENCY, History, RunSeen
from infra.chaos.stage import CREDENTIALS, Register, TelenorGate, Watched
from infra.chaos.weather import Weather

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future
    from multiprocessing.connection import Connection
    from pathlib import Path

    from mypy_boto3_secretsmanager.client import SecretsManagerClient

LIFE_SECONDS = 18.0
"""How long a token lives; it is renewed from two thirds of that on."""

SCHEDULE_SECONDS = 1.0
"""How far apart the scheduled runs are."""

RUN_SECONDS = 8.0
"""What a run has until it is killed as Lambda would. Half of it is kept back to store what it gets."""

_CHAOS_SECONDS = 20.0
# A renewal, the grace of what it supersedes, and the run that ends that.
_CALM_SECONDS = LIFE_SECONDS
_AT_ONCE = 3
_MOST_CALLS = 14

_SCHEDULED = "renew-if-due"
_ACTIONS = (_SCHEDULED, "rotate-now", "rotate-now", "rotate-now", EMERGENCY)

# Forked from a process that has imported the handler and nothing else, and has one thread.
_forked = multiprocessing.get_context("forkserver")
_forked.set_forkserver_preload(["infra.chaos.environment"])
_starting = threading.Lock()


class Stage(NamedTuple):
    """What all episodes share."""

    register: Register
    gate: TelenorGate
    client: SecretsManagerClient
    """An operator's, whose calls meet no weather."""
    sdk: Mapping[str, str]
    """What the SDK needs in the environment."""
    logs: Path
    design: str | None


@dataclass
class Environment:
    """A warm process that runs one invocation after the other."""

    name: str
    process: Any
    pipe: Connection

    def kill(self) -> None:
        """End it by SIGKILL."""
        self.process.kill()


class Episode:
    """Everything in it is drawn from its seed; only how its runs interleave is up to the machine."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self._stage = stage
        self._rng = Random(seed)  # noqa: S311  what is wanted of it is that it repeats itself
        self.seed = seed
        self._name = f"e{seed}"
        self._secret_id = f"{self._name}/token"
        self.history = History(grace=float(self._rng.choice((0, 1, 2, 2))), life=LIFE_SECONDS)
        self._verifies = self._rng.random() < 0.3  # noqa: PLR2004  of the episodes
        self._environments: list[Environment] = []
        self._idle = threading.Semaphore(_AT_ONCE)
        self._free: list[Environment] = []
        self._lock = threading.Lock()
        self._started = 0
        self._ids: list[str] = []

    def play(self) -> History:
        """Play it, and return what the servers have seen."""
        stage, history = self._stage, self.history
        stage.client.create_secret(Name=f"{self._name}/credentials", SecretString=CREDENTIALS)
        stage.client.create_secret(Name=self._secret_id)
        stage.register.enter(self._secret_id, history)
        runs = ThreadPoolExecutor(_AT_ONCE)
        try:
            self._be_bad(runs)
            # All that is under way ends before the calm begins.
            runs.shutdown()
            self._be_calm()
        finally:
            runs.shutdown()
            for environment in self._environments:
                environment.kill()
            stage.register.forget(self._secret_id)
            for secret_id in (self._secret_id, f"{self._name}/credentials"):
                stage.client.delete_secret(SecretId=secret_id, ForceDeleteWithoutRecovery=True)
        return history

    def log(self) -> str:
        """Return what its environments have logged."""
        return "".join(path.read_text(errors="replace") for path in self._stage.logs.glob(f"{self._name}-*.log"))

    # The plan

    def _be_bad(self, runs: ThreadPoolExecutor) -> None:
        began_at = time.time()
        under_way: list[Future[None]] = []
        while time.time() < began_at + _CHAOS_SECONDS:
            under_way += [runs.submit(self._invoke, *invocation) for invocation in self._next_invocations()]
            if self._verifies and self._rng.random() < 0.05:  # noqa: PLR2004  of the seconds
                self._let_another_party_end_the_current_token()
            time.sleep(SCHEDULE_SECONDS * self._rng.uniform(0.3, 1.2))
        for run in under_way:
            run.result()

    def _next_invocations(self) -> list[tuple[str, str, Weather]]:
        """Draw what happens next: a run, two that overlap, or one event delivered twice, at once or late."""
        kind = self._rng.choice(("one", "one", "one", "two", "twins", "late twin"))
        if kind == "late twin" and self._ids:
            return [(self._rng.choice(("rotate-now", EMERGENCY)), self._rng.choice(self._ids), self._weather())]
        action = self._rng.choice(_ACTIONS)
        if kind == "twins":
            request_id = self._new_id()
            return [(action, request_id, self._weather()) for _ in range(2)]
        return [(self._rng.choice(_ACTIONS), self._new_id(), self._weather()) for _ in range(2 if kind == "two" else 1)]

    def _weather(self) -> Weather:
        rng = Random(self._rng.random())  # noqa: S311  likewise
        weather = Weather(rng, share=rng.choice((0.0, 0.0, 0.1, 0.3)), is_storm=rng.random() < 0.1)  # noqa: PLR2004
        if rng.random() < 0.15:  # noqa: PLR2004  of the runs
            weather.kill_at = rng.randint(1, _MOST_CALLS)
        elif rng.random() < 0.15:  # noqa: PLR2004  of the others
            weather.hand_at = rng.randint(1, _MOST_CALLS)
            weather.hand = partial(self._roll_back, rng)
        return weather

    def _new_id(self) -> str:
        self._ids.append(str(uuid.UUID(int=self._rng.getrandbits(128), version=4)))
        return self._ids[-1]

    def _be_calm(self) -> None:
        """Keep the schedule, with no more faults."""
        history = self.history
        history.calm_from = began_at = time.time()
        number = 0
        while (due_at := began_at + number * SCHEDULE_SECONDS) < began_at + _CALM_SECONDS:
            time.sleep(max(0.0, due_at - time.time()))
            history.latest_tick = max(history.latest_tick, time.time() - due_at)
            self._invoke(_SCHEDULED, self._new_id(), Weather(Random(0)), is_calm=True)  # noqa: S311  unused
            number += 1
        history.ended_at = time.time()

    # What operators and others do

    def _roll_back(self, rng: Random) -> None:
        """Move AWSCURRENT back to a version that is still tracked and alive."""
        with self.history.lock:
            if not self.history.states:
                return
            last, values = self.history.states[-1], dict(self.history.values)
        current = last.current
        older = sorted(
            version
            for version in last.tracked - {current}
            if version in values and self._stage.gate.is_live(values[version])
        )
        if current is None or not older:
            return
        # Somebody else may have been faster, as with operators too.
        try:
            self._stage.client.update_secret_version_stage(
                SecretId=self._secret_id,
                VersionStage="AWSCURRENT",
                MoveToVersionId=rng.choice(older),
                RemoveFromVersionId=current,
            )
        except self._stage.client.exceptions.InvalidParameterException:
            return

    def _let_another_party_end_the_current_token(self) -> None:
        with self.history.lock:
            state = self.history.states[-1] if self.history.states else None
            token = self.history.values.get(state.current or "") if state else None
        if token is not None:
            self._stage.gate.end(self.history, token)

    # One run

    def _invoke(self, action: str, request_id: str, weather: Weather, *, is_calm: bool = False) -> None:
        environment = self._take()
        run = RunSeen(
            name=f"{self.seed}-{len(self.history.runs)}",
            request_id=request_id,
            action=action,
            began_at=time.time(),
            is_calm=is_calm,
        )
        with self.history.lock:
            self.history.runs.append(run)
        weather.kill = environment.kill
        self._stage.register.begin(environment.name, Watched(self.history, run, weather))
        logged = self._log_of(environment).stat().st_size
        is_alive = self._wait_for(environment, run, action, request_id)
        self._stage.register.end(environment.name)
        run.ended_at = time.time()
        run.is_killed = not is_alive
        if is_alive:
            run.abandoned = _abandoned(self._log_of(environment), logged)
            with self.history.lock:
                published = set(self.history.values.values())
            run.left_alive = sum(self._stage.gate.is_live(token) for token in run.tokens if token not in published)
        self._give_back(environment, is_alive=is_alive)

    def _wait_for(self, environment: Environment, run: RunSeen, action: str, request_id: str) -> bool:
        """Let it run, and tell whether the environment has lived through it."""
        event = {} if action == _SCHEDULED else {"action": action}
        try:
            environment.pipe.send((event, request_id, RUN_SECONDS))
            if not environment.pipe.poll(RUN_SECONDS + 0.5):
                environment.kill()
            run.failure = environment.pipe.recv()
        except (EOFError, OSError):
            return False
        return True

    def _take(self) -> Environment:
        self._idle.acquire()
        with self._lock:
            if self._free:
                return self._free.pop()
            self._started += 1
            name = f"{self._name}-{self._started}"
        return self._start(name)

    def _give_back(self, environment: Environment, *, is_alive: bool) -> None:
        with self._lock:
            if is_alive:
                self._free.append(environment)
            else:
                environment.pipe.close()
                environment.process.join()
                self._environments.remove(environment)
        self._idle.release()

    def _start(self, name: str) -> Environment:
        ours, theirs = _forked.Pipe()
        url = self._stage.gate.url(name)
        environ = {
            **self._stage.sdk,
            "AWS_SDK_UA_APP_ID": name,
            "CLIENT_NAME": self._name,
            "CREDENTIALS_SECRET_ID": f"{self._name}/credentials",
            "TOKEN_SECRET_ID": self._secret_id,
            "TELENOR_BASE_URL": url,
            "VERIFY_URL": f"{url}/service-tickets/v2/incidents" if self._verifies else "",
            "GRACE_SECONDS": str(int(self.history.grace)),
            "SCHEDULE_MINUTES": str(SCHEDULE_SECONDS / 60),
        }
        log = str(self._stage.logs / f"{name}.log")
        process = _forked.Process(target=serve, args=(theirs, environ, log, self._stage.design), daemon=True)
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
        return self._stage.logs / f"{environment.name}.log"


def _abandoned(log: Path, offset: int) -> int:
    """Return how many tokens a run reported as abandoned: the metric, from the log."""
    with log.open("rb") as file:
        file.seek(offset)
        text = file.read().decode(errors="replace")
    return sum(_metrics(line).get("RevocationAbandoned", 0) for line in text.splitlines() if '"_aws"' in line)


def _metrics(line: str) -> dict[str, int]:
    document = json.loads(line)
    return {name: int(value[0]) for name, value in document.items() if isinstance(value, list)}
