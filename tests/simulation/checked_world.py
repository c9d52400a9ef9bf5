"""Both models with one simulated clock; checks every promise at every step."""

from __future__ import annotations

import functools
import json
import random
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from handler.decisions import RenewalTimes, renewal_times
from handler.ledger import Ledger, ledger_from
from handler.model import Action, Policy
from tests.simulated_clock import BEGIN, Clock
from tests.simulation.authorization_server import CLIENT_SECRET, AuthorizationServerModel
from tests.simulation.secrets_manager import Secret, SecretsManagerModel
from tests.simulation.stepped_run import CREDENTIALS, POLICY, TELENOR, TOKEN, Run

if TYPE_CHECKING:
    from handler.report import Report
    from handler.server_protocols import ServerProtocol

LIFETIME = timedelta(seconds=3599)


class BrokenPromiseError(AssertionError):
    """A promise does not hold; the message names it and the reason."""


@dataclass
class Log:
    """Keeps the job's log lines."""

    lines: list[str] = field(default_factory=list)

    def info(self, message: str, extra: dict[str, Any] | None = None) -> None:
        self.lines.append(f"{message} {extra}")

    warning = error = info


@dataclass
class World:
    """Both models, and what the promises are about: the real state, not the state that a read may show."""

    policy: Policy = POLICY
    verify_url: str | None = None
    protocol: ServerProtocol = TELENOR
    sdk_emits_each_attempt: bool = True
    clock: Clock = field(default_factory=Clock)
    log: Log = field(default_factory=Log)
    runs: list[Run] = field(default_factory=list)
    may_abandon: bool = False
    published: set[str] = field(default_factory=set)
    unlabelled_by_operator: set[str] = field(default_factory=set)
    """Tokens that the job may leave untracked if a call fails."""
    at_risk: set[str] = field(default_factory=set)
    """Tokens that the job may leave untracked if a call fails or the run is killed."""
    recovers_after: timedelta = timedelta(0)
    """How long the job may have to wait before it can publish."""
    excused: set[str] = field(default_factory=set)
    irrevocable: set[str] = field(default_factory=set)
    """Tokens of a client whose credentials were deleted: they stay in the ledger until they expire."""
    can_renew: bool = True
    lost: set[str] = field(default_factory=set)
    last_read_at: dict[str, datetime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        random.seed(0)  # the jitter of the backoff
        self.secretsmanager = SecretsManagerModel(self.clock.now)
        self.telenor = AuthorizationServerModel(self.clock.now, self._intercept, self.clock.sleep)
        self.secretsmanager.on_change = self.record_reads
        self.telenor.on_logout = self._check_logout
        self.telenor.on_response = self._on_response
        credentials = json.dumps({"client_id": "client", "client_secret": CLIENT_SECRET})
        self.secretsmanager.create_secret(Name=CREDENTIALS, SecretString=credentials)
        self.secretsmanager.create_secret(Name=TOKEN)

    @property
    def secret(self) -> Secret:
        return self.secretsmanager.secrets[TOKEN]

    @property
    def current(self) -> str | None:
        """The token that consumers read."""
        return self.token_of(self.secret.current)

    def token_of(self, version_id: str | None) -> str | None:
        """Return the token of a version."""
        return _token_in(self.secret.content.get(version_id or "", ""))

    def documented_expiry(self, version_id: str | None) -> datetime | None:
        """Return the expiry of a version's token, as its document states it."""
        value = _document(self.secret.content.get(version_id or "", ""))
        return datetime.fromtimestamp(value["expires_at"], UTC) if "expires_at" in value else None

    def ledger(self) -> Ledger:
        """Return the ledger as an up-to-date description shows it."""
        secret = self.secret
        return ledger_from({owner: secret.labels_of(owner) for owner in secret.labels.values()}, self.clock.now())

    def tracked(self) -> set[str]:
        """Return the tokens in the ledger."""
        owners = {owner for label, owner in self.secret.labels.items() if label.startswith("LIVE_")}
        return {token for owner in owners if (token := self.token_of(owner))}

    def times(self) -> RenewalTimes:
        """Return the renewal times of a token that is published at the beginning."""
        return renewal_times(BEGIN, BEGIN + self.telenor.lifetime, self.policy)

    def run(self, action: Action = Action.RENEW_IF_DUE) -> Report:
        """Run once without faults."""
        report = Run(self, action).finish()
        self.check()
        return report

    def run_and_wait(self, action: Action = Action.RENEW_IF_DUE, **time: float) -> None:
        """Run once, and let time pass."""
        self.run(action)
        self.clock.advance(**time)

    def tick(self, times: int = 1) -> None:
        """Let scheduled runs follow."""
        for _ in range(times):
            self.clock.time += self.policy.schedule
            self.run()

    # Actions of operators and other parties

    def revoke_current(self) -> None:
        """Revoke the published token at Telenor, as another party with the same client may."""
        self.telenor.tokens[str(self.current)].ended_at = self.clock.now()

    def move_label(self, label: str, to: str = "", source: str = "", secret_id: str = TOKEN) -> None:
        """Move a label from one version to another; without one of them, add or remove it."""
        self.secretsmanager.update_secret_version_stage(
            SecretId=secret_id, VersionStage=label, MoveToVersionId=to, RemoveFromVersionId=source
        )

    def roll_back(self, secret_id: str = TOKEN) -> None:
        """Make the version under AWSPREVIOUS current."""
        labels = self.secretsmanager.secrets[secret_id].labels
        self.move_label("AWSCURRENT", labels["AWSPREVIOUS"], labels["AWSCURRENT"], secret_id)

    def put(self, secret_id: str, content: str | bytes) -> str:
        """Put a value into a secret; return its version."""
        return str(self.secretsmanager.put_secret_value(SecretId=secret_id, SecretString=content)["VersionId"])

    def put_credentials(self, client_id: str, client_secret: str = CLIENT_SECRET) -> None:
        """Put a pair into the credentials secret."""
        self.put(CREDENTIALS, json.dumps({"client_id": client_id, "client_secret": client_secret}))

    def add_foreign_labels(self, count: int) -> None:
        """Give the current version labels that are not the job's."""
        for number in range(count):
            self.move_label(f"foreign-{number}", to=str(self.secret.current))

    def drop_old_versions(self) -> None:
        """Drop unlabelled versions, as Secrets Manager does, and tokens that expired long ago."""
        tokens, labelled = self.telenor.tokens, set(self.secret.labels.values())
        for token in [token for token, issued in tokens.items() if issued.expires_at + LIFETIME < self.clock.now()]:
            del tokens[token]
        for version_id in self.secret.content.keys() - labelled:
            del self.secret.content[version_id]
        self.published &= tokens.keys()
        self.lost &= tokens.keys()

    # The promises

    def record_reads(self, at: datetime | None = None) -> None:
        """Record what consumers can read now, or could read until the time that a write states."""
        if self.current:
            self.last_read_at[self.current] = at or self.clock.now()
            self.published.add(self.current)

    def check(self) -> None:
        """Check what must hold at every moment."""
        self.record_reads()
        live = set(self.telenor.live())
        untracked = live & self.published - self.excused - self.tracked() - {self.current}
        if untracked and len(untracked) > self.abandoned():
            raise BrokenPromiseError(f"P2: {sorted(untracked)} published, active, not current and not in the ledger")
        stray = live - self.published - self.lost - self.excused
        for run in self.runs if stray else ():
            if not run.pending and len(own := stray & run.obtained) > run.report.revocations_abandoned:
                raise BrokenPromiseError(f"P2: {sorted(own)} obtained, active, and neither published nor revoked")
        if "CANARY" in "\n".join([*self.log.lines, *self.secret.labels]):
            raise BrokenPromiseError("P4: a secret in the log or in a label")
        self.log.lines.clear()

    def check_recovery(self) -> None:
        """Let scheduled runs follow, and check that they repair everything."""
        self.clock.time += self.recovers_after
        self.tick()
        if self.current is None or not self.telenor.is_live(self.current) or self.current not in self.tracked():
            raise BrokenPromiseError("P5: after a scheduled run the current token is inactive or not in the ledger")
        no_faults_since = self.clock.now()
        for _ in range(5):
            self.tick()
            self.check_revocations(no_faults_since)

    def check_revocations(self, no_faults_since: datetime = BEGIN) -> None:
        """Check that no superseded token stays active much longer than its grace."""
        if not self.policy.can_revoke:
            return
        pending = set(self.telenor.live()) - {self.current} - self.lost - self.excused - self.irrevocable
        seen_until = self.clock.now() - self.policy.grace - 2 * self.policy.schedule
        late = {token for token in pending if max(self.last_read_at.get(token, BEGIN), no_faults_since) < seen_until}
        if late and len(late) > self.abandoned():
            raise BrokenPromiseError(f"P5: {sorted(late)} should have been revoked by now")

    def abandoned(self) -> int:
        """Count the tokens that were abandoned because they could not be revoked, as the job counts and logs them."""
        return sum(run.report.revocations_abandoned for run in self.runs)

    def _intercept(self, operation: str) -> str | None:
        return Run.active.intercept(operation)

    def _on_response(self, status: int, body: str, is_lost: bool) -> None:
        Run.active.seen.append((status, body))
        if "access_token" in body:
            token = json.loads(body)["access_token"]
            Run.active.obtained.add(token)
            # The job counts each token whose response it has received, even if it could not parse it.
            self.lost |= {token} if is_lost else set()

    def _check_logout(self, token: str) -> None:
        if token == self.current:
            raise BrokenPromiseError(f"P3: {token} is current and is logged out")
        run = Run.active
        if run.action is Action.ROTATE_AND_REVOKE_NOW or run.may_abandon or not self.telenor.is_live(token):
            return
        # If an operator removed its label, nothing shows any more that it was published: Telenor may reissue it as new,
        # and a refused write then revokes it.
        if token in self.excused and token not in self.tracked():
            return
        age = self.clock.now() - self.last_read_at.get(token, BEGIN)
        if token in self.last_read_at and age < self.policy.grace:
            raise BrokenPromiseError(f"P1: {token} was read {age} ago and is logged out")


@functools.lru_cache(maxsize=1000)
def _token_in(content: str | bytes) -> str | None:
    if isinstance(token := _document(content).get("access_token"), str):
        return token
    # An operator may have put the token in another format.
    found = re.search("CANARY-[0-9]+", content if isinstance(content, str) else content.decode(errors="replace"))
    return found.group() if found else None


def _document(content: str | bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
