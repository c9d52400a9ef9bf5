"""Finds Terraform and its provider for AWS on this machine or in the registry, and runs Terraform."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MODULE = Path(__file__).parent / "terraform"

_PROVIDER = "terraform-provider-aws*"

# HashiCorp, "Implied Local Mirror Directories", and where administrators put one.
_PLUGIN_DIRECTORIES = (
    "~/.terraform.d/plugins",
    "~/.terraform.d/plugin-cache",
    "~/.local/share/terraform/plugins",
    "/usr/local/share/terraform/plugins",
    "/usr/share/terraform/plugins",
    "/opt/*plugins*",
    "/opt/terraform*",
)

# A mirror keeps HOST/NAMESPACE/TYPE/VERSION/TARGET/file, or HOST/NAMESPACE/TYPE/file.zip.
_UNPACKED_DEPTH = 6
_PACKED_DEPTH = 4

# To fetch the provider, some 150 MB, once.
_INIT_SECONDS = 300


class MissingError(Exception):
    """Terraform or the provider cannot be had here, and why."""


@dataclass(frozen=True, slots=True)
class Terraform:
    """Terraform as it is on this machine."""

    program: str
    environment: Mapping[str, str]
    mirror: Path | None

    def init(self, directory: Path) -> None:
        """Make a configuration's directory ready. Raises CalledProcessError."""
        mirror = [f"-plugin-dir={self.mirror}"] if self.mirror else []
        self.run(directory, "init", "-input=false", "-no-color", *mirror, timeout=_INIT_SECONDS)

    def run(
        self, directory: Path, *arguments: str, timeout: float = 300, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run it in a directory. Raises CalledProcessError, and TimeoutExpired after so many seconds."""
        return subprocess.run(  # noqa: S603  our own words
            [self.program, *arguments],
            cwd=directory,
            env=self.environment,
            capture_output=True,
            text=True,
            check=check,
            timeout=timeout,
        )


def copied(module: Path, to: Path) -> Path:
    """Copy a module, so that Terraform leaves nothing behind in it."""
    shutil.copytree(module, to, ignore=shutil.ignore_patterns(".terraform*"))
    return to


@functools.cache
def find() -> Terraform:
    """Return a Terraform that has the module's provider. Raises MissingError."""
    program = shutil.which("terraform")
    if program is None:
        raise MissingError("Terraform is not on this machine: install 1.9 or newer")
    reasons = []
    for mirror in (*dict.fromkeys(_mirrors()), None):
        terraform = Terraform(program, _environment(), mirror)
        with tempfile.TemporaryDirectory() as directory:
            shutil.copy(MODULE / "versions.tf", directory)
            try:
                terraform.init(Path(directory))
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                reasons.append(_reason(error))
            else:
                return terraform
    raise MissingError(
        f"Terraform has no provider for AWS here, neither from the registry nor from a mirror: {reasons[-1]}"
    )


def _environment() -> dict[str, str]:
    environment = dict(os.environ, CHECKPOINT_DISABLE="1", TF_IN_AUTOMATION="1")
    # Terraform warns about one that is not there, in the midst of its output.
    if not Path(environment.get("TF_CLI_CONFIG_FILE") or "/").is_file():
        environment.pop("TF_CLI_CONFIG_FILE", None)
    return environment


def _mirrors() -> Iterator[Path]:
    for pattern in _PLUGIN_DIRECTORIES:
        expanded = Path(pattern).expanduser()
        for directory in sorted(expanded.parent.glob(expanded.name)):
            for provider in sorted(directory.rglob(_PROVIDER)):
                if provider.is_file():
                    depth = _PACKED_DEPTH if provider.suffix == ".zip" else _UNPACKED_DEPTH
                    yield provider.parents[depth - 1]


def _reason(error: subprocess.CalledProcessError | subprocess.TimeoutExpired) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return f"no answer in {error.timeout:.0f} seconds"
    said = re.sub(r"[╷│╵]", " ", error.stderr)
    return " ".join(said.partition("Error:")[2].split())[:300] or f"terraform init ended with {error.returncode}"
