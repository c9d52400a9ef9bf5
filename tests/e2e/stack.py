"""A stack that SAM deploys to the emulator."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.emulator import Emulator

ROOT = Path(__file__).parents[2]


class CommandError(Exception):
    """A command failed; the message is what it printed."""


@dataclass(frozen=True)
class Sam:
    """The SAM CLI."""

    program: str
    emulator: Emulator

    def __call__(self, *arguments: str) -> None:
        """Run it. Raises CommandError."""
        done = subprocess.run(
            [self.program, *arguments],
            cwd=ROOT,
            env=self.emulator.environment() | {"SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CommandError(f"sam {arguments[0]} ended with {done.returncode}:\n{done.stdout[-3000:]}")


@dataclass
class Stack:
    """A stack with its parameters."""

    sam: Sam
    name: str
    parameters: dict[str, str] = field(default_factory=dict)
    template: str = ""

    def deploy(self, **parameters: str) -> dict[str, str]:
        """Deploy it, or update it with changed parameters; return its outputs. Raises CommandError."""
        self.parameters |= parameters
        self.sam(
            "deploy",
            *("--stack-name", self.name, "--no-confirm-changeset", "--no-progressbar"),
            *(("--template-file", self.template) if self.template else ()),
            *("--parameter-overrides", *(f'{name}="{value}"' for name, value in self.parameters.items())),
        )
        return self.outputs()

    def outputs(self) -> dict[str, str]:
        stacks = self.sam.emulator.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stacks[0]["Outputs"]}

    def delete(self) -> None:
        """Delete the stack, and wait until it is gone."""
        self.sam("delete", "--stack-name", self.name, "--no-prompts")
