"""One simulated month of a strategy: its faults, its calls, and what consumers notice."""

from __future__ import annotations

import bisect
import heapq
import itertools
import json
import math
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from botocore.exceptions import BotoCoreError, ClientError

from handler.errors import RotationError
from tests.simulation import sdk
from tests.simulation.secrets_manager import SecretsManagerModel
from tests.simulation.telenor import TelenorModel
from tests.simulation.world import BEGIN, CREDENTIALS, TOKEN, Clock, CrashError, Log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_boto3_secretsmanager.client import SecretsManagerClient

    from handler.report import Report
    from tests.benchmarks.strategies import Strategy

DAYS = 30
CACHE_SECONDS = (0, 60, 300, 600)
"""Cache lifetimes of the consumers."""

REQUEST_EVERY_SECONDS = 10
"""How far apart the requests of one consumer are."""

# What a call takes, and what an attempt of it takes that gets no answer. Assumed, and the same for all.
_AWS_SECONDS, _AWS_LOST_SECONDS = 0.02, 5.0
_TELENOR_SECONDS, _TELENOR_LOST_SECONDS = 0.2, 10.0

# AWS, "Error handling for asynchronous invocation": two more attempts, a minute and two minutes later.
_RETRY_AFTER = (timedelta(minutes=1), timedelta(minutes=2))

_TELENOR_CALLS = {"token", "logout", "verify"}
_CRASH = "crash"


@dataclass(frozen=True)
class Outages:
    """How many outages of an endpoint a month has, and how long each is."""

    count: int
    shortest: timedelta
    longest: timedelta


@dataclass(frozen=True)
class FaultRates:
    """The faults of a month: outages by operation, and the chance of each fault at one call."""

    outages: dict[str, Outages]
    faults: dict[str, float]
    twice: float = 0.001
    """The chance that an event is delivered twice."""


# Chances for each call. A run of this job that rotates and revokes makes nine calls.
_FAULTS = {"lost-before": 0.001, "lost-after": 0.002, "failed": 0.002, _CRASH: 0.001}
_LOGOUT_OUTAGES = Outages(8, timedelta(minutes=10), timedelta(hours=3))


def fault_rates(shortest: timedelta, longest: timedelta, count: int = 15) -> FaultRates:
    """Return fault rates whose outages of the token endpoint last between these."""
    return FaultRates({"token": Outages(count, shortest, longest), "logout": _LOGOUT_OUTAGES}, _FAULTS)


class FaultSchedule:
    """The faults of one month, the same for every strategy."""

    def __init__(self, fault_rates: FaultRates, seed: int, days: int = DAYS) -> None:
        self._climate = fault_rates
        self._seed = seed
        chance = random.Random(seed)  # noqa: S311  to be repeated, not to be secret
        self.outages: dict[str, list[tuple[datetime, datetime, str]]] = {}
        for operation, outages in fault_rates.outages.items():
            share = timedelta(days=days) / outages.count
            length = outages.longest - outages.shortest
            self.outages[operation] = []
            for number in range(outages.count):
                # One in each share of the month, so that none runs into another; the first hour is calm.
                outage = outages.shortest + chance.random() * length
                room = share - outage - timedelta(hours=2)
                begin = BEGIN + number * share + timedelta(hours=1) + chance.random() * room
                self.outages[operation].append((begin, begin + outage, chance.choice(["503", "lost-before"])))

    def fault(self, operation: str, now: datetime, key: str) -> str | None:
        """Return the fault of a call: `key` names it, so that the same call has the same luck."""
        for begin, end, how in self.outages.get(operation, []):
            if begin <= now < end:
                return how
        draw = self._draw(f"{key} {operation}")
        for fault, chance in self._climate.faults.items():
            if draw < chance:
                return self._named(fault, operation)
            draw -= chance
        return None

    def comes_twice(self, key: str) -> bool:
        """Tell whether an event is delivered twice."""
        return self._draw(f"{key} twice") < self._climate.twice

    def _draw(self, key: str) -> float:
        return random.Random(f"{self._seed} {key}").random()  # noqa: S311  likewise

    @staticmethod
    def _named(fault: str, operation: str) -> str:
        if fault == "failed":
            return "503" if operation in _TELENOR_CALLS else "failed-before"
        return fault


