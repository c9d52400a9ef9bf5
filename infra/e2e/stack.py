"""A stack that SAM deploys to the emulator, seen from outside: outputs, invocations, log lines."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
class Stack:
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

    def invoke(self, event: object = None) -> dict[str, Any]:
        """Invoke its function as `aws lambda invoke` does; an error is an answer with `errorMessage`."""
        answer = self.emulator.client("lambda").invoke(
            FunctionName=self.outputs["FunctionName"], Payload=json.dumps(event or {}).encode()
        )
        payload: dict[str, Any] = json.loads(answer["Payload"].read())
        return payload

    def log(self) -> list[str]:
        """Return every line of the function's log group."""
        pages = self.emulator.client("logs").get_paginator("filter_log_events")
        return [
            event["message"].strip()
            for page in pages.paginate(logGroupName=self.outputs["LogGroupName"])
            for event in page["events"]
        ]

    def records(self) -> list[dict[str, Any]]:
        """Return the log's JSON lines: the job's own and those of its metrics."""
        return [json.loads(line) for line in self.log() if line.startswith("{")]

    def messages(self) -> list[str]:
        """Return the job's own lines."""
        return [record["message"] for record in self.records() if "message" in record]

    def metrics(self) -> list[dict[str, float]]:
        """Return the metrics of each run."""
        return [
            {metric["Name"]: record[metric["Name"]][0] for metric in directive["Metrics"]}
            for record in self.records()
            if "_aws" in record
            for directive in record["_aws"]["CloudWatchMetrics"]
        ]
