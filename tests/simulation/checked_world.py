"""The real job on the models with one simulated clock; checks every promise at every step."""

from __future__ import annotations

import functools
import json
import random
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import NAMESPACE_URL, uuid5

import requests
from botocore.exceptions import ReadTimeoutError
from greenlet import getcurrent, greenlet

from handler.app import deadlines
from handler.authorization_server import AuthorizationServer
from handler.config import Settings
from handler.decisions import RenewalTimes, renewal_times
from handler.errors import RotationError
from handler.ledger import Ledger, ledger_from
from handler.model import Action, Policy
from handler.report import Report
from handler.rotation import rotate
from handler.run_context import RunContext
from handler.secrets_manager import SecretsManager
from handler.server_protocols import ServerProtocol, TelenorProtocol
from handler.token_secret_reads import TokenSecretReads
from handler.transport import Transport
from tests.simulation import real_sdk_client
from tests.simulation.authorization_server import CLIENT_SECRET, AuthorizationServerModel
from tests.simulation.secrets_manager import Secret, SecretsManagerModel

BEGIN = datetime(2026, 11, 23, 21, 30, tzinfo=UTC)
# This host never goes through a proxy, so requests looks for none.
TELENOR = TelenorProtocol("https://localhost")
LIFETIME = timedelta(seconds=3599)

POLICY = Policy(grace=timedelta(seconds=600), renew_at_fraction=0.33, schedule=timedelta(minutes=5))
CREDENTIALS, TOKEN = "telenor/credentials", "telenor/token"
SETTINGS = Settings("default", Action.RENEW_IF_DUE, CREDENTIALS, TOKEN, TELENOR, None, POLICY, None)

OK = "ok"
"""The attempt gets a response."""
UNDECIDED = "?"
"""The fault of each attempt is decided when it is made."""
CRASH = "crash"
"""The run is killed before the call that would come next."""
ROLLED_BACK = "rolled-back"
"""An operator makes the version under AWSPREVIOUS current just before the call."""

# How long an attempt without a response takes.
_AWS_TIMEOUT_SECONDS = 5

# Lambda kills a run after this time.
_TIME_LEFT = timedelta(seconds=120)


class CrashError(BaseException):
    """The process was killed. This is not an Exception, so that the job cannot catch it."""


class BrokenPromiseError(AssertionError):
    """A promise does not hold; the message names it and the reason."""


@dataclass
class Clock:
    """The simulated clock."""

    time: datetime = BEGIN

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    def advance(self, **time: float) -> None:
        self.time += timedelta(**time)


@dataclass
class Log:
    """Keeps the job's log lines."""

    lines: list[str] = field(default_factory=list)

    def info(self, message: str, extra: dict[str, Any] | None = None) -> None:
        self.lines.append(f"{message} {extra}")

    warning = error = info


