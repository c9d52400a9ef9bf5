"""Finds the promises that a history breaks. Pure: takes what the servers recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from infra.promises.history import EMERGENCY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.promises.history import History, Logout, RunRecord, State

_NEAR_LABEL_QUOTA = 16


class Violation(NamedTuple):
    """A promise that was broken, and how."""

    promise: str
    how: str


class CurrentPeriod(NamedTuple):
    """A time for which a version was under AWSCURRENT."""

    version: str
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
        if not _covers(period, logout.at):
            continue
        # Somebody rolled back to it after the run had looked for the last time: no run can see that.
        if period.since.by is None and (logout.compared_at is None or period.since.at > logout.compared_at):
            if logout.compared_at is not None:
                continue
            yield Violation("P3", f"{_who(logout)} logged out the current token without having compared")
            continue
        yield Violation("P3", f"{_who(logout)} logged out the current token, {logout.at - period.since.at:.2f} s after")


def _grace_cut_short(history: History) -> Iterator[Violation]:
    for logout, period in _ended_by_runs(history):
        if period.until is None or period.until.at > logout.at:
            continue
        if logout.by is not None and logout.by.action == EMERGENCY:
            continue
        if _was_near_label_quota(history, period.until.at, logout.at) or _was_unobservable(history, period):
            continue
        # The label is from before the write, whose attempts may take a while.
        superseder = period.until.by
        superseded_at = min(period.until.at, (superseder and superseder.put_at) or period.until.at)
        kept = logout.at - superseded_at
        if kept < history.grace - history.tolerances.recording:
            yield Violation("P1", f"{_who(logout)} left a superseded token {kept:.2f} s of {history.grace:.0f} s")


def _expiring_while_current(history: History) -> Iterator[Violation]:
    """Find a token of the recovery phase that was still current when a reader had less than the grace left of it."""
    if history.recovery_from is None or history.ended_at is None:
        return
    for period in _current_periods(history):
        token = history.values.get(period.version)
        run = period.since.by
        if token is None or run is None or not run.is_recovery:
            continue
        until = period.until.at if period.until else history.ended_at
        left = history.expires_at[token] - until
        if left < history.grace - history.schedule_delay:
            yield Violation(
                "P1", f"a reader had {left:.2f} s of {history.grace:.0f} s left of a token, in the recovery phase"
            )


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
                who = f"run {state.by.name} ({state.by.action})" if state.by else "an operator"
                yield Violation(
                    "P2",
                    f"{who} left version {version} neither current nor in the ledger, whose token had "
                    f"{ends_at - state.at:.1f} s to live",
                )


def _left_active(history: History) -> Iterator[Violation]:
    for run in history.runs:
        if not run.is_killed and run.left_active > run.abandoned:
            yield Violation(
                "P2",
                f"run {run.name} ({run.action}) left {run.left_active} tokens active and reported {run.abandoned}",
            )


def _not_recovered(history: History) -> Iterator[Violation]:
    for run in history.runs:
        if run.failure and not is_slow(run, history) and not run.is_killed and not run.faults.keys() - {"logout"}:
            promise = "P6" if run.faults else "P5"
            yield Violation(promise, f"run {run.name} ({run.action}), whose logouts failed at most: {run.failure}")
    if not history.states or history.ended_at is None:
        return
    last, now = history.states[-1], history.ended_at
    revoked = {logout.token for logout in history.logouts if logout.at <= now}
    current = history.values.get(last.current or "")
    if current is None or current in revoked or history.expires_at[current] <= now:
        yield Violation("P5", "no live token was current after a recovery phase as long as a lifetime")
    for period in _current_periods(history):
        token = history.values.get(period.version)
        if token is None or token in revoked or history.expires_at[token] <= now or period.until is None:
            continue
        if (
            period.version != last.current
            and now > period.until.at + history.grace + history.tolerances.late + history.schedule_delay
        ):
            yield Violation(
                "P2", f"a superseded token was active {now - period.until.at:.1f} s after, in the recovery phase"
            )


def is_slow(run: RunRecord, history: History) -> bool:
    """Tell whether a run without a fault took so long that the machine must have been busy with something else."""
    return not run.faults and run.ended_at is not None and run.ended_at - run.began_at > history.tolerances.slow


def _ended_by_runs(history: History) -> Iterator[tuple[Logout, CurrentPeriod]]:
    """Return each logout by a run with each time for which its token was current."""
    periods = list(_current_periods(history))
    for logout in history.logouts:
        if logout.by is not None:
            yield from ((logout, period) for period in periods if history.values.get(period.version) == logout.token)


def _current_periods(history: History) -> Iterator[CurrentPeriod]:
    since: State | None = None
    for state in history.states:
        if since is not None and state.current == since.current:
            continue
        if since is not None and since.current is not None:
            yield CurrentPeriod(since.current, since, state)
        since = state
    if since is not None and since.current is not None:
        yield CurrentPeriod(since.current, since, None)


def _is_reported(state: State) -> bool:
    """Tell whether a run has reported what it left active, or was killed before it could where it had to make room."""
    run = state.by
    return run is not None and (run.abandoned > 0 or (run.is_killed and state.labels >= _NEAR_LABEL_QUOTA - 1))


def _covers(period: CurrentPeriod, at: float) -> bool:
    return period.since.at <= at and (period.until is None or at < period.until.at)


def _was_unobservable(history: History, period: CurrentPeriod) -> bool:
    """Tell whether an operator's roll-back was over before a run without a fault had seen it from its beginning."""
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


def _who(logout: Logout) -> str:
    return f"run {logout.by.name} ({logout.by.action})" if logout.by else "another party"
