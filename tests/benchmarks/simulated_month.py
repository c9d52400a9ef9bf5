"""Simulated months of a strategy: the faults, the calls, and what consumers notice."""

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
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from botocore.exceptions import BotoCoreError, ClientError

from handler.errors import RotationError
from tests.benchmarks.faults_of_a_month import CRASH, TELENOR_CALLS, RandomFaults
from tests.simulated_clock import BEGIN, Clock
from tests.simulation import real_sdk_client
from tests.simulation.authorization_server import AuthorizationServerModel
from tests.simulation.secrets_manager import SecretsManagerModel
from tests.simulation.stepped_run import CREDENTIALS, TOKEN, CrashError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mypy_boto3_secretsmanager.client import SecretsManagerClient

    from tests.benchmarks.faults_of_a_month import FaultRates
    from tests.benchmarks.rotation_strategies import Strategy

DAYS = 30
CACHE_SECONDS = (0, 60, 300, 600)
"""Cache lifetimes of the consumers; two consumers have each."""

REQUEST_EVERY_SECONDS = 10
"""The interval between the requests of one consumer."""

# The duration of a call, and of an attempt without a response. Assumed, and the same for all strategies.
_AWS_SECONDS, _AWS_LOST_SECONDS = 0.02, 5.0
_TELENOR_SECONDS, _TELENOR_LOST_SECONDS = 0.2, 10.0

# AWS, "Error handling for asynchronous invocation": two more attempts, a minute and two minutes later.
_RETRY_AFTER = (timedelta(minutes=1), timedelta(minutes=2))


@dataclass
class Months:
    """The results of one or more months of one strategy."""

    strategy: str
    count: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    invocations: int = 0
    busy_seconds: float = 0.0
    requests: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    """The refused requests by the cache lifetime of the consumers."""
    longest_refused_seconds: float = 0.0
    """The longest time from the first refused request of a consumer to its next accepted one."""
    no_token_seconds: float = 0.0
    """The longest time in which the secret held an inactive token."""
    metric_hours: Counter[str] = field(default_factory=Counter)
    """The number of hours in which each metric was sent."""
    surplus_at_end: int = 0
    """Tokens active at the end that are not the current one."""
    surplus_seconds: list[float] = field(default_factory=list)
    """The time that each token stayed active after its replacement, or its issue if it was never published."""

    @property
    def surplus_mean_count(self) -> float:
        """The average number of active tokens that no consumer should need."""
        return sum(self.surplus_seconds) / (self.count * DAYS * 86_400)


class Environment:
    """Both models and a clock, with faults. Records all calls, and the token that consumers could read at each time."""

    def __init__(self, faults: RandomFaults, months: Months) -> None:
        self.clock = Clock()
        self.aws = SecretsManagerModel(self.clock.now)
        self.client: SecretsManagerClient
        self.telenor = AuthorizationServerModel(self.clock.now, self._intercept)
        self.aws.on_change = lambda _at: self._record_reads()
        self.months = months
        self.faults = faults
        self.published: list[tuple[datetime, str]] = []
        self.metrics_sent: set[tuple[str, datetime]] = set()
        self._run_key = ""
        self._numbers: Counter[str] = Counter()
        self._is_gone = False
        credentials = json.dumps({"client_id": "client", "client_secret": self.telenor.client_secret})
        self.aws.create_secret(Name=CREDENTIALS, SecretString=credentials)
        self.aws.create_secret(Name=TOKEN)

    def run(self, strategy: Strategy, request_id: str, key: str) -> bool:
        """Run once; return whether it succeeded."""
        began_at, self._run_key, self._is_gone = self.clock.now(), key, False
        self._numbers.clear()
        self.months.invocations += 1
        # Reads are stale for a moment, not for minutes.
        self.aws.before = {}
        try:
            with real_sdk_client.client(self._respond, self.clock.sleep) as self.client:
                strategy.run(self, request_id)
        except (RotationError, ClientError, BotoCoreError, CrashError):
            return False
        else:
            return True
        finally:
            self.months.busy_seconds += (self.clock.now() - began_at).total_seconds()
            # Drop unlabelled versions, as Secrets Manager does eventually.
            secret = self.aws.secrets[TOKEN]
            for version_id in secret.content.keys() - set(secret.labels.values()):
                del secret.content[version_id]

    def send_metrics(self, names: Iterable[str]) -> None:
        """Record the metrics of a run by the hour."""
        hour = self.clock.now().replace(minute=0, second=0, microsecond=0)
        self.metrics_sent |= {(name, hour) for name in names}

    def end_of(self, token: str) -> datetime:
        """Return when a token became or becomes inactive."""
        issued = self.telenor.tokens[token]
        return min(issued.ended_at or issued.expires_at, issued.expires_at)

    def _respond(self, operation: str, parameters: dict[str, Any], _attempt: int) -> tuple[int, dict[str, Any]]:
        return self.aws.attempt(operation, parameters, self._intercept(operation))

    def _intercept(self, operation: str) -> str | None:
        if self._is_gone:
            raise CrashError
        self._numbers[operation] += 1
        fault = self.faults.fault(operation, self.clock.now(), f"{self._run_key} {self._numbers[operation]}")
        if fault == CRASH:
            self._is_gone = True
            raise CrashError
        self.months.calls[operation] += 1
        is_telenor = operation in TELENOR_CALLS
        self.clock.sleep(_TELENOR_SECONDS if is_telenor else _AWS_SECONDS)
        if fault and fault.startswith("lost"):
            self.clock.sleep(_TELENOR_LOST_SECONDS if is_telenor else _AWS_LOST_SECONDS)
        return fault

    def _record_reads(self) -> None:
        secret = self.aws.secrets[TOKEN]
        if secret.current is None:
            return
        token = json.loads(secret.content[secret.current])["access_token"]
        if not self.published or self.published[-1][1] != token:
            self.published.append((self.clock.now(), token))


