"""The cost of a month in USD, at AWS's list prices as cited by others up to November 2026; not verified with AWS.

Prices: the pricing pages of AWS Secrets Manager, AWS Lambda (arm64), Amazon EventBridge (Scheduler) and Amazon
CloudWatch, us-east-1, without free tiers unless one is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.benchmarks.faults_of_a_month import TELENOR_CALLS
from tests.benchmarks.simulated_month import DAYS

if TYPE_CHECKING:
    from tests.benchmarks.simulated_month import Months

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

# The duration of a run without waiting for responses. Assumed, at this memory size.
OWN_SECONDS_A_RUN = 0.1


def aws_calls(months: Months) -> float:
    """Return the calls to Secrets Manager a month."""
    return months.calls.total() / months.count - telenor_calls(months)


def telenor_calls(months: Months) -> float:
    """Return the requests to Telenor a month."""
    return sum(months.calls[operation] for operation in TELENOR_CALLS) / months.count


def run_seconds(months: Months) -> float:
    """Return the duration of all runs of a month."""
    return (months.busy_seconds + months.invocations * OWN_SECONDS_A_RUN) / months.count


def running_cost(months: Months) -> float:
    """Return the cost of a month's calls and runs."""
    runs = months.invocations / months.count
    return aws_calls(months) * AWS_CALL + runs * INVOCATION + run_seconds(months) * _GIB * GIB_SECOND


def metrics_cost(months: Months) -> float:
    """Return the cost of a month's metrics: each for the hours in which it was sent."""
    return months.metric_hours.total() / months.count / (DAYS * 24) * METRIC_A_MONTH


def consumer_cost(cache_seconds: int) -> float:
    """Return the cost of a month's reads of one constantly busy consumer process."""
    return DAYS * 86_400 / cache_seconds * AWS_CALL
