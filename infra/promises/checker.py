"""Finds the guarantees that a history breaks. Pure: it takes the servers' records."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

from infra.promises.history import EMERGENCY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.promises.history import History, Logout, RunRecord, State

_NEAR_LABEL_QUOTA = 16


class Violation(NamedTuple):
    """A broken guarantee, and how it was broken."""

    promise: str
    how: str


class CurrentPeriod(NamedTuple):
    """A time for which a token was current."""

    token: str
    since: State
    until: State | None


def violations(history: History) -> list[Violation]:
    """Return every violation in a history."""
    return [
        *_current_logged_out(history),
        *_grace_cut_short(history),
        *_expiring_while_current(history),
        *_lifetime_overstated(history),
        *_untracked(history),
        *_left_active(history),
        *_not_recovered(history),
    ]


def _current_logged_out(history: History) -> Iterator[Violation]:
    for logout, period in _ended_by_runs(history):
        if period.since.at > logout.at or (period.until and period.until.at <= logout.at):
            continue
        # No run can see a roll-back after its last read.
        is_operators, compared_at = period.since.by is None, logout.compared_at
        if not is_operators or compared_at is None or period.since.at <= compared_at:
            seconds = logout.at - period.since.at
            yield Violation("P3", f"{logout.by} logged out a token that had been current for {seconds:.2f} s")


def _grace_cut_short(history: History) -> Iterator[Violation]:
    for logout, period in _ended_by_runs(history):
        if period.until is None or period.until.at > logout.at or (logout.by and logout.by.action == EMERGENCY):
            continue
        if _was_near_label_quota(history, period.until.at, logout.at) or _was_unobservable(history, period):
            continue
        # The label is from before the write, whose attempts may take a while.
        superseder = period.until.by
        superseded_at = min(period.until.at, (superseder and superseder.put_at) or period.until.at)
        kept = logout.at - superseded_at
        if kept < history.grace - history.tolerances.recording:
            yield Violation("P1", f"{logout.by} left a superseded token {kept:.2f} s of {history.grace:.0f} s")


def _expiring_while_current(history: History) -> Iterator[Violation]:
    """Find a token of the recovery phase that was still current with less lifetime than the grace period."""
    if history.recovery_from is None or history.ended_at is None:
        return
    for period in _current_periods(history):
        until = period.until.at if period.until else history.ended_at
        left = history.expires_at[period.token] - until
        is_recovery = period.since.by is not None and period.since.by.is_recovery
        if is_recovery and left < history.grace - history.schedule_delay:
            yield Violation("P1", f"in the recovery phase, a reader had {left:.2f} s of {history.grace:.0f} s left")


def _lifetime_overstated(history: History) -> Iterator[Violation]:
    for version, token in history.values.items():
        if (excess := history.documented_until[version] - history.expires_at[token]) > 0:
            yield Violation("P1", f"a document reported consumers {excess:.2f} s too much lifetime")


def _untracked(history: History) -> Iterator[Violation]:
    """Find a write after which a published token that is active is neither current nor in the ledger."""
    revoked_at = {logout.token: logout.at for logout in reversed(history.logouts)}
    published, reported = set[str](), set[str]()
    for state in history.states:
        published |= state.stages.keys()
        for version in published & history.values.keys() - reported - state.tracked - {state.current}:
            token = history.values[version]
            ends_at = min(revoked_at.get(token, float("inf")), history.documented_until[version])
            if state.at >= ends_at:
                continue
            reported.add(version)
            if not _is_reported(state):
                left = f"{ends_at - state.at:.1f} s before its token's end"
                yield Violation("P2", f"{state.by} left version {version} out of the ledger, {left}")


def _left_active(history: History) -> Iterator[Violation]:
    for run in history.runs:
        if not run.is_killed and run.left_active > run.abandoned:
            yield Violation("P2", f"{run} left {run.left_active} tokens active and reported {run.abandoned}")


def _not_recovered(history: History) -> Iterator[Violation]:
    for run in history.runs:
        if run.failure and not is_slow(run, history) and not run.is_killed and not run.faults.keys() - {"logout"}:
            promise = "P6" if run.faults else "P5"
            yield Violation(promise, f"{run}, whose logouts failed at most: {run.failure}")
    if not history.states or history.ended_at is None:
        return
    last, now = history.states[-1], history.ended_at
    revoked = {logout.token for logout in history.logouts if logout.at <= now}
    current = history.values.get(last.current or "")
    if current is None or current in revoked or history.expires_at[current] <= now:
        yield Violation("P5", "no live token was current after a recovery phase as long as a lifetime")
    latest = now - history.grace - history.tolerances.late - history.schedule_delay
    for period in _current_periods(history):
        if period.token in {*revoked, current} or history.expires_at[period.token] <= now or period.until is None:
            continue
        if period.until.at < latest:
            late = now - period.until.at
            yield Violation("P2", f"in the recovery phase, a token was active {late:.1f} s after it was superseded")


def is_slow(run: RunRecord, history: History) -> bool:
    """Return whether a run without a fault was slowed down by the machine."""
    return not run.faults and run.ended_at is not None and run.ended_at - run.began_at > history.tolerances.slow


def _ended_by_runs(history: History) -> Iterator[tuple[Logout, CurrentPeriod]]:
    """Return each logout by a run with each period of its token."""
    periods = list(_current_periods(history))
    for logout in history.logouts:
        if logout.by is not None:
            yield from ((logout, period) for period in periods if period.token == logout.token)


def _current_periods(history: History) -> Iterator[CurrentPeriod]:
    changes = [next(states) for _, states in itertools.groupby(history.states, lambda state: state.current)]
    for since, until in zip(changes, [*changes[1:], None], strict=True):
        token = history.values.get(since.current or "")
        if token is not None:
            yield CurrentPeriod(token, since, until)


def _is_reported(state: State) -> bool:
    """Return whether a run reported its abandoned tokens, or was killed while it freed label slots."""
    run = state.by
    return run is not None and (run.abandoned > 0 or (run.is_killed and state.labels >= _NEAR_LABEL_QUOTA - 1))


def _was_unobservable(history: History, period: CurrentPeriod) -> bool:
    """Return whether a roll-back ended before any run without a fault could see all of it."""
    if period.since.by is not None or period.until is None:
        return False
    until = period.until.at
    return not any(
        run.began_at > period.since.at and run.ended_at is not None and run.ended_at < until and not run.faults
        for run in history.runs
        if not run.is_killed
    )


def _was_near_label_quota(history: History, since: float, until: float) -> bool:
    return any(state.labels >= _NEAR_LABEL_QUOTA for state in history.states if since - 1 <= state.at <= until)
