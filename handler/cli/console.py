"""What is said to the operator and asked of them: sentences on stderr, results on stdout."""

from __future__ import annotations

import json
import sys
import textwrap
from typing import TYPE_CHECKING

from handler.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

_COLUMNS = 79


def say(sentence: str) -> None:
    """Say a sentence that is no part of the result."""
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201  see above


def explain(text: str) -> None:
    """Say some sentences that a person reads before an answer."""
    say(textwrap.fill(text, _COLUMNS))


def show(document: Mapping[str, object]) -> None:
    """Print a result, as one line of JSON."""
    print(json.dumps(document), flush=True)  # noqa: T201  this is what stdout is for


def is_confirmed(question: str, *, yes: bool) -> bool:
    """Ask, unless the answer was given beforehand. Raises InvalidInputError where nobody can be asked."""
    if yes:
        return True
    # None where a process was started without one.
    if sys.stdin is None or not sys.stdin.isatty():
        raise InvalidInputError("this asks before it acts, and stdin is no terminal: add --yes to say yes beforehand")
    print(f"{question} Type yes: ", end="", file=sys.stderr, flush=True)  # noqa: T201  not part of the result
    if sys.stdin.readline().strip().lower() == "yes":
        return True
    say("Nothing was done.")
    return False


def count(number: int, noun: str) -> str:
    """Say how many."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
