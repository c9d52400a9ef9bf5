"""Renders the demo's figures and the result of each check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from infra.demo.checks import checks, exit_status
from infra.demo.timeline import columns_of

if TYPE_CHECKING:
    from rich.table import Table

    from infra.demo.checks import Results


def summary_table(results: Results) -> Table:
    """Render the counted figures."""
    states = results.states
    table = columns_of(20, None)
    calls = ", ".join(f"{count} {operation}" for operation, count in sorted(results.calls.items()))
    ends = ", ".join(f"{states.count(end)} {end}" for end in ("revoked", "expired", "live"))
    for name, figure in (
        ("rotations", f"{len(states.published)}"),
        ("tokens", f"{len(states.tokens)} issued: {ends}"),
        ("consumer requests", f"{states.served + states.refused:,}, {states.refused} refused"),
        ("the job's AWS calls", calls),
        *((record.name, record.evidence or "had no effect") for record in results.fault_records),
    ):
        table.add_row(Text(name, style="bold"), figure)
    return table


def checks_table(results: Results) -> Group:
    """Render the result of each check."""
    table = columns_of(20, None)
    for claim, holds in checks(results):
        table.add_row(Text("yes", style="green") if holds else Text("NO", style="bold red"), claim)
    good = exit_status(results) == 0
    last = Text("All promises held.", style="bold green") if good else Text("A promise was broken.", style="bold red")
    return Group(table, "", last)
