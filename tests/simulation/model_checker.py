"""Every crash and every fault of one run, every order of two, and orders of three drawn at random."""

from __future__ import annotations

import copy
import functools
import hashlib
import itertools
import random
from collections import defaultdict, deque
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Self

from handler.model import Action, Outcome
from tests.simulated_clock import BEGIN
from tests.simulation.authorization_server import Issue
from tests.simulation.checked_world import BrokenPromiseError, World
from tests.simulation.scenarios import ALL_SCENARIOS, FAULTS_BY_CALL, grace_over
from tests.simulation.secrets_manager import LABEL_QUOTA, failures_in
from tests.simulation.stepped_run import CRASH, ROLLED_BACK, Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass
class Explored:
    """What was explored, and which promises were broken."""

    histories: int = 0
    states: int = 0
    crash_points: int = 0
    faults: int = 0
    interleavings: int = 0
    simulated_hours: float = 0.0
    violations: list[str] = field(default_factory=list)

    def __iadd__(self, other: Explored) -> Self:
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))
        return self

    @contextmanager
    def history(self, name: str) -> Iterator[History]:
        """Record the end of a history."""
        history = History()
        try:
            yield history
        except BrokenPromiseError as broken:
            self.violations.append(f"{name}: {history.describe()}: {broken}")
        for run in history.runs:
            run.abandon()
        self.histories += 1
        if history.runs:
            self.simulated_hours += (history.runs[0].world.clock.now() - BEGIN).total_seconds() / 3600


@dataclass
class History:
    """Runs, and the order of their calls if they overlap."""

    runs: list[Run] = field(default_factory=list)
    path: str = ""

    def describe(self) -> str:
        """Return the faults, or the order of the calls."""
        return self.path or " · ".join(run.faulty_calls for run in self.runs if run.faulty_calls) or "no faults"


# One run


def crashes_and_faults(
    scenario: str, *, faults: int = 1, max_failures: int = 9, begin_at: str | None = None, until_broken: bool = False
) -> Explored:
    """Give each call of a run each fault, and kill the run before each call; then let scheduled runs follow.

    Up to `faults` calls of a run get a fault, the first of them not before the call `begin_at`. All faults together
    contain up to `max_failures` failures. Histories with fewer faults come first; with `until_broken`, the search ends
    with the first one that breaks a promise.
    """
    explored = Explored()
    recovered = set[bytes]()
    queue: deque[tuple[str | None, ...]] = deque([()])
    while queue and not (until_broken and explored.violations):
        call_faults = queue.popleft()
        wrong = sum(fault is not None for fault in call_faults)
        explored.faults += wrong
        with explored.history(scenario) as history:
            world, action = begin(scenario)
            before = _published(world)
            run = Run(world, action)
            history.runs.append(run)
            for fault in call_faults:
                run.step(fault)
            # The next fault comes after successful calls, so that each history is explored once.
            while run.pending and wrong < faults:
                if wrong or begin_at in {None, run.pending}:
                    explored.crash_points += 1
                    queue += [
                        (*call_faults, fault)
                        for fault in _possible_faults(scenario, run.pending, call_faults)
                        if sum(map(failures_in, (*call_faults, fault))) <= max_failures
                    ]
                run.step()
                call_faults = (*call_faults, None)
            explored.states += len(call_faults) + 1
            run.finish()
            world.check()
            _check_availability(world, run, before)
            # Without further faults, the same state always recovers in the same way.
            state = _state(world, ())
            if state not in recovered:
                _end(world)
                recovered.add(state)
            if not wrong and world.can_renew and world.telenor.issue is Issue.NEW and world.times().is_in_time:
                _check_overlap(world)
    return explored


def _possible_faults(scenario: str, call: str, before: Sequence[str | None]) -> tuple[str, ...]:
    # No design can detect a roll-back between the comparison and the logout, or one that is undone within a run.
    can_roll_back = scenario == grace_over.__name__ and call != "logout" and ROLLED_BACK not in before
    roll_back = (ROLLED_BACK,) if can_roll_back else ()
    return (*FAULTS_BY_CALL[call], CRASH, *roll_back)


def _published(world: World) -> tuple[str | None, set[str], bool]:
    version_id, token = world.secret.current, world.current
    labels = set(world.secret.labels_of(version_id)) if version_id else set()
    return version_id, labels, token is not None and world.telenor.is_live(token)


def _check_availability(world: World, run: Run, before: tuple[str | None, set[str], bool]) -> None:
    """P6: a failing logout does not block a publication; a failing token request changes nothing published."""
    if {CRASH, ROLLED_BACK} & {fault for _, fault in run.steps}:
        return
    faulty = {call for call, fault in run.steps if fault}
    has_ended = run.report.outcome is not None
    if faulty <= {"logout", "UpdateSecretVersionStage"} and not has_ended and not world.telenor.refuses_verification:
        raise BrokenPromiseError("P6: only revocation failed, but no token was published")
    if not faulty and run.report.outcome is Outcome.NOT_DUE and run.report.has_failed:
        raise BrokenPromiseError("P6: a run that only revokes has failed")
    if faulty == {"token"} and not has_ended and world.telenor.issue is not Issue.NEW_REVOKES_OLD:
        version_id, labels, is_live = _published(world)
        if (version_id, is_live) != (before[0], before[2]) or not before[1] <= labels:
            raise BrokenPromiseError("P6: a failing token request has changed what is published")


def _check_overlap(world: World) -> None:
    """P1: just before each scheduled run, the token that a consumer reads is valid for the grace."""
    period = world.policy.schedule
    for _ in range(13):
        expires_at = world.telenor.tokens[str(world.current)].expires_at
        if expires_at < world.clock.now() + period + world.policy.grace:
            raise BrokenPromiseError(f"P1: {world.current} can be read although it expires within the grace")
        world.tick()


