"""The faults of the demo, in order. The servers' own records show that each took effect."""

from __future__ import annotations

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from infra.demo import settings
from infra.demo.token_states import Phase, read_token_states
from infra.local.telenor_sandbox import short_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.demo.token_states import TokenStates
    from infra.promises.history import RunRecord
    from infra.promises.recorded_job import RecordedJob

# All times are simulated, except for timeouts.

OUTAGE_SECONDS = settings.OUTAGE_TOLERANCE_SECONDS / 2
"""How long the token endpoint stays out after the first request that it fails."""

RUNS_WITHOUT_LOGOUT = 2
"""The number of runs whose revocation fails."""

RESPONSE_DELAY_SECONDS = 1.0
"""Real seconds that two runs at once wait for their tokens, so that each has one before the other publishes."""

_WAIT_SECONDS = 30.0
_POLL_SECONDS = 0.05


@dataclass
class FaultRecord:
    """A fault of the demo: when it was active, and the evidence in the servers' records."""

    name: str
    began_at: float
    ended_at: float | None = None
    evidence: str | None = None
    """None: it has not taken effect."""
    lost_token: str | None = None
    """Short id of a token that was lost with the killed run; it expires by itself."""


class Planned(NamedTuple):
    """A fault and the share of the demo's time after which it comes."""

    share: float
    name: str
    inject: Callable[[Faults, FaultRecord], None]


