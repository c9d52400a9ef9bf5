"""One run of the real job on the models, which stops before each external call."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import NAMESPACE_URL, uuid5

import requests
from botocore.exceptions import ReadTimeoutError
from greenlet import getcurrent, greenlet

from handler.app import deadlines
from handler.authorization_server import AuthorizationServer
from handler.config import Settings
from handler.errors import RotationError
from handler.model import Action, Policy
from handler.report import Report
from handler.rotation import rotate
from handler.run_context import RunContext
from handler.secrets_manager import SecretsManager
from handler.server_protocols import TelenorProtocol
from handler.token_secret_reads import TokenSecretReads
from handler.transport import Transport
from tests.simulation import real_sdk_client

if TYPE_CHECKING:
    from tests.simulated_clock import Clock
    from tests.simulation.checked_world import World

# This host never goes through a proxy, so requests looks for none.
TELENOR = TelenorProtocol("https://localhost")

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


class ModelSession(requests.Session):
    """A session without proxies and cookies, which would take half of the simulation's time."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        return request.prepare()


_SESSION = ModelSession()


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
