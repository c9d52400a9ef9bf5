"""The job's log lines for a person: its sentences, or the lines as they are."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

from handler.cli.console import say

if TYPE_CHECKING:
    from collections.abc import Mapping

_LEVELS = {"WARNING": "warning: ", "ERROR": "error: ", "CRITICAL": "error: "}


class LogOutput(io.TextIOBase):
    """A stream for the log of a run. It prints the lines to stderr as they come.

    Metrics and Lambda's own lines are printed only if `is_verbose`; so is the summary of a run, since the result or
    the error says the same. `summary` is the last one, and `failed_revocation` the last warning about a token that was
    not revoked.
    """

    def __init__(self, *, is_verbose: bool) -> None:
        self.summary: Mapping[str, object] = {}
        self.failed_revocation: Mapping[str, object] = {}
        self._is_verbose = is_verbose
        self._rest = ""

    def write(self, text: str) -> int:
        """Take a piece of the log."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._print(line, parse_record(line))
        return len(text)

    def _print(self, line: str, record: Mapping[str, object]) -> None:
        if "outcome" in record:
            self.summary = record
        elif is_failed_revocation(record):
            self.failed_revocation = record
        shown = line if self._is_verbose else _sentence(record)
        if shown.strip():
            say(shown)


def parse_record(line: str) -> Mapping[str, object]:
    """Return a line of the job's own as an object; it is empty for every other line."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) and "message" in document and "level" in document else {}


def is_failed_revocation(record: Mapping[str, object]) -> bool:
    """Return whether a line reports a failed revocation."""
    return "error_code" in record and "superseded_version_id" in record


def _sentence(record: Mapping[str, object]) -> str:
    if not record or "outcome" in record:
        return ""
    code = f" [{record['error_code']}]" if "error_code" in record else ""
    return f"{_LEVELS.get(str(record['level']), '')}{record['message']}{code}"
