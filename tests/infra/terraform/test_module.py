"""The module and its examples are valid, and its own tests pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from infra.terraform_cli import MODULE, copied, find

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.terraform


@pytest.mark.parametrize(
    ("directory", "command"),
    [
        (".", "fmt -check -diff -recursive"),
        (".", "validate -no-color"),
        *((f"examples/{path.name}", "validate -no-color") for path in sorted((MODULE / "examples").iterdir())),
        (".", "test -no-color"),
    ],
)
def test_terraform_validates_the_module(tmp_path: Path, directory: str, command: str) -> None:
    terraform, where = find(), copied(MODULE, tmp_path / "infra" / "terraform") / directory
    terraform.init(where)
    done = terraform.run(where, *command.split(), timeout=900, check=False)
    assert not done.returncode, done.stdout + done.stderr