class Environment:
    """Both models and a clock, with faults. Records what is called, and what consumers could read when."""

    def __init__(self, faults: FaultSchedule) -> None:
        self.clock = Clock()
        self.log = Log()
        self.aws = SecretsManagerModel(self.clock.now)
        self.client: SecretsManagerClient
        self.telenor = TelenorModel(self.clock.now, self._intercept)
        self.aws.on_change = lambda _at: self._look()
        self.calls: Counter[str] = Counter()
        self.invocations = 0
        self.busy = timedelta(0)
        self.published: list[tuple[datetime, str]] = []
        self.metrics_sent: set[tuple[str, datetime]] = set()
        self.issued: dict[str, datetime] = {}
        self.faults = faults
        self._run_key: str | None = None
        self._numbers: Counter[str] = Counter()
        self._is_gone = False
        credentials = json.dumps({"client_id": "client", "client_secret": self.telenor.client_secret})
        self.aws.create_secret(Name=CREDENTIALS, SecretString=credentials)
        self.aws.create_secret(Name=TOKEN)

    def run(self, strategy: Strategy, request_id: str, key: str) -> bool:
        """Run once; tell whether it went well."""
        began_at, self._run_key, self._is_gone = self.clock.now(), key, False
        self._numbers.clear()
        self.invocations += 1
        # Reads lag for a moment, not for minutes.
        self.aws.before = {}
        try:
            with sdk.client(self._answer, self.clock.sleep) as self.client:
                strategy.run(self, request_id)
        except (RotationError, ClientError, BotoCoreError, CrashError):
            return False
        else:
            return True
        finally:
            self._run_key = None
            self.busy += self.clock.now() - began_at
            self.log.lines.clear()
            self._note_issues()

    def send_metrics(self, report: Report) -> None:
        """Note the metrics of a run, by the hour."""
        now = self.clock.now()
        self.metrics_sent |= {(name, now.replace(minute=0, second=0, microsecond=0)) for name in report.metrics(now)}

    def unfinished(self) -> str | None:
        """Return the version under AWSPENDING that is not current: Secrets Manager itself looks there."""
        secret = self.aws.secrets[TOKEN]
        pending = secret.labels.get("AWSPENDING")
        return None if pending == secret.current else pending

    def clean_up(self) -> None:
        """Drop versions without a label, as Secrets Manager does."""
        secret = self.aws.secrets[TOKEN]
        for version_id in secret.content.keys() - set(secret.labels.values()):
            del secret.content[version_id]

    def end_of(self, token: str) -> datetime:
        """Return when a token died, or will die."""
        issued = self.telenor.tokens[token]
        return issued.expires_at if issued.ended_at is None else min(issued.ended_at, issued.expires_at)

    def _answer(self, operation: str, parameters: dict[str, Any], _attempt: int) -> tuple[int, dict[str, Any]]:
        return self.aws.attempt(operation, parameters, self._intercept(operation))

    def _intercept(self, operation: str) -> str | None:
        if self._run_key is None:
            return None
        if self._is_gone:
            raise CrashError
        is_telenor = operation in _TELENOR_CALLS
        self._numbers[operation] += 1
        fault = self.faults.fault(operation, self.clock.now(), f"{self._run_key} {self._numbers[operation]}")
        if fault == _CRASH:
            self._is_gone = True
            raise CrashError
        self.calls[operation] += 1
        self.clock.sleep(_TELENOR_SECONDS if is_telenor else _AWS_SECONDS)
        if fault and fault.startswith("lost"):
            self.clock.sleep(_TELENOR_LOST_SECONDS if is_telenor else _AWS_LOST_SECONDS)
        return fault

    def _look(self) -> None:
        secret = self.aws.secrets[TOKEN]
        if secret.current is None:
            return
        token = json.loads(secret.content[secret.current])["access_token"]
        if not self.published or self.published[-1][1] != token:
            self.published.append((self.clock.now(), token))

    def _note_issues(self) -> None:
        for token in itertools.islice(self.telenor.tokens, len(self.issued), None):
            self.issued[token] = self.telenor.tokens[token].expires_at - self.telenor.life


@dataclass
class Experience:
    """What the consumers of one cache lifetime noticed."""

    requests: int = 0
    refused: int = 0
    longest_seconds: float = 0.0
    """The longest time from the first refused request of a consumer to its next accepted one."""

    def add(self, other: Experience) -> None:
        """Take another consumer, or another month, into account."""
        self.requests += other.requests
        self.refused += other.refused
        self.longest_seconds = max(self.longest_seconds, other.longest_seconds)


@dataclass
class Month:
    """What came of one or more months of one strategy."""

    strategy: str
    months: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    invocations: int = 0
    busy_seconds: float = 0.0
    felt: dict[int, Experience] = field(default_factory=lambda: {seconds: Experience() for seconds in CACHE_SECONDS})
    no_token_seconds: float = 0.0
    """The longest time in which what the secret held was dead."""
    metric_hours: Counter[str] = field(default_factory=Counter)
    """In how many hours each metric was sent."""
    spare_at_end: int = 0
    """Tokens alive at the end that are not the current one."""
    spare_seconds: list[float] = field(default_factory=list)
    """How long each token lived on after it was replaced, or from its issue if it was never published."""

    @property
    def refused(self) -> int:
        """How many requests were refused in all."""
        return sum(felt.refused for felt in self.felt.values())

    @property
    def longest_refused_seconds(self) -> float:
        """The longest time that any consumer had only a dead token."""
        return max(felt.longest_seconds for felt in self.felt.values())

    @property
    def spare_median_seconds(self) -> float:
        """How long a replaced token usually lived on."""
        return median(self.spare_seconds or [0.0])

    @property
    def spare_mean_count(self) -> float:
        """How many tokens were alive on average that nobody should need."""
        return sum(self.spare_seconds) / (self.months * DAYS * 86_400)


