"""The applied Terraform module, and each of its clients as a deployed job."""

from __future__ import annotations

import json
import secrets as random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from infra import artifact
from infra.local.telenor_sandbox import Client, TelenorSandbox
from tests.e2e import users_and_roles
from tests.e2e.job import DEPLOYMENT_ROLE_ARN, Job
from tests.infra.terraform.root_module import Change, RootModule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.e2e.emulator import Emulator

PLAIN, SCOPED, EXISTING, FOURTH = "broadband", "mobile", "iot", "fiber"
SCOPE = "incidents.read"

_DEFAULT_GRACE_SECONDS = 15


@dataclass
class Clients:
    """The module's clients: `jobs` has the deployed ones."""

    module: RootModule
    variables: dict[str, Any]
    emulator: Emulator
    telenor: TelenorSandbox
    apps: Mapping[str, Client]
    jobs: dict[str, Job] = field(default_factory=dict)
    first_changes: list[Change] = field(default_factory=list)

    def apply(self, clients: Mapping[str, Any]) -> list[Change]:
        """Apply the module with these clients; return what Terraform has changed."""
        changes = self.module.apply(self.variables | {"clients": clients})
        self.variables["clients"] = clients
        outputs = self.module.outputs
        self.jobs = {
            name: Job(
                emulator=self.emulator,
                telenor=self.telenor,
                name=self.variables["name"],
                outputs={output.title().replace("_", ""): value for output, value in (outputs | own).items()},
                client_name=name,
                event=json.loads(own["event"]),
                client_id=name,
                client_secret=self.apps[name].secret,
                grace_seconds=clients[name].get("grace_seconds", _DEFAULT_GRACE_SECONDS),
                # The module creates a secret without a value.
                code_without_credentials="secrets-manager-refused",
            )
            for name, own in outputs["clients"].items()
        }
        return changes

    def others(self, client: str) -> dict[str, Job]:
        """Return the jobs of all clients but one."""
        return {name: job for name, job in self.jobs.items() if name != client}


@pytest.fixture(scope="session")
def apps() -> Mapping[str, Client]:
    """Telenor's clients, under the module's names."""
    scopes = frozenset({SCOPE, "incidents.write"})
    return {name: Client(secret=random.token_hex(16), scopes=scopes) for name in (PLAIN, SCOPED, EXISTING, FOURTH)}


@pytest.fixture(scope="session")
def new_clients(
    emulator: Emulator, sandbox: TelenorSandbox, apps: Mapping[str, Client], tmp_path_factory: pytest.TempPathFactory
) -> Clients:
    """The module, applied by the deployment role for three clients. One has an existing credentials secret."""
    directory = tmp_path_factory.mktemp("terraform")
    artifact.make(directory / "artifact")
    (directory / "artifact.zip").write_bytes(artifact.zipped(directory / "artifact"))
    value = json.dumps({"client_id": EXISTING, "client_secret": apps[EXISTING].secret})
    secrets_manager = emulator.client("secretsmanager")
    existing = secrets_manager.create_secret(Name="of-an-owner/credentials", SecretString=value)["ARN"]
    users_and_roles.create_role(emulator, DEPLOYMENT_ROLE_ARN, "*")
    keys = users_and_roles.assume(emulator, DEPLOYMENT_ROLE_ARN, "terraform")
    # An apply uses Terraform's state; the plans of other tests compare that with the real resources.
    module = RootModule(emulator.url, directory, keys, apply_options=["-refresh=false"])
    variables = {
        "name": "telenor-token",
        "telenor_base_url": sandbox.url,
        "schedule_minutes": 1,
        "grace_seconds": _DEFAULT_GRACE_SECONDS,
        "kms_key_arn": emulator.client("kms").create_key()["KeyMetadata"]["Arn"],
        "deployment_role_arn": DEPLOYMENT_ROLE_ARN,
        "alarm_email": "operator@example.com",
    }
    clients = Clients(module, variables, emulator, sandbox, apps)
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
    """The same clients, each with a token."""
    for job in new_clients.jobs.values():
        if not job.tracked():
            job.put_credentials(job.client_secret)
    return new_clients
