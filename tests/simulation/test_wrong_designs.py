"""The proof can fail: each wrong design of the job breaks a promise, and the search finds the shortest history of it.

`make prove` prints the table. A history is how a run of a scenario meets its calls ("ok", a fault, "crash",
"rolled-back" by a hand), or the order in which two runs make theirs ("a" and "b").
"""

from __future__ import annotations

import copy
import functools
import json
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from handler import decisions, secrets_manager
from handler.errors import PublicationRefusedError, RotationError, TelenorError, VersionExistsError
from handler.model import Action, Entry, Ledger, Policy, Reason, StoredValue, Token
from handler.rotation import Rotation
from handler.secrets_manager import SecretsManager
from handler.telenor import Telenor
from tests.simulation.explore import _state
from tests.simulation.scenarios import FAULTS_BY_CALL, MORE_SCENARIOS, SCENARIOS, grace_over, roll_back
from tests.simulation.telenor import Issue
from tests.simulation.world import CRASH, BrokenPromiseError, Run, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


def slow_answers(world: World) -> Action:
    answered = world.telenor.on_answer

    def late(answer: object) -> None:
        world.clock.advance(seconds=8)
        answered(answer)

    world.telenor.on_answer = late
    return Action.RENEW_IF_DUE


ALL_SCENARIOS = {**SCENARIOS, **MORE_SCENARIOS, "slow_answers": slow_answers}

ROLLED_BACK = "rolled-back"
"""A hand makes the version under AWSPREVIOUS current just before a call."""

TWIN = "its twin"
"""The other run is the same event, delivered twice."""


# Histories


@dataclass(frozen=True)
class Alone:
    """One run, and what becomes of its calls."""

    scenario: str
    fates: tuple[str | None, ...] = ()

    def __str__(self) -> str:
        told = " ".join(fate or "ok" for fate in self.fates)
        return f"{self.scenario}: {told or 'all goes well'}"

    def play(self) -> None:
        """Raise BrokenPromiseError if a promise does not hold."""
        world = World()
        action = ALL_SCENARIOS[self.scenario](world)
        before = _published(world)
        run = Run(world, action)
        faulty = {call for call, fate in _played(run, self.fates) if fate}
        world.check()
        run.finish()
        world.check()
        if CRASH not in self.fates and ROLLED_BACK not in self.fates:
            _check_availability(world, run, faulty, before)
        _check_ends(world)
        if not any(self.fates) and world.telenor.issue is Issue.NEW:
            _check_overlap(world)


def _played(run: Run, fates: Iterable[str | None]) -> list[tuple[str, str | None]]:
    """Let the calls meet their fates; return what was called and which fault it really had."""
    played = []
    for fate in fates:
        call = run.pending
        if call is None:
            break
        if fate == CRASH:
            run.crash()
        elif fate == ROLLED_BACK:
            roll_back(run.world)
            run.step()
        else:
            run.step(fate)
            played.append((call, fate if fate in FAULTS_BY_CALL[call] else None))
    return played


@dataclass(frozen=True)
class Together:
    """Two runs at once, and the order of their calls."""

    first: str
    second: str
    order: str = ""

    def __str__(self) -> str:
        return f"{self.first} with {self.second}: {self.order}"

    def play(self) -> None:
        """Raise BrokenPromiseError if a promise does not hold."""
        world, runs = self.until_here()
        for run in runs:
            run.finish()
            world.check()
        _check_ends(world)

    def until_here(self) -> tuple[World, tuple[Run, Run]]:
        """Return how things stand after this order. Raises BrokenPromiseError."""
        world = World()
        action = ALL_SCENARIOS[self.first](world)
        other = action if self.second == TWIN else ALL_SCENARIOS[self.second](World())
        run = Run(world, action)
        runs = (run, Run(world, other, run.request_id if self.second == TWIN else ""))
        for letter in self.order:
            run = runs["ab".index(letter)]
            if run.pending:
                run.step()
            world.check()
        return world, runs


History = Alone | Together


# What the shared monitor does not look at


def _published(world: World) -> tuple[str | None, list[str], bool]:
    version_id, token = world.secret.current, world.current
    labels = world.secret.labels_of(version_id) if version_id else []
    return version_id, labels, token is not None and world.telenor.is_live(token)


