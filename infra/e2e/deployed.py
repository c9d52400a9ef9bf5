"""A deployed job, seen from outside: outputs, invocations, log lines. It does not matter what has deployed it."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.e2e.emulator import Emulator


class Deployed(ABC):
    """One client of a deployed job."""

    name: str
    """Dimension `service` of its metrics, and the beginning of its names."""
    outputs: dict[str, str]
    """Named as the outputs of template.yaml."""

    @property
    @abstractmethod
    def emulator(self) -> Emulator:
        """Where it is deployed."""

    @property
    @abstractmethod
    def client_name(self) -> str:
        """Dimension `client` of its metrics."""

    @property
    @abstractmethod
    def event(self) -> Mapping[str, object]:
        """What each event says of the client."""

    @property
    @abstractmethod
    def deployment_role_arn(self) -> str:
        """The role that may call UpdateSecret on the token secret."""

    def invoke(self, event: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Invoke its function as `aws lambda invoke` does; an error is an answer with `errorMessage`."""
        answer = self.emulator.client("lambda").invoke(
            FunctionName=self.outputs["FunctionName"], Payload=json.dumps({**self.event, **(event or {})}).encode()
        )
        payload: dict[str, Any] = json.loads(answer["Payload"].read())
        return payload

    def log(self) -> list[str]:
        """Return every line of the function's log group, whichever client it is about."""
        pages = self.emulator.client("logs").get_paginator("filter_log_events")
        return [
            event["message"].strip()
            for page in pages.paginate(logGroupName=self.outputs["LogGroupName"])
            for event in page["events"]
        ]

    def records(self) -> list[dict[str, Any]]:
        """Return the log's JSON lines about this client: the job's own and those of its metrics."""
        records = [json.loads(line) for line in self.log() if line.startswith("{")]
        return [record for record in records if record.get("client") == self.client_name]

    def messages(self) -> list[str]:
        """Return the job's own lines."""
        return [record["message"] for record in self.records() if "message" in record]

    def metrics(self) -> list[dict[str, float]]:
        """Return the metrics of each run. A counter that it has not sent is zero."""
        return [
            defaultdict(float, {metric["Name"]: record[metric["Name"]][0] for metric in directive["Metrics"]})
            for record in self.records()
            if "_aws" in record
            for directive in record["_aws"]["CloudWatchMetrics"]
        ]