def _end(world: World) -> None:
    """Let scheduled runs without faults follow."""
    documented, current = world.documented_expiry(world.secret.current), str(world.current)
    if documented and world.telenor.is_live(current) and documented > world.telenor.tokens[current].expires_at:
        raise BrokenPromiseError(f"P1: {world.current} expires before the time in its document")
    world.telenor.refuses_verification = False
    world.check_recovery()


# Simultaneous runs


def orders(
    scenario: str, other: Action | None, *, with_crash: bool, turns: int | None = None, until_broken: bool = False
) -> Explored:
    """Run two at once in every order of their calls: the scenario's own run, and one with the action `other`.

    If `other` is None, the second run is a duplicate delivery of the same event. A state that was reached before, in
    which both runs have seen the same responses, is not explored again. Each path through the states counts as one
    interleaving. `turns` limits how often one run gives way to the other while both could continue.
    """
    explored = Explored()
    name = f"{scenario} with {other or 'its duplicate'}"
    next_states: dict[bytes, list[bytes]] = defaultdict(list)
    stack: list[tuple[str, bytes]] = [("", b"")]
    while stack and not (until_broken and explored.violations):
        path, before = stack.pop()
        with explored.history(name) as history:
            world, runs = _together(scenario, other)
            history.runs += runs
            for letter in path:
                _move(history, letter)
            # Continue with the first move directly, which saves replaying the path.
            while True:
                world.check()
                path = history.path
                moves = [letter for letter, run in zip("ab", runs, strict=True) if run.pending]
                taken = _turns(path)
                state = _state(world, runs, None if turns is None else (taken, path[-1:]))
                is_known = state in next_states
                next_states[before].append(state)
                if is_known:
                    explored.histories -= 1
                    break
                next_states[state] = []
                if not moves:
                    _end_together(world)
                    break
                if taken == turns and path[-1].lower() in moves:
                    moves = [path[-1].lower()]
                if with_crash and path == path.lower():
                    explored.crash_points += len(moves)
                    moves += [letter.upper() for letter in moves]
                stack += [(path + letter, state) for letter in moves[1:]]
                before = state
                _move(history, moves[0])
    explored.states = len(next_states) - 1
    explored.interleavings = _paths(next_states)
    return explored


def _end_together(world: World) -> None:
    if world.telenor.issue is Issue.NEW_REVOKES_OLD and world.verify_url is None:
        # Until the next renewal nothing shows which token has revoked the others (docs/guarantees.md).
        world.recovers_after = world.times().due_at - BEGIN
    if len(world.secret.labels) >= LABEL_QUOTA:
        # Two tokens of one instant need a second label to order them, which fits after the others' grace.
        world.recovers_after = world.policy.grace
    _end(world)


def _turns(path: str) -> int:
    return sum(one != other for one, other in itertools.pairwise(path.lower()))


def _paths(next_states: dict[bytes, list[bytes]]) -> int:
    """Count the paths through the states."""

    @functools.cache
    def paths(state: bytes) -> int:
        return sum(map(paths, next_states[state])) if next_states[state] else 1

    return paths(b"")


def orders_of_three(scenario: str, seed: int, samples: int) -> Explored:
    """Run three at once in random orders; in half of them one run is killed."""
    explored = Explored()
    chance = random.Random(f"{scenario} {seed}")  # noqa: S311  to be repeated, not to be secret
    for sample in range(samples):
        others = chance.choices(list(Action), k=2)
        crash_at = chance.randrange(1, 60) if sample % 2 else None
        with explored.history(f"{scenario} with {' and '.join(others)}") as history:
            world, runs = _together(scenario, *others)
            history.runs += runs
            while pending := [letter for letter, run in zip("abc", runs, strict=True) if run.pending]:
                is_crash = len(history.path) == crash_at
                explored.crash_points += is_crash
                letter = chance.choice(pending)
                _move(history, letter.upper() if is_crash else letter)
                world.check()
                explored.states += 1
            explored.interleavings += 1
            _end_together(world)
    return explored


def _move(history: History, letter: str) -> None:
    history.path += letter
    history.runs["abc".index(letter.lower())].step(CRASH if letter.isupper() else None)


def _together(scenario: str, *others: Action | None) -> tuple[World, list[Run]]:
    world, action = begin(scenario)
    run = Run(world, action)
    return world, [run, *(Run(world, other or action, "" if other else run.request_id) for other in others)]


def _state(world: World, runs: Sequence[Run], bound: object = None) -> bytes:
    """Return a digest of everything that later calls depend on."""
    state = (
        world.secret.content,
        world.secret.labels,
        world.telenor.tokens,
        world.clock.time,
        sorted(world.published),
        sorted(world.lost),
        sorted(world.last_read_at.items()),
        sorted(world.excused | world.irrevocable),
        world.abandoned(),
        [(run.pending, run.is_gone, run.seen) for run in runs],
        bound,
    )
    return hashlib.sha256(repr(state).encode()).digest()


# The start of a history


def begin(scenario: str) -> tuple[World, Action]:
    """Return a copy of the world that the scenario prepares, and the run's action."""
    random.seed(0)  # the jitter of the backoff
    return copy.deepcopy(prepared(scenario))


@functools.cache
def prepared(scenario: str) -> tuple[World, Action]:
    """Return the world that all histories of a scenario begin with."""
    world = World()
    return world, ALL_SCENARIOS[scenario](world) or Action.RENEW_IF_DUE