def _check_availability(world: World, run: Run, faulty: set[str], before: tuple[str | None, list[str], bool]) -> None:
    """P6: a failing logout does not hold up a publication; a failing token request leaves what is published alone."""
    report = run.report
    is_refused = world.telenor.refuses_verification
    if faulty <= {"logout", "UpdateSecretVersionStage"} and report.outcome is None and not is_refused:
        raise BrokenPromiseError("P6: nothing but revocation went wrong, and no token was published")
    kills_old = world.telenor.issue is Issue.NEW_KILLS_OLD
    if faulty == {"token"} and report.outcome is None and not kills_old and _published(world) != before:
        raise BrokenPromiseError("P6: a failing token request has touched what is published")


def _check_ends(world: World) -> None:
    """P2 for what was obtained only, P1 for what consumers are told, and that scheduled runs put things right."""
    stray = set(world.telenor.live()) - world.published - world.lost
    if stray:
        raise BrokenPromiseError(f"P2: {sorted(stray)} obtained, alive, and neither published nor revoked")
    if world.current and world.telenor.is_live(world.current):
        told = datetime.fromtimestamp(json.loads(world.secret.content[str(world.secret.current)])["expires_at"], UTC)
        if told > world.telenor.tokens[world.current].expires_at:
            raise BrokenPromiseError(f"P1: {world.current} dies before the time that consumers are told")
    world.telenor.refuses_verification = False
    world.check_recovery()


def _check_overlap(world: World) -> None:
    """P1: just before each scheduled run, what a consumer reads lives through the grace."""
    period = world.policy.schedule
    for _ in range(13):
        expires_at = world.telenor.tokens[str(world.current)].expires_at
        if expires_at < world.clock.now() + period + world.policy.grace:
            raise BrokenPromiseError(f"P1: {world.current} can be read when it lives no longer than the grace")
        world.tick()


# The search, from short to long


@dataclass(frozen=True)
class Design:
    """One wrong design: how it changes the job, which promise it breaks, and where to look for longer histories.

    Histories in which all goes well are looked at in every scenario; what goes wrong is tried in those named here.
    """

    name: str
    change: Callable[[pytest.MonkeyPatch], None]
    promise: str
    scenarios: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    faults: int = 1


@dataclass(frozen=True)
class Found:
    """The shortest history that shows the harm."""

    history: History
    broken: str
    looked_at: tuple[History, ...]


def search(design: Design) -> Found | None:
    """Play histories from short to long until one breaks a promise."""
    looked_at: list[History] = []
    with pytest.MonkeyPatch.context() as patch:
        design.change(patch)
        for history in _histories(design):
            looked_at.append(history)
            try:
                history.play()
            except BrokenPromiseError as broken:
                return Found(history, str(broken), tuple(looked_at))
    return None


def _histories(design: Design) -> Iterator[History]:
    """First all goes well, then a call of one run goes wrong, then two calls, then two runs are at work at once."""
    yield from (Alone(scenario) for scenario in ALL_SCENARIOS)
    level = [Alone(scenario) for scenario in design.scenarios]
    for _ in range(design.faults):
        level = sorted((worse for history in level for worse in _worse(history)), key=lambda worse: len(worse.fates))
        yield from level
    for first, second in design.pairs:
        yield from _orders(first, second)


def _worse(history: Alone) -> Iterator[Alone]:
    """Let one more call go wrong, after those that do."""
    if CRASH in history.fates:
        return
    world = World()
    run = Run(world, ALL_SCENARIOS[history.scenario](world))
    _played(run, history.fates)
    good = history.fates
    while run.pending:
        fates = [*FAULTS_BY_CALL[run.pending], CRASH]
        # Not between the comparison and the logout: that is a moment which no design can close.
        if history.scenario == grace_over.__name__ and run.pending != "logout":
            fates.append(ROLLED_BACK)
        yield from (replace(history, fates=(*good, fate)) for fate in fates)
        good = (*good, None)
        run.step()


def _orders(first: str, second: str) -> Iterator[Together]:
    """Lengthen the orders call by call; return those that are complete, and those that break a promise before.

    A state that was reached before is not gone on with.
    """
    seen: set[bytes] = set()
    queue = deque([Together(first, second)])
    while queue:
        history = queue.popleft()
        try:
            world, runs = history.until_here()
        except BrokenPromiseError:
            yield history
            continue
        state = _state(world, runs)
        letters = [letter for letter, run in zip("ab", runs, strict=True) if run.pending]
        for run in runs:
            run.abandon()
        if state in seen:
            continue
        seen.add(state)
        queue += [replace(history, order=history.order + letter) for letter in letters]
        if not letters:
            yield history


