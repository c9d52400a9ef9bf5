"""Asks before a command writes."""

from __future__ import annotations

import sys

from handler.cli.errors import UsageError
from handler.cli.standard_streams import print_stderr, write


def is_confirmed(question: str, *, yes: bool) -> bool:
    """Ask, unless --yes was given. Raises UsageError if stdin is not a terminal."""
    if yes:
        return True
    # None if the process has no stdin.
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError("confirmation required, but stdin is not a terminal: add --yes")
    write(sys.stderr, f"{question} Type yes: ")
    if sys.stdin.readline().strip().lower() == "yes":
        return True
    print_stderr("Nothing was done.")
    return False
