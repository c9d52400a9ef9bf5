"""Mutation testing (mutmut) of the code that the promises rest on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_MUTMUT = (sys.executable, "-m", "mutmut")

# A mutant that exceeds mutmut's time limit hangs, which a test run would show too.
_KILLED = {"killed", "timeout", "segfault", "caught by type check"}


def surviving_mutants(console: Console) -> list[str]:
    """Run all mutants; return the surviving changes.

    `# pragma: no mutate` excludes a line whose mutant no test can distinguish from the real code, with the reason.
    """
    shutil.rmtree("mutants", ignore_errors=True)
    # mutmut finds mypy there.
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    workers = str(os.cpu_count() or 1)
    subprocess.run([*_MUTMUT, "run", "--max-children", workers], check=True, env=environment)  # noqa: S603  our own tool
    results = [line.strip() for line in _mutmut("results", "--all", "true") if "__mutmut_" in line]
    status_of = dict(line.split(": ", maxsplit=1) for line in results)
    assert status_of, "mutmut has made no mutants"
    survivors = [name for name, status in status_of.items() if status not in _KILLED]
    kinds = ", ".join(f"{status} {count}" for status, count in sorted(Counter(status_of.values()).items()))
    console.print(f"mutants: {len(status_of)}, killed: {len(status_of) - len(survivors)} ({kinds})")
    return ["\n".join(_mutmut("show", name)) for name in survivors]


def _mutmut(*arguments: str) -> list[str]:
    command = [*_MUTMUT, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()  # noqa: S603  as above
