"""Which promises an episode has broken. Pure: takes what the servers have seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from infra.chaos.history import EMERGENCY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.chaos.history import History, Logout, RunSeen, State

# What a revocation takes beyond the grace: the next scheduled run, the rounding of the label, and the run itself.
_LATE_SECONDS = 4.0

# From dating a label to the write that it comes with: the machine may have much to do.
_WRITING_SECONDS = 0.5

# A run with no fault that takes longer shows what the machine does, and not what the job does.
_SLOW_SECONDS = 2.0

_CROWDED = 16


class Violation(NamedTuple):
    """A promise that was broken, and how."""

    promise: str
    how: str


class Reign(NamedTuple):
    """A time for which a version was under AWSCURRENT."""

    version: str
    since: State
    until: State | None


def violations(history: History) -> list[Violation]:
    """Return every violation of an episode."""
    return [
        *_current_logged_out(history),
        *_grace_cut_short(history),
        *_dead_in_readers_hands(history),
        *_told_too_much(history),
        *_forgotten(history),
        *_left_alive(history),
        *_not_healed(history),
    ]


def _current_logged_out(history: History) -> Iterator[Violation]:
    for logout, reign in _ended_by_runs(history):
        if not _covers(reign, logout.at):
            continue
        # Somebody rolled back to it after the run had looked for the last time: no run can see that.
        if reign.since.by is None and (logout.compared_at is None or reign.since.at > logout.compared_at):
            if logout.compared_at is not None:
                continue
            yield Violation("P3", f"{_who(logout)} logged out the current token without having compared")
            continue
        yield Violation("P3", f"{_who(logout)} logged out the current token, {logout.at - reign.since.at:.2f} s after")


def _grace_cut_short(history: History) -> Iterator[Violation]:
    for logout, reign in _ended_by_runs(history):
        if reign.until is None or reign.until.at > logout.at:
            continue
        if logout.by is not None and logout.by.action == EMERGENCY:
            continue
        if _was_crowded(history, reign.until.at, logout.at) or _went_unseen(history, reign):
            continue
        # The label is from before the write, whose attempts may take a while.
        superseder = reign.until.by
        superseded_at = min(reign.until.at, (superseder and superseder.put_at) or reign.until.at)
        kept = logout.at - superseded_at
        if kept < history.grace - _WRITING_SECONDS:
            yield Violation("P1", f"{_who(logout)} left a superseded token {kept:.2f} s of {history.grace:.0f} s")


def _dead_in_readers_hands(history: History) -> Iterator[Violation]:
    """Find a token of the calm that was still current when a reader had less than the grace left of it."""
    if history.calm_from is None or history.ended_at is None:
        return
    for reign in _reigns(history):
        token = history.values.get(reign.version)
        run = reign.since.by
        if token is None or run is None or not run.is_calm:
            continue
        until = reign.until.at if reign.until else history.ended_at
        left = history.expires_at[token] - until
        if left < history.grace - history.latest_tick:
            yield Violation("P1", f"a reader had {left:.2f} s of {history.grace:.0f} s left of a token, in the calm")


def _told_too_much(history: History) -> Iterator[Violation]:
    for version, token in history.values.items():
        if (excess := history.told_until[version] - history.expires_at[token]) > 0:
            yield Violation("P1", f"a document told consumers {excess:.2f} s too much of a life")


def _forgotten(history: History) -> Iterator[Violation]:
    """Find a write after which a published token that is alive is neither current nor in the ledger."""
    dead_at = {logout.token: logout.at for logout in reversed(history.logouts)}
    published, told = set[str](), set[str]()
    for state in history.states:
        published |= state.stages.keys()
        for version in published & history.values.keys() - told - state.tracked - {state.current}:
            token = history.values[version]
            ends_at = min(dead_at.get(token, float("inf")), history.told_until[version])
            if state.at >= ends_at:
                continue
            told.add(version)
            if not _is_given_up(state):
                who = f"run {state.by.name} ({state.by.action})" if state.by else "an operator"
                yield Violation(
                    "P2",
                    f"{who} left version {version} neither current nor in the ledger, whose token had "
                    f"{ends_at - state.at:.1f} s to live",
                )


def _left_alive(history: History) -> Iterator[Violation]:
    for run in history.runs:
        if not run.is_killed and run.left_alive > run.abandoned:
            yield Violation(
                "P2", f"run {run.name} ({run.action}) left {run.left_alive} tokens alive, and reported {run.abandoned}"
            )


def _not_healed(history: History) -> Iterator[Violation]:
    for run in history.runs:
        if run.failure and not is_slow(run) and not run.is_killed and not run.faults.keys() - {"logout"}:
            promise = "P6" if run.faults else "P5"
            yield Violation(promise, f"run {run.name} ({run.action}), whose logouts failed at most: {run.failure}")
    if not history.states or history.ended_at is None:
        return
    last, now = history.states[-1], history.ended_at
    dead = {logout.token for logout in history.logouts if logout.at <= now}
    current = history.values.get(last.current or "")
    if current is None or current in dead or history.expires_at[current] <= now:
        yield Violation("P5", "no live token was current after a calm as long as a life")
    for reign in _reigns(history):
        token = history.values.get(reign.version)
        if token is None or token in dead or history.expires_at[token] <= now or reign.until is None:
            continue
        if reign.version != last.current and now > reign.until.at + history.grace + _LATE_SECONDS + history.latest_tick:
            yield Violation("P2", f"a superseded token was alive {now - reign.until.at:.1f} s after, in the calm")


def is_slow(run: RunSeen) -> bool:
    """Tell whether a run without a fault took so long that the machine must have been busy with something else."""
    return not run.faults and run.ended_at is not None and run.ended_at - run.began_at > _SLOW_SECONDS


def _ended_by_runs(history: History) -> Iterator[tuple[Logout, Reign]]:
    """Return each logout by a run with each time for which its token was current."""
    reigns = list(_reigns(history))
    for logout in history.logouts:
        if logout.by is not None:
            yield from ((logout, reign) for reign in reigns if history.values.get(reign.version) == logout.token)


def _reigns(history: History) -> Iterator[Reign]:
    since: State | None = None
    for state in history.states:
        if since is not None and state.current == since.current:
            continue
        if since is not None and since.current is not None:
            yield Reign(since.current, since, state)
        since = state
    if since is not None and since.current is not None:
        yield Reign(since.current, since, None)


def _is_given_up(state: State) -> bool:
    """Tell whether a run has reported what it left alive, or was killed before it could where it had to make room."""
    run = state.by
    return run is not None and (run.abandoned > 0 or (run.is_killed and state.labels >= _CROWDED - 1))


def _covers(reign: Reign, at: float) -> bool:
    return reign.since.at <= at and (reign.until is None or at < reign.until.at)


def _went_unseen(history: History, reign: Reign) -> bool:
    """Tell whether an operator's roll-back was over before a run without a fault had seen it from its beginning."""
    if reign.since.by is not None or reign.until is None:
        return False
    until = reign.until.at
    return not any(
        run.began_at > reign.since.at and run.ended_at is not None and run.ended_at < until and not run.faults
        for run in history.runs
        if not run.is_killed
    )


def _was_crowded(history: History, since: float, until: float) -> bool:
    return any(state.labels >= _CROWDED for state in history.states if since - 1 <= state.at <= until)


def _who(logout: Logout) -> str:
    return f"run {logout.by.name} ({logout.by.action})" if logout.by else "another party"
