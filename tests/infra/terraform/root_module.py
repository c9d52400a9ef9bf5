"""A configuration with one block of the module, which Terraform plans and applies to a local AWS server."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infra.terraform_cli import MODULE, find

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

REGION = "eu-north-1"

# The services of the module's resources, by the provider's endpoint names.
_SERVICES = (
    *("cloudwatch", "cloudwatchevents", "cloudwatchlogs", "iam", "kms", "lambda", "scheduler", "secretsmanager"),
    *("sns", "sqs", "sts"),
)


class RefusedError(Exception):
    """Terraform refused a configuration, or AWS refused a call; the message has all errors."""


@dataclass(frozen=True, slots=True)
class Change:
    """A planned change of a resource."""

    address: str
    """Within the module."""
    key: str
    """Its `for_each` key; empty if it has none."""
    action: str

    @property
    def client(self) -> str:
        """The client in its key, which may include a kind of alarm; empty if it has no key."""
        return self.key.partition("/")[0]

    def __str__(self) -> str:
        return f"{self.action} {self.address}"


@dataclass
class RootModule:
    """A configuration with one module block, and its state."""

    url: str
    directory: Path
    keys: Mapping[str, str]
    apply_options: Sequence[str] = ()
    not_kept: Sequence[str] = ()
    """Addresses that every plan changes, as the server does not keep all of them."""
    warnings: Sequence[str] = ()
    """What the last plan or apply warned of."""
    _ready: bool = field(default=False, init=False)

    def plan(self, variables: Mapping[str, Any], **beside: Any) -> list[Change]:
        """Return what Terraform would change. Raises RefusedError."""
        self._write(variables, beside)
        return self._changes("plan")

    def apply(self, variables: Mapping[str, Any], **beside: Any) -> list[Change]:
        """Apply the module with these variables; return what Terraform planned to change. Raises RefusedError."""
        self._write(variables, beside)
        return self._changes("apply", "-auto-approve", *self.apply_options)

    def destroy(self) -> None:
        """Destroy everything. Raises RefusedError."""
        self._run("destroy", "-json", "-auto-approve", "-input=false", *self.apply_options)

    def state(self) -> list[str]:
        """Return the addresses in Terraform's state."""
        return self._run("state", "list").split()

    @property
    def outputs(self) -> dict[str, Any]:
        """Return the module's outputs."""
        outputs: dict[str, Any] = json.loads(self._run("output", "-json"))["token"]["value"]
        return outputs

    def _changes(self, command: str, *options: str) -> list[Change]:
        """Return the planned changes (HashiCorp, "Machine-Readable UI")."""
        printed = self._run(command, "-json", "-input=false", *options)
        self.warnings = [text for level, text in _diagnostics(printed) if level == "warn"]
        messages = map(json.loads, printed.splitlines())
        planned = [message["change"] for message in messages if message["type"] == "planned_change"]
        return [
            Change(each["resource"]["resource"], str(each["resource"]["resource_key"] or ""), each["action"])
            for each in planned
            if each["action"] not in {"noop", "read"} and each["resource"]["resource"] not in self.not_kept
        ]

    def _write(self, variables: Mapping[str, Any], beside: Mapping[str, Any]) -> None:
        artifact = self.directory / "artifact.zip"
        if not artifact.exists():
            artifact.write_bytes(b"the artifact")
        provider = {
            "region": REGION,
            "access_key": self.keys["aws_access_key_id"],
            "secret_key": self.keys["aws_secret_access_key"],
            "token": self.keys.get("aws_session_token"),
            "skip_metadata_api_check": True,
            "skip_credentials_validation": True,
            "endpoints": [dict.fromkeys(_SERVICES, self.url)],
        }
        resources = beside.get("resources", {})
        module = {"source": str(MODULE), "artifact_path": str(artifact), **variables}
        if resources:
            module["depends_on"] = [f"{kind}.{name}" for kind, named in resources.items() for name in named]
        configuration = {
            "terraform": {"required_providers": {"aws": {"source": "hashicorp/aws"}}},
            "provider": {"aws": provider},
            "module": {"token": module},
            "output": {"token": {"value": "${module.token}"}},
        } | {kind: blocks for kind, blocks in beside.items() if kind != "resources"}
        if resources:
            configuration["resource"] = resources
        (self.directory / "main.tf.json").write_text(json.dumps(configuration, indent=2), encoding="utf-8")
        if not self._ready:
            find().init(self.directory)
            self._ready = True

    def _run(self, command: str, *arguments: str) -> str:
        try:
            return find().run(self.directory, command, *arguments).stdout
        except subprocess.CalledProcessError as error:
            texts = [text for level, text in _diagnostics(error.stdout) if level == "error"]
            raise RefusedError("\n".join(texts) or f"{error.stdout}{error.stderr}") from error


def _diagnostics(printed: str) -> list[tuple[str, str]]:
    """Return the diagnostics of Terraform's JSON, with their levels."""
    messages = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    return [
        (each["@level"], f"{each['diagnostic']['summary']}: {each['diagnostic']['detail']}")
        for each in messages
        if "diagnostic" in each
    ]