class Run:
    """One run of the real job, which stops before each external call until the search decides the call's outcome."""

    active: ClassVar[Run]
    """The run that is making a call."""

    def __init__(
        self, world: World, action: Action = Action.RENEW_IF_DUE, request_id: str = "", clock: Clock | None = None
    ) -> None:
        """Start the run. The machine may have a clock of its own."""
        world.runs.append(self)
        self.world = world
        self.action = action
        self.clock = clock or world.clock
        self.request_id = request_id or str(uuid5(NAMESPACE_URL, f"run {len(world.runs)}"))
        self.report = Report("default")
        self.obtained: set[str] = set()
        self._killed_at = self.clock.now() + _TIME_LEFT
        self.seen: list[object] = []
        self.pending: str | None = "start"
        self.may_abandon = world.may_abandon
        self._fault = self._rest = OK
        self.steps: list[tuple[str, str | None]] = []
        self.is_gone = False
        # A greenlet can be suspended at a call and resumed later.
        self._greenlet: greenlet | None = greenlet(self._run)
        self._go()

    def __deepcopy__(self, _memo: object) -> Run:
        """Share a finished run with every copy of its world."""
        assert self._greenlet is None
        return self

    def step(self, fault: str | None = None) -> None:
        """Let the pending call succeed or fail, and continue to the next.

        `lost-after/refused` has the fault of the first attempt of a call, and that of all further ones. After
        `lost-after/?` the SDK's next attempt is pending, like a call. `crash` kills the process before the call.
        """
        self.steps.append((str(self.pending), fault))
        if fault == ROLLED_BACK:
            self.world.roll_back()
        elif fault:
            self.world.excused |= self.world.at_risk | (set() if fault == CRASH else self.world.unlabelled_by_operator)
        self.is_gone |= fault == CRASH
        first, _, rest = (OK if fault in {None, CRASH, ROLLED_BACK} else str(fault)).partition("/")
        self._fault, self._rest = first, rest or first
        self._go()

    @property
    def faulty_calls(self) -> str:
        """The calls up to the last failing one, with their faults."""
        steps = [*self.steps]
        while steps and steps[-1][1] is None:
            steps.pop()
        return " · ".join(f"{call} {fault}" if fault else f"{call}" for call, fault in steps)

    def abandon(self) -> None:
        """End a run that is not needed any more: its client goes to the next run."""
        if self._greenlet is not None:
            self._greenlet.throw()
            self._greenlet = None

    def finish(self) -> Report:
        """Let all further calls succeed."""
        while self.pending:
            self.step()
        return self.report

    def intercept(self, operation: str, attempt: int = 1) -> str | None:
        """Stop before a call, or before an attempt whose fault is undecided; return the fault."""
        if attempt > 1 and self._rest != UNDECIDED:
            self._fault = self._rest
        elif not self.is_gone:
            self.pending = operation
            getcurrent().parent.switch()
        if self.world.clock.now() >= self._killed_at:
            self.is_gone = True
        if self.is_gone:
            # If the process is killed in between, its unpublished tokens stay active until they expire.
            self.world.lost |= self.obtained - self.world.published
            raise CrashError
        return None if self._fault == OK else self._fault

    def _respond(self, operation: str, parameters: dict[str, Any], attempt: int) -> tuple[int, dict[str, Any]]:
        fault = self.intercept(operation, attempt)
        try:
            response = self.world.secretsmanager.attempt(operation, parameters, fault)
        except ReadTimeoutError:
            self.world.clock.sleep(_AWS_TIMEOUT_SECONDS)
            raise
        self.seen.append(response)
        return response

    def _go(self) -> None:
        self.pending = None
        assert self._greenlet is not None
        Run.active = self
        _SESSION.adapters["https://"] = self.world.telenor
        self._greenlet.switch()
        if self.pending is None:
            # The run is over, and its world can be copied again.
            self._greenlet = None

    def _run(self) -> None:
        try:
            self._rotate()
        except CrashError:
            self.report.has_failed = True
        except RotationError as error:
            self.report.has_failed = True
            self.world.log.error(str(error))  # noqa: TRY400  kept to be searched for secrets
        self.pending = None

    def _rotate(self) -> None:
        world = self.world
        log: Any = world.log  # has only the methods that the job uses
        settings = SETTINGS._replace(action=self.action, policy=world.policy, verify_url=world.verify_url)
        request_by, end_by = deadlines(self.clock.now(), _TIME_LEFT)
        transport = Transport(self.clock, log, lambda _on_socket: _SESSION, lambda exchange, _seconds: exchange())
        with real_sdk_client.client(
            self._respond, self.clock.sleep, emits_each_attempt=world.sdk_emits_each_attempt
        ) as client:
            secrets = SecretsManager(client, CREDENTIALS, TOKEN, has_time=lambda: self.clock.now() < end_by)
            server = AuthorizationServer(world.protocol, secrets.read_known_credentials, self.clock, log, transport)
            rotate(
                RunContext(
                    settings=settings._replace(protocol=world.protocol),
                    secrets=secrets,
                    token_secret=TokenSecretReads(secrets, self.clock, self.request_id),
                    server=server,
                    clock=self.clock,
                    log=log,
                    report=self.report,
                    version_id=self.request_id,
                    request_by=request_by,
                    end_by=end_by,
                )
            )


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


class ModelSession(requests.Session):
    """A session without proxies and cookies, which would take half of the simulation's time."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        return request.prepare()


_SESSION = ModelSession()
