"""Which module may contain what. import-linter checks the imports (pyproject.toml, `make lint`)."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from handler.errors import ErrorCode

HANDLER = Path(__file__).parent.parent / "handler"


@pytest.mark.parametrize(
    ("word", "modules"),
    [
        *(("'AWSCURRENT'", {"ledger"}), ("'LIVE_", {"ledger"}), ("/oauth/", {"server_protocols"})),
        ("HTTPStatus", {"error_responses", "secrets_manager", "authorization_server", "server_protocols", "transport"}),
    ],
)
def test_only_the_allowed_modules_contain_a_word(word: str, modules: set[str]) -> None:
    found = {path.stem for path in HANDLER.glob("*.py") if word in ast.unparse(ast.parse(path.read_text("utf-8")))}
    assert found == modules


def test_the_handler_uses_each_error_code() -> None:
    source = "".join(path.read_text("utf-8") for path in HANDLER.glob("*.py"))
    assert [code for code in ErrorCode if not re.search(rf"\bErrorCode\.{code.name}\b", source)] == []


@pytest.mark.parametrize(
    ("module", "absent"), [("handler.app", ("rich", "handler.cli", "argparse")), ("handler.cli.main", ("rich",))]
)
def test_a_start_does_not_load_unneeded_modules(module: str, absent: tuple[str, ...]) -> None:
    """A cold start of the Lambda loads nothing of the command line, and only drawing loads rich."""
    code = f"import sys, {module}; print(*(name for name in sys.modules if name.startswith({absent})))"
    done = subprocess.run(  # noqa: S603  our own words
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "AWS_REGION": "x"}
    )
    assert done.stdout.split() == []