# The wrong designs

DESIGNS: dict[str, Design] = {}


def wrong(
    promise: str, *scenarios: str, pairs: tuple[tuple[str, str], ...] = (), faults: int = 1
) -> Callable[[Callable[[pytest.MonkeyPatch], None]], None]:
    """Enter a design in the table, under its name as a sentence."""

    def enter(change: Callable[[pytest.MonkeyPatch], None]) -> None:
        name = change.__name__.replace("_", " ")
        DESIGNS[name] = Design(name, change, promise, scenarios, pairs, faults)

    return enter


def instead(patch: pytest.MonkeyPatch, owner: object, name: str, wrongly: Callable[..., Any]) -> None:
    """Put a wrong function in the place of a real one, which it gets as its first argument."""
    real = getattr(owner, name)

    def replacement(*args: Any, **kwargs: Any) -> Any:
        return wrongly(real, *args, **kwargs)

    patch.setattr(owner, name, replacement)


@wrong("P3")
def the_old_token_is_revoked_before_the_new_one_is_published(patch: pytest.MonkeyPatch) -> None:
    def publish(real: Callable[..., None], self: Rotation, token: Token) -> None:
        if (current := self.secrets.read_current()) and current.access_token:
            self.telenor.logout(current.access_token, self.end_by)
        real(self, token)

    instead(patch, Rotation, "_publish", publish)


@wrong("P1")
def a_superseded_token_has_no_grace(patch: pytest.MonkeyPatch) -> None:
    def end_superseded(real: Callable[..., None], self: Rotation) -> None:
        self._revocable = self._ledger.superseded
        real(self)

    instead(patch, Rotation, "_end_superseded", end_superseded)


@wrong("P1")
def the_grace_is_counted_from_the_publication_of_the_superseded_token(patch: pytest.MonkeyPatch) -> None:
    def revocable(_real: object, ledger: Ledger, now: datetime, grace: timedelta) -> tuple[Entry, ...]:
        return tuple(entry for entry in ledger.superseded if entry.published_at and now >= entry.published_at + grace)

    instead(patch, decisions, "revocable", revocable)


@wrong("P1")
def a_version_newer_than_the_current_one_is_revoked_after_a_rollback(patch: pytest.MonkeyPatch) -> None:
    def revocable(_real: object, ledger: Ledger, now: datetime, grace: timedelta) -> tuple[Entry, ...]:
        published_at = ledger.current and ledger.current.published_at
        return ledger.superseded if published_at and now >= published_at + grace else ()

    instead(patch, decisions, "revocable", revocable)


@wrong("P1")
def a_token_is_renewed_only_when_it_expires(patch: pytest.MonkeyPatch) -> None:
    def renewal_time(_real: object, current: Entry, _policy: Policy) -> tuple[datetime, Reason] | None:
        return (current.expires_at, Reason.TOO_LITTLE_LIFE_LEFT) if current.expires_at else None

    instead(patch, decisions, "renewal_time", renewal_time)


@wrong("P1")
def the_expiry_is_counted_from_the_answer(patch: pytest.MonkeyPatch) -> None:
    def token(real: Callable[..., Token], self: Telenor, answer: object, _requested_at: datetime, *rest: Any) -> Token:
        return real(self, answer, self._clock.now().replace(microsecond=0), *rest)

    instead(patch, Telenor, "_token", token)


@wrong("P1")
def a_token_is_logged_out_although_another_version_in_grace_holds_it(patch: pytest.MonkeyPatch) -> None:
    instead(patch, Rotation, "_is_any", lambda *_: False)


@wrong("P1", pairs=(("same_token_in_two_versions", "forced"),))
def what_was_decided_is_done_although_another_run_has_published(patch: pytest.MonkeyPatch) -> None:
    def is_superseded(real: Callable[..., bool], self: Rotation, *args: Any, at_once: bool) -> bool:
        del at_once
        return real(self, *args, at_once=True)

    instead(patch, Rotation, "_is_superseded", is_superseded)


@wrong("P5")
def the_label_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    _publish_without_label(patch, lambda entry: replace(entry, labels=("LIVE_forgotten",)))


