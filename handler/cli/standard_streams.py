"""Output: sentences on stderr, results on stdout. Control characters are escaped."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from typing import TYPE_CHECKING

from handler.cli.errors import CliError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

_COLUMNS = 79


def printable(text: str) -> str:
    """Return a text with every control and formatting character escaped, since a terminal would execute them."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def print_stderr(sentence: str) -> None:
    """Print one line to stderr. If that fails, go on: what is only shown must not stop an emergency."""
    write(sys.stderr, f"{printable(sentence)}\n")


def print_wrapped(text: str) -> None:
    """Print sentences to stderr, wrapped at 79 columns."""
    for line in textwrap.wrap(text, _COLUMNS):
        print_stderr(line)


def print_json(document: Mapping[str, object]) -> bool:
    """Print a result to stdout, as one line of JSON. As print_stdout."""
    return print_stdout(f"{printable(json.dumps(document))}\n")


def print_stdout(text: str) -> bool:
    """Write to stdout. Return False if the reader has closed the pipe. Raises CliError if stdout cannot be written."""
    error = write(sys.stdout, text)
    if error is not None and not isinstance(error, BrokenPipeError):
        raise unwritable(error)
    return error is None


def unwritable(error: OSError) -> CliError:
    """Return the error of a command whose output cannot be written to stdout."""
    return CliError(
        f"stdout cannot be written ({error.strerror}), so the output is lost: check `status` before you repeat it"
    )


def write(stream: TextIO | None, text: str) -> OSError | None:
    """Write to stdout or stderr, and return the error if that fails."""
    # None if the process has no such stream.
    if stream is None:
        return None
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        # At its exit the interpreter flushes again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return error
    return None


def count(number: int, noun: str) -> str:
    """Return a number with its noun in the singular or plural."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
