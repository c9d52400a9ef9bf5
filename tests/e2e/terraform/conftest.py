"""The applied Terraform module, and each of its clients as a deployed job."""

from __future__ import annotations

import json
import secrets as random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from infra import artifact
from infra.local.telenor_sandbox import Client, TelenorSandbox
from infra.terraform_cli import MissingError, find
from tests.e2e import iam
from tests.e2e.job import DEPLOYMENT_ROLE_ARN, Job
from tests.e2e.terraform.module import Change, Module

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.e2e.emulator import Emulator

PLAIN, SCOPED, EXISTING, FOURTH = "broadband", "mobile", "iot", "fiber"
SCOPE = "incidents.read"

_DEFAULT_GRACE_SECONDS = 15


@dataclass
class Clients:
    """The module's clients: `jobs` has those that are deployed."""

    module: Module
    telenor: TelenorSandbox
    artifact: Path
    apps: Mapping[str, Client]
    jobs: dict[str, Job] = field(default_factory=dict)
    first_changes: list[Change] = field(default_factory=list)

    def apply(self, clients: Mapping[str, Any]) -> list[Change]:
        """Apply the module with these clients; return what Terraform has changed."""
        changes = self.module.apply(clients)
        outputs = self.module.outputs
        shared = {
            "FunctionName": outputs["function_name"],
            "FunctionRoleArn": outputs["function_role_arn"],
            "OperatorPolicyArn": outputs["operator_policy_arn"],
            "LogGroupName": outputs["log_group_name"],
            "UndeliveredQueueUrl": outputs["undelivered_queue_url"],
        }
        self.jobs = {
            name: Job(
                emulator=self.module.emulator,
                telenor=self.telenor,
                name=self.module.variables["name"],
                outputs=shared
                | {
                    "CredentialsSecretArn": own["credentials_secret_arn"],
                    "TokenSecretArn": own["token_secret_arn"],
                    "ConsumerPolicyArn": own["consumer_policy_arn"],
                },
                client_name=name,
                event=json.loads(own["event"]),
                client_id=app_of(name),
                client_secret=self.apps[app_of(name)].secret,
                grace_seconds=self.module.variables["clients"][name].get("grace_seconds", _DEFAULT_GRACE_SECONDS),
                # The module leaves a secret without a value.
                code_without_credentials="secrets-manager-refused",
            )
            for name, own in outputs["clients"].items()
        }
        return changes

    def others(self, client: str) -> dict[str, Job]:
        """Return the jobs of all clients but one."""
        return {name: job for name, job in self.jobs.items() if name != client}


def app_of(client: str) -> str:
    """Return a client's client_id at Telenor."""
    return f"app-of-{client}"


@pytest.fixture(scope="session")
def apps() -> Mapping[str, Client]:
    """The clients that Telenor knows."""
    scopes = frozenset({SCOPE, "incidents.write"})
    return {
        app_of(name): Client(secret=random.token_hex(16), scopes=scopes) for name in (PLAIN, SCOPED, EXISTING, FOURTH)
    }


@pytest.fixture(scope="session")
def new_clients(
    emulator: Emulator,
    sandbox: TelenorSandbox,
    apps: Mapping[str, Client],
    tmp_path_factory: pytest.TempPathFactory,
) -> Clients:
    """The module, applied by the deployment role for three clients. One has a credentials secret, the others none."""
    try:
        terraform = find()
    except MissingError as missing:
        pytest.skip(str(missing))
    directory = tmp_path_factory.mktemp("terraform")
    artifact.make(directory / "artifact")
    packed = directory / "telenor-token.zip"
    packed.write_bytes(artifact.zipped(directory / "artifact"))
    app = app_of(EXISTING)
    existing = emulator.client("secretsmanager").create_secret(
        Name="of-an-owner/credentials",
        SecretString=json.dumps({"client_id": app, "client_secret": apps[app].secret}),
    )["ARN"]
    iam.create_role(emulator, DEPLOYMENT_ROLE_ARN, "*")
    configuration = directory / "configuration"
    configuration.mkdir()
    variables = {
        "name": "telenor-token",
        "artifact_path": str(packed),
        "telenor_base_url": sandbox.url,
        "schedule_minutes": 1,
        "grace_seconds": _DEFAULT_GRACE_SECONDS,
        "kms_key_arn": emulator.client("kms").create_key()["KeyMetadata"]["Arn"],
        "deployment_role_arn": DEPLOYMENT_ROLE_ARN,
        "alarm_email": "operator@example.com",
    }
    keys = iam.assume(emulator, DEPLOYMENT_ROLE_ARN, "terraform")
    clients = Clients(Module(terraform, emulator, configuration, keys, variables), sandbox, packed, apps)
    clients.first_changes = clients.apply(
        {
            PLAIN: {"reader_principals": ["arn:aws:iam::000000000000:user/reader"]},
            SCOPED: {"scope": SCOPE, "grace_seconds": 25},
            EXISTING: {"credentials_secret_arn": existing, "grace_seconds": 10},
        }
    )
    return clients


@pytest.fixture(scope="session")
def clients(new_clients: Clients) -> Clients:
    """The same with a token for each client."""
    for job in new_clients.jobs.values():
        if not job.tracked():
            job.put_credentials(job.client_secret)
    return new_clients
