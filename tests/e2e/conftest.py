"""The emulator, Telenor and the deployed job. `make e2e` and `make e2e-terraform` name the tools that they need."""

from __future__ import annotations

import json
import secrets as random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from infra.local.telenor_sandbox import DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, SEEDED_CLIENTS, Client, TelenorSandbox
from tests.e2e import emulator as ministack
from tests.e2e.commands import ROOT, run_module, tool
from tests.e2e.job import DEPLOYMENT_ROLE_ARN, Job, until
from tests.e2e.sam_stack import Stack, sam

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from pathlib import Path

    from tests.e2e.emulator import Emulator

ARTIFACT_CLIENT_ID, NEW_CLIENT_ID, SECOND_CLIENT_ID = "demo-artifact", "demo-new", "demo-second"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the functions' last log lines to the report of a failed test."""
    report = yield
    emulator = item.funcargs.get("emulator")
    if report.failed and isinstance(emulator, ministack.Emulator):
        report.sections.append(("The functions' last log lines", "\n".join(emulator.log_lines()[-15:])))
    return report


@pytest.fixture(autouse=True)
def seen() -> None:
    """Disable the leak detector of this process: the job runs in others."""


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with ministack.started(tool("MINISTACK_PYTHON"), tmp_path_factory.mktemp("emulator")) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def apps() -> Mapping[str, Client]:
    """Telenor's clients: one for each function, whose tokens are counted and revoked separately."""
    names = (DEMO_CLIENT_ID, ARTIFACT_CLIENT_ID, NEW_CLIENT_ID, SECOND_CLIENT_ID)
    return dict.fromkeys(names, SEEDED_CLIENTS[DEMO_CLIENT_ID])


@pytest.fixture(scope="session")
def issued_tokens() -> list[str]:
    return []


@pytest.fixture(scope="session")
def sandbox(apps: Mapping[str, Client], issued_tokens: list[str]) -> Iterator[TelenorSandbox]:
    def new_token() -> str:
        issued_tokens.append(random.token_urlsafe(32))
        return issued_tokens[-1]

    with TelenorSandbox(new_token=new_token, clients=apps) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def built(emulator: Emulator) -> Path:
    """The artifact built by SAM."""
    sam(emulator, "build")
    return ROOT / ".aws-sam" / "build" / "TokenFunction"


@pytest.fixture(scope="session")
def parameters(emulator: Emulator, sandbox: TelenorSandbox, built: Path) -> dict[str, str]:
    """The parameters of a stack, after its artifact is built."""
    return {
        "TelenorBaseUrl": sandbox.url,
        "ScheduleMinutes": "1",
        "GraceSeconds": "20",
        "KmsKeyArn": emulator.client("kms").create_key()["KeyMetadata"]["Arn"],
        "ReaderAccountIds": "000000000000",
        "ReaderPrincipals": "arn:aws:iam::000000000000:user/reader",
        "DeploymentRoleArn": DEPLOYMENT_ROLE_ARN,
        "AlarmEmail": "operator@example.com",
    }


@pytest.fixture(scope="session")
def job(emulator: Emulator, sandbox: TelenorSandbox, parameters: dict[str, str]) -> Job:
    """A job that has published a token."""
    stack = Stack(emulator, "telenor-token", parameters)
    job = Job(emulator=emulator, telenor=sandbox, name=stack.name, outputs=stack.deploy())
    assert job.put_credentials(job.client_secret)["outcome"] == "rotated"
    return job


@pytest.fixture(scope="session")
def second_job(job: Job) -> Job:
    """A second client deployed by `make deploy CLIENT=second`, with an existing credentials secret."""
    value = json.dumps({"client_id": SECOND_CLIENT_ID, "client_secret": DEMO_CLIENT_SECRET})
    secret = job.client("secretsmanager").create_secret(Name="second-credentials", SecretString=value)["ARN"]
    values = ("ScheduleMinutes=1", "GraceSeconds=25", f"TelenorBaseUrl={job.telenor.url}")
    deploy = ("infra.deploy", "deploy", "--sam", str(tool("SAM")), "--client", "second", "--yes", "--set")
    deployed = run_module(job, *deploy, " ".join([*values, f"CredentialsSecretArn={secret}"]))
    assert deployed.returncode == 0
    assert "WARNING: no alarm has a recipient" in deployed.stdout + deployed.stderr
    stack = Stack(job.emulator, "telenor-token-second")
    second = replace(job, name=stack.name, outputs=stack.outputs(), client_name="second", client_id=SECOND_CLIENT_ID)
    second.grace_seconds = 25
    assert second.credentials_secret == secret
    until("its first token", lambda: bool(second.tracked()))
    return second