@wrong("P2", "first_run", "renewal", pairs=(("first_run", "first_run"),))
def the_label_is_added_after_the_write(patch: pytest.MonkeyPatch) -> None:
    _publish_without_label(patch, lambda entry: entry)


class _WithoutLabels:
    """A client whose writes name no label but AWSCURRENT."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def put_secret_value(self, **request: Any) -> Any:
        return self._client.put_secret_value(**request | {"VersionStages": ["AWSCURRENT"]})


def _publish_without_label(patch: pytest.MonkeyPatch, answer: Callable[[Entry], Entry]) -> None:
    def publish(real: Callable[..., Entry], self: SecretsManager, *args: Any) -> Entry:
        # A copy, since other runs are at work while this one waits for its answer.
        without_labels = copy.copy(self)
        vars(without_labels)["_client"] = _WithoutLabels(self._client)
        return answer(real(without_labels, *args))

    instead(patch, SecretsManager, "publish", publish)


@wrong("P2")
def the_label_is_not_unique_to_its_version(patch: pytest.MonkeyPatch) -> None:
    def entry(real: Callable[..., Entry], version_id: str, *times: datetime) -> Entry:
        return replace(real("the-same", *times), version_id=version_id)

    instead(patch, secrets_manager, "_entry", entry)


@wrong("P5")
def a_current_token_without_a_label_counts_as_fresh(patch: pytest.MonkeyPatch) -> None:
    def renewal(real: Callable[..., tuple[bool, Reason]], *args: Any) -> tuple[bool, Reason]:
        is_due, reason = real(*args)
        return (is_due, reason) if reason is not Reason.NOT_IN_LEDGER else (False, Reason.FRESH)

    instead(patch, decisions, "renewal", renewal)


@wrong("P2")
def a_current_token_that_lost_its_label_is_superseded_as_it_is(patch: pytest.MonkeyPatch) -> None:
    instead(patch, Rotation, "_track_current", lambda *_: None)


@wrong("P2", "grace_over", "renewal_with_revocations")
def a_token_leaves_the_ledger_before_its_logout(patch: pytest.MonkeyPatch) -> None:
    def revoke(real: Callable[..., bool], self: Rotation, entry: Entry, *args: Any, **kwargs: Any) -> bool:
        return self._forget(entry) and real(self, entry, *args, **kwargs)

    instead(patch, Rotation, "_revoke", revoke)


@wrong("P2", "grace_over", "renewal_with_revocations")
def a_token_leaves_the_ledger_although_its_logout_failed(patch: pytest.MonkeyPatch) -> None:
    def revoke(real: Callable[..., bool], self: Rotation, entry: Entry, *args: Any, **kwargs: Any) -> bool:
        failed = self.report.revocations_failed
        return real(self, entry, *args, **kwargs) or (self.report.revocations_failed > failed and self._forget(entry))

    instead(patch, Rotation, "_revoke", revoke)


@wrong("P2")
def a_token_that_was_not_published_is_left_alone(patch: pytest.MonkeyPatch) -> None:
    instead(patch, Rotation, "_discard", lambda *_: None)


@wrong("P2", pairs=(("first_run", TWIN),))
def a_version_that_exists_is_a_failure_that_leaves_the_own_token(patch: pytest.MonkeyPatch) -> None:
    def look_up(real: Callable[..., Entry], self: Rotation, token: Token, error: RotationError) -> Entry:
        if isinstance(error, VersionExistsError):
            self._unpublished.remove(token.access_token)
            raise PublicationRefusedError("the version exists") from None
        return real(self, token, error)

    instead(patch, Rotation, "_look_up", look_up)


@wrong("P3")
def nothing_is_compared_with_the_current_token(patch: pytest.MonkeyPatch) -> None:
    instead(patch, Rotation, "_is_current", lambda *_: False)
    instead(patch, Rotation, "_is_superseded", lambda *_, **__: True)


@wrong("P3", "grace_over")
def the_comparison_is_made_once_and_not_right_before_each_logout(patch: pytest.MonkeyPatch) -> None:
    def end_superseded(real: Callable[..., None], self: Rotation) -> None:
        for entry in self._revocable:
            self._value(entry.version_id)
        current = self.secrets.read_current() if self._revocable else None
        vars(self.secrets)["read_current"] = lambda: current
        real(self)

    instead(patch, Rotation, "_end_superseded", end_superseded)


@wrong("P3", "rolled_back", "grace_over")
def the_current_version_is_judged_from_the_description(patch: pytest.MonkeyPatch) -> None:
    def is_superseded(
        _real: object, self: Rotation, entry: Entry, _value: StoredValue, _current: object, **_: Any
    ) -> bool:
        return self._ledger.current is not None and self._ledger.current.version_id != entry.version_id

    def is_current(_real: object, self: Rotation, access_token: str, _current: object) -> bool:
        entry = self._ledger.current
        current = self._value(entry.version_id) if entry else None
        return current is not None and current.holds(access_token)

    instead(patch, Rotation, "_is_superseded", is_superseded)
    instead(patch, Rotation, "_is_current", is_current)


@wrong("P3", "older_token_again")
def the_own_publication_is_not_known_to_a_read_that_lags(patch: pytest.MonkeyPatch) -> None:
    def is_current(_real: object, _self: Rotation, access_token: str, current: StoredValue | None) -> bool:
        return current is not None and current.holds(access_token)

    instead(patch, Rotation, "_is_current", is_current)


@wrong("P3", "renewal", "reissued_with_a_longer_life")
def the_new_token_is_logged_out_without_a_comparison_when_its_write_is_refused(patch: pytest.MonkeyPatch) -> None:
    def discard(_real: object, self: Rotation, access_token: str) -> None:
        self.telenor.logout(access_token, self.end_by)

    instead(patch, Rotation, "_discard", discard)


@wrong("P3", "first_run", faults=2)
def an_unknown_outcome_counts_as_refused(patch: pytest.MonkeyPatch) -> None:
    def look_up(_real: object, self: Rotation, _token: Token, error: RotationError) -> Entry:
        self._published = None
        raise PublicationRefusedError(str(error)) from None

    instead(patch, Rotation, "_look_up", look_up)


@wrong("P4")
def the_log_tells_which_token_was_obtained(patch: pytest.MonkeyPatch) -> None:
    def verify(real: Callable[..., None], self: Rotation, token: Token) -> None:
        self.log.info(f"obtained {token.access_token}")
        real(self, token)

    instead(patch, Rotation, "_verify", verify)


@wrong("P6", "renewal_with_revocations")
def a_failed_logout_fails_the_run_before_it_publishes(patch: pytest.MonkeyPatch) -> None:
    def renew(real: Callable[..., None], self: Rotation) -> None:
        self._end_superseded()
        if self.report.revocations_failed:
            raise PublicationRefusedError("a superseded token could not be revoked")
        real(self)

    instead(patch, Rotation, "_renew", renew)


@wrong("P6")
def a_full_ledger_refuses_another_token(patch: pytest.MonkeyPatch) -> None:
    def make_room(_real: object, self: Rotation) -> None:
        if decisions.is_full(self._ledger):
            raise PublicationRefusedError("the ledger is full")

    instead(patch, Rotation, "_make_room", make_room)


@wrong("P6", "first_run", "renewal")
def a_failed_token_request_takes_the_current_token_out_of_the_ledger(patch: pytest.MonkeyPatch) -> None:
    def request_token(real: Callable[..., Token], self: Rotation, *args: Any) -> Token:
        try:
            return real(self, *args)
        except TelenorError:
            if self._ledger.current:
                self._forget(self._ledger.current)
            raise

    instead(patch, Rotation, "_request_token", request_token)


# The table


@functools.cache
def caught(name: str) -> Found | None:
    """Search once for the harm of a design."""
    return search(DESIGNS[name])


def row(name: str) -> tuple[str, str, str]:
    """Return a wrong design, the promise that it breaks, and the shortest history that shows it."""
    found = caught(name)
    return (name, found.broken.split(":")[0], str(found.history)) if found else (name, "-", "-")


@pytest.mark.parametrize("name", DESIGNS)
def test_a_wrong_design_is_caught(name: str) -> None:
    found = caught(name)
    assert found is not None
    assert found.broken.startswith(f"{DESIGNS[name].promise}:"), f"{found.history}: {found.broken}"


def test_the_real_design_breaks_no_promise_in_the_same_histories() -> None:
    histories = {history for name in DESIGNS if (found := caught(name)) for history in found.looked_at}
    for history in sorted(histories, key=lambda history: (len(str(history)), str(history))):
        history.play()
    assert histories
