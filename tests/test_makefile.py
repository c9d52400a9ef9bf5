"""The list of targets fits a terminal."""

from __future__ import annotations

import subprocess
from pathlib import Path


def test_the_help_fits_80_columns_and_explains_its_variables() -> None:
    done = subprocess.run(
        ["/usr/bin/env", "make", "help"], cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("CLIENT=") for line in lines)
    assert any(line.startswith("STACK=") for line in lines)
