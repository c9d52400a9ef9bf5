"""Checks the demo's claims. Pure: takes what the two servers recorded, and does no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from infra.demo.token_states import Phase

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from infra.demo.consumers import Count
    from infra.demo.faults import FaultRecord
    from infra.demo.token_states import TokenStates
    from infra.promises.checker import Violation

MIN_ROTATIONS = 2

_PROMISES = {
    "P1": "every superseded token kept its grace period",
    "P2": "every published token always was current, in the ledger, revoked or expired",
    "P3": "no current token was revoked",
    "P5": "no run failed without a fault, and an active token is current at the end",
    "P6": "no failed logout failed its run",
}


@dataclass(frozen=True, kw_only=True)
class Results:
    """Everything that the checks need."""

    states: TokenStates
    violations: Sequence[Violation]
    counts: Sequence[Count]
    fault_records: Sequence[FaultRecord]
    planned: Sequence[str]
    """Names of the faults that had to take effect."""
    calls: Counter[str]
    """Of the job, to Secrets Manager, by operation."""
    is_log_clean: bool
    """Whether the job's log has no token and no client secret."""


class Check(NamedTuple):
    """One claim of the demo, and whether it holds."""

    claim: str
    holds: bool


def checks(results: Results) -> list[Check]:
    """Check the demo's claims."""
    states = results.states
    broken = {violation.promise for violation in results.violations}
    struck = {record.name for record in results.fault_records if record.evidence is not None}
    lost = [states.tokens.get(record.lost_token) for record in results.fault_records if record.lost_token]
    return [
        Check("no consumer was refused", states.served > 0 and states.refused == 0),
        Check(
            "every consumer was served all the time",
            len(results.counts) > 0 and all(each.served > 0 and each.failed == 0 for each in results.counts),
        ),
        Check(
            "no active token is unpublished",
            not any(token.phase is Phase.UNPUBLISHED for token in states.tokens.values()),
        ),
        *(Check(f"{promise}: {claim}", promise not in broken) for promise, claim in _PROMISES.items()),
        Check("a token is current at the end", states.current is not None),
        Check(f"there were at least {MIN_ROTATIONS} rotations", len(states.published) >= MIN_ROTATIONS),
        Check("every fault took effect", set(results.planned) <= struck),
        Check(
            "a killed run's token was never published and has expired",
            all(token is not None and token.published_at is None and token.status == "expired" for token in lost),
        ),
        Check("no token and no secret is in the job's log", results.is_log_clean),
    ]


def exit_status(results: Results) -> int:
    """Return 0 if every claim holds."""
    return 0 if all(finding.holds for finding in checks(results)) else 1
