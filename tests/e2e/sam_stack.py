"""A stack that SAM deploys to the emulator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.e2e.commands import ROOT, run, tool

if TYPE_CHECKING:
    from tests.e2e.emulator import Emulator


class SamError(Exception):
    """SAM failed; the message is its output."""


def sam(emulator: Emulator, *arguments: str) -> None:
    """Run SAM. Raises SamError."""
    environment = emulator.environment() | {"SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "1"}
    done = run([str(tool("SAM")), *arguments], ROOT, environment)
    if done.returncode:
        raise SamError(f"sam {arguments[0]} ended with {done.returncode}:\n{done.stdout[-3000:]}")


@dataclass
class Stack:
    """A stack with its parameters."""

    emulator: Emulator
    name: str
    parameters: dict[str, str] = field(default_factory=dict)
    template_options: tuple[str, ...] = ()

    def deploy(self, **parameters: str) -> dict[str, str]:
        """Deploy it, or update it with changed parameters; return its outputs. Raises SamError."""
        self.parameters |= parameters
        overrides = [f'{name}="{value}"' for name, value in self.parameters.items()]
        options = ["--stack-name", self.name, "--no-confirm-changeset", "--no-progressbar", *self.template_options]
        sam(self.emulator, "deploy", *options, "--parameter-overrides", *overrides)
        return self.outputs()

    def outputs(self) -> dict[str, str]:
        stacks = self.emulator.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stacks[0]["Outputs"]}

    def delete(self) -> None:
        """Delete the stack, and wait until it is gone."""
        sam(self.emulator, "delete", "--stack-name", self.name, "--no-prompts")
