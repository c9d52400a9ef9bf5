"""The built artifact under AWS's own runtime client: each test begins where the one before has ended."""

from __future__ import annotations

import base64
import json
import secrets as random
import subprocess
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from infra import artifact
from infra.local.secrets_manager import CallFault, LocalSecretsManager, Meanwhile
from infra.local.telenor_sandbox import DEMO_CLIENT_SECRET
from tests.e2e.conftest import ARTIFACT_CLIENT_ID, tool
from tests.e2e.lambda_runtime import INIT_SECONDS, Ending, Function, environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.local.telenor_sandbox import TelenorSandbox

_TIMEOUT_SECONDS = 30.0
# The job keeps half of it back, and asks for no token with less than two seconds left.
_SHORT_TIMEOUT_SECONDS = 5.0

_CREDENTIALS_SECRET = "telenor/credentials"
_TOKEN_SECRET = "telenor/token"
_APP_ID = "telenor-token"

_ROTATE_NOW = {"action": "rotate-now"}

# The modules that the runtime brings. awslambdaric needs simplejson, and requests takes it where it is.
_OF_THE_RUNTIME = {"boto3", "botocore", "dateutil", "s3transfer", "simplejson", "six"}

# Prints from where each module is that the job loads, its client of Secrets Manager included.
_PROBE = """
import json, sys
before = set(sys.modules)
import handler.app, handler.secrets_manager
handler.secrets_manager.create_client()
print(json.dumps({name: sys.modules[name].__file__ for name in set(sys.modules) - before
                  if getattr(sys.modules[name], "__file__", None)}))
"""


