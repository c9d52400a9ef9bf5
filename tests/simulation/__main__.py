"""The whole proof: `make prove`. Looks at all that there is, with a bar, and prints what it saw.

Ends with 1 if a promise was broken, a broken variant was not caught, or a mutant survives without a reason.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from itertools import product, starmap
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

# Read when the fuzz tests are imported.
os.environ["SIMULATION"] = "full"

from handler.decisions import outage_tolerance
from handler.model import Action
from tests.simulation import test_broken_variants, test_fuzz
from tests.simulation.model_checker import Explored, crashes_and_faults, orders, orders_of_three
from tests.simulation.mutants import Mutants, survey
from tests.simulation.random_histories import LIFE, any_history, fault_bursts, outages
from tests.simulation.scenarios import MORE_SCENARIOS, SCENARIOS
from tests.simulation.test_random_histories import POLICIES, SECOND

if TYPE_CHECKING:
    from collections.abc import Callable

# Two runs of it with sixteen tokens to end each have more orders than can be looked at.
_TOO_MANY_ORDERS = ("ledger_full", Action.ROTATE_AND_REVOKE_NOW)
_TURNS = 2

_THREE_AT_ONCE = 500
_LONG_HISTORIES, _HISTORIES_EACH, _STEPS = 8, 150, 80
_DAYS_A_YEAR = 365
_PARTS_OF_A_PERIOD = 20


@dataclass
class Row:
    """One row of the table: what is looked at, by tasks that can be done in any order."""

    name: str
    tasks: list[Callable[[], Explored]]
    explored: Explored = field(default_factory=Explored)


def all_rows(years: int) -> list[Row]:
    """Return all that there is to look at."""
    alone = [*SCENARIOS, *MORE_SCENARIOS]
    return [
        Row(f"one crash or one fault, {len(alone)} scenarios", [partial(crashes_and_faults, each) for each in alone]),
        Row("two faults, or one and a crash", [partial(crashes_and_faults, each, faults=2, ends=2) for each in alone]),
        Row(
            "three faults, from the write on",
            [partial(crashes_and_faults, each, faults=3, begin_at="PutSecretValue") for each in SCENARIOS],
        ),
        Row("two runs at once, in every order, with a crash", list(starmap(_two, product(SCENARIOS, Action)))),
        Row(
            "three runs at once, drawn at random",
            [partial(orders_of_three, each, seed=0, samples=_THREE_AT_ONCE) for each in SCENARIOS],
        ),
        Row(
            "long histories of faults, operator actions and crashes",
            [partial(any_history, number, _HISTORIES_EACH, _STEPS) for number in range(_LONG_HISTORIES)],
        ),
        Row(
            f"a year of ticks with bursts of faults, seeds: {years}",
            [partial(fault_bursts, seed, _DAYS_A_YEAR) for seed in range(years)],
        ),
        Row("outages within the slack", _outages()),
        Row("nonsense from outside", [partial(_fuzz, name) for name in dir(test_fuzz) if name.startswith("test_")]),
    ]


def _two(scenario: str, other: Action) -> Callable[[], Explored]:
    if (scenario, other) == _TOO_MANY_ORDERS:
        return partial(orders, scenario, other, with_crash=False, turns=_TURNS)
    return partial(orders, scenario, other, with_crash=True)


def _outages() -> list[Callable[[], Explored]]:
    return [
        partial(outages, policy, outage_tolerance(LIFE, policy) - SECOND, _PARTS_OF_A_PERIOD)
        for policy in POLICIES.values()
    ]


def _fuzz(name: str) -> Explored:
    explored = test_fuzz.explored
    before = explored.histories
    try:
        getattr(test_fuzz, name)()
    except Exception as error:  # noqa: BLE001  whatever was not expected is what this looks for
        return Explored(violations=[f"{name}: {type(error).__name__}: {error} {getattr(error, '__notes__', '')}"])
    return Explored(histories=explored.histories - before)


def main() -> int:
    """Look at everything, and print what was looked at and found."""
    parser = argparse.ArgumentParser(prog="make prove", description=__doc__)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: %(default)s)")
    parser.add_argument("--years", type=int, default=3, help="seeds of a year of ticks (default: %(default)s)")
    arguments = parser.parse_args()
    workers = arguments.workers
    console = Console(width=None if sys.stdout.isatty() else 120)
    rows = all_rows(arguments.years)
    with _progress(console) as progress, ProcessPoolExecutor(workers) as pool:
        _explore(rows, pool, progress)
        caught = _broken_variants(pool, progress)
        # The mutants take as long again: what is known is told before them.
        progress.console.print(_table(rows))
        progress.console.print(_variants_table(caught))
        violations = [violation for row in rows for violation in row.explored.violations]
        violations += [f"the broken variant is not caught: {name}" for name, promise, _ in caught if promise == "-"]
        _print(violations, progress.console)
        mutants = _mutants(workers, progress)
    console.print(f"broken variants: {len(caught)}, caught: {sum(promise != '-' for _, promise, _ in caught)}")
    kinds = ", ".join(f"{status} {count}" for status, count in sorted(mutants.by_status.items()))
    console.print(f"mutants: {mutants.total}, killed: {mutants.killed}, justified: {mutants.justified} ({kinds})")
    _print(mutants.violations, console)
    console.print("Broken." if violations or mutants.violations else "No promise was broken.")
    return 1 if violations or mutants.violations else 0


def _print(violations: list[str], console: Console) -> None:
    for violation in violations:
        console.print(f"broken: {violation}", style="bold red", markup=False)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description:48}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


def _explore(rows: list[Row], pool: ProcessPoolExecutor, progress: Progress) -> None:
    bars = {row.name: progress.add_task(row.name, total=len(row.tasks)) for row in rows}
    # The longest first, so that no core waits for one at the end.
    longest_first = sorted(rows, key=lambda row: ("year" not in row.name, "every order" not in row.name))
    futures: dict[Future[Explored], Row] = {pool.submit(task): row for row in longest_first for task in row.tasks}
    for future in as_completed(futures):
        row = futures[future]
        row.explored += future.result()
        progress.advance(bars[row.name])


def _broken_variants(pool: ProcessPoolExecutor, progress: Progress) -> list[tuple[str, str, str]]:
    bar = progress.add_task("broken variants", total=len(test_broken_variants.VARIANTS))
    rows = []
    for row in pool.map(test_broken_variants.row, test_broken_variants.VARIANTS):
        rows.append(row)
        progress.advance(bar)
    return rows


def _mutants(workers: int, progress: Progress) -> Mutants:
    bar = progress.add_task("mutants", total=None)

    def show(line: str) -> None:
        done, _, rest = line.partition("/")
        if rest and done.split()[-1:] and done.split()[-1].isdecimal():
            progress.update(bar, completed=int(done.split()[-1]), total=int(rest.split()[0]))

    return survey(workers, show)


def _variants_table(caught: list[tuple[str, str, str]]) -> Table:
    table = Table("broken variant", "breaks", "shortest history that shows it", title="The proof can fail")
    for row in caught:
        table.add_row(*row)
    return table


def _table(rows: list[Row]) -> Table:
    table = Table(title="What was looked at")
    table.add_column("")
    for name in ("histories", "states", "crash points", "faults", "interleavings", "simulated hours", "violations"):
        table.add_column(name, justify="right")
    total = Explored()
    for row in rows:
        total += row.explored
        table.add_row(row.name, *_figures(row.explored))
    table.add_section()
    table.add_row("together", *_figures(total), style="bold")
    return table


def _figures(explored: Explored) -> list[str]:
    counts = (
        explored.histories,
        explored.states,
        explored.crash_points,
        explored.faults,
        explored.interleavings,
        explored.simulated_hours,
        len(explored.violations),
    )
    return [f"{count:,.0f}" for count in counts]


if __name__ == "__main__":
    sys.exit(main())
