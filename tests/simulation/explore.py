"""Every crash and every fault of one run, and every order of two."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from tests.simulation.scenarios import FAULTS_BY_CALL, SCENARIOS
from tests.simulation.world import BrokenPromiseError, Run, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IS_FULL = os.environ.get("SIMULATION") == "full"
"""Whether to look at all that there is, which takes minutes."""

CRASH = "crash"
"""The run is killed before the call that would come next."""


@dataclass
class Explored:
    """What was looked at."""

    histories: int = 0
    states: int = 0
    crash_points: int = 0
    faults: int = 0
    violations: list[str] = field(default_factory=list)


def crashes_and_faults(scenario: str, *, pairs: bool = False) -> Explored:
    """Give each call of a run each fault, and kill the run before each; then let scheduled runs follow."""
    explored = Explored()
    for plan in _plans(scenario, pairs=pairs):
        explored.histories += 1
        explored.crash_points += CRASH in plan
        explored.faults += sum(fate not in {None, CRASH} for fate in plan)
        _guard(explored, f"{scenario}: {_told(plan)}", partial(_play, scenario, plan))
    return explored


def _plans(scenario: str, *, pairs: bool) -> Iterator[tuple[str | None, ...]]:
    """List the fates of the calls: one goes wrong, or two, or the run is killed."""
    stack: list[tuple[str | None, ...]] = [()]
    while stack:
        prefix = stack.pop()
        run = _until(scenario, prefix)
        yield prefix
        calls = 0
        # What follows a fault is a history of its own, so that its calls get faults too when pairs are asked for.
        wrong = sum(fate is not None for fate in prefix)
        while run.pending:
            good = prefix + (None,) * calls
            if wrong <= pairs:
                yield (*good, CRASH)
                if wrong < 1 + pairs:
                    stack += [(*good, fate) for fate in FAULTS_BY_CALL[run.pending]]
            run.step()
            calls += 1


def _until(scenario: str, prefix: tuple[str | None, ...]) -> Run:
    world = World()
    run = Run(world, SCENARIOS[scenario](world))
    for fate in prefix:
        if run.pending:
            run.step(fate)
    return run


def _play(scenario: str, plan: tuple[str | None, ...]) -> None:
    world = World()
    run = Run(world, SCENARIOS[scenario](world))
    for fate in plan:
        if not run.pending:
            break
        if fate == CRASH:
            run.crash()
        else:
            run.step(fate)
        world.check()
    run.finish()
    world.check()
    world.telenor.refuses_verification = False
    world.check_recovery()


def _guard(explored: Explored, history: str, play: Callable[[], None]) -> None:
    try:
        play()
    except BrokenPromiseError as broken:
        explored.violations.append(f"{history}: {broken}")


def _told(plan: tuple[str | None, ...]) -> str:
    return " ".join(fate or "ok" for fate in plan) or "all goes well"


def orders(first: str, second: str, *, with_crash: bool) -> Explored:
    """Run two at once in every order of their calls; the second scenario says what the other run is asked to do.

    A state that was reached in another order, with the same answers seen by both, is not gone on with.
    """
    explored = Explored()
    seen: set[bytes] = set()
    stack: list[str] = [""]
    while stack:
        path = stack.pop()
        world, runs = _two(first, second)
        try:
            for letter in path:
                run = runs["ab".index(letter.lower())]
                if letter.isupper():
                    run.crash()
                else:
                    run.step()
                world.check()
        except BrokenPromiseError as broken:
            explored.violations.append(f"{first} with {second}: {path}: {broken}")
            continue
        state = _state(world, runs)
        if state in seen:
            continue
        seen.add(state)
        explored.states += 1
        pending = [letter for letter, run in zip("ab", runs, strict=True) if run.pending]
        stack += [path + letter for letter in pending]
        if with_crash and path == path.lower():
            stack += [path + letter.upper() for letter in pending]
            explored.crash_points += len(pending)
        if not pending:
            explored.histories += 1
            world.telenor.refuses_verification = False
            _guard(explored, f"{first} with {second}: {path}", world.check_recovery)
    return explored


def _two(first: str, second: str) -> tuple[World, tuple[Run, Run]]:
    world = World()
    action = SCENARIOS[first](world)
    other = SCENARIOS[second](World())
    return world, (Run(world, action), Run(world, other))


def _state(world: World, runs: tuple[Run, Run]) -> bytes:
    told = (
        world.secret.content,
        world.secret.labels,
        world.telenor.tokens,
        world.clock.time,
        sorted(world.published),
        [(run.pending, run.seen) for run in runs],
    )
    return hashlib.sha256(repr(told).encode()).digest()
