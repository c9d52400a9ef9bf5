"""Output and questions: sentences on stderr, results on stdout. Control characters are escaped."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from typing import TYPE_CHECKING

from handler.cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_COLUMNS = 79


def printable(text: str) -> str:
    """Return a text with every control and formatting character escaped, since a terminal would execute them."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def print_stderr(sentence: str) -> None:
    """Print one line to stderr."""
    print(printable(sentence), file=sys.stderr, flush=True)  # noqa: T201  the only place that writes to stderr


def print_wrapped(text: str) -> None:
    """Print sentences to stderr, wrapped at 79 columns."""
    for line in textwrap.wrap(text, _COLUMNS):
        print_stderr(line)


def print_json(document: Mapping[str, object]) -> None:
    """Print a result to stdout, as one line of JSON."""
    try:
        print(printable(json.dumps(document)), flush=True)  # noqa: T201  stdout is for results
    except BrokenPipeError:
        # The reader closed the pipe. At its exit the interpreter flushes stdout again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def is_confirmed(question: str, *, yes: bool) -> bool:
    """Ask, unless --yes was given. Raises UsageError if stdin is not a terminal."""
    if yes:
        return True
    # None if the process has no stdin.
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError("confirmation required, but stdin is not a terminal: add --yes")
    print(f"{question} Type yes: ", end="", file=sys.stderr, flush=True)  # noqa: T201  not part of the result
    if sys.stdin.readline().strip().lower() == "yes":
        return True
    print_stderr("Nothing was done.")
    return False


def count(number: int, noun: str) -> str:
    """Return a number with its noun in the singular or plural."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
