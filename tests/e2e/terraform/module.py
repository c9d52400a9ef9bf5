"""The Terraform module applied to the emulator by a configuration of ours."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from infra.terraform_cli import MODULE
from tests.e2e.emulator import REGION
from tests.e2e.stack import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from infra.terraform_cli import Terraform
    from tests.e2e.emulator import Emulator

# The services that the module has resources of, by the provider's names for their endpoints.
_SERVICES = (
    *("cloudwatch", "cloudwatchevents", "cloudwatchlogs", "iam", "lambda", "scheduler", "secretsmanager"),
    *("sns", "sqs", "sts"),
)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a resource that Terraform plans."""

    address: str
    """Within the module."""
    key: str
    """Its key of `for_each`; empty where it has none."""
    action: str

    @property
    def client(self) -> str:
        """The client that its key names, alone or with a kind of alarm; empty where it has no key."""
        return self.key.partition("/")[0]


class Module:
    """The module with its variables, applied by whoever the keys are of."""

    def __init__(
        self,
        terraform: Terraform,
        emulator: Emulator,
        directory: Path,
        keys: Mapping[str, str],
        variables: Mapping[str, Any],
    ) -> None:
        mine = {name: value for name, value in terraform.environment.items() if not name.startswith("AWS_")}
        self._terraform = replace(terraform, environment=mine | {name.upper(): value for name, value in keys.items()})
        self._directory = directory
        self.emulator = emulator
        self.variables = dict(variables)
        self._write()
        with _with_output():
            self._terraform.init(directory)

    def plan(self) -> list[Change]:
        """Return what an apply would change now."""
        return changes(self._run("plan", "-json", "-input=false"))

    def apply(self, clients: Mapping[str, Mapping[str, Any]]) -> list[Change]:
        """Apply it with these clients; return what Terraform planned to change, and changed.

        It goes by its state, which `plan` compares with what there is.
        """
        self.variables["clients"] = clients
        self._write()
        return changes(self._run("apply", "-json", "-input=false", "-auto-approve", "-refresh=false"))

    def destroy(self) -> None:
        """Destroy everything."""
        self._run("destroy", "-no-color", "-input=false", "-auto-approve", "-refresh=false")

    @property
    def outputs(self) -> dict[str, Any]:
        """The module's outputs."""
        outputs: dict[str, Any] = json.loads(self._run("output", "-json"))["token"]["value"]
        return outputs

    def resources(self) -> list[str]:
        """Return the addresses of what Terraform's state holds, data sources apart."""
        return [each for each in self._run("state", "list").split() if ".data." not in each]

    def _write(self) -> None:
        endpoints = dict.fromkeys(_SERVICES, self.emulator.url)
        configuration = {
            "terraform": {"required_providers": {"aws": {"source": "hashicorp/aws"}}},
            "provider": {"aws": {"region": REGION, "skip_metadata_api_check": True, "endpoints": [endpoints]}},
            "module": {"token": {"source": str(MODULE), **self.variables}},
            "output": {"token": {"value": "${module.token}"}},
        }
        (self._directory / "main.tf.json").write_text(json.dumps(configuration, indent=2), encoding="utf-8")

    def _run(self, command: str, *arguments: str) -> str:
        with _with_output():
            return self._terraform.run(self._directory, command, *arguments).stdout


@contextmanager
def _with_output() -> Iterator[None]:
    """Raise CommandError with what Terraform printed."""
    try:
        yield
    except subprocess.CalledProcessError as error:
        printed = f"{error.stdout}\n{error.stderr}".strip()
        raise CommandError(f"terraform {error.cmd[1]} ended with {error.returncode}:\n{printed[-3000:]}") from error


def changes(printed: str) -> list[Change]:
    """Return what was planned (HashiCorp, "Machine-Readable UI")."""
    messages = [json.loads(line) for line in printed.splitlines()]
    planned = [message["change"] for message in messages if message["type"] == "planned_change"]
    return [
        Change(each["resource"]["resource"], str(each["resource"]["resource_key"] or ""), each["action"])
        for each in planned
        if each["action"] not in {"noop", "read"}
    ]
