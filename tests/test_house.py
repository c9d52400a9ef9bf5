"""What is written where in the house. Who imports whom is import-linter's: see pyproject.toml and make lint."""

from __future__ import annotations

import ast
import os
import subprocess
import sys

import pytest

from tests.error_codes import HANDLER, Module, modules


@pytest.mark.parametrize(
    ("word", "rooms"),
    [
        ("'AWSCURRENT'", {"ledger"}),
        ("'LIVE_", {"ledger"}),
        ("/oauth/", {"telenor"}),
        ("HTTPStatus", {"error_responses", "secrets_manager", "telenor", "transport"}),
    ],
)
def test_a_line_is_in_its_room(word: str, rooms: set[str]) -> None:
    found = {path.stem for path in HANDLER.glob("*.py") if word in ast.unparse(ast.parse(path.read_text("utf-8")))}
    assert found == rooms


def test_every_warning_and_every_error_that_is_logged_has_a_code() -> None:
    assert [place for module in modules("**/*.py") for place in module.uncoded()] == []


@pytest.mark.parametrize(
    "call",
    [
        "log.warning('x')",
        "self._log.error('x', extra={'cause': 'y'})",
        "app.logger.exception('x')",
        "run.log.critical('x', extra=fields)",
    ],
)
def test_a_line_without_a_code_is_found(call: str) -> None:
    assert Module.parse(call, "here").uncoded() == ["here:1"]


@pytest.mark.parametrize("call", ["log.info('x')", "log.error('x', extra={'error_code': 'y'})", "retry.exception()"])
def test_a_line_that_needs_no_more_code_is_left_alone(call: str) -> None:
    assert Module.parse(call).uncoded() == []


@pytest.mark.parametrize(
    ("module", "absent"),
    [("handler.app", ("rich", "handler.cli", "argparse")), ("handler.cli.main", ("rich",))],
)
def test_what_a_start_does_not_load(module: str, absent: tuple[str, ...]) -> None:
    """A cold start of the Lambda loads nothing of the terminal, and rich is loaded for drawing alone."""
    code = f"import sys, {module}; print(*(name for name in sys.modules if name.startswith({absent})))"
    done = subprocess.run(  # noqa: S603  our own words
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "AWS_REGION": "x"}
    )
    assert done.stdout.split() == []
