"""Deploys the real template with the real artifact to an emulator, and checks what the deployment promises.

Every step asserts; the first claim that fails ends it with its sentence and what the function logged.
"""

from __future__ import annotations

import argparse
import secrets as random
import signal
import sys
import tempfile
import time
from pathlib import Path

from infra.e2e import access, cli, operation, runs, telling
from infra.e2e.emulator import Emulator
from infra.e2e.runtime import check_artifact
from infra.e2e.stack import Sam, Stack
from infra.e2e.story import GRACE_SECONDS, SECONDS_A_MINUTE, StackStory
from infra.local.telenor_sandbox import TelenorSandbox

# What else is not AWS here.
DIFFERENT = {
    "the schedule's role, and Lambda's permission for the rule": "not enforced; written by SAM itself",
    "resource policies in CloudFormation": "added in ministack_corrected.py as AWS documents them; IAM itself enforces",
    "a minute of the schedule": f"passes in {SECONDS_A_MINUTE:.0f} s",
    "subnets": "accepted and not enforced; the conditions are checked in the template",
    "permissions boundaries": "its CloudFormation drops them; that every role has one is checked in the template",
    "CloudFormation changing a secret that its policy denies to read": "not enforced; unproven without an account",
}

STEPS = (
    operation.the_artifact_is_small_and_always_the_same,
    operation.a_bad_parameter_is_refused_by_name,
    runs.the_schedule_finds_the_placeholder,
    runs.new_credentials_are_tried_at_once,
    access.the_consumer_stack_reads,
    access.named_readers_read_and_strangers_do_not,
    access.administrators_do_not_by_accident,
    access.the_role_can_do_no_more,
    access.operators_can_do_their_work_and_no_more,
    cli.an_operators_terminal_acts_through_the_job,
    runs.a_superseded_token_has_its_grace,
    runs.a_leak_is_ended_at_once,
    operation.every_command_of_the_documents_works,
    access.every_permission_is_needed,
    operation.two_clients_stand_side_by_side,
    cli.doctor_replaces_what_it_has_ended,
    operation.smoke_tells_what_holds,
    runs.nothing_leaks_and_every_metric_is_there,
    operation.alarms_and_dashboard_watch_what_is_put_out,
    operation.an_update_keeps_everything,
    operation.a_deletion_keeps_what_it_should,
)


def main() -> int:
    """Run every step, and print what was shown."""
    parser = argparse.ArgumentParser(prog="python -m infra.e2e", description=__doc__)
    parser.add_argument("--sam", required=True, help="the SAM CLI")
    parser.add_argument("--ministack", type=Path, required=True, help="a Python with MiniStack")
    parser.add_argument("--runtime", type=Path, required=True, help="a Python with awslambdaric and boto3")
    parser.add_argument("--aws", type=Path, required=True, help="the AWS CLI")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = telling.console()
    began_at = time.monotonic()
    minted: list[str] = []

    def new_token() -> str:
        minted.append(random.token_urlsafe(32))
        return minted[-1]

    with tempfile.TemporaryDirectory(prefix="telenor-token-e2e-") as name:
        directory = Path(name)
        with (
            Emulator(arguments.ministack.absolute(), directory, SECONDS_A_MINUTE) as emulator,
            TelenorSandbox(new_token=new_token) as telenor,
        ):
            sam = Sam(arguments.sam, emulator, directory)
            sam("build")
            stack = Stack(
                "telenor-token",
                sam,
                {
                    "TelenorBaseUrl": telenor.url,
                    "ScheduleMinutes": "1",
                    "GraceSeconds": str(GRACE_SECONDS),
                    "KmsKeyArn": emulator.client("kms").create_key()["KeyMetadata"]["Arn"],
                    "ReaderAccountIds": "000000000000",
                    "ReaderPrincipals": "arn:aws:iam::000000000000:user/reader",
                    "DeploymentRoleArn": "arn:aws:iam::000000000000:role/deployment",
                    "AlarmEmail": "operator@example.com",
                },
            )
            consumer = Stack(
                "telenor-consumer", sam, {"TelenorBaseUrl": telenor.url}, template="infra/consumer/template.yaml"
            )
            story = StackStory(
                stack=stack,
                consumer=consumer,
                telenor=telenor,
                console=console,
                minted=minted,
                aws=arguments.aws.absolute(),
            )
            stack.deploy()
            story.show("deployment", f"sam build and sam deploy of template.yaml, {len(stack.outputs)} outputs")
            try:
                for step in STEPS:
                    step(story)
            except BaseException:
                console.print(
                    "\n".join(["What the function logged last:", *stack.log()[-15:]]), markup=False, emoji=False
                )
                raise
        story.shown += check_artifact(operation.ARTIFACT, arguments.runtime.absolute())
    telling.tell(console, began_at, story.shown, [*story.trusted, *telling.DIFFERENT.items(), *DIFFERENT.items()])
    return 0


if __name__ == "__main__":
    sys.exit(main())
