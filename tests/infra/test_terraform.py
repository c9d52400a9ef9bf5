"""Terraform validates the module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from infra.terraform_cli import MODULE, MissingError, copied, find

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """Copy the module, so that Terraform leaves nothing behind in it."""
    return copied(MODULE, tmp_path / "infra" / "terraform")


@pytest.mark.terraform
@pytest.mark.parametrize(
    ("directory", "command"),
    [
        (".", "fmt -check -diff -recursive"),
        (".", "validate -no-color"),
        *((f"examples/{path.name}", "validate -no-color") for path in sorted((MODULE / "examples").iterdir())),
        (".", "test -no-color"),
    ],
)
def test_terraform_validates_the_module(module: Path, directory: str, command: str) -> None:
    terraform = find()
    terraform.init(module / directory)
    done = terraform.run(module / directory, *command.split(), timeout=900, check=False)
    assert not done.returncode, done.stdout + done.stderr


def test_without_terraform_an_error_explains_how_to_continue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match="Terraform is not installed: install"):
        find.__wrapped__()
