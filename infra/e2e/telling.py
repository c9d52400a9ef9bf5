"""Tells what was shown, and what was not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

# What is not AWS in the emulator, whatever is deployed to it.
DIFFERENT = {
    "Scheduler's and EventBridge's own retries, and the dead-letter queue": "not modelled; checked in the template",
    "throttled events, and those older than MaximumEventAgeInSeconds": "not modelled; checked in the template",
    "aws:PrincipalArn of a session, secretsmanager:VersionStage, lambda:SourceFunctionArn": "added in "
    "ministack_corrected.py as AWS documents them; IAM itself enforces",
    "Lambda's retries for the schedule's events and the rule's": "added likewise: EventInvokeConfig, same request id",
    "labels beside AWSCURRENT in PutSecretValue, metrics out of the log": "added likewise",
    "a label lost by a superseded version": "not known of AWS; the job looks, and make smoke shows it",
    "customer-managed keys": "accepted and not enforced; the conditions are checked in the template",
    "alarms on arithmetic": "kept and not evaluated; tests/infra/alarms evaluates what is deployed",
    "another account": "there is one here; what a reader or a consumer elsewhere needs is checked in the template",
}


def console() -> Console:
    """Return where to tell it."""
    opened = Console(highlight=False)
    if not opened.is_terminal:
        opened.width = 140
    return opened


def tell(
    where: Console, began_at: float, shown: Iterable[tuple[str, str]], not_shown: Iterable[tuple[str, str]]
) -> None:
    """Print two tables and how many claims have held; `began_at` is of the monotonic clock."""
    shown = list(shown)
    for title, rows in (
        (f"Shown, in {time.monotonic() - began_at:.0f} s", shown),
        ("Not shown here, and why it is trusted", not_shown),
    ):
        table = Table("step", "evidence", title=title, expand=True)
        for row in rows:
            table.add_row(*row)
        where.print(table)
    where.print(f"{len(shown)} passed, 0 failed")
