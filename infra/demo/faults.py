"""The faults of the demo, in order. The servers' own records show that each took effect."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from infra.demo.checks import FaultRecord, Phase
from infra.demo.settings import (
    LIFETIME_SECONDS,
    OUTAGE_TOLERANCE_SECONDS,
    RENEWED_AFTER_SECONDS,
    SCHEDULE_SECONDS,
    SPEED,
)
from infra.local.lambda_workers import Delivery

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.demo.checks import View
    from infra.demo.observer import Observer
    from infra.local.fast_clock import FastClock
    from infra.local.lambda_workers import LambdaWorkers
    from infra.local.telenor_sandbox import TelenorSandbox

# All times are simulated, except for timeouts.

OUTAGE_SECONDS = OUTAGE_TOLERANCE_SECONDS / 2
"""How long the token endpoint stays out after the first request that it fails."""

RUNS_WITHOUT_LOGOUT = 2
"""How many runs try in vain to log a token out."""

ANSWER_DELAY_SECONDS = 1.0
"""How long, by the machine, two runs at once wait for their tokens: each has its own before the other can publish."""

_AT_ONCE_SECONDS = ANSWER_DELAY_SECONDS * SPEED
_WAIT_SECONDS = 30.0
_LOOK_SECONDS = 0.05
_ROTATE_NOW = {"action": "rotate-now"}


class Planned(NamedTuple):
    """A fault and the share of the demo's time after which it comes."""

    share: float
    name: str
    inject: Callable[[Faults, FaultRecord], None]


