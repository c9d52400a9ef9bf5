"""What a month costs. The prices are AWS's own.

Prices in USD: the pricing pages of AWS Secrets Manager, AWS Lambda (arm64), Amazon EventBridge (Scheduler) and Amazon
CloudWatch, us-east-1, as PRICED says, without free tiers unless one is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.benchmarks.simulated_month import DAYS

if TYPE_CHECKING:
    from tests.benchmarks.simulated_month import Month

PRICED = "as others cited them up to November 2026; none was checked with AWS"

SECRET_A_MONTH = 0.40
AWS_CALL = 0.05 / 10_000
INVOCATION = 0.20 / 1_000_000
GIB_SECOND = 0.0000133334
METRIC_A_MONTH = 0.30
ALARM_A_MONTH = 0.10

FREE_SCHEDULER_INVOCATIONS = 14_000_000

# template.yaml: MemorySize and the alarms.
_GIB = 0.25
ALARMS = 9

# What a run takes besides waiting for answers. Assumed, at this memory.
OWN_SECONDS_A_RUN = 0.1


_MONTH_SECONDS = DAYS * 86_400

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


def metrics_cost(month: Month) -> float:
    """Return what the metrics cost a month, in USD: each for the hours in which it was sent."""
    return sum(month.metric_hours.values()) / month.months / (DAYS * 24) * METRIC_A_MONTH


def watching_cost(month: Month) -> float:
    """Return what the metrics and the template's alarms cost a month, in USD, without the dashboard."""
    return metrics_cost(month) + ALARMS * ALARM_A_MONTH


def consumer_cost(cache_seconds: int) -> float:
    """Return what the reads of one consumer process cost a month, in USD, if it never rests."""
    return _MONTH_SECONDS / cache_seconds * AWS_CALL
