"""A job deployed by SAM or Terraform for one client, seen from outside."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infra.local.telenor_sandbox import DEMO_CLIENT_ID, DEMO_CLIENT_SECRET

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infra.local.telenor_sandbox import TelenorSandbox
    from tests.e2e.emulator import Emulator

DEPLOYMENT_ROLE_ARN = "arn:aws:iam::000000000000:role/deployment"

_WAIT_SECONDS = 90


@dataclass(kw_only=True)
class Job:
    """The deployed function with one client's secrets and metrics."""

    emulator: Emulator
    telenor: TelenorSandbox
    name: str
    """Dimension `service` of its metrics, and the prefix of its names."""
    outputs: dict[str, str]
    """Named as the outputs of template.yaml."""
    client_name: str = "default"
    """Dimension `client` of its metrics."""
    event: Mapping[str, object] = field(default_factory=dict)
    """The fields of each event that name the client."""
    client_id: str = DEMO_CLIENT_ID
    client_secret: str = DEMO_CLIENT_SECRET
    grace_seconds: int = 20
    code_without_credentials: str = "credentials-unusable"
    """The error code of a run without credentials."""

    def client(self, service: str, keys: Mapping[str, str] | None = None) -> Any:
        """Return a client of the SDK, as root or with these keys."""
        return self.emulator.client(service, keys)

    @property
    def token_secret(self) -> str:
        return self.outputs["TokenSecretArn"]

    @property
    def credentials_secret(self) -> str:
        return self.outputs["CredentialsSecretArn"]

    def invoke(self, **event: object) -> dict[str, Any]:
        """Invoke the function like `aws lambda invoke`; the response to an error has `errorMessage`."""
        payload = json.dumps({**self.event, **event})
        response = self.client("lambda").invoke(FunctionName=self.outputs["FunctionName"], Payload=payload)
        return dict(json.loads(response["Payload"].read()))

    def records(self) -> list[dict[str, Any]]:
        """Return the log's JSON lines about this client: the job's own and those of its metrics."""
        lines = self.emulator.log_lines(self.outputs["LogGroupName"])
        records = [json.loads(line) for line in lines if line.startswith("{")]
        return [record for record in records if record.get("client") == self.client_name]

    def messages(self) -> list[str]:
        return [record["message"] for record in self.records() if "message" in record]

    def runs(self, **fields: str) -> list[dict[str, Any]]:
        """Return the summary line of each run that has these fields."""
        return [record for record in self.records() if "outcome" in record and fields.items() <= record.items()]

    def metrics(self) -> list[dict[str, float]]:
        """Return the metrics of each run. A missing counter is zero."""
        sent = [(record, record["_aws"]["CloudWatchMetrics"]) for record in self.records() if "_aws" in record]
        return [
            {each["Name"]: record[each["Name"]][0] for directive in directives for each in directive["Metrics"]}
            for record, directives in sent
        ]

    def labels(self) -> dict[str, list[str]]:
        """Return the token secret's labels by version."""
        described = self.client("secretsmanager").describe_secret(SecretId=self.token_secret)
        return dict(described["VersionIdsToStages"])

    def current_version(self) -> str:
        return next(version for version, labels in self.labels().items() if "AWSCURRENT" in labels)

    def tracked(self) -> set[str]:
        """Return the versions in the ledger."""
        return {version for version, labels in self.labels().items() for each in labels if each.startswith("LIVE_")}

    def token(self) -> str:
        """Return the current access token."""
        value = self.client("secretsmanager").get_secret_value(SecretId=self.token_secret)["SecretString"]
        return str(json.loads(value)["access_token"])

    def issued(self) -> list[dict[str, Any]]:
        """Return Telenor's state of each token of this client."""
        return [token for token in self.telenor.state()["tokens"].values() if token["client_id"] == self.client_id]

    def wait_for_one_active_token(self) -> None:
        """Wait for the revocations: a simultaneous scheduled run may have published one more token."""
        until("one token is active", lambda: sum(token["status"] == "live" for token in self.issued()) == 1)

    def put_credentials(self, client_secret: str, *, reason: str = "forced") -> dict[str, Any]:
        """Put credentials; return the summary of the run that the event starts."""
        before = len(self.runs(reason=reason))
        value = json.dumps({"client_id": self.client_id, "client_secret": client_secret})
        self.client("secretsmanager").put_secret_value(SecretId=self.credentials_secret, SecretString=value)
        until("a run with the new credentials", lambda: len(self.runs(reason=reason)) > before)
        return self.runs(reason=reason)[-1]


def until(what: str, holds: Callable[[], bool]) -> None:
    """Wait for an effect of the scheduler or of an event."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"did not happen in {_WAIT_SECONDS} s: {what}"
        time.sleep(0.5)
