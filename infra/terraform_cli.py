"""Finds Terraform and its provider for AWS on this machine or in the registry, and runs Terraform."""

from __future__ import annotations

import atexit
import functools
import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

MODULE = Path(__file__).parent / "terraform"

# Where administrators put a mirror. Terraform itself knows those in the usual places.
_MIRRORS = Path("/opt")

_REATTACH = "TF_REATTACH_PROVIDERS"

# To fetch the provider, some 150 MB, once.
_INIT_SECONDS = 300


class MissingError(Exception):
    """Terraform or the provider is missing; the message says why."""


@dataclass(frozen=True, slots=True)
class Terraform:
    """Terraform as it is on this machine."""

    program: str
    environment: Mapping[str, str]

    def init(self, directory: Path, *options: str) -> None:
        """Initialise a configuration's directory. Raises CalledProcessError."""
        self.run(directory, "init", "-input=false", "-no-color", *options, timeout=_INIT_SECONDS)

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


def _start_provider(initialised: Path) -> str:
    """Start the provider, which ends with this process, and return how Terraform reaches it.

    Otherwise each command hashes the provider's 700 MB and starts it several times: two thirds of its CPU time
    (HashiCorp, "Debugging Providers", "Running Terraform With A Provider in Debug Mode").
    """
    (program,) = initialised.glob(".terraform/providers/*/*/*/*/*/terraform-provider-aws*")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    server = subprocess.Popen(  # noqa: S603  our own words
        ["/bin/sh", "-c", '"$0" -debug & cat; kill $!', program],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    atexit.register(server.communicate)
    return next(found[1] for line in server.stdout or () if (found := re.search(f"{_REATTACH}='(.*)'", line)))


@functools.cache
def find() -> Terraform:
    """Return a Terraform that has the module's provider, which runs. Raises MissingError."""
    program = shutil.which("terraform")
    if program is None:
        raise MissingError("Terraform is not installed: install 1.9 or newer")
    environment = dict(os.environ, CHECKPOINT_DISABLE="1", TF_IN_AUTOMATION="1")
    # Each command is short, and collecting garbage below this limit would take a quarter of its CPU time.
    environment |= {"GOGC": "off", "GOMEMLIMIT": "1GiB"}
    # Terraform warns about one that is not there, in the midst of its output.
    if not Path(environment.get("TF_CLI_CONFIG_FILE") or "/").is_file():
        environment.pop("TF_CLI_CONFIG_FILE", None)
    terraform = Terraform(program, environment)
    reason = ""
    for mirror in (*(f"-plugin-dir={path.parent}" for path in sorted(_MIRRORS.glob("*/registry.terraform.io"))), ""):
        with tempfile.TemporaryDirectory() as directory:
            shutil.copy(MODULE / "versions.tf", directory)
            try:
                terraform.init(Path(directory), *filter(None, [mirror]))
            except subprocess.CalledProcessError as error:
                reason = " ".join(re.sub("[╷│╵]", " ", error.stderr).split())
            except subprocess.TimeoutExpired as error:
                reason = str(error)
            else:
                return replace(terraform, environment=environment | {_REATTACH: _start_provider(Path(directory))})
    raise MissingError(
        f"Terraform has no provider for AWS here, neither from the registry nor from a mirror in {_MIRRORS}: {reason}"
    )


def terraform_test(module: Path, name: str) -> list[dict[str, Any]]:
    """Run a file of `terraform test`, and return its messages. Raises MissingError, and ValueError if it fails."""
    terraform = find()
    terraform.init(module)
    ran = terraform.run(module, "test", "-json", "-verbose", f"-filter=tests/{name}.tftest.hcl", check=False)
    messages: list[dict[str, Any]] = [json.loads(line) for line in ran.stdout.splitlines()]
    if ran.returncode:
        errors = [m["diagnostic"] for m in messages if m["@level"] == "error" and "diagnostic" in m]
        raise ValueError("\n".join(f"{each['summary']}: {each['detail']}" for each in errors) or ran.stderr)
    return messages
