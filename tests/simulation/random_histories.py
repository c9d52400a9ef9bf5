"""Long random histories of faults, operator actions and crashes, with consumers that read all the time."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import NAMESPACE_URL, uuid5

from hypothesis import HealthCheck, Phase, seed, settings, stateful
from hypothesis import strategies as st

from handler.decisions import outage_tolerance
from handler.model import Action
from tests.simulated_clock import BEGIN
from tests.simulation.authorization_server import Issue
from tests.simulation.checked_world import LIFETIME, BrokenPromiseError, World
from tests.simulation.consumers import Consumers
from tests.simulation.model_checker import Explored
from tests.simulation.scenarios import FAULTS_BY_ATTEMPT
from tests.simulation.stepped_run import CRASH, POLICY, TOKEN, Run

if TYPE_CHECKING:
    from collections.abc import Sequence

# The difference between a run's clock and Telenor's.
SKEW = timedelta(seconds=3)
_CRASH = -1

_TICKS_A_DAY = 288
# The share of ticks with two runs, and the share of those that are duplicate deliveries.
_TWO_AT_ONCE, _DUPLICATES = 0.05, 0.5

# From this many labels on, a run may revoke a token before the end of its grace.
_CROWDED = 16

# Among twenty labels there is room for two foreign ones.
_FOREIGN_LABELS = ("manual-1", "manual-2")

_FAULTS = max(map(len, FAULTS_BY_ATTEMPT.values())) - 1

# A call's fault: None for success, the number of one of its faults, or a crash before the call.
CALL_FAULT = st.one_of(st.none(), st.none(), st.integers(_CRASH, _FAULTS))
CALL_FAULTS = st.lists(CALL_FAULT, max_size=12)
ACTIONS = st.sampled_from([Action.RENEW_IF_DUE, *Action])


class RandomHistory(stateful.RuleBasedStateMachine):
    """Any history of ticks, faults, crashes and operator actions: the promises hold, and the job recovers."""

    explored: ClassVar = Explored()

    def __init__(self) -> None:
        super().__init__()
        # The model checks a shorter grace than the job's, since differences between the clocks shorten it.
        self.world = World(policy=POLICY._replace(grace=POLICY.grace - 2 * SKEW))
        self.outages = {"token": 0, "logout": 0}
        self.secrets_faults: list[int] = []
        # The oldest version that an operator has made current since the last publication of the job.
        self.floor: str | None = None
        self.put_by_operator: set[str] = set()
        # A version that was current only between two operator actions, with no run in between, leaves no trace.
        self.has_unseen_roll_back = False
        # Telenor revokes tokens itself, so the job cannot know that the current one is inactive.
        self.new_revokes_old = False

    # Events

    @stateful.initialize(issue=st.sampled_from(Issue))
    def first_run(self, issue: Issue) -> None:
        self.world.telenor.issue = issue
        self.new_revokes_old |= issue is Issue.NEW_REVOKES_OLD
        self._finish(self._begin())

    @stateful.rule(times=st.integers(1, 8), skew=st.integers(-1, 1))
    def scheduled_ticks(self, times: int, skew: int) -> None:
        for _ in range(times):
            self._advance(minutes=5)
            self._finish(self._begin(skew=skew))
            self._check()

    @stateful.rule(call_faults=CALL_FAULTS, skew=st.integers(-1, 1))
    def scheduled_tick_with_faults(self, call_faults: list[int | None], skew: int) -> None:
        self._advance(minutes=5)
        self._finish(self._begin(skew=skew), call_faults)

    @stateful.rule(
        action=st.sampled_from([action for action in Action if action is not Action.RENEW_IF_DUE]),
        call_faults=CALL_FAULTS,
        skew=st.integers(-1, 1),
    )
    def operator_forces(self, action: Action, call_faults: list[int | None], skew: int) -> None:
        self._finish(self._begin(action, skew=skew), call_faults)

    @stateful.rule(
        first=ACTIONS,
        second=ACTIONS,
        is_duplicate=st.booleans(),
        skew=st.integers(-1, 1),
        moves=st.lists(st.tuples(st.booleans(), CALL_FAULT), max_size=20),
    )
    def two_runs_overlap(
        self, first: Action, second: Action, is_duplicate: bool, skew: int, moves: list[tuple[bool, int | None]]
    ) -> None:
        run = self._begin(first)
        other = self._begin(second, request_id=run.request_id if is_duplicate else "", skew=skew)
        for is_other, fault in moves:
            self._step(other if is_other else run, fault)
            self._check()
        self._finish(run)
        self._finish(other)

    @stateful.rule(calls=st.integers(1, 20))
    def token_endpoint_fails(self, calls: int) -> None:
        self.outages["token"] = calls

    @stateful.rule(calls=st.integers(1, 20))
    def logouts_fail(self, calls: int) -> None:
        self.outages["logout"] = calls

    @stateful.rule(faults=st.lists(st.integers(0, _FAULTS), min_size=1, max_size=6))
    def secrets_manager_fails(self, faults: list[int]) -> None:
        self.secrets_faults = faults

    @stateful.rule(seconds=st.one_of(st.integers(1, 1200), st.integers(1200, 9000)))
    def time_passes(self, seconds: int) -> None:
        self._advance(seconds=seconds)

    @stateful.rule(issue=st.sampled_from(Issue))
    def telenor_issues_otherwise(self, issue: Issue) -> None:
        self.world.telenor.issue = issue
        self.new_revokes_old |= issue is Issue.NEW_REVOKES_OLD

    @stateful.precondition(lambda self: not self.has_unseen_roll_back and bool(self._older()))
    @stateful.rule(data=st.data())
    def operator_rolls_back(self, data: st.DataObject) -> None:
        version_id = data.draw(st.sampled_from(self._older()))
        self._excuse_untracked()
        self.world.move_label("AWSCURRENT", version_id, str(self.world.secret.current))
        self.floor = version_id
        self.has_unseen_roll_back = True

    @stateful.precondition(lambda self: not self.has_unseen_roll_back)
    @stateful.rule(content=st.sampled_from(["", "{}", "CANARY-manual", '{"access_token": "CANARY-manual"}']))
    def operator_puts_a_value(self, content: str) -> None:
        self._excuse_untracked()
        self.put_by_operator.add(self.world.put(TOKEN, content))

    @stateful.precondition(lambda self: bool(self._live_labels()))
    @stateful.rule(data=st.data())
    def operator_removes_a_label(self, data: st.DataObject) -> None:
        label = data.draw(st.sampled_from(self._live_labels()))
        owner = self.world.secret.labels[label]
        token = self.world.token_of(owner)
        if token and token == self.world.current:
            self.world.unlabelled_by_operator.add(token)
        else:
            self._excuse(token)
        self.world.move_label(label, source=owner)

    @stateful.precondition(lambda self: len(self.world.secret.labels) < 16)
    @stateful.rule(
        label=st.sampled_from([*_FOREIGN_LABELS, "LIVE_", "LIVE_manual", "LIVE_20260101T000000Z_20260101T010000Z_x"]),
        data=st.data(),
    )
    def operator_adds_a_label(self, label: str, data: st.DataObject) -> None:
        version_id = data.draw(st.sampled_from(list(self.world.secret.content)))
        # The label moves from its previous version, and may state that this token has expired.
        for owner in (version_id, self.world.secret.labels.get(label)):
            self._excuse(self.world.token_of(owner))
        self.world.move_label(label, to=version_id)

    # Checks

    @stateful.invariant()
    def promises_hold(self) -> None:
        self._check()

    def teardown(self) -> None:
        """Without faults, one scheduled run repairs what consumers read, and an hour of runs the rest."""
        self.outages, self.secrets_faults = {"token": 0, "logout": 0}, []
        for times in range(14):
            self._advance(minutes=5)
            self._finish(self._begin())
            self._check()
            current = self.world.current
            is_good = current and self.world.telenor.is_live(current) and current in self.world.tracked()
            if times and not is_good and not self.new_revokes_old and current not in self.world.excused:
                raise BrokenPromiseError("P5: after a scheduled run the current token is inactive or not in the ledger")
        self.world.check_recovery()
        self.explored.histories += 1
        self.explored.simulated_hours += (self.world.clock.now() - BEGIN).total_seconds() / 3600

    # Helpers

    def _begin(self, action: Action = Action.RENEW_IF_DUE, request_id: str = "", skew: int = 0) -> Run:
        world, policy, clock = self.world, self.world.policy, self.world.clock
        world.may_abandon = len(self.world.secret.labels) >= _CROWDED
        world.policy = POLICY
        own_clock: Any = SimpleNamespace(now=lambda: clock.now() + skew * SKEW, sleep=clock.sleep)
        try:
            return Run(world, action, request_id, own_clock)
        finally:
            world.policy = policy

    def _finish(self, run: Run, call_faults: Sequence[int | None] = ()) -> None:
        for fault in itertools.chain(call_faults, itertools.repeat(None)):
            if not run.pending:
                break
            self._step(run, fault)
        if self.world.secret.current not in self.put_by_operator | {self.floor}:
            self.floor = None
        self.has_unseen_roll_back &= not self.world.ledger().is_current_latest

    def _step(self, run: Run, fault: int | None) -> None:
        if not run.pending:
            return
        self.explored.states += 1
        self.explored.crash_points += fault == _CRASH
        faults = FAULTS_BY_ATTEMPT[run.pending]
        if fault is None:
            fault = self._outage_fault(run.pending)
        self.explored.faults += fault not in {None, _CRASH}
        run.step(None if fault is None else CRASH if fault == _CRASH else faults[fault % len(faults)])

    def _outage_fault(self, operation: str) -> int | None:
        if self.outages.get(operation):
            self.outages[operation] -= 1
            return self.outages[operation]
        is_of_telenor = operation in {"token", "logout", "verify"}
        return self.secrets_faults.pop() if self.secrets_faults and not is_of_telenor else None

    def _advance(self, **time: float) -> None:
        self.world.clock.advance(**time)
        # Reads are stale for a moment, not for minutes.
        self.world.secretsmanager.before = {}

    def _excuse(self, token: str | None) -> None:
        self.world.excused |= {token} if token else set()

    def _excuse_untracked(self) -> None:
        """Excuse a current token whose label an operator removed before replacing it: it leaves no trace."""
        if self.world.current not in self.world.tracked():
            self._excuse(self.world.current)

    def _check(self) -> None:
        # A run whose clock is ahead treats a token as expired a little early.
        now = self.world.clock.now()
        for token in self.world.published & self.world.telenor.tokens.keys():
            expires_at = self.world.telenor.tokens[token].expires_at
            # A token whose lifetime was extended by an unpublished response is active beyond the expiry in its label.
            if expires_at - now <= 2 * SKEW or expires_at > self._documented_expiry(token) + 2 * SKEW:
                self._excuse(token)
        self.world.check()

    def _documented_expiry(self, token: str) -> datetime:
        versions = [version for version in self.world.secret.content if self.world.token_of(version) == token]
        return max(filter(None, map(self.world.documented_expiry, versions)), default=BEGIN)

    def _older(self) -> list[str]:
        """List the versions that an operator may roll back to; rolling forward would supersede without a trace."""
        versions = list(self.world.secret.content)
        if self.world.secret.current is None:
            return []
        end = min(versions.index(version) for version in (self.world.secret.current, self.floor) if version)
        return [version for version in versions[:end] if self._is_expiry_known(version)]

    def _is_expiry_known(self, version_id: str) -> bool:
        """Return whether the job can know if this version's token is active: by its label or its document."""
        expires_at, token = self.world.documented_expiry(version_id), self.world.token_of(version_id)
        return expires_at is None or expires_at <= self.world.clock.now() or self.world.telenor.is_live(token or "")

    def _live_labels(self) -> list[str]:
        return sorted(label for label in self.world.secret.labels if label.startswith("LIVE_"))


