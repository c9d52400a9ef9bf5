"""The job's log lines for a person: its sentences, or the lines as they are."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_LEVELS = {"WARNING": "warning: ", "ERROR": "error: ", "CRITICAL": "error: "}


class LogLines(io.TextIOBase):
    """A stream for the lines of a run, which shows them on stderr as they come.

    What is no line of the job's own (metrics, and what Lambda adds) is shown with `is_verbose` alone; so is the line
    that sums a run up, since the run's answer or its failure says the same.
    """

    def __init__(self, *, is_verbose: bool) -> None:
        self._is_verbose = is_verbose
        self._rest = ""

    def write(self, text: str) -> int:
        """Take a piece of the log."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            shown = line if self._is_verbose else _sentence(line)
            if shown.strip():
                print(shown, file=sys.stderr, flush=True)  # noqa: T201  not part of the result
        return len(text)


def record(line: str) -> Mapping[str, object]:
    """Return a line of the job's own as an object; it is empty for every other line."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) and "message" in document and "level" in document else {}


def _sentence(line: str) -> str:
    said = record(line)
    if not said or "outcome" in said:
        return ""
    return f"{_LEVELS.get(str(said['level']), '')}{said['message']}"
