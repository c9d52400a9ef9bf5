"""The complete proof: `make prove`. Explores everything, and prints what it found.

Exits with 1 if a promise was broken, a broken variant was not caught, or a mutant survives.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from itertools import product, starmap
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import track
from rich.table import Column, Table

# The fuzz tests read this when they are imported.
os.environ["SIMULATION"] = "full"

from handler.decisions import outage_tolerance
from handler.model import Action
from tests.simulation import test_arbitrary_inputs
from tests.simulation.checked_world import LIFETIME
from tests.simulation.model_checker import Explored, crashes_and_faults, orders, orders_of_three
from tests.simulation.mutation_testing import surviving_mutants
from tests.simulation.outage_tolerance import POLICIES, SECOND, outages
from tests.simulation.random_histories import any_history, fault_bursts
from tests.simulation.scenarios import ALL_SCENARIOS, SCENARIOS
from tests.simulation.test_broken_variants import VARIANTS, first_violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Task = Callable[[], Explored]

# Two emergencies that revoke sixteen tokens each have too many orders to explore.
_TOO_MANY_ORDERS = ("ledger_full", Action.ROTATE_AND_REVOKE_NOW)
_TURNS = 2

_THREE_AT_ONCE = 500
_LONG_HISTORIES, _HISTORIES_EACH, _STEPS = 8, 150, 80
_DAYS_A_YEAR = 365
_PARTS_OF_A_PERIOD = 20

_COLUMNS = ("histories", "states", "crash points", "faults", "interleavings", "simulated hours")


def all_rows(years: int) -> dict[str, list[Task]]:
    """Return the rows of the table, each with tasks that can run in any order."""
    tolerances = [(policy, outage_tolerance(LIFETIME, policy) - SECOND) for policy in POLICIES.values()]
    # The longest first, so that no core is idle at the end.
    return {
        f"a year of ticks with bursts of faults, seeds: {years}": _each(range(years), fault_bursts, days=_DAYS_A_YEAR),
        "two runs at once, in every order, with a crash": list(starmap(_two, product(SCENARIOS, Action))),
        f"one crash or one fault, {len(ALL_SCENARIOS)} scenarios": _each(ALL_SCENARIOS, crashes_and_faults),
        "two faults, or one and a crash": _each(ALL_SCENARIOS, crashes_and_faults, faults=2, max_failures=2),
        "three faults, from the write on": _each(SCENARIOS, crashes_and_faults, faults=3, begin_at="PutSecretValue"),
        "three runs at once, drawn at random": _each(SCENARIOS, orders_of_three, seed=0, samples=_THREE_AT_ONCE),
        "long histories of faults, operator actions and crashes": _each(
            range(_LONG_HISTORIES), any_history, max_examples=_HISTORIES_EACH, steps=_STEPS
        ),
        "outages within the tolerance": [partial(outages, *each, _PARTS_OF_A_PERIOD) for each in tolerances],
        "fuzzed input": _each([name for name in dir(test_arbitrary_inputs) if name.startswith("test_")], _fuzz),
    }


def _each(what: Iterable[Any], function: Callable[..., Explored], **options: Any) -> list[Task]:
    return [partial(function, each, **options) for each in what]


def _two(scenario: str, other: Action) -> Task:
    if (scenario, other) == _TOO_MANY_ORDERS:
        return partial(orders, scenario, other, with_crash=False, turns=_TURNS)
    return partial(orders, scenario, other, with_crash=True)


def _fuzz(name: str) -> Explored:
    explored = test_arbitrary_inputs.explored
    before = explored.histories
    try:
        getattr(test_arbitrary_inputs, name)()
    except Exception as error:  # noqa: BLE001  any unexpected error is a finding
        return Explored(violations=[f"{name}: {type(error).__name__}: {error} {getattr(error, '__notes__', '')}"])
    return Explored(histories=explored.histories - before)


def main() -> int:
    """Explore everything, and print the result."""
    parser = argparse.ArgumentParser(prog="make prove", description=__doc__)
    parser.add_argument("--years", type=int, default=3, help="seeds of a year of ticks (default: %(default)s)")
    rows = all_rows(parser.parse_args().years)
    console = Console(width=None if sys.stdout.isatty() else 120)
    explored = {name: Explored() for name in rows}
    # What is loaded stays; otherwise the garbage collector of each process would pass over it again and again.
    gc.freeze()
    with ProcessPoolExecutor() as pool:
        futures = {pool.submit(task): name for name, tasks in rows.items() for task in tasks}
        for future in track(as_completed(futures), "Histories", len(futures), console=console):
            explored[futures[future]] += future.result()
        found = dict(zip(VARIANTS, pool.map(first_violation, VARIANTS), strict=True))
    _print_histories(explored, console)
    missed = _print_variants(found, console)
    violations = [violation for each in explored.values() for violation in each.violations]
    violations += [f"the broken variant is not caught: {name}" for name in missed]
    # The mutants take as long again, so the other results are printed first.
    survivors = surviving_mutants(console)
    violations += [f"a mutant survives: {change}" for change in survivors]
    for violation in violations:
        console.print(f"broken: {violation}", style="bold red", markup=False)
    console.print("Broken." if violations else "No promise was broken.")
    return 1 if violations else 0


def _print_histories(explored: Mapping[str, Explored], console: Console) -> None:
    numbers = [Column(name, justify="right") for name in (*_COLUMNS, "violations")]
    table = Table("", *numbers, title="What was explored")
    total = Explored()
    for each in explored.values():
        total += each
    for name, each in {**explored, "together": total}.items():
        counts = [getattr(each, column.replace(" ", "_")) for column in _COLUMNS]
        table.add_row(name, *(f"{count:,.0f}" for count in (*counts, len(each.violations))))
    console.print(table)


def _print_variants(found: Mapping[str, str], console: Console) -> list[str]:
    """Print how each broken variant was caught; return those that were not."""
    table = Table("broken variant", "breaks", "shortest history that shows it", title="The proof can fail")
    missed = []
    for name, variant in VARIANTS.items():
        history, is_caught, _ = found[name].partition(f": {variant.promise}: ")
        table.add_row(name, variant.promise if is_caught else "-", history)
        missed += [] if is_caught else [name]
    console.print(table)
    console.print(f"broken variants: {len(found)}, caught: {len(found) - len(missed)}")
    return missed


if __name__ == "__main__":
    sys.exit(main())
