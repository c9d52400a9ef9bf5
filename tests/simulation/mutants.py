"""Mutation testing of what the promises rest on: each small change of the code must make a check fail.

mutmut makes the mutants; those that mypy finds are killed by it, and the others by the tests that reach them. What
survives must stand in surviving_mutants.toml with the reason why no test could tell it from the real code.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SURVIVING = Path(__file__).with_name("surviving_mutants.toml")

_MUTMUT = (sys.executable, "-m", "mutmut")

# A mutant that runs into mutmut's time limit hangs, which a test run would show too.
_KILLED = {"killed", "timeout", "segfault", "caught by type check"}


@dataclass
class Mutants:
    """How the mutants ended."""

    by_status: Counter[str] = field(default_factory=Counter)
    justified: int = 0
    violations: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many there are."""
        return self.by_status.total()

    @property
    def killed(self) -> int:
        """How many a check has found."""
        return sum(self.by_status[status] for status in _KILLED)


@dataclass(frozen=True)
class Change:
    """What a mutant changes, in a form that outlives changes elsewhere."""

    function: str
    removed: tuple[str, ...]
    added: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"- {line}" for line in self.removed] + [f"+ {line}" for line in self.added]
        return "\n    ".join([self.function, *lines])


def survey(workers: int, on_output: Callable[[str], None]) -> Mutants:
    """Make every mutant, try them all, and compare what survives with the list."""
    shutil.rmtree("mutants", ignore_errors=True)
    command = [*_MUTMUT, "run", "--max-children", str(workers)]
    # Where it finds mypy.
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with subprocess.Popen(  # noqa: S603  our own environment's tool
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        # It draws its progress with carriage returns, which reading as text turns into line ends.
        told: list[str] = []
        for line in process.stdout:
            told = [*told[-20:], line]
            on_output(line.strip())
    statuses = _statuses()
    mutants = Mutants(Counter(statuses.values()))
    if process.returncode or not mutants.total:
        mutants.violations.append(f"mutmut ended with {process.returncode}: {''.join(told)}")
        return mutants
    justified = _justified()
    survived = {_change(name) for name, status in statuses.items() if status not in _KILLED}
    mutants.justified = len(survived & justified.keys())
    mutants.violations += [
        f"a mutant survives and is not justified: {change}" for change in survived - justified.keys()
    ]
    mutants.violations += [
        f"surviving_mutants.toml justifies a mutant that does not survive; take it out: {change}"
        for change in justified.keys() - survived
    ]
    return mutants


def _statuses() -> dict[str, str]:
    lines = _mutmut("results", "--all", "true").splitlines()
    return dict(line.strip().split(": ", maxsplit=1) for line in lines if "__mutmut_" in line)


def _change(name: str) -> Change:
    lines = [line for line in _mutmut("show", name).splitlines() if not line.startswith(("---", "+++"))]
    module, _, function = name.rpartition("__mutmut_")[0].rpartition(".")
    return Change(
        f"{module}.{function.removeprefix('x_').replace('xǁ', '').replace('ǁ', '.')}",
        tuple(line[1:].strip() for line in lines if line.startswith("-")),
        tuple(line[1:].strip() for line in lines if line.startswith("+")),
    )


def _justified() -> dict[Change, str]:
    entries = tomllib.loads(SURVIVING.read_text(encoding="utf-8")).get("survivor", [])
    return {
        Change(entry["function"], tuple(entry.get("removed", ())), tuple(entry.get("added", ()))): entry["reason"]
        for entry in entries
    }


def _mutmut(*arguments: str) -> str:
    command = [*_MUTMUT, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603  as above
