"""Output to the operator and questions: sentences on stderr, results on stdout. No control character gets through."""

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
    """Return a text with every control and formatting character escaped: a terminal would obey them."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def say(sentence: str) -> None:
    """Print one line to stderr."""
    print(printable(sentence), file=sys.stderr, flush=True)  # noqa: T201  the only place that writes to stderr


def explain(text: str) -> None:
    """Print some sentences to stderr, wrapped for reading."""
    for line in textwrap.wrap(text, _COLUMNS):
        say(line)


def show(document: Mapping[str, object]) -> None:
    """Print a result to stdout, as one line of JSON."""
    try:
        print(printable(json.dumps(document)), flush=True)  # noqa: T201  this is what stdout is for
    except BrokenPipeError:
        # The reader has closed the pipe, and the interpreter flushes once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def is_confirmed(question: str, *, yes: bool) -> bool:
    """Ask, unless the answer was given beforehand. Raises UsageError if nobody can be asked."""
    if yes:
        return True
    # None if the process was started without one.
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError("confirmation required, but stdin is not a terminal: add --yes")
    print(f"{question} Type yes: ", end="", file=sys.stderr, flush=True)  # noqa: T201  not part of the result
    if sys.stdin.readline().strip().lower() == "yes":
        return True
    say("Nothing was done.")
    return False


def count(number: int, noun: str) -> str:
    """Return a number with its noun in the singular or plural."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