def simulate(strategy: Strategy, rates: FaultRates, seeds: Iterable[int], days: int = DAYS) -> Months:
    """Simulate a month for each seed."""
    months = Months(strategy.name)
    for seed in seeds:
        random.seed(seed)  # the jitter of the backoff
        environment, end = Environment(RandomFaults(rates, seed, days), months), BEGIN + timedelta(days=days)
        _deliver_events(environment, strategy, end)
        months.count += 1
        months.metric_hours.update(name for name, _hour in environment.metrics_sent)
        _add_consumers(environment, seed, end)
        _add_surplus_tokens(environment, end)
    return months


def _deliver_events(environment: Environment, strategy: Strategy, end: datetime) -> None:
    """Run on schedule, sometimes twice for one event, and again if Lambda retries a failed run."""
    events: list[tuple[datetime, int, int]] = [(BEGIN, 0, 0)]
    while events[0][0] < end:
        at, tick, attempt = heapq.heappop(events)
        environment.clock.time = max(environment.clock.time, at)
        key = f"{BEGIN + tick * strategy.every:%m%dT%H%M}"
        has_succeeded = environment.run(strategy, str(uuid5(NAMESPACE_URL, key)), f"{key} {attempt}")
        if not has_succeeded and attempt < strategy.retries:
            heapq.heappush(events, (environment.clock.now() + _RETRY_AFTER[attempt], tick, attempt + 1))
        if attempt == 0:
            heapq.heappush(events, (BEGIN + (tick + 1) * strategy.every, tick + 1, 0))
            if environment.faults.is_delivered_twice(key):
                heapq.heappush(events, (at + timedelta(seconds=1), tick, len(_RETRY_AFTER)))
    environment.clock.time = max(environment.clock.time, end)


def _add_consumers(environment: Environment, seed: int, end: datetime) -> None:
    chance, months = random.Random(f"consumers {seed}"), environment.months  # noqa: S311  to be repeated
    published = [(at, environment.end_of(token)) for at, token in environment.published]
    for cache_seconds in (seconds for seconds in CACHE_SECONDS for _ in range(2)):
        first = published[0][0] + timedelta(seconds=1 + chance.random() * max(cache_seconds, 60))
        requests, refused, longest_seconds = consume(published, cache_seconds, first, end)
        months.requests += requests
        months.refused[cache_seconds] += refused
        months.longest_refused_seconds = max(months.longest_refused_seconds, longest_seconds)
    for (_, ended_at), (next_at, _) in itertools.pairwise([*published, (end, end)]):
        months.no_token_seconds = max(months.no_token_seconds, (next_at - ended_at).total_seconds())


def _add_surplus_tokens(environment: Environment, end: datetime) -> None:
    replaced_at = {token: after for (_, token), (after, _) in itertools.pairwise(environment.published)}
    _, current = environment.published[-1]
    for token in environment.telenor.tokens.keys() - {current}:
        issued_at = environment.telenor.tokens[token].expires_at - environment.telenor.lifetime
        surplus = min(environment.end_of(token), end) - replaced_at.get(token, issued_at)
        environment.months.surplus_seconds.append(max(0.0, surplus.total_seconds()))
        environment.months.surplus_at_end += environment.end_of(token) > end


def consume(
    published: Sequence[tuple[datetime, datetime]], cache_seconds: int, first: datetime, end: datetime
) -> tuple[int, int, float]:
    """Return the requests of one consumer, how many were rejected, and the longest time without an accepted one.

    It keeps a token for its cache lifetime, active or not. `published` has the time at which each token was published,
    and the time at which it became inactive.
    """
    starts = [(at - first).total_seconds() for at, _ in published]
    ends = [(ended_at - first).total_seconds() for _, ended_at in published]
    last = (end - first).total_seconds()
    # A consumer reads at the first request after its cache has expired.
    requests_a_read = max(1, math.ceil(cache_seconds / REQUEST_EVERY_SECONDS))
    requests, refused, longest, refused_since = 0, 0, 0.0, math.inf
    for read in range(0, math.ceil(last / REQUEST_EVERY_SECONDS), requests_a_read):
        read_at = read * REQUEST_EVERY_SECONDS
        ended_at = ends[bisect.bisect_right(starts, read_at) - 1]
        accepted = min(max(0, math.ceil((ended_at - read_at) / REQUEST_EVERY_SECONDS)), requests_a_read)
        requests += requests_a_read
        refused += requests_a_read - accepted
        if accepted:
            longest, refused_since = max(longest, read_at - refused_since), math.inf
        if accepted < requests_a_read:
            refused_since = min(refused_since, read_at + accepted * REQUEST_EVERY_SECONDS)
    return requests, refused, max(longest, last - refused_since)
