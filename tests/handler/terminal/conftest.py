"""A terminal to type into, whose output is watched for secrets like everything else."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from handler.terminal.cli import main

if TYPE_CHECKING:
    from tests.conftest import Seen


@dataclass
class Ran:
    """How a command ended, and what it showed."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document


@dataclass
class Terminal:
    """Runs commands in this process. What is typed comes from a real pseudo-terminal; otherwise stdin is none."""

    seen: Seen
    monkeypatch: pytest.MonkeyPatch

    def run(self, *arguments: str, typed: str | None = None) -> Ran:
        keyboard, stdin = os.openpty() if typed is not None else (None, os.open(os.devnull, os.O_RDONLY))
        if keyboard is not None and typed is not None:
            os.write(keyboard, typed.encode())
        # What was there before is not this command's.
        self.seen.streams += self.seen.capture.readouterr()
        try:
            with os.fdopen(stdin, encoding="utf-8") as stream, self.monkeypatch.context() as patch:
                patch.setattr(sys, "stdin", stream)
                status = main(arguments)
        finally:
            if keyboard is not None:
                os.close(keyboard)
            out, err = self.seen.capture.readouterr()
            self.seen.streams += [out, err]
        return Ran(status, out, err)


@pytest.fixture
def terminal(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("COLUMNS", "80")
    return Terminal(seen, monkeypatch)
