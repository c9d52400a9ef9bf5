"""What many clients of one function cost, and at how many of them a quota of AWS binds.

`python -m tests.benchmarks.scale` measures this alone, and writes its section of docs/benchmarks.md anew.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from infra.terraform_cli import MissingError
from tests.benchmarks import deployment, prices
from tests.benchmarks.month import Climate, month
from tests.benchmarks.ways import THIS_JOB

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.benchmarks.deployment import Deployment
    from tests.benchmarks.month import Month

CLIENTS = (1, 10, 100, 1000)

HEADING = "## 6. Many clients by the Terraform module"

_DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks.md"

# Two numbers of clients that show what each client adds, and a third that shows that nothing bends.
_FEW, _SOME, _BETWEEN = 10, 30, 20

# The module's own refusal, in infra/terraform/iam.tf: what the list of tokens may take of a managed policy.
_LISTED = 5_000


@dataclass(frozen=True)
class Bill:
    """What a number of clients costs a month, in USD, before any free tier."""

    clients: int
    jobs: int
    """How many times the module is applied, under a name each."""
    runs: float
    aws_calls: float
    telenor_requests: float
    secrets: float
    running: float
    """Calls, runs, schedules, logs and traces."""
    metrics: float
    alarms: float
    dashboards: float
    stacks: float
    """The same clients with a stack of SAM's each."""

    @property
    def total(self) -> float:
        """All of it."""
        return self.secrets + self.running + self.metrics + self.alarms + self.dashboards


@dataclass(frozen=True)
class Quota:
    """A quota of AWS, what a client takes of it, and what to do when it binds."""

    what: str
    limit: str
    a_client: str
    clients: int
    scope: str
    """Of what: a job, or an account and Region."""
    then: str
    source: str


@dataclass(frozen=True)
class Scale:
    """Everything that was measured and summed up for this section."""

    bills: Sequence[Bill]
    quotas: Sequence[Quota]
    few: Deployment
    some: Deployment
    a_job: int
    """The most clients that the module takes, by its own refusal."""
    thirty: Bill


def measure(lived: Month) -> Scale:
    """Measure the module, and sum up with the calls of a month of one client. Raises MissingError."""
    few, between, some = deployment.measure((_FEW, _BETWEEN, _SOME))
    if between.token_policy - few.token_policy != some.token_policy - between.token_policy:
        raise RuntimeError(f"the policy does not grow by the client: {few}, {between}, {some}")
    # Each ARN stands in quotes, with a comma behind it.
    a_job = _LISTED // ((some.token_policy - few.token_policy) // (_SOME - _FEW))
    if deployment.is_refused(a_job) or not deployment.is_refused(a_job + 1):
        raise RuntimeError(f"the module does not refuse {a_job + 1} clients, or refuses {a_job}")
    return Scale(
        [bill(clients, a_job, lived) for clients in CLIENTS],
        sorted(quotas(few, some, a_job), key=lambda quota: quota.clients),
        few,
        some,
        a_job,
        bill(30, a_job, lived),
    )


