"""The records of both servers, run by run.

The handler itself adds one number: the tokens that it reported as abandoned.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

EMERGENCY = "rotate-and-revoke-now"


class Tolerances(NamedTuple):
    """Seconds by which a record may deviate from a promise."""

    late: float = 4.0
    """Revocation beyond the grace: the next scheduled run, the rounding of the label, and the run itself."""
    recording: float = 0.5
    """From the time in a label to the record of its write."""
    slow: float = 2.0
    """A run without a fault that takes longer was slowed down by the machine."""


@dataclass(kw_only=True)
class RunRecord:
    """One invocation. Times are epoch seconds."""

    name: str
    request_id: str
    action: str
    began_at: float
    ended_at: float | None = None
    is_killed: bool = False
    failure: str | None = None
    """The error that it raised."""
    is_recovery: bool = False
    """Whether it ran in the recovery phase, without faults."""
    abandoned: int = 0
    """The number of tokens that it reported as abandoned."""
    faults: Counter[str] = field(default_factory=Counter)
    """By operation."""
    tokens: list[str] = field(default_factory=list)
    """The tokens that it received from Telenor."""
    read_current_at: float | None = None
    """When it last read AWSCURRENT."""
    put_at: float | None = None
    """When the server received its first attempt to publish."""
    left_active: int = 0
    """The number of its tokens that were active and unpublished at its end."""
    kill: Callable[[], object] = lambda: None
    """Ends its worker."""

    def __str__(self) -> str:
        return f"run {self.name} ({self.action})"


@dataclass(frozen=True)
class State:
    """The labels of the token secret by version, from a write on."""

    at: float
    by: RunRecord | None
    """None: an operator."""
    stages: Mapping[str, frozenset[str]]

    @property
    def current(self) -> str | None:
        """The version that consumers read."""
        return next((version for version, labels in self.stages.items() if "AWSCURRENT" in labels), None)

    @property
    def tracked(self) -> frozenset[str]:
        """The versions in the ledger."""
        return frozenset(
            version for version, labels in self.stages.items() if any(label.startswith("LIVE_") for label in labels)
        )

    @property
    def labels(self) -> int:
        """The number of labels without AWSCURRENT and AWSPREVIOUS."""
        return sum(len(labels - {"AWSCURRENT", "AWSPREVIOUS"}) for labels in self.stages.values())


@dataclass(frozen=True)
class Logout:
    """A logout that revoked a token."""

    at: float
    token: str
    by: RunRecord | None
    """None: another party."""
    compared_at: float | None
    """When that run had last read AWSCURRENT."""


@dataclass
class History:
    """Everything that the checker needs. Whoever records holds the lock."""

    grace: float
    tolerances: Tolerances = field(default_factory=Tolerances)
    runs: list[RunRecord] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    """The token of each version."""
    documented_until: dict[str, float] = field(default_factory=dict)
    """The expiry in each version's document."""
    issued_at: dict[str, float] = field(default_factory=dict)
    expires_at: dict[str, float] = field(default_factory=dict)
    """Of each token that Telenor has issued, in their order."""
    logouts: list[Logout] = field(default_factory=list)
    schedule_delay: float = 0.0
    """The longest delay of a scheduled run, caused by this machine."""
    recovery_from: float | None = None
    ended_at: float | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


def render_events(history: History) -> str:
    """Render the servers' records. Tokens are named by their versions, so it has no secret."""
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