class Faults:
    """Injects one fault after the other while the demo runs."""

    def __init__(self, sandbox: TelenorSandbox, workers: LambdaWorkers, observer: Observer, clock: FastClock) -> None:
        self._sandbox = sandbox
        self._environments = workers
        self._observer = observer
        self.clock = clock
        self.stop = threading.Event()
        self.fault_records: list[FaultRecord] = []

    def play(self, began_at: float, seconds: float) -> None:
        """Play the plan. A fault that comes late moves the later ones."""
        for planned in PLAN:
            self._wait(began_at + planned.share * seconds - self.clock.time())
            if self.stop.is_set():
                return
            record = FaultRecord(planned.name, began_at=self.clock.time())
            self.fault_records.append(record)
            planned.inject(self, record)
            self._sandbox.clear_faults()
            record.ended_at = self.clock.time()

    def waits_for_expiry(self, view: View) -> bool:
        """Tell whether a token is live that nobody can know of any more."""
        return any(view.tokens[record.lost_token].is_live for record in self.fault_records if record.lost_token)

    def kill_a_run(self, record: FaultRecord) -> None:
        """Kill the next run that has obtained a token, before it can publish it."""
        known = set(self._look().tokens)
        self._sandbox.fault(operation="token", when="after", delay_seconds=_WAIT_SECONDS, times=1)
        if not self._until(lambda view: bool(view.tokens.keys() - known)):
            return
        is_killed = self._environments.kill_running()
        lost = (self._look().tokens.keys() - known).pop()
        record.began_at = self._look().tokens[lost].issued_at
        if is_killed:
            record.lost_token = lost
            record.evidence = f"SIGKILL ended a run that had obtained {lost} and not published it"
        # The next scheduled run puts it right.
        self._until(lambda view: view.current is not None and view.current.issued_at > record.began_at)

    def break_logout(self, record: FaultRecord) -> None:
        """Let the next logouts fail, each so that its run gives up and leaves the token to the next one."""
        before = self._look().answered("logout", "503")
        self._sandbox.fault(operation="logout", status=503, retry_after=int(LIFETIME_SECONDS))
        if not self._until(lambda view: view.answered("logout", "503") > before):
            return
        record.began_at = self.clock.time()
        if not self._until(lambda view: view.answered("logout", "503") >= before + RUNS_WITHOUT_LOGOUT):
            return
        waiting = [token.short_id for token in self._look().published if token.phase is Phase.IN_GRACE]
        self._sandbox.clear_faults()
        record.ended_at = self.clock.time()
        if waiting and self._until(lambda view: not view.tokens[waiting[0]].is_live):
            view = self._look()
            failed, end = view.answered("logout", "503") - before, view.tokens[waiting[0]].status
            record.evidence = f"{failed} logouts failed; {waiting[0]} stayed in the ledger and was {end} afterwards"

    def cut_off_token_endpoint(self, record: FaultRecord) -> None:
        """Cut connections first and answer 503 then, from just before a renewal is due, for less than the slack."""
        if not self._until(_is_almost_due):
            return
        before = self._look()
        record.began_at = self.clock.time()
        self._sandbox.fault(operation="token", drop=True, times=2)
        self._sandbox.fault(operation="token", status=503)
        if not self._until(lambda view: _unanswered(view) > _unanswered(before)):
            return
        self._wait(OUTAGE_SECONDS)
        self._sandbox.clear_faults()
        record.ended_at = self.clock.time()
        failed = _unanswered(self._look()) - _unanswered(before)
        if self._until(lambda view: len(view.published) > len(before.published)):
            record.evidence = (
                f"{failed} token requests failed in {(record.ended_at - record.began_at) / 60:.0f} minutes"
            )

    def run_two_at_once(self, record: FaultRecord) -> None:
        """Let two runs rotate at the same instant."""
        one, other = Delivery.new(_ROTATE_NOW), Delivery.new(_ROTATE_NOW)
        self._delay_answers()
        self._environments.invoke(one, other)
        view = self._look()
        tokens = [token for each in (one, other) if (token := view.version(each.request_id))]
        if len(tokens) == len((one, other)) and abs(tokens[0].issued_at - tokens[1].issued_at) < _AT_ONCE_SECONDS:
            record.began_at = tokens[0].issued_at
            record.evidence = (
                " and ".join(token.short_id for token in tokens) + " were obtained at once, both published"
            )

    def deliver_an_event_twice(self, record: FaultRecord) -> None:
        """Let Lambda deliver one event twice, under one request id, at the same instant."""
        known = set(self._look().tokens)
        twice = Delivery.new(_ROTATE_NOW)
        self._delay_answers()
        self._environments.invoke(twice, twice)
        view = self._look()
        tokens = [token for name, token in view.tokens.items() if name not in known]
        published = [token for token in tokens if token.version_id == twice.request_id]
        spare = [token for token in tokens if token.version_id is None and token.status == "revoked"]
        if published and spare and abs(published[0].issued_at - spare[0].issued_at) < _AT_ONCE_SECONDS:
            record.began_at = published[0].issued_at
            record.evidence = f"{published[0].short_id} was published, its twin's {spare[0].short_id} revoked at once"

    def _delay_answers(self) -> None:
        self._sandbox.fault(operation="token", when="after", delay_seconds=ANSWER_DELAY_SECONDS, times=2)

    def _wait(self, seconds: float) -> None:
        """Wait by the simulated clock, or until the demo ends."""
        self.stop.wait(max(0.0, seconds) / self.clock.speed)

    def _look(self) -> View:
        return self._observer.look()

    def _until(self, condition: Callable[[View], bool], patience_seconds: float = _WAIT_SECONDS) -> bool:
        """Wait until the servers show something; tell whether they have."""
        give_up_at = time.monotonic() + patience_seconds
        while not self.stop.wait(_LOOK_SECONDS) and time.monotonic() < give_up_at:
            if condition(self._look()):
                return True
        return False


def _is_almost_due(view: View) -> bool:
    if view.current is None:
        return False
    due_in_seconds = view.current.issued_at + RENEWED_AFTER_SECONDS - view.at
    return 0 < due_in_seconds <= SCHEDULE_SECONDS / 2


def _unanswered(view: View) -> int:
    return view.answered("token", "dropped", "503")


# The killed run early, so that its token has expired when the demo ends.
PLAN = (
    Planned(0.10, "run killed", Faults.kill_a_run),
    Planned(0.35, "logout fails", Faults.break_logout),
    Planned(0.50, "token endpoint out", Faults.cut_off_token_endpoint),
    Planned(0.75, "two runs at once", Faults.run_two_at_once),
    Planned(0.85, "event twice", Faults.deliver_an_event_twice),
)
