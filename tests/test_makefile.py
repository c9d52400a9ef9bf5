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
