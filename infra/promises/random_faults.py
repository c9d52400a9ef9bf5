"""The faults in the calls of one run, drawn call by call from a seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from infra.local.secrets_manager_faults import CallFault, Lag
from infra.local.secrets_manager_faults import Fault as SecretsManagerFault
from infra.local.telenor_sandbox import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

Moment = Literal["before", "after"]

READS = frozenset({"GetSecretValue", "DescribeSecret"})

LAG_SECONDS = 1.0
"""How long a read may lag behind a write."""

_AMBIGUOUS_WRITE_LAG_SECONDS = 6.0
"""After an ambiguous write, reads lag until the SDK has made all its attempts."""

_OUT: tuple[dict[str, Any], ...] = (
    *({"drop": True}, {"drop": True, "when": "after"}, {"status": 503}, {"status": 503, "when": "after"}),
    *({"status": 500, "body": '{"code": 2}'}, {"status": 429}),
    {"status": 200, "body": "<html>Back in a moment</html>"},
)
# A 401 that says nothing about the token: a missing API product, a missing header, an unknown code.
_UNRELATED_401 = tuple(
    {"status": 401, "body": body}
    for body in (
        '{"code": 40103, "message": "No API product found"}',
        '{"code": 6, "message": "Missing or bad Authorization header"}',
        *('{"fault": {"detail": {"errorcode": "oauth.v2.FailedToResolveAPIKey"}}}', '{"code": 4711}', ""),
    )
)
_FAULTS = {
    "token": (*_OUT, {"status": 401, "body": '{"code": 5}'}),
    # A response of 200 to a logout means that the token is revoked.
    "logout": (*(fault for fault in _OUT if fault.get("status") != 200), *_UNRELATED_401),  # noqa: PLR2004
    "incidents": _OUT,
}
TELENOR_FAULTS = {
    operation: tuple(Fault.model_validate({"operation": operation, **fault}) for fault in faults)
    for operation, faults in _FAULTS.items()
}


@dataclass
class RandomFaults:
    """Draws the fault of each call of one run; a `share` of the calls fails."""

    rng: Random = field(default_factory=Random)
    share: float = 0.0
    is_write_ambiguous: bool = False
    """The first write lands and its answer is lost, the next attempts are refused, and reads lag."""
    event_at: int | None = None
    """The number of the call at which the run is killed, or an operator acts."""
    operator_action: Callable[[], object] | None = None
    _calls: int = field(default=0, init=False)
    _puts: int = field(default=0, init=False)

    def secrets_manager(self, operation: str) -> SecretsManagerFault | None:
        """Return the fault of a call to Secrets Manager."""
        return self._ambiguous_write(operation) if self.is_write_ambiguous else self._fault(operation)

    def telenor(self, operation: str) -> Fault | None:
        """Return the fault of a request to Telenor."""
        return self.rng.choice(TELENOR_FAULTS[operation]) if self.rng.random() < self.share else None

    def event(self, operation: str, kill: Callable[[], object]) -> tuple[Callable[[], object] | None, Moment]:
        """Return what happens before or after a call."""
        self._calls += 1
        when: Moment = self.rng.choice(("before", "after"))
        if self._calls != self.event_at:
            return None, when
        if self.operator_action is None:
            return kill, when
        # After a read at the earliest, and before a logout at the latest: where a run could miss it.
        return self.operator_action, "before" if operation == "logout" else "after"

    def _ambiguous_write(self, operation: str) -> SecretsManagerFault | None:
        if operation != "PutSecretValue":
            return self._lag(operation, _AMBIGUOUS_WRITE_LAG_SECONDS) if self._puts else None
        self._puts += 1
        if self._puts == 1:
            return CallFault(operation=operation, when="after")
        return CallFault(operation=operation, code=self.rng.choice(("ThrottlingException", "AccessDeniedException")))

    def _fault(self, operation: str) -> SecretsManagerFault | None:
        if self.rng.random() >= self.share:
            return None
        if operation in READS and self.rng.random() < 0.5:  # noqa: PLR2004  half of what goes wrong with reads
            return self._lag(operation, LAG_SECONDS)
        when: Moment = self.rng.choice(("before", "after"))
        faults = (
            CallFault(operation=operation, when=when),
            CallFault(operation=operation, code="InternalServiceError", status=500, when=when),
            CallFault(operation=operation, code="ThrottlingException"),
            CallFault(operation=operation, code="AccessDeniedException"),
        )
        return self.rng.choice(faults)

    def _lag(self, operation: str, seconds: float) -> SecretsManagerFault | None:
        if operation not in READS:
            return None
        return Lag(operation=operation, writes=self.rng.randint(1, 3), within_seconds=seconds)