SAME_EACH_TIME = settings(
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=False,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    # Large inputs are intended.
    suppress_health_check=list(HealthCheck),
)


def long_histories(max_examples: int, steps: int) -> settings:
    """Return settings for so many histories of so many steps."""
    return settings(SAME_EACH_TIME, max_examples=max_examples, stateful_step_count=steps)


def any_history(number: int, max_examples: int, steps: int) -> Explored:
    """Explore the histories of one seed."""
    explored = Explored()
    machine = type("RandomHistory", (RandomHistory,), {"explored": explored})
    try:
        stateful.run_state_machine_as_test(seed(number)(machine), settings=long_histories(max_examples, steps))
    except BrokenPromiseError as broken:
        explored.violations.append(f"long histories of seed {number}: {broken} {broken.__notes__}")
    return explored


@dataclass
class _FaultBursts:
    """Bursts in which any call may fail and any run may be killed, none longer than the outage tolerance."""

    chance: random.Random
    longest: timedelta
    explored: Explored
    begins_at: datetime = BEGIN
    ends_at: datetime = BEGIN

    def is_faulty(self, now: datetime, share: float) -> bool:
        if now >= self.ends_at:
            # After each burst there is time for a renewal.
            self.begins_at = now + POLICY.schedule * self.chance.uniform(2, 40)
            self.ends_at = self.begins_at + self.longest * self.chance.random()
        return now >= self.begins_at and self.chance.random() < share

    def step(self, run: Run) -> None:
        now = run.world.clock.now()
        if self.is_faulty(now, 0.05):
            run.step(CRASH)
            self.explored.crash_points += 1
        elif run.pending and self.is_faulty(now, 0.6):
            run.step(self.chance.choice(FAULTS_BY_ATTEMPT[run.pending]))
            self.explored.faults += 1
        else:
            run.step()


