"""What a month costs, and at how many clients a limit of AWS is met. Prices and quotas are AWS's own, the rest sums.

Prices in USD: the pricing pages of AWS Secrets Manager, AWS Lambda (arm64), Amazon EventBridge (Scheduler) and Amazon
CloudWatch, us-east-1, as PRICED says, without free tiers unless one is named. Quotas: "AWS Secrets Manager quotas",
"Quotas for Amazon EventBridge Scheduler", "Lambda quotas", the defaults in each Region.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.benchmarks.month import DAYS

if TYPE_CHECKING:
    from tests.benchmarks.month import Month

PRICED = "as others cited them up to November 2026; none was checked with AWS"

SECRET_A_MONTH = 0.40
AWS_CALL = 0.05 / 10_000
INVOCATION = 0.20 / 1_000_000
GIB_SECOND = 0.0000133334
METRIC_A_MONTH = 0.30
ALARM_A_MONTH = 0.10
DASHBOARD_A_MONTH = 3.00
SCHEDULED = 1.00 / 1_000_000
TRACE = 5.00 / 1_000_000
LOG_GB = 0.50

# By the number of metrics, the first tier first: how many of them, and each one's price.
METRIC_TIERS = ((10_000, METRIC_A_MONTH), (240_000, 0.10), (750_000, 0.05))

FREE_SCHEDULER_INVOCATIONS = 14_000_000

# template.yaml: MemorySize, the metrics of app.py, and the alarms. The dashboard is one of three free ones.
_GIB = 0.25
METRICS = 9
ALARMS = 9

# infra/terraform/alarms.tf: those that each client has, and those that all clients of a function share.
ALARMS_OF_A_CLIENT, ALARMS_OF_A_JOB = 6, 3

# What a run costs besides its calls and its time: its schedule, its trace, and 2.6 kB of log (docs/runbook.md).
RUN_BESIDES = SCHEDULED + TRACE + 2.6e-6 * LOG_GB

# What a run takes besides waiting for answers. Assumed, at this memory.
OWN_SECONDS_A_RUN = 0.1

READS_A_SECOND = 10_000
WRITES_A_SECOND = 50
SECRETS = 500_000
SCHEDULES = 10_000_000
SCHEDULER_A_SECOND = 1_000
CONCURRENCY = 1_000

_MONTH_SECONDS = DAYS * 86_400
_SCHEDULE_SECONDS = 300
_TIMEOUT_SECONDS = 120
_SECRETS_A_CLIENT = 2

_AWS_READS = ("DescribeSecret", "GetSecretValue", "ListSecretVersionIds")
_AWS_WRITES = ("PutSecretValue", "UpdateSecretVersionStage")


def aws_calls(month: Month) -> float:
    """Return the calls to Secrets Manager a month."""
    return sum(month.calls[operation] for operation in _AWS_READS + _AWS_WRITES) / month.months


def telenor_calls(month: Month) -> float:
    """Return the requests to Telenor a month."""
    return sum(month.calls[operation] for operation in ("token", "logout", "verify")) / month.months


def running_cost(month: Month) -> float:
    """Return what a month's calls and runs cost, in USD."""
    runs = month.invocations / month.months
    seconds = month.busy_seconds / month.months + runs * OWN_SECONDS_A_RUN
    return aws_calls(month) * AWS_CALL + runs * INVOCATION + seconds * _GIB * GIB_SECOND


def metrics_cost(metrics: int) -> float:
    """Return what so many metrics cost a month, in USD."""
    cost = 0.0
    for size, price in METRIC_TIERS:
        cost += min(metrics, size) * price
        metrics = max(0, metrics - size)
    return cost


def watching_cost() -> float:
    """Return what the template's metrics and alarms cost a month, in USD."""
    return METRICS * METRIC_A_MONTH + ALARMS * ALARM_A_MONTH


def consumer_cost(cache_seconds: int) -> float:
    """Return what the reads of one consumer process cost a month, in USD, if it never rests."""
    return _MONTH_SECONDS / cache_seconds * AWS_CALL


@dataclass(frozen=True)
class Limit:
    """A limit of AWS, and the number of clients that meets it."""

    what: str
    quota: str
    clients: int
    sum: str


def limits(month: Month) -> list[Limit]:
    """Return the limits, the nearest first, from the calls of a measured month."""
    reads = _a_second(month, _AWS_READS)
    writes = _a_second(month, _AWS_WRITES)
    run_seconds = month.busy_seconds / month.invocations + OWN_SECONDS_A_RUN
    found = [
        Limit(
            "Lambda, every run hanging until its timeout",
            f"{CONCURRENCY:,} concurrent executions",
            CONCURRENCY * _SCHEDULE_SECONDS // _TIMEOUT_SECONDS,
            f"{CONCURRENCY:,} × {_SCHEDULE_SECONDS} s ÷ {_TIMEOUT_SECONDS} s",
        ),
        Limit(
            "writes, all clients rotated and revoked within one schedule period",
            f"{WRITES_A_SECOND} a second, not adjustable",
            WRITES_A_SECOND * _SCHEDULE_SECONDS // 2,
            f"{WRITES_A_SECOND} × {_SCHEDULE_SECONDS} s ÷ 2 writes",
        ),
        Limit(
            "PutSecretValue and UpdateSecretVersionStage, spread evenly",
            f"{WRITES_A_SECOND} a second, not adjustable",
            int(WRITES_A_SECOND / writes),
            f"{WRITES_A_SECOND} ÷ {writes:.5f} a second and client",
        ),
        Limit(
            "secrets",
            f"{SECRETS:,}",
            SECRETS // _SECRETS_A_CLIENT,
            f"{SECRETS:,} ÷ {_SECRETS_A_CLIENT}",
        ),
        Limit(
            "EventBridge Scheduler, invocations",
            f"{SCHEDULER_A_SECOND:,} a second in the large Regions, less elsewhere; adjustable",
            SCHEDULER_A_SECOND * _SCHEDULE_SECONDS,
            f"{SCHEDULER_A_SECOND:,} × {_SCHEDULE_SECONDS} s",
        ),
        Limit(
            "DescribeSecret and GetSecretValue, without the consumers' own",
            f"{READS_A_SECOND:,} a second, not adjustable",
            int(READS_A_SECOND / reads),
            f"{READS_A_SECOND:,} ÷ {reads:.5f} a second and client",
        ),
        Limit(
            "Lambda, runs as in the months above",
            f"{CONCURRENCY:,} concurrent executions",
            int(CONCURRENCY * _SCHEDULE_SECONDS / run_seconds),
            f"{CONCURRENCY:,} × {_SCHEDULE_SECONDS} s ÷ {run_seconds:.2f} s a run",
        ),
        Limit("EventBridge Scheduler, schedules", f"{SCHEDULES:,}", SCHEDULES, "one a client"),
    ]
    return sorted(found, key=lambda limit: limit.clients)


def _a_second(month: Month, operations: tuple[str, ...]) -> float:
    return sum(month.calls[operation] for operation in operations) / month.months / _MONTH_SECONDS
