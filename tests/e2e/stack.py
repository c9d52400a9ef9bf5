"""A stack that SAM deploys to the emulator."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from infra.e2e.deployed import Deployed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.e2e.emulator import Emulator

ROOT = Path(__file__).parent.parent.parent


class CommandError(Exception):
    """A command has failed; the message is what it printed."""


@dataclass
class Sam:
    """The SAM CLI, with a home of its own so that it leaves no trace in the user's."""

    program: str
    emulator: Emulator
    home: Path

    def __call__(self, *arguments: str) -> str:
        """Run it. Raises CommandError."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment |= self.emulator.environment | {
            "HOME": str(self.home),
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_POLL_DELAY": "1",
        }
        done = subprocess.run(  # noqa: S603  our own words
            [self.program, *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CommandError(f"sam {arguments[0]} ended with {done.returncode}:\n{done.stdout[-3000:]}")
        return done.stdout


@dataclass
class Stack(Deployed):
    """One deployed stack."""

    name: str
    sam: Sam
    parameters: dict[str, str]
    template: str | None = None
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def emulator(self) -> Emulator:
        """Where it is deployed."""
        return self.sam.emulator

    @property
    def client_name(self) -> str:
        """As its parameter says."""
        return self.parameters.get("ClientName", "default")

    @property
    def event(self) -> Mapping[str, object]:
        """Nothing: the function's environment names its client."""
        return {}

    @property
    def deployment_role_arn(self) -> str:
        """As its parameter says."""
        return self.parameters["DeploymentRoleArn"]

    def deploy(self, **changed: str) -> None:
        """Deploy it, or update it with changed parameters."""
        parameters = self.parameters | changed
        template = ["--template-file", self.template] if self.template else []
        self.sam(
            "deploy",
            *("--stack-name", self.name),
            *template,
            *("--no-confirm-changeset", "--no-progressbar"),
            *("--parameter-overrides", *(f'{name}="{value}"' for name, value in parameters.items())),
        )
        self.parameters = parameters
        self.look()

    def look(self) -> dict[str, str]:
        """Read its outputs; somebody else may have deployed it."""
        described = self.emulator.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"][0]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
        return self.outputs

    def delete(self) -> None:
        """Delete the stack, and wait until it is gone."""
        self.sam("delete", "--stack-name", self.name, "--no-prompts")
