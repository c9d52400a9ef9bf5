"""What the steps share: the parts that run, how to wait, and what has been shown so far."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from infra.local.telenor_sandbox import DEMO_CLIENT_ID, DEMO_CLIENT_SECRET

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rich.console import Console

    from infra.e2e.deployed import Deployed
    from infra.e2e.stack import Stack
    from infra.local.telenor_sandbox import TelenorSandbox

# What the scheduler takes for a minute here. Nothing else is quicker than in AWS.
SECONDS_A_MINUTE = 8.0
GRACE_SECONDS = 20

_PATIENCE_SECONDS = 90.0


@dataclass(kw_only=True)
class Story:
    """The parts that one client's token needs, and what has been shown so far."""

    stack: Deployed
    telenor: TelenorSandbox
    console: Console
    minted: list[str]
    client_id: str = DEMO_CLIENT_ID
    client_secret: str = DEMO_CLIENT_SECRET
    grace_seconds: int = GRACE_SECONDS
    without_credentials: str = "does not hold a JSON object: put"
    """What a run says before anybody has put credentials."""
    about: str = ""
    """What a claim's name ends with, where there are several stories."""
    shown: list[tuple[str, str]] = field(default_factory=list)
    trusted: list[tuple[str, str]] = field(default_factory=list)

    def show(self, step: str, evidence: str) -> None:
        """Note a claim that has held."""
        self.shown.append((f"{step}{self.about}", evidence))
        self.console.print(f"{step}{self.about}: {evidence}")

    def client(self, service: str, credentials: dict[str, str] | None = None) -> Any:  # noqa: ANN401
        """Return a client, as root unless told otherwise."""
        return self.stack.emulator.client(service, credentials)

    @property
    def token_secret(self) -> str:
        """The token secret's ARN."""
        return self.stack.outputs["TokenSecretArn"]

    def labels(self) -> dict[str, list[str]]:
        """Return the token secret's labels by version."""
        stages: dict[str, list[str]] = self.client("secretsmanager").describe_secret(SecretId=self.token_secret)[
            "VersionIdsToStages"
        ]
        return stages

    def tokens(self) -> list[dict[str, Any]]:
        """Return what Telenor knows of each token of this client."""
        issued = self.telenor.state()["tokens"].values()
        return [token for token in issued if token["client_id"] == self.client_id]

    def tracked(self) -> set[str]:
        """Return the versions in the ledger."""
        return {version for version, stages in self.labels().items() if any(s.startswith("LIVE_") for s in stages)}

    def token(self, version_id: str | None = None) -> str:
        """Return the access token of a version, by default of the current one."""
        which = {"VersionId": version_id} if version_id else {"VersionStage": "AWSCURRENT"}
        value = self.client("secretsmanager").get_secret_value(SecretId=self.token_secret, **which)["SecretString"]
        access_token: str = json.loads(value)["access_token"]
        return access_token


@dataclass(kw_only=True)
class StackStory(Story):
    """A stack of SAM's, and what only the story of one needs."""

    stack: Stack
    consumer: Stack
    aws: Path


def until(what: str, holds: Callable[[], bool]) -> float:
    """Wait for something that the scheduler brings about; return the seconds that it took."""
    started_at = time.monotonic()
    while not holds():
        assert time.monotonic() - started_at < _PATIENCE_SECONDS, f"in {_PATIENCE_SECONDS:.0f} s did not happen: {what}"
        time.sleep(0.5)
    return time.monotonic() - started_at


def refused(call: Callable[..., object], **parameters: object) -> bool:
    """Tell whether IAM refuses a call."""
    try:
        call(**parameters)
    except ClientError as error:
        return str(error.response["Error"]["Code"]).startswith("AccessDenied")
    return False


def user(story: Story, name: str, *actions: str) -> dict[str, str]:
    """Create a user, if need be, and return an access key of hers."""
    iam = story.client("iam")
    if name not in [each["UserName"] for each in iam.list_users()["Users"]]:
        iam.create_user(UserName=name)
    if actions:
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName=name, PolicyName="given", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}


def live(story: Story) -> int:
    """Count the client's tokens that Telenor accepts. A scheduled run at the same time may have published one more."""
    return sum(token["status"] == "live" for token in story.tokens())