def bill(clients: int, a_job: int, lived: Month) -> Bill:
    """Return what so many clients cost, from the calls of a month of one."""
    jobs = -(-clients // a_job)
    runs = lived.invocations / lived.months
    running = clients * (prices.running_cost(lived) + runs * prices.RUN_BESIDES)
    secrets = clients * 2 * prices.SECRET_A_MONTH
    metrics = prices.metrics_cost(clients * prices.METRICS)
    return Bill(
        clients,
        jobs,
        clients * runs,
        clients * prices.aws_calls(lived),
        clients * prices.telenor_calls(lived),
        secrets,
        running,
        metrics,
        (clients * prices.ALARMS_OF_A_CLIENT + jobs * prices.ALARMS_OF_A_JOB) * prices.ALARM_A_MONTH,
        jobs * prices.DASHBOARD_A_MONTH,
        secrets + running + metrics + clients * (prices.ALARMS * prices.ALARM_A_MONTH + prices.DASHBOARD_A_MONTH),
    )


def quotas(few: Deployment, some: Deployment, a_job: int) -> list[Quota]:
    """Return the quotas that a deployment of many clients meets."""

    def binds(limit: int, of: Callable[[Deployment], int]) -> tuple[str, int]:
        """Return what a client adds, and how many fit."""
        a_client = (of(some) - of(few)) / (some.clients - few.clients)
        alone = of(few) - few.clients * a_client
        return f"{a_client:,.0f}", int((limit - alone) / a_client)

    again = "apply the module again under another name, with the next clients"
    own, operators = binds(10_240, lambda d: d.own_policy), binds(6_144, lambda d: d.operator_policy)
    function, queue = binds(20_480, lambda d: d.function_policy), binds(8_192, lambda d: d.queue_policy)
    widgets, drawn = binds(500, lambda d: d.widgets), binds(2_500, lambda d: d.drawn)
    shown = (100 - prices.ALARMS_OF_A_JOB) // prices.ALARMS_OF_A_CLIENT
    return [
        Quota(
            "alarms that one alarm widget shows",
            "100",
            f"{prices.ALARMS_OF_A_CLIENT}",
            shown,
            "job",
            "nothing: the pages come first, and what does not fit is left out of the widget alone",
            "CloudWatch, *Dashboard body structure and syntax*",
        ),
        Quota(
            "a managed policy of the role, as far as the module lets its list grow",
            f"{_LISTED:,} of 6,144 characters",
            binds(6_144, lambda d: d.token_policy)[0],
            a_job,
            "job",
            f"{again}: it refuses more at plan time. Or a prefix, `secret:NAME/*/token-??????`, which opens the token "
            "secrets of clients to come as well",
            "*IAM and AWS STS quotas*",
        ),
        Quota("the operators' policy", "6,144 characters", *operators, "job", again, "*IAM and AWS STS quotas*"),
        Quota("the role's own policies together", "10,240 characters", *own, "job", again, "*IAM and AWS STS quotas*"),
        Quota(
            "the function's policy, a statement for each rule",
            "20 KB",
            *function,
            "job",
            f"{again}; or one statement for all rules of that name",
            "*Lambda quotas*",
        ),
        Quota("the policy of the queue", "8,192 bytes", *queue, "job", again, "*Amazon SQS policy quotas*"),
        Quota("widgets on a dashboard", "500", *widgets, "job", again, "*CloudWatch service quotas*"),
        Quota("metrics on a dashboard", "2,500", *drawn, "job", again, "*CloudWatch service quotas*"),
        Quota(
            "rules on the default event bus",
            "300; 100 in af-south-1 and eu-south-1",
            "1",
            300,
            "account and Region",
            "ask AWS for more",
            "*Amazon EventBridge quotas*",
        ),
        Quota(
            "customer managed policies",
            "1,500",
            "1, and 3 a job",
            int((1_500 - 3) / (1 + 3 / a_job)),
            "account",
            "ask AWS for more, up to 10,000",
            "*IAM and AWS STS quotas*",
        ),
        Quota(
            "secrets",
            f"{prices.SECRETS:,}",
            "2",
            prices.SECRETS // 2,
            "account and Region",
            "another account",
            "*AWS Secrets Manager quotas*",
        ),
        Quota(
            "schedules",
            f"{prices.SCHEDULES:,}",
            "1",
            prices.SCHEDULES,
            "account and Region",
            "ask AWS for more",
            "*Quotas for Amazon EventBridge Scheduler*",
        ),
    ]


def main() -> int:
    """Measure, print and write the section; 1 where Terraform cannot be had."""
    from tests.benchmarks import report  # noqa: PLC0415  it imports this

    began_at = time.monotonic()
    try:
        scale = measure(month(THIS_JOB, Climate({}, {}, twice=0), seed=1))
    except MissingError as missing:
        print(f"NOT MEASURED: {missing}", file=sys.stderr)  # noqa: T201
        return 1
    measured = f"Measured apart from the rest, by `python -m tests.benchmarks.scale` on {datetime.now(UTC):%Y-%m-%d}."
    section = report.section(scale, measured)
    before = _DOCUMENT.read_text(encoding="utf-8").partition(f"\n{HEADING}\n")[0]
    _DOCUMENT.write_text(f"{before.rstrip()}\n\n{section}", encoding="utf-8")
    print(section)  # noqa: T201  what it is for
    print(f"{time.monotonic() - began_at:.0f} s", file=sys.stderr)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
