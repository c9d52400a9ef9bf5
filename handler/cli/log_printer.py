"""Prints the job's log lines: as sentences, or in full."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

from handler.cli.standard_streams import print_stderr
from handler.errors import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Mapping

_LEVELS = {"WARNING": "warning: ", "ERROR": "error: ", "CRITICAL": "error: "}


class LogPrinter(io.TextIOBase):
    """A stream that prints the log of a run to stderr.

    It prints metrics, Lambda's own lines and the summary of a run only if `is_verbose`. `summary` is the last summary,
    `failed_revocation` the last warning about a failed revocation.
    """

    def __init__(self, *, is_verbose: bool) -> None:
        self.summary: Mapping[str, object] = {}
        self.failed_revocation: Mapping[str, object] = {}
        self._is_verbose = is_verbose
        self._rest = ""

    def write(self, text: str) -> int:
        """Print the complete lines, and keep the rest."""
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
            print_stderr(shown)


def parse_record(line: str) -> Mapping[str, object]:
    """Return a line of the job as an object; empty for every other line."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) and "message" in document and "level" in document else {}


def is_failed_revocation(record: Mapping[str, object]) -> bool:
    """Return whether a line says why a superseded version is still in the ledger."""
    return "superseded_version_id" in record and record.get("error_code") not in {None, ErrorCode.GRACE_CUT_SHORT}


def _sentence(record: Mapping[str, object]) -> str:
    if not record or "outcome" in record:
        return ""
    code = f" [{record['error_code']}]" if "error_code" in record else ""
    return f"{_LEVELS.get(str(record['level']), '')}{record['message']}{code}"
