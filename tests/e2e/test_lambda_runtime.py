"""The built artifact under AWS's own runtime client: each test continues from the previous one."""

from __future__ import annotations

import base64
import json
import secrets as random
import subprocess
import threading
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handler import errors
from infra import artifact
from infra.local.secrets_manager import LocalSecretsManager
from infra.local.secrets_manager_faults import CallFault, Meanwhile
from tests.e2e.commands import tool
from tests.e2e.conftest import ARTIFACT_CLIENT_ID
from tests.e2e.emulator import Emulator
from tests.e2e.job import Job
from tests.e2e.lambda_runtime import INIT_SECONDS, InvocationResult, Process, environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.local.telenor_sandbox import TelenorSandbox

# The job reserves half of it, and requests no token with less than two seconds left.
_SHORT_TIMEOUT_SECONDS = 5.0

_APP_ID = "telenor-token"
_ROTATE_NOW = {"action": "rotate-now"}
# An event of EventBridge, which the job ignores.
_TICK = {"version": "0", "detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}

# The modules of the runtime. awslambdaric needs simplejson, and requests uses it if it is installed.
_OF_THE_RUNTIME = {"boto3", "botocore", "dateutil", "s3transfer", "simplejson", "six"}

# Prints the file of each module that the job loads, including its Secrets Manager client.
_PROBE = """
import json, sys
before = set(sys.modules)
import handler.app, handler.secrets_manager
handler.secrets_manager.create_client()
print(json.dumps({name: sys.modules[name].__file__ for name in set(sys.modules) - before
                  if getattr(sys.modules[name], "__file__", None)}))
"""


@dataclass(kw_only=True)
class LocalJob(Job):
    """The artifact under the runtime client."""

    aws: LocalSecretsManager
    settings: Mapping[str, str]
    processes: list[Process] = field(default_factory=list)

    def run(self, event: object, *, seconds: float = 30.0, request_id: str = "") -> InvocationResult:
        return self.processes[-1].invoke(event, seconds, request_id or str(uuid.uuid4()))

    def check_published(self, ending: InvocationResult, request_id: str) -> None:
        """Check that a run has published an accepted token under its own request id."""
        assert (ending.response["outcome"], ending.response["version_id"]) == ("rotated", request_id)
        assert self.current_version() == request_id
        assert request_id in self.tracked()
        assert self.telenor.is_live(self.token())


@pytest.fixture(scope="module")
def local_job(built: Path, sandbox: TelenorSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalJob]:
    names = {"CredentialsSecretArn": "telenor/credentials", "TokenSecretArn": "telenor/token"}
    with LocalSecretsManager() as aws:
        settings = aws.environment | {
            "AWS_SECRET_ACCESS_KEY": random.token_hex(20),
            "AWS_SESSION_TOKEN": random.token_hex(20),
            "AWS_SDK_UA_APP_ID": _APP_ID,
            "CREDENTIALS_SECRET_ID": names["CredentialsSecretArn"],
            "TOKEN_SECRET_ID": names["TokenSecretArn"],
            "TELENOR_BASE_URL": sandbox.url,
            "POWERTOOLS_SERVICE_NAME": "telenor-token",
        }
        emulator = Emulator(aws.url, tmp_path_factory.mktemp("local") / "log")
        job = LocalJob(emulator=emulator, telenor=sandbox, name="local", outputs=names, aws=aws, settings=settings)
        client = {"client_id": ARTIFACT_CLIENT_ID, "client_secret": job.client_secret}
        secrets_manager = job.client("secretsmanager")
        secrets_manager.create_secret(Name=job.credentials_secret, SecretString=json.dumps(client))
        secrets_manager.create_secret(Name=job.token_secret)
        job.processes.append(Process(built, tool("RUNTIME_PYTHON"), settings))
        yield job
        for process in job.processes:
            process.end()


def test_the_artifact_is_pure_python_small_and_reproducible(built: Path, tmp_path: Path) -> None:
    assert artifact.faults(built) == []
    artifact.make(tmp_path / "again")
    assert artifact.zipped(tmp_path / "again") == artifact.zipped(built)


def test_modules_come_from_the_artifact_and_only_the_sdk_from_the_runtime(local_job: LocalJob, built: Path) -> None:
    probe, variables = [str(tool("RUNTIME_PYTHON")), "-c", _PROBE], environment(built, local_job.settings)
    # The working directory is first on the module path, as for the runtime client.
    printed = subprocess.check_output(probe, cwd=built, env=variables, timeout=INIT_SECONDS)
    files = [(module.partition(".")[0], Path(file)) for module, file in json.loads(printed).items()]
    beside = {"__pycache__", ".dist-info"}
    held = {path.stem for path in built.iterdir() if not {path.name, path.suffix} & beside}
    assert {name for name, file in files if file.is_relative_to(built)} == held
    of_the_runtime = {name for name, file in files if "site-packages" in file.parts}
    assert "botocore" in of_the_runtime
    assert of_the_runtime <= _OF_THE_RUNTIME


def test_a_cold_start_publishes_a_token(local_job: LocalJob) -> None:
    request_id = str(uuid.uuid4())
    local_job.check_published(local_job.run(_TICK, request_id=request_id), request_id)
    assert local_job.processes[0].user_agent.startswith("aws-lambda-python/")


def test_a_run_that_is_not_due_makes_one_call_in_the_same_process(local_job: LocalJob) -> None:
    calls = local_job.aws.calls(_APP_ID)
    assert local_job.run(_TICK).response["outcome"] == "not-due"
    assert local_job.aws.calls(_APP_ID) - calls == {"DescribeSecret": 1}
    assert not local_job.processes[0].has_ended


def test_an_invalid_event_is_an_error_and_the_process_continues(local_job: LocalJob) -> None:
    calls = local_job.aws.calls(_APP_ID)
    ending = local_job.run({"action": "nonsense"})
    assert (ending.error_type, "action" in ending.message) == (errors.InvalidInputError.__name__, True)
    assert local_job.aws.calls(_APP_ID) == calls
    assert local_job.run(_TICK).response["outcome"] == "not-due"


def test_a_slow_telenor_times_out_before_the_deadline(local_job: LocalJob) -> None:
    labels = local_job.labels()
    local_job.telenor.fault(operation="token", delay_seconds=2 * _SHORT_TIMEOUT_SECONDS, drop=True)
    ending = local_job.run(_ROTATE_NOW, seconds=_SHORT_TIMEOUT_SECONDS)
    local_job.telenor.clear_faults()
    assert ending.error_type == errors.ServerUnavailableError.__name__
    assert local_job.labels() == labels
    assert not local_job.processes[0].has_ended


def test_after_a_timeout_between_obtaining_and_publishing_lambdas_retry_rotates(
    local_job: LocalJob, issued_tokens: list[str], built: Path
) -> None:
    labels, token, issued = local_job.labels(), local_job.token(), len(issued_tokens)
    request_id, held_up = str(uuid.uuid4()), threading.Event()
    # The write is delayed until the process is killed, and then does not happen.
    lost = CallFault(operation="PutSecretValue")
    local_job.aws.fault(Meanwhile(operation="PutSecretValue", happens=held_up.wait, fault=lost))
    ending = local_job.run(_ROTATE_NOW, seconds=_SHORT_TIMEOUT_SECONDS, request_id=request_id)
    held_up.set()
    assert (ending.error_type, local_job.processes[0].has_ended) == ("timeout", True)
    assert len(issued_tokens) == issued + 1
    assert (local_job.labels(), local_job.token()) == (labels, token)
    assert local_job.telenor.is_live(token)

    local_job.processes.append(Process(built, tool("RUNTIME_PYTHON"), local_job.settings))
    retried = local_job.run(_ROTATE_NOW, request_id=request_id)  # Lambda keeps the id
    local_job.check_published(retried, request_id)
    assert retried.response["pending_revocations"] == 1
    assert local_job.telenor.is_live(token)


def test_every_completed_run_has_sent_its_metrics(local_job: LocalJob) -> None:
    local_job.processes[-1].end()
    printed = [line for process in local_job.processes for line in process.output]
    lines = [json.loads(line) for line in printed if line.startswith("{")]
    # A run sends only counters that are not zero.
    failed = [line.get("RotationFailed", [0]) for line in lines if "_aws" in line]
    assert failed == [[0], [0], [1], [0], [1], [0]]


def test_no_secret_was_printed_or_sent(local_job: LocalJob, issued_tokens: list[str]) -> None:
    pair = base64.b64encode(f"{ARTIFACT_CLIENT_ID}:{local_job.client_secret}".encode()).decode()
    keys = [local_job.settings["AWS_SECRET_ACCESS_KEY"], local_job.settings["AWS_SESSION_TOKEN"]]
    text = "".join(line for process in local_job.processes for line in (*process.output, *process.posted))
    assert text
    assert sum(secret in text for secret in (local_job.client_secret, pair, *keys, *issued_tokens)) == 0
