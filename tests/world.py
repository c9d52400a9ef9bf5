"""The complete job over Secrets Manager and Telenor, with a clock that a test moves."""

from __future__ import annotations

import json
import types
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import requests

from handler import app, errors
from handler.transport import basic
from infra.local.secrets_manager import LocalSecretsManager, add_versions, stages_of, value_of
from tests.leak_detector import CLIENT_ID, CLIENT_SECRET
from tests.simulated_clock import Clock

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

    from handler.ledger import Entry
    from infra.local.telenor_sandbox import TelenorSandbox
    from tests.captured_output import CapturedOutput

CREDENTIALS_SECRET = "telenor/credentials"
TOKEN_SECRET = "telenor/token"


class FakeClock(Clock):
    """A simulated clock that records its waits."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        super().sleep(seconds)


@dataclass
class World:
    """The complete job over both servers, with helpers to inspect it."""

    clock: FakeClock
    aws: LocalSecretsManager
    telenor: TelenorSandbox
    client: SecretsManagerClient
    seen: CapturedOutput

    def run(
        self, action: str | None = None, *, request_id: str | None = None, seconds: float = 120, **event: Any
    ) -> dict[str, Any]:
        """Invoke the handler as Lambda does."""
        event = ({"action": action} if action else {}) | event
        context = types.SimpleNamespace(
            aws_request_id=request_id or str(uuid.uuid4()), get_remaining_time_in_millis=lambda: int(seconds * 1000)
        )
        response = app.lambda_handler(event, context)
        self.seen.results.append(response)
        result: dict[str, Any] = json.loads(json.dumps(response))
        return result

    def failure(self, action: str | None = None, **options: Any) -> str:
        """Invoke the handler, expect it to fail, and return its error code."""
        with pytest.raises(errors.RotationError) as failure:
            self.run(action, **options)
        return failure.value.error_code

    def supersede(self) -> tuple[str, str]:
        """Publish twice, a minute apart; return the superseded version and the current one."""
        first = self.run("rotate-now")["version_id"]
        self.clock.advance(minutes=1)
        return first, self.run("rotate-now")["version_id"]

    def labels(self) -> dict[str, list[str]]:
        """Return the staging labels by version, without unlabelled versions, as on AWS."""
        return {version_id: sorted(labels) for version_id, labels in stages_of(TOKEN_SECRET).items() if labels}

    def tracked(self) -> set[str]:
        """Return the versions in the ledger."""
        return {version_id for version_id, labels in self.labels().items() if any("LIVE_" in label for label in labels)}

    def document(self) -> dict[str, Any]:
        """Return the token document that consumers read."""
        document: dict[str, Any] = json.loads(value_of(TOKEN_SECRET))
        return document

    def token(self, version_id: str | None = None) -> str:
        """Return the token of a version, or the one that consumers read."""
        return str(json.loads(value_of(TOKEN_SECRET, version_id))["access_token"])

    def obtain(self) -> str:
        """Return a token that the job knows nothing of."""
        url, form = f"{self.telenor.url}/oauth/v2/token", {"grant_type": "client_credentials"}
        response = requests.post(url, form, auth=basic(CLIENT_ID, CLIENT_SECRET), timeout=5)
        return str(response.json()["access_token"])

    def publish_again(self) -> str:
        """Publish the current token again, half an hour later and with a longer life; return the version."""
        self.telenor.knobs(issue="same-extended")
        self.clock.advance(minutes=30)
        version_id = str(self.run()["version_id"])
        self.telenor.knobs(issue="new")
        return version_id

    def rotate(self) -> str:
        """Replace the current token, and return the replaced one."""
        replaced = self.token()
        assert self.run("rotate-now")["outcome"] == "rotated"
        return replaced

    def is_current_live(self) -> bool:
        return self.telenor.is_live(self.token())

    def is_live(self, version_id: str) -> bool:
        return self.telenor.is_live(self.token(version_id))

    def operations(self) -> list[str | None]:
        """Return the operations that Telenor received."""
        return [request.operation for request in self.telenor.requests]

    def live(self) -> int:
        """Count the tokens that Telenor accepts."""
        return sum(token["status"] == "live" for token in self.telenor.state()["tokens"].values())

    def issued(self) -> int:
        return len(self.telenor.state()["tokens"])

    def put(self, content: str, entry: Entry | None = None) -> str:
        """Put a value, as an operator or as the job with an entry of its ledger, and return its version."""
        as_job: dict[str, Any] = {}
        if entry is not None:
            as_job = {"ClientRequestToken": entry.version_id, "VersionStages": ["AWSCURRENT", *entry.labels]}
        return self.client.put_secret_value(SecretId=TOKEN_SECRET, SecretString=content, **as_job)["VersionId"]

    def fill_day(self, count: int) -> None:
        """Add versions written today by another party."""
        add_versions(TOKEN_SECRET, count, self.clock.now().timestamp())

    def put_credentials(self, content: str) -> None:
        self.client.put_secret_value(SecretId=CREDENTIALS_SECRET, SecretString=content)

    def put_client(self, client_id: str, client_secret: str) -> None:
        self.put_credentials(json.dumps({"client_id": client_id, "client_secret": client_secret}))

    def roll_back_to(self, version_id: str) -> None:
        current = next(version for version, labels in self.labels().items() if "AWSCURRENT" in labels)
        self.client.update_secret_version_stage(
            SecretId=TOKEN_SECRET, VersionStage="AWSCURRENT", MoveToVersionId=version_id, RemoveFromVersionId=current
        )

    def unlabel(self, version_id: str) -> None:
        """Remove the LIVE labels of a version as an operator."""
        for label in self.labels()[version_id]:
            if label.startswith("LIVE_"):
                self.client.update_secret_version_stage(
                    SecretId=TOKEN_SECRET, VersionStage=label, RemoveFromVersionId=version_id
                )

    def label(self, version_id: str, label: str) -> None:
        self.client.update_secret_version_stage(SecretId=TOKEN_SECRET, VersionStage=label, MoveToVersionId=version_id)
