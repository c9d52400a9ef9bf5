"""Checks the Terraform module: format, validity, its examples, its tests. `make terraform` runs it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from infra.terraform_cli import MODULE, MissingError, Terraform, copied, find

_TEST_SECONDS = 900


def check(terraform: Terraform) -> None:
    """Check all of it, in a copy. Raises CalledProcessError at the first fault."""
    _step("format", terraform, MODULE, "fmt", "-check", "-diff", "-recursive")
    with tempfile.TemporaryDirectory() as directory:
        copy = copied(MODULE, Path(directory) / "infra" / "terraform")
        # The examples name it, and no check reads it.
        artifact = Path(directory) / "build" / "telenor-token.zip"
        artifact.parent.mkdir()
        artifact.touch()
        for configuration in (copy, *sorted((copy / "examples").iterdir())):
            terraform.init(configuration)
            _step(
                f"validate {configuration.relative_to(copy.parent)}", terraform, configuration, "validate", "-no-color"
            )
        _step("test", terraform, copy, "test", "-no-color")


def _step(name: str, terraform: Terraform, directory: Path, *arguments: str) -> None:
    ran = terraform.run(directory, *arguments, timeout=_TEST_SECONDS)
    last = [line for line in ran.stdout.splitlines() if line]
    print(f"{name}: {last[-1] if last else 'nothing to change'}", flush=True)  # noqa: T201  what it is for


def main() -> int:
    """Check the module; 0 also where Terraform cannot be had, and says so."""
    try:
        terraform = find()
    except MissingError as missing:
        print(f"SKIPPED, THE TERRAFORM MODULE WAS NOT CHECKED: {str(missing).upper()}")  # noqa: T201
        return 0
    try:
        check(terraform)
    except subprocess.CalledProcessError as error:
        print(error.stdout, error.stderr, sep="\n", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
