"""Terraform is found, or its absence explained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from infra.terraform_cli import MissingError, find

if TYPE_CHECKING:
    from pathlib import Path


def test_without_terraform_an_error_explains_how_to_continue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match="Terraform is not installed: install"):
        find.__wrapped__()