def fault_bursts(seed: int, days: int) -> Explored:
    """Run on schedule through bursts of faults that are shorter than the outage tolerance, while consumers read."""
    world, chance, explored = World(), random.Random(seed), Explored()  # noqa: S311  to be repeated, not to be secret
    consumers = Consumers(world)
    bursts = _FaultBursts(chance, outage_tolerance(LIFETIME, POLICY), explored)
    try:
        for tick in range(days * _TICKS_A_DAY):
            at = BEGIN + tick * POLICY.schedule
            for moment in sorted([chance.random(), chance.random()]):
                world.clock.time = max(world.clock.time, at - moment * POLICY.schedule)
                consumers.read()
            world.clock.time = max(world.clock.time, at)
            world.secretsmanager.before = {}
            runs = [Run(world, request_id=str(uuid5(NAMESPACE_URL, f"{seed} {tick}")))]
            if chance.random() < _TWO_AT_ONCE:
                runs.append(Run(world, request_id=runs[0].request_id if chance.random() < _DUPLICATES else ""))
            while pending := [run for run in runs if run.pending]:
                bursts.step(chance.choice(pending))
                explored.states += 1
            world.check()
            consumers.check()
            explored.histories += len(runs)
            if tick % _TICKS_A_DAY == _TICKS_A_DAY - 1:
                world.drop_old_versions()
        world.check_recovery()
    except BrokenPromiseError as broken:
        explored.violations.append(f"bursts of faults, seed {seed}, tick {tick}: {broken}")
    explored.simulated_hours = (world.clock.now() - BEGIN).total_seconds() / 3600
    return explored
