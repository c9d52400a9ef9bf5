"""What the Makefile's targets print and need."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  our own words
        ["/usr/bin/env", "make", *arguments],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_help_fits_80_columns_and_explains_its_variables() -> None:
    lines = make("help").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("CLIENT=") for line in lines)
    assert any(line.startswith("STACK=") for line in lines)


def test_the_artifact_needs_no_sam_cli() -> None:
    assert make("--dry-run", "build", "SAM=/nowhere/sam").returncode == 0


def test_deploy_takes_what_is_set_from_the_command_line_as_it_stands() -> None:
    given = "VerifyUrl='https://example.com/?a=1&b=2;c' RenewAtFraction=0.25"
    print_words = "PY=printf '%s\\n'"
    done = make("-o", ".venv/.installed", "deploy", print_words, "SAM=/bin/true", "YES=1", "CLIENT=b2b", f"SET={given}")
    assert done.stdout.splitlines() == [
        *("-m", "infra.deploy", "deploy", "--sam", "/bin/true", "--stack", "telenor-token-b2b"),
        *("--client", "b2b", "--yes", "--set", given),
    ]
