"""Lock files name no registry, which comes from the machine's own settings; npm packages have hashes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOCKED = [*ROOT.glob("requirements*.txt"), *(ROOT / "infra").glob("requirements-*.txt")]
PACKAGE_LOCKS = [ROOT / "examples" / "node" / "package-lock.json", ROOT / "tests" / "interop" / "package-lock.json"]


@pytest.mark.parametrize("path", LOCKED, ids=lambda path: path.name)
def test_lock_files_contain_no_registry_url(path: Path) -> None:
    assert "://" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", PACKAGE_LOCKS, ids=lambda path: path.parent.name)
def test_each_npm_package_has_a_hash_and_no_url(path: Path) -> None:
    packages = json.loads(path.read_text(encoding="utf-8"))["packages"]
    assert len(packages) > 1
    for name, package in packages.items():
        package.pop("funding", None)  # contains URLs for donations
        assert name == "" or package["integrity"].startswith("sha512-")
        assert "resolved" not in package
        assert "://" not in json.dumps(package)