@dataclass(frozen=True)
class Deployed:
    """The function with its secrets."""

    function: Function
    settings: Mapping[str, str]
    aws: LocalSecretsManager
    telenor: TelenorSandbox
    secrets: Any

    def invoke(self, event: object, *, seconds: float = _TIMEOUT_SECONDS, request_id: str = "") -> Ending:
        return self.function.invoke(event, seconds, request_id or str(uuid.uuid4()))

    def tick(self, request_id: str = "") -> Ending:
        """Run as the schedule does; the job reads nothing of what EventBridge sends."""
        event = {"version": "0", "detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}
        return self.invoke(event, request_id=request_id)

    def versions(self) -> dict[str, list[str]]:
        """Return every version of the token secret, with its labels."""
        listed = self.secrets.list_secret_version_ids(SecretId=_TOKEN_SECRET, IncludeDeprecated=True)
        return {version["VersionId"]: version.get("VersionStages", []) for version in listed["Versions"]}

    def is_live(self, version: str) -> bool:
        """Tell whether Telenor accepts a version's token."""
        value = self.secrets.get_secret_value(SecretId=_TOKEN_SECRET, VersionId=version)["SecretString"]
        return self.telenor.is_live(json.loads(value)["access_token"])

    def check_published(self, ending: Ending, request_id: str) -> None:
        """Check that a run has published an accepted token under its own request id."""
        assert (ending.answer["outcome"], ending.answer["version_id"]) == ("rotated", request_id)
        labels = self.versions()[request_id]
        assert "AWSCURRENT" in labels
        assert any(label.startswith("LIVE_") for label in labels)
        assert self.is_live(request_id)


@pytest.fixture(scope="module")
def deployed(built: Path, sandbox: TelenorSandbox) -> Iterator[Deployed]:
    with LocalSecretsManager() as aws:
        settings = aws.environment | {
            "AWS_SECRET_ACCESS_KEY": random.token_hex(20),
            "AWS_SESSION_TOKEN": random.token_hex(20),
            "AWS_SDK_UA_APP_ID": _APP_ID,
            "CREDENTIALS_SECRET_ID": _CREDENTIALS_SECRET,
            "TOKEN_SECRET_ID": _TOKEN_SECRET,
            "TELENOR_BASE_URL": sandbox.url,
            "POWERTOOLS_SERVICE_NAME": "telenor-token",
        }
        secrets = boto3.client(
            "secretsmanager",
            endpoint_url=aws.url,
            region_name=aws.environment["AWS_REGION"],
            aws_access_key_id=aws.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=aws.environment["AWS_SECRET_ACCESS_KEY"],
        )
        credentials = {"client_id": ARTIFACT_CLIENT_ID, "client_secret": DEMO_CLIENT_SECRET}
        secrets.create_secret(Name=_CREDENTIALS_SECRET, SecretString=json.dumps(credentials))
        secrets.create_secret(Name=_TOKEN_SECRET)
        function = Function(built, tool("RUNTIME_PYTHON"), settings)
        try:
            yield Deployed(function, settings, aws, sandbox, secrets)
        finally:
            function.end()


def test_it_is_pure_python_within_its_limit_and_the_same_in_a_second_build(built: Path, tmp_path: Path) -> None:
    assert artifact.faults(built) == []
    artifact.make(tmp_path / "again")
    assert artifact.zipped(tmp_path / "again") == artifact.zipped(built)


def test_its_modules_come_from_it_and_of_the_runtime_the_sdk_alone(deployed: Deployed, built: Path) -> None:
    done = subprocess.run(
        [tool("RUNTIME_PYTHON"), "-c", _PROBE],
        cwd=built,  # the first place where the runtime client looks too
        env=environment(built, deployed.settings),
        capture_output=True,
        text=True,
        timeout=INIT_SECONDS,
        check=True,
    )
    files = [(module.partition(".")[0], Path(file)) for module, file in json.loads(done.stdout).items()]
    beside = {"__pycache__", ".dist-info"}
    held = {path.stem for path in built.iterdir() if not {path.name, path.suffix} & beside}
    assert {name for name, file in files if file.is_relative_to(built)} == held
    of_the_runtime = {name for name, file in files if "site-packages" in file.parts}
    assert "botocore" in of_the_runtime
    assert of_the_runtime <= _OF_THE_RUNTIME


def test_a_cold_start_publishes_a_token(deployed: Deployed) -> None:
    request_id = str(uuid.uuid4())
    deployed.check_published(deployed.tick(request_id), request_id)
    assert deployed.function.client.startswith("aws-lambda-python/")


def test_a_run_that_is_not_due_makes_one_call_in_the_same_process(deployed: Deployed) -> None:
    pid, calls = deployed.function.pid, deployed.aws.calls(_APP_ID)
    assert deployed.tick().answer["outcome"] == "not-due"
    assert deployed.function.pid == pid
    assert deployed.aws.calls(_APP_ID) - calls == {"DescribeSecret": 1}


def test_a_bad_event_is_an_error_and_the_process_goes_on(deployed: Deployed) -> None:
    pid, calls = deployed.function.pid, deployed.aws.calls(_APP_ID)
    ending = deployed.invoke({"action": "nonsense"})
    assert (ending.error_type, "action" in ending.message) == ("InvalidInputError", True)
    assert deployed.aws.calls(_APP_ID) == calls
    assert deployed.tick().answer["outcome"] == "not-due"
    assert deployed.function.pid == pid


def test_a_slow_telenor_is_given_up_before_the_deadline(deployed: Deployed) -> None:
    pid, versions = deployed.function.pid, deployed.versions()
    deployed.telenor.fault(operation="token", delay_seconds=2 * _SHORT_TIMEOUT_SECONDS, drop=True)
    ending = deployed.invoke(_ROTATE_NOW, seconds=_SHORT_TIMEOUT_SECONDS)
    deployed.telenor.clear_faults()
    assert ending.error_type == "TelenorUnavailableError"
    assert deployed.function.pid == pid
    assert deployed.versions() == versions


def test_after_a_timeout_between_obtaining_and_publishing_lambdas_retry_rotates(
    deployed: Deployed, issued_tokens: list[str]
) -> None:
    pid, versions, issued = deployed.function.pid, deployed.versions(), len(issued_tokens)
    current = next(version_id for version_id, labels in versions.items() if "AWSCURRENT" in labels)
    request_id = str(uuid.uuid4())
    held_up = threading.Event()
    # The write is held up until the process is gone, and then does not happen.
    lost = CallFault(operation="PutSecretValue")
    deployed.aws.fault(Meanwhile(operation="PutSecretValue", happens=held_up.wait, fate=lost))
    try:
        ending = deployed.invoke(_ROTATE_NOW, seconds=_SHORT_TIMEOUT_SECONDS, request_id=request_id)
    finally:
        held_up.set()
    assert (ending.error_type, deployed.function.pid) == ("Sandbox.Timedout", None)
    assert len(issued_tokens) == issued + 1
    assert deployed.versions() == versions
    assert deployed.is_live(current)

    retried = deployed.invoke(_ROTATE_NOW, request_id=request_id)  # Lambda keeps the id
    deployed.check_published(retried, request_id)
    assert deployed.function.pid != pid
    assert retried.answer["pending_revocations"] == 1
    assert deployed.is_live(current)


def test_every_run_that_ended_has_sent_its_metrics(deployed: Deployed) -> None:
    deployed.function.end()
    lines = [json.loads(line) for line in deployed.function.output if line.startswith("{")]
    # A counter is sent only in a run in which it is not zero.
    failed = [line.get("RotationFailed", [0]) for line in lines if "_aws" in line]
    assert failed == [[0], [0], [1], [0], [1], [0]]


def test_nothing_secret_was_printed_or_sent(deployed: Deployed, issued_tokens: list[str]) -> None:
    pair = base64.b64encode(f"{ARTIFACT_CLIENT_ID}:{DEMO_CLIENT_SECRET}".encode()).decode()
    keys = [deployed.settings["AWS_SECRET_ACCESS_KEY"], deployed.settings["AWS_SESSION_TOKEN"]]
    text = "".join([*deployed.function.output, *deployed.function.posted])
    assert text
    assert not [secret for secret in (DEMO_CLIENT_SECRET, pair, *keys, *issued_tokens) if secret in text]
