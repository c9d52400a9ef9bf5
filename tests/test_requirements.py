"""What is locked is locked by version and hash, and comes from whatever registry the machine is told to use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOCKED = [*ROOT.glob("requirements*.txt"), *(ROOT / "infra").glob("requirements-*.txt")]
PACKAGE_LOCK = ROOT / "examples" / "node" / "package-lock.json"


@pytest.mark.parametrize("path", [*LOCKED, PACKAGE_LOCK], ids=lambda path: path.name)
def test_no_lock_file_names_a_registry(path: Path) -> None:
    content = path.read_text(encoding="utf-8")
    assert "://" not in content
    assert '"resolved"' not in content


def test_each_npm_package_has_a_hash() -> None:
    packages = json.loads(PACKAGE_LOCK.read_text(encoding="utf-8"))["packages"]
    assert all(name == "" or package["integrity"].startswith("sha512-") for name, package in packages.items())
    assert len(packages) > 1
