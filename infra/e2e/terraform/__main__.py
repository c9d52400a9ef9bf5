"""Applies the real Terraform module with the real artifact to an emulator, for several clients, and checks it all.

Every step asserts; the first claim that fails ends it with its sentence and what the function logged. Where Terraform
or its provider for AWS cannot be had, nothing is checked, and it says so.
"""

from __future__ import annotations

import argparse
import json
import secrets as random
import signal
import sys
import tempfile
import time
from pathlib import Path

from infra import artifact
from infra.e2e import access, telling
from infra.e2e.emulator import Emulator
from infra.e2e.terraform import changes, clients
from infra.e2e.terraform.fleet import DEFAULT_GRACE_SECONDS, EXISTING, PLAIN, SCOPE, SCOPED, Fleet, apps, credentials
from infra.e2e.terraform.module import Module
from infra.local.telenor_sandbox import TelenorSandbox
from infra.terraform_cli import MissingError, find

# What the scheduler takes for a minute here. Several clients' steps wait for it.
SECONDS_A_MINUTE = 5.0

# What else is not AWS here.
DIFFERENT = {
    "the schedules' role, and Lambda's permission for the rules": "not enforced; their text is the tests' to check",
    "a minute of the schedule": f"passes in {SECONDS_A_MINUTE:.0f} s",
    "subnets, permissions boundaries": "not given here; their plans are the tests' to check",
    "replicas": "likewise: there is one region here",
    "alarms in Query, the protocol of the provider": "made whole in ministack_corrected.py",
}

_ROLE = "arn:aws:iam::000000000000:role/deployment"

STEPS = (
    clients.the_module_is_applied,
    clients.each_begins_with_what_it_has,
    clients.new_credentials_are_tried_at_once,
    clients.consumers_read_their_own_token_alone,
    clients.nobody_else_does,
    clients.an_operators_terminal_finds_each_client,
    changes.a_fourth_joins_while_the_others_rotate,
    clients.an_emergency_hurts_its_client_alone,
    clients.one_clients_permissions_taken_away_hurt_it_alone,
    clients.every_permission_is_needed,
    clients.each_is_watched_by_its_own_alarms,
    changes.a_second_plan_changes_nothing,
    changes.one_leaves_and_the_others_stay,
    changes.destroying_leaves_what_it_should,
)


def main() -> int:
    """Run every step, and print what was shown."""
    parser = argparse.ArgumentParser(prog="python -m infra.e2e.terraform", description=__doc__)
    parser.add_argument("--ministack", type=Path, required=True, help="a Python with MiniStack")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = telling.console()
    began_at = time.monotonic()
    try:
        terraform = find()
    except MissingError as missing:
        console.print(f"SKIPPED: THE TERRAFORM MODULE WAS NOT APPLIED, AND NOTHING OF IT IS SHOWN. {missing}")
        return 0
    minted: list[str] = []

    def new_token() -> str:
        minted.append(random.token_urlsafe(32))
        return minted[-1]

    with tempfile.TemporaryDirectory(prefix="telenor-token-e2e-") as name:
        directory = Path(name)
        with (
            Emulator(arguments.ministack.absolute(), directory, SECONDS_A_MINUTE) as emulator,
            TelenorSandbox(new_token=new_token, clients=apps()) as telenor,
        ):
            artifact.make(directory / "artifact")
            packed = directory / "telenor-token.zip"
            packed.write_bytes(artifact.zipped(directory / "artifact"))
            existing = emulator.client("secretsmanager").create_secret(
                Name="of-an-owner/credentials", SecretString=json.dumps(credentials(EXISTING))
            )["ARN"]
            access.create_role(emulator, _ROLE, "*")
            configuration = directory / "configuration"
            configuration.mkdir()
            module = Module(
                terraform,
                emulator,
                configuration,
                access.session(emulator, _ROLE, "terraform"),
                {
                    "name": "telenor-token",
                    "artifact_path": str(packed),
                    "telenor_base_url": telenor.url,
                    "schedule_minutes": 1,
                    "grace_seconds": DEFAULT_GRACE_SECONDS,
                    "kms_key_arn": emulator.client("kms").create_key()["KeyMetadata"]["Arn"],
                    "deployment_role_arn": _ROLE,
                    "alarm_email": "operator@example.com",
                    "clients": {
                        PLAIN: {"reader_principals": ["arn:aws:iam::000000000000:user/reader"]},
                        SCOPED: {"scope": SCOPE, "grace_seconds": 25},
                        EXISTING: {"credentials_secret_arn": existing, "grace_seconds": 10},
                    },
                },
            )
            fleet = Fleet(module=module, artifact=packed, telenor=telenor, console=console, minted=minted)
            try:
                for step in STEPS:
                    step(fleet)
            except BaseException:
                lines = [line for story in [*fleet.stories.values()][:1] for line in story.stack.log()[-15:]]
                console.print("\n".join(["What the function logged last:", *lines]), markup=False, emoji=False)
                raise
    telling.tell(console, began_at, fleet.shown, [*fleet.trusted, *telling.DIFFERENT.items(), *DIFFERENT.items()])
    return 0


if __name__ == "__main__":
    sys.exit(main())