def month(strategy: Strategy, fault_rates: FaultRates, seed: int, days: int = DAYS) -> Month:
    """Simulate a month."""
    random.seed(seed)  # the jitter of the backoff
    environment, end = Environment(FaultSchedule(fault_rates, seed, days)), BEGIN + timedelta(days=days)
    _live(environment, strategy, end)
    return _account(environment, strategy, seed, end)


def added(parts: Sequence[Month]) -> Month:
    """Add up several months of one strategy."""
    total = Month(parts[0].strategy)
    for part in parts:
        total.months += part.months
        total.calls += part.calls
        total.metric_hours += part.metric_hours
        total.invocations += part.invocations
        total.busy_seconds += part.busy_seconds
        total.no_token_seconds = max(total.no_token_seconds, part.no_token_seconds)
        total.spare_at_end += part.spare_at_end
        total.spare_seconds += part.spare_seconds
        for seconds, felt in part.felt.items():
            total.felt[seconds].add(felt)
    return total


def _live(environment: Environment, strategy: Strategy, end: datetime) -> None:
    """Let the scheduler and Lambda deliver their events: in time, sometimes twice, and again where Lambda retries."""
    events: list[tuple[datetime, int, int]] = [(BEGIN, 0, 0)]
    next_clean_up = BEGIN
    while events and events[0][0] < end:
        at, tick, attempt = heapq.heappop(events)
        environment.clock.time = max(environment.clock.time, at)
        key = f"{BEGIN + tick * strategy.every:%m%dT%H%M}"
        went_well = environment.run(strategy, str(uuid5(NAMESPACE_URL, key)), f"{key} {attempt}")
        if not went_well and attempt < strategy.retries:
            heapq.heappush(events, (environment.clock.now() + _RETRY_AFTER[attempt], tick, attempt + 1))
        if attempt == 0:
            heapq.heappush(events, (BEGIN + (tick + 1) * strategy.every, tick + 1, 0))
            if environment.faults.comes_twice(key):
                heapq.heappush(events, (at + timedelta(seconds=1), tick, len(_RETRY_AFTER)))
        if environment.clock.now() >= next_clean_up:
            environment.clean_up()
            next_clean_up = environment.clock.now() + timedelta(days=1)
    environment.clock.time = max(environment.clock.time, end)


def _account(environment: Environment, strategy: Strategy, seed: int, end: datetime) -> Month:
    chance = random.Random(f"consumers {seed}")  # noqa: S311  to be repeated
    ends = [(at, environment.end_of(token)) for at, token in environment.published]
    account = Month(strategy.name, 1, environment.calls, environment.invocations, environment.busy.total_seconds())
    account.metric_hours.update(name for name, _hour in environment.metrics_sent)
    for cache_seconds in CACHE_SECONDS:
        for _ in range(2):
            first = environment.published[0][0] + timedelta(seconds=1 + chance.random() * max(cache_seconds, 60))
            account.felt[cache_seconds].add(felt_by_consumer(ends, cache_seconds, first, end))
    replaced_at = {token: after for (_, token), (after, _) in itertools.pairwise(environment.published)}
    current = environment.published[-1][1]
    for token, issued_at in environment.issued.items():
        if token == current:
            continue
        spare_from, spare_to = replaced_at.get(token, issued_at), min(environment.end_of(token), end)
        account.spare_seconds.append(max(0.0, (spare_to - spare_from).total_seconds()))
        account.spare_at_end += environment.end_of(token) > end
    gaps = [(ended, next_at) for (_, ended), (next_at, _) in itertools.pairwise([*ends, (end, end)])]
    account.no_token_seconds = max(0.0, *((until - ended).total_seconds() for ended, until in gaps))
    return account


def felt_by_consumer(
    published: Sequence[tuple[datetime, datetime]], cache_seconds: int, first: datetime, end: datetime
) -> Experience:
    """Count the refused requests of one consumer: it keeps what it has read for its cache lifetime, dead or not.

    `published` says when each token was published, and when it died.
    """
    starts = [(at - first).total_seconds() for at, _ in published]
    deaths = [(died_at - first).total_seconds() for _, died_at in published]
    last = (end - first).total_seconds()
    # A consumer reads at the first request after its cache has run out.
    requests_a_read = max(1, math.ceil(cache_seconds / REQUEST_EVERY_SECONDS))
    felt, refused_since = Experience(), None
    for read in range(0, math.ceil(last / REQUEST_EVERY_SECONDS), requests_a_read):
        read_at = read * REQUEST_EVERY_SECONDS
        died_at = deaths[bisect.bisect_right(starts, read_at) - 1]
        accepted = min(max(0, math.ceil((died_at - read_at) / REQUEST_EVERY_SECONDS)), requests_a_read)
        felt.requests += requests_a_read
        felt.refused += requests_a_read - accepted
        if accepted and refused_since is not None:
            felt.longest_seconds = max(felt.longest_seconds, read_at - refused_since)
            refused_since = None
        if accepted < requests_a_read and refused_since is None:
            refused_since = read_at + accepted * REQUEST_EVERY_SECONDS
    if refused_since is not None:
        felt.longest_seconds = max(felt.longest_seconds, last - refused_since)
    return felt