class Faults:
    """Injects one fault after the other while the demo runs."""

    def __init__(self, job: RecordedJob) -> None:
        self._job, self._history, self._telenor = job, job.history, job.servers.telenor
        self._clock = job.servers.clock
        self.stop = threading.Event()
        self.fault_records: list[FaultRecord] = []

    def play(self, began_at: float, seconds: float) -> None:
        """Play the plan. A fault that comes late moves the later ones."""
        for planned in PLAN:
            self._wait(began_at + planned.share * seconds - self._clock.time())
            if self.stop.is_set():
                return
            record = FaultRecord(planned.name, began_at=self._clock.time())
            self.fault_records.append(record)
            planned.inject(self, record)
            self._telenor.clear_faults()
            record.ended_at = record.ended_at or self._clock.time()

    def waits_for_expiry(self, states: TokenStates) -> bool:
        """Return whether a token that was lost with a killed run is still active."""
        return any(states.tokens[record.lost_token].is_live for record in self.fault_records if record.lost_token)

    def kill_a_run(self, record: FaultRecord) -> None:
        """Kill the next run that has obtained a token, before it can publish it."""
        known = len(self._history.issued_at)
        self._telenor.fault(operation="token", when="after", delay_seconds=_WAIT_SECONDS, times=1)
        if not self._until(lambda _: len(self._history.issued_at) > known):
            return
        lost, record.began_at = list(self._history.issued_at.items())[known]
        run = next(run for run in self._history.runs if lost in run.tokens)
        run.kill()
        if self._until(lambda _: run.is_killed):
            record.lost_token = short_id(lost)
            record.evidence = f"SIGKILL ended a run that had obtained {short_id(lost)} and not published it"
        # The next scheduled run recovers.
        self._until(lambda states: states.current is not None and states.current.issued_at > record.began_at)

    def break_logout(self, record: FaultRecord) -> None:
        """Let the next logouts fail, so that each run leaves the token to the next one."""
        before = self._failed("logout")
        self._telenor.fault(operation="logout", status=503, retry_after=int(settings.LIFETIME_SECONDS))
        if not self._until(lambda _: self._failed("logout") > before):
            return
        record.began_at = self._clock.time()
        if not self._until(lambda _: self._failed("logout") >= before + RUNS_WITHOUT_LOGOUT):
            return
        waiting = [token.short_id for token in read_token_states(self._job).published if token.phase is Phase.IN_GRACE]
        self._telenor.clear_faults()
        record.ended_at = self._clock.time()
        if waiting and self._until(lambda states: not states.tokens[waiting[0]].is_live):
            failed, end = self._failed("logout") - before, read_token_states(self._job).tokens[waiting[0]].status
            record.evidence = f"{failed} logouts failed; {waiting[0]} stayed in the ledger and was {end} afterwards"

    def cut_off_token_endpoint(self, record: FaultRecord) -> None:
        """Cut connections, then answer 503, from just before a renewal is due, for less than the outage tolerance."""
        if not self._until(_is_almost_due):
            return
        before, published = self._failed("token"), len(self._history.values)
        record.began_at = self._clock.time()
        self._telenor.fault(operation="token", drop=True, times=2)
        self._telenor.fault(operation="token", status=503)
        if not self._until(lambda _: self._failed("token") > before):
            return
        self._wait(OUTAGE_SECONDS)
        self._telenor.clear_faults()
        record.ended_at = self._clock.time()
        failed, minutes = self._failed("token") - before, (record.ended_at - record.began_at) / 60
        if self._until(lambda _: len(self._history.values) > published):
            record.evidence = f"{failed} token requests failed in {minutes:.0f} minutes"

    def run_two_at_once(self, record: FaultRecord) -> None:
        """Let two runs rotate at the same instant."""
        tokens = self._rotate_at_once(record, str(uuid.uuid4()), str(uuid.uuid4()))
        if tokens and set(tokens) <= set(self._history.values.values()):
            record.evidence = " and ".join(map(short_id, tokens)) + " were obtained at once, both published"

    def deliver_an_event_twice(self, record: FaultRecord) -> None:
        """Let Lambda deliver one event twice, under one request id, at the same instant."""
        request_id = str(uuid.uuid4())
        tokens = self._rotate_at_once(record, request_id, request_id)
        published = self._history.values.get(request_id)
        surplus = [token for token in tokens if token != published and not self._telenor.is_live(token)]
        if published and published in tokens and surplus:
            record.evidence = (
                f"{short_id(published)} was published, the duplicate's token {short_id(surplus[0])} was revoked at once"
            )

    def _rotate_at_once(self, record: FaultRecord, *request_ids: str) -> list[str]:
        """Run at the same instant, and return the tokens if each run had its own before any published."""
        self._telenor.fault(operation="token", when="after", delay_seconds=RESPONSE_DELAY_SECONDS, times=2)
        with ThreadPoolExecutor() as at_once:
            runs: list[RunRecord] = list(at_once.map(lambda each: self._job.invoke("rotate-now", each), request_ids))
        tokens = [token for run in runs for token in run.tokens]
        issued = [self._history.issued_at[token] for token in tokens]
        if len(tokens) != len(runs) or any(run.put_at is None or run.put_at < max(issued) for run in runs):
            return []
        record.began_at = min(issued)
        return tokens

    def _failed(self, operation: str) -> int:
        """Count the requests to Telenor that had a fault."""
        return sum(run.faults[operation] for run in list(self._history.runs))

    def _wait(self, seconds: float) -> None:
        """Wait by the simulated clock, or until the demo ends."""
        self.stop.wait(max(0.0, seconds) / self._clock.speed)

    def _until(self, condition: Callable[[TokenStates], bool]) -> bool:
        """Wait until a condition holds; return whether it did."""
        give_up_at = time.monotonic() + _WAIT_SECONDS
        while not self.stop.wait(_POLL_SECONDS) and time.monotonic() < give_up_at:
            if condition(read_token_states(self._job)):
                return True
        return False


def _is_almost_due(states: TokenStates) -> bool:
    if states.current is None:
        return False
    due_in_seconds = states.current.issued_at + settings.RENEWED_AFTER_SECONDS - states.at
    return 0 < due_in_seconds <= settings.SCHEDULE_SECONDS / 2


# The killed run early, so that its token has expired when the demo ends.
PLAN = (
    Planned(0.10, "run killed", Faults.kill_a_run),
    Planned(0.35, "logout fails", Faults.break_logout),
    Planned(0.50, "token endpoint out", Faults.cut_off_token_endpoint),
    Planned(0.75, "two runs at once", Faults.run_two_at_once),
    Planned(0.85, "event twice", Faults.deliver_an_event_twice),
)
