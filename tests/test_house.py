"""Which module may know which: the design's house, kept by looking at the imports."""

from __future__ import annotations

import ast
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
    "__main__": {"app", "errors", "model", "rotation"},
}

OUTSIDE = {
    "boto3": {"secrets_manager"},
    "botocore": {"secrets_manager"},
    "requests": {"telenor"},
    "tenacity": {"telenor"},
    "aws_lambda_powertools": {"app"},
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


@pytest.mark.parametrize("module", sorted(path.stem for path in HANDLER.glob("*.py")))
def test_imports_run_one_way(module: str) -> None:
    names = Imports(HANDLER / f"{module}.py").names
    own = {name.split(".")[1] for name in names if name.startswith("handler.")}
    assert own <= ALLOWED[module]
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
    for path in HANDLER.glob("*.py"):
        code = ast.unparse(ast.parse(path.read_text(encoding="utf-8")))
        if word in code:
            found.add(path.stem)
    assert found == rooms
