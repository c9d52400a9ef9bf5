"""Renders an experiment's events in order of time, for a reader who looks into a violation."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.promises.history import History


def render_events(history: History) -> str:
    """Render what the servers recorded. Tokens are named by their versions; it holds no secret."""
    began_at = history.states[0].at if history.states else 0.0
    return "".join(f"{at - began_at:8.2f}  {what}\n" for at, what in sorted(_events(history)))


def _events(history: History) -> Iterator[tuple[float, str]]:
    versions = {token: version for version, token in history.values.items()}
    for run in history.runs:
        yield run.began_at, f"run {run.name} {run.action} begins, request {run.request_id}"
        if run.put_at is not None:
            yield run.put_at, f"run {run.name} writes"
        if run.ended_at is not None:
            end = "killed" if run.is_killed else run.failure or "well"
            faults = ", ".join(f"{operation} {count}" for operation, count in run.faults.items())
            yield run.ended_at, f"run {run.name} ended: {end}; faults: {faults or 'none'}; abandoned: {run.abandoned}"
    for state in history.states:
        who = f"run {state.by.name}" if state.by else "an operator"
        labels = "; ".join(f"{version}: {', '.join(sorted(each))}" for version, each in state.stages.items() if each)
        yield state.at, f"{who} has written, so that there are {labels}"
    for logout in history.logouts:
        who = f"run {logout.by.name}" if logout.by else "another party"
        yield logout.at, f"{who} logged out the token of {versions.get(logout.token, 'no version')}"
    for token, issued_at in history.issued_at.items():
        yield issued_at, f"Telenor issued the token of {versions.get(token, 'no version')}"
