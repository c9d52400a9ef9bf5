"""Every crash and every fault of one run, every order of two, and orders of three drawn at random."""

from __future__ import annotations

import copy
import functools
import hashlib
import itertools
import random
from collections import defaultdict
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Self

from handler import decisions
from handler.model import Action
from tests.simulation.scenarios import FAULTS_BY_CALL, MORE_SCENARIOS, SCENARIOS
from tests.simulation.telenor import Issue
from tests.simulation.world import BEGIN, BrokenPromiseError, Run, World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass
class Explored:
    """What was looked at."""

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

    def play(self, history: str, world: World, ending: Callable[[], None]) -> None:
        """Note how a history ends."""
        try:
            ending()
        except BrokenPromiseError as broken:
            self.violations.append(f"{history}: {broken}")
        self.histories += 1
        self.simulated_hours += (world.clock.now() - BEGIN).total_seconds() / 3600


# One run


def crashes_and_faults(scenario: str, *, faults: int = 1, begin_at: str | None = None) -> Explored:
    """Give each call of a run each fault, and kill the run before each; then let scheduled runs follow.

    Up to `faults` calls of a run get a fault, the first of them not before the call `begin_at`.
    """
    explored = Explored()
    stack: list[tuple[str | None, ...]] = [()]
    while stack:
        fates = stack.pop()
        world, run = _until(scenario, fates)
        explored.states += len(fates) + 1
        wrong = sum(fate is not None for fate in fates)
        explored.faults += wrong
        # What goes wrong next has the good calls up to there before it, so each history is looked at once.
        while run.pending and wrong < faults:
            if wrong or begin_at in {None, run.pending}:
                _crash_here(explored, scenario, fates)
                stack += [(*fates, fate) for fate in FAULTS_BY_CALL[run.pending]]
            run.step()
            fates = (*fates, None)
            explored.states += 1
        explored.play(f"{scenario}: {run.story or 'all goes well'}", world, functools.partial(_end, world, run))
    return explored


def _crash_here(explored: Explored, scenario: str, fates: tuple[str | None, ...]) -> None:
    world, run = _until(scenario, fates)
    run.crash()
    explored.crash_points += 1
    explored.play(f"{scenario}: {run.story}", world, functools.partial(_end, world, run))


def _until(scenario: str, fates: Sequence[str | None]) -> tuple[World, Run]:
    world, action = begin(scenario)
    run = Run(world, action)
    for fate in fates:
        run.step(fate)
    return world, run


def _end(world: World, *runs: Run) -> None:
    """Let everything go well from here on."""
    for run in runs:
        run.finish()
    world.check()
    world.telenor.refuses_verification = False
    if len(runs) > 1 and world.telenor.issue is Issue.NEW_KILLS_OLD:
        # Which of their tokens has killed the others nothing tells before the next one is due (docs/promises.md).
        world.recovers_after = decisions.renewal_times(BEGIN, BEGIN + world.telenor.life, world.policy).at - BEGIN
    world.check_recovery()


# Runs at once


def orders(scenario: str, other: Action, *, with_crash: bool, turns: int | None = None) -> Explored:
    """Run two at once in every order of their calls: the scenario's own run, and another that is asked to do `other`.

    A state that was reached in another order, with the same answers seen by both, is not gone on with. Each order
    that leads through the states counts as one interleaving. `turns` bounds how often the one run gives way to the
    other while both could go on.
    """
    explored = Explored()
    next_states: dict[bytes, list[bytes]] = defaultdict(list)
    stack: list[tuple[str, bytes]] = [("", b"")]
    while stack:
        path, before = stack.pop()
        world, runs = _together(scenario, other)
        try:
            for letter in path:
                _move(runs, letter)
            # What has been played needs not be played again for the first of the moves from here.
            while True:
                world.check()
                moves = [letter for letter, run in zip("ab", runs, strict=True) if run.pending]
                taken = _turns(path)
                state = _state(world, runs, None if turns is None else (taken, path[-1:]))
                is_known = state in next_states
                next_states[before].append(state)
                if is_known:
                    break
                next_states[state] = []
                if not moves:
                    explored.play(f"{scenario} with {other}: {path}", world, functools.partial(_end, world, *runs))
                    break
                if taken == turns and path[-1].lower() in moves:
                    moves = [path[-1].lower()]
                if with_crash and path == path.lower():
                    explored.crash_points += len(moves)
                    moves += [letter.upper() for letter in moves]
                stack += [(path + letter, state) for letter in moves[1:]]
                path, before = path + moves[0], state
                _move(runs, moves[0])
        except BrokenPromiseError as broken:
            explored.violations.append(f"{scenario} with {other}: {path}: {broken}")
        for run in runs:
            run.abandon()
    explored.states = len(next_states) - 1
    explored.interleavings = _paths(next_states)
    return explored


def _turns(path: str) -> int:
    return sum(one != other for one, other in itertools.pairwise(path.lower()))


def _paths(next_states: dict[bytes, list[bytes]]) -> int:
    """Count the ways through the states."""

    @functools.cache
    def paths(state: bytes) -> int:
        return sum(map(paths, next_states[state])) if next_states[state] else 1

    return paths(b"")


def orders_of_three(scenario: str, seed: int, samples: int) -> Explored:
    """Run three at once in orders drawn at random; in half of them one is killed on its way."""
    explored = Explored()
    chance = random.Random(f"{scenario} {seed}")  # noqa: S311  to be repeated, not to be secret
    for sample in range(samples):
        world, runs = _together(scenario, *chance.choices(list(Action), k=2))
        asked = f"{scenario} with {runs[1].action} and {runs[2].action}"
        crash_at = chance.randrange(1, 60)
        path = ""
        try:
            while pending := [letter for letter, run in zip("abc", runs, strict=True) if run.pending]:
                letter = chance.choice(pending)
                if sample % 2 and len(path) == crash_at:
                    letter = letter.upper()
                    explored.crash_points += 1
                _move(runs, letter)
                path += letter
                world.check()
                explored.states += 1
        except BrokenPromiseError as broken:
            explored.violations.append(f"{asked}: {path}: {broken}")
            continue
        explored.interleavings += 1
        explored.play(f"{asked}: {path}", world, functools.partial(_end, world, *runs))
    return explored


def _move(runs: Sequence[Run], letter: str) -> None:
    run = runs["abc".index(letter.lower())]
    if letter.isupper():
        run.crash()
    else:
        run.step()


def _together(scenario: str, *others: Action) -> tuple[World, list[Run]]:
    world, action = begin(scenario)
    return world, [Run(world, asked) for asked in (action, *others)]


def _state(world: World, runs: Sequence[Run], bound: object = None) -> bytes:
    """Tell apart all that could make a difference later."""
    told = (
        world.secret.content,
        world.secret.labels,
        world.telenor.tokens,
        world.clock.time,
        sorted(world.published),
        sorted(world.lost),
        sorted(world.last_read_at.items()),
        [(run.pending, run.is_gone, run.seen) for run in runs],
        bound,
    )
    return hashlib.sha256(repr(told).encode()).digest()


# Where a history begins


def begin(scenario: str) -> tuple[World, Action]:
    """Return a world of its own as the scenario prepares it, and what the run is asked to do."""
    random.seed(0)  # the jitter of the backoff
    return copy.deepcopy(_prepared(scenario))


@functools.cache
def _prepared(scenario: str) -> tuple[World, Action]:
    world = World()
    return world, {**SCENARIOS, **MORE_SCENARIOS}[scenario](world)
