"""The output and the requirements of the Makefile's targets."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def make(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  our own words
        ["/usr/bin/env", "make", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        # As from a shell, even if `make test` runs this.
        env={name: value for name, value in os.environ.items() if name not in {"MAKELEVEL", "MAKEFLAGS", "MFLAGS"}},
    )


def test_the_help_fits_80_columns_and_explains_its_variables() -> None:
    lines = make("help").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    for variable in ("CLIENT=", "STACK=", "YES=", "SET="):
        assert any(line.startswith(variable) for line in lines), variable


def test_the_artifact_needs_no_sam_cli() -> None:
    assert make("--dry-run", "build", "SAM=/nowhere/sam").returncode == 0


def test_deploy_passes_variables_from_the_command_line_unchanged() -> None:
    given = "VerifyUrl='https://example.com/?a=1&b=2;c' RenewAtFraction=0.25"
    print_words = "PY=printf '%s\\n'"
    done = make("-o", ".venv/.installed", "deploy", print_words, "SAM=/bin/true", "YES=1", "CLIENT=b2b", f"SET={given}")
    assert done.stdout.splitlines() == [
        *("-m", "infra.deploy", "deploy", "--sam", "/bin/true", "--stack", "telenor-token-b2b"),
        *("--client", "b2b", "--yes", "--set", given),
    ]


@pytest.mark.parametrize("link", [".venv", ".venv-release"])
def test_a_linked_environment_is_not_emptied(tmp_path: Path, link: str) -> None:
    others = tmp_path / "another-environment"
    others.mkdir()
    (others / "precious").touch()
    (tmp_path / link).symlink_to(others)
    for name in (
        "infra/requirements-pip.txt",
        ".venv-pip/.installed",
        "requirements-dev.txt",
        "infra/requirements-release.txt",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    done = make("--file", str(ROOT / "Makefile"), f"{link}/.installed", cwd=tmp_path)
    assert done.returncode
    assert link in done.stderr
    assert [path.name for path in others.iterdir()] == ["precious"]
