"""Which module may know which: the design's house, kept by looking at the imports."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

HANDLER = Path(__file__).parent.parent / "handler"

ALLOWED = {
    "__init__": set[str](),
    "errors": set[str](),
    "model": set[str](),
    "decisions": {"model"},
    "config": {"errors", "model"},
    "secrets_manager": {"errors", "model"},
    "telenor": {"errors", "model"},
    "rotation": {"decisions", "errors", "model"},
    "app": {"config", "errors", "model", "rotation", "secrets_manager", "telenor"},
    "__main__": {"terminal.cli"},
    "terminal.__init__": set[str](),
    "terminal.arguments": set[str](),
    "terminal.status": {"decisions", "model"},
    "terminal.diagnosis": {"decisions", "terminal.status"},
    "terminal.doctor": {"decisions", "errors", "terminal.diagnosis"},
    "terminal.screen": {"terminal.diagnosis", "terminal.status"},
    "terminal.cli": {
        *("app", "config", "errors", "model", "rotation", "secrets_manager", "telenor"),
        *(f"terminal.{name}" for name in ("arguments", "diagnosis", "doctor", "screen", "status")),
    },
}

OUTSIDE = {
    "boto3": {"secrets_manager"},
    "botocore": {"secrets_manager"},
    "requests": {"telenor"},
    "tenacity": {"telenor"},
    "aws_lambda_powertools": {"app"},
    "rich": {"terminal.screen"},
}


class Imports(ast.NodeVisitor):
    """Collects what a module imports when it runs; types do not count."""

    def __init__(self, path: Path) -> None:
        self.names: set[str] = set()
        self.visit(ast.parse(path.read_text(encoding="utf-8")))

    def visit_If(self, node: ast.If) -> None:
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.names |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.names |= {f"{node.module}.{alias.name}" for alias in node.names}


def room(path: Path) -> str:
    """Return the name of a module as its place in the house."""
    return ".".join(path.relative_to(HANDLER).with_suffix("").parts)


def own(name: str) -> str:
    """Return the room that an import of this package leads to."""
    parts = name.split(".")[1:]
    return ".".join(parts[:2]) if parts[0] == "terminal" else parts[0]


@pytest.mark.parametrize("path", sorted(HANDLER.rglob("*.py")), ids=room)
def test_imports_run_one_way(path: Path) -> None:
    module, names = room(path), Imports(path).names
    assert {own(name) for name in names if name.startswith("handler.")} <= ALLOWED[module]
    for package, rooms in OUTSIDE.items():
        if module not in rooms:
            assert not [name for name in names if name.split(".")[0] == package]


@pytest.mark.parametrize(
    ("word", "rooms"),
    [
        ("AWSCURRENT", {"secrets_manager"}),
        ("LIVE_", {"secrets_manager"}),
        ("/oauth/", {"telenor"}),
        ("HTTPStatus", {"secrets_manager", "telenor"}),
    ],
)
def test_a_line_is_in_its_room(word: str, rooms: set[str]) -> None:
    found = set()
    for path in HANDLER.rglob("*.py"):
        code = ast.unparse(ast.parse(path.read_text(encoding="utf-8")))
        if word in code:
            found.add(room(path))
    assert found == rooms


@pytest.mark.parametrize(
    ("module", "absent"),
    [("handler.app", ("rich", "handler.terminal", "argparse")), ("handler.terminal.cli", ("rich",))],
)
def test_what_a_start_does_not_load(module: str, absent: tuple[str, ...]) -> None:
    """A cold start of the Lambda loads nothing of the terminal, and rich is loaded for drawing alone."""
    code = f"import sys, {module}; print(*(name for name in sys.modules if name.startswith({absent})))"
    done = subprocess.run(  # noqa: S603  our own words
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "AWS_REGION": "x"}
    )
    assert done.stdout.split() == []
