"""What operators do with stacks: deploy, look, update, delete."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from infra import artifact, docs
from infra.e2e.commands import DOCUMENTS, commands, elsewhere, type_in
from infra.e2e.runs import METRICS
from infra.e2e.stack import ROOT, CommandError, Stack
from infra.e2e.story import StackStory, Story, live, refused, until, user
from infra.local.telenor_sandbox import DEMO_CLIENT_ID, DEMO_CLIENT_SECRET

if TYPE_CHECKING:
    from collections.abc import Mapping

ARTIFACT = ROOT / ".aws-sam" / "build" / "TokenFunction"

_LONGEST_SECONDS = 300
SECOND = "telenor-token-second"
# Of its own, so that what befalls its tokens befalls no other's.
_SECOND_CLIENT_ID = "demo-portal"


def the_artifact_is_small_and_always_the_same(story: Story) -> None:
    """What SAM has built is pure Python, within its limit, and comes out the same a second time."""
    assert artifact.faults(ARTIFACT) == []
    content = artifact.zipped(ARTIFACT)
    with tempfile.TemporaryDirectory() as name:
        again = Path(name) / "again"
        artifact.make(again)
        assert artifact.zipped(again) == content, "a second build has other bytes"
    story.show("artifact", f"{len(content):,} bytes zipped, the same bytes in a second build")


def a_bad_parameter_is_refused_by_name(story: StackStory) -> None:
    """A value that would fail later does not get as far as a stack."""
    wrong = {
        "ScheduleMinutes": {"ScheduleMinutes": "15"},
        "GraceSeconds": {"GraceSeconds": "1201"},
        "TelenorBaseUrl": {"TelenorBaseUrl": "http://example.com"},
        "CredentialsSecretArn": {"CredentialsSecretArn": "arn:aws:secretsmanager:eu-north-1:000000000000:secret:*"},
        "SubnetIds": {"SubnetIds": "subnet-0a1b2c3d"},
        "ReaderPrincipals": {"KmsKeyArn": ""},
    }
    for name, values in wrong.items():
        try:
            Stack("refused", story.stack.sam, story.stack.parameters | values).deploy()
        except CommandError as error:
            assert name in str(error), f"the refusal of {name} does not name it: {error}"
        else:
            raise AssertionError(f"{values} was deployed")
    story.show("bad parameters", f"refused by name, by CloudFormation itself: {', '.join(wrong)}")


def every_command_of_the_documents_works(story: StackStory) -> None:
    """Every command of these documents ends well, typed as it stands there."""
    outputs = story.stack.outputs
    # As `make outputs` prints them.
    exported = {
        "CREDENTIALS_SECRET_ARN": outputs["CredentialsSecretArn"],
        "FUNCTION_NAME": outputs["FunctionName"],
        "LOG_GROUP_NAME": outputs["LogGroupName"],
        "TOKEN_SECRET_ARN": outputs["TokenSecretArn"],
    }
    variables = {
        "README.md": exported,
        "docs/deploy.md": exported,
        "docs/cli.md": {},
        # It sets its own.
        "docs/runbook.md": {},
        "docs/error-codes.md": exported,
    }
    settings = {
        "CREDENTIALS_SECRET_ID": outputs["CredentialsSecretArn"],
        "TOKEN_SECRET_ID": outputs["TokenSecretArn"],
        "TELENOR_BASE_URL": story.telenor.url,
    }
    ran = []
    for document in DOCUMENTS:
        with tempfile.TemporaryDirectory() as name:
            credentials = {"client_id": DEMO_CLIENT_ID, "client_secret": DEMO_CLIENT_SECRET}
            Path(name, "credentials.json").write_text(json.dumps(credentials), encoding="utf-8")
            environment = story.stack.emulator.environment | settings | variables[document]
            ran += type_in(docs.read(ROOT / document).commands(), Path(name), environment, story.aws)
    ends = [(each.command, f"exit code {each.exit_code}") for each in ran]
    ends += [(command, f"not typed here: {why}") for command in commands() if (why := elsewhere(command))]
    for command, end in ends:
        place = f"{command.document}:{command.line}"
        story.console.print(f"{place}: {command.text} → {end}", markup=False, soft_wrap=True)
    for each in ran:
        assert each.exit_code == 0, f"{each.command.text} ended with {each.exit_code}: {each.printed[-500:]}"
        assert "FunctionError" not in each.printed, f"{each.command.text} printed {each.printed[-500:]}"
        if each.command.text.endswith("cat answer.json"):
            assert '"outcome"' in each.printed, f"{each.command.text} printed {each.printed[-500:]}"
        if each.command.text.startswith('echo "$FUNCTION_NAME'):
            names = ("FunctionName", "LogGroupName", "UndeliveredQueueUrl", "TokenSecretArn", "CredentialsSecretArn")
            assert each.printed.split() == [outputs[name] for name in names], each.printed
    admin = story.client("secretsmanager", user(story, "admin", "secretsmanager:*"))
    assert refused(admin.put_secret_value, SecretId=story.token_secret, SecretString="x"), "the policy is not back"
    assert story.stack.invoke({"action": "rotate-and-revoke-now"}).get("outcome") == "rotated"
    until("one token is alive", lambda: live(story) == 1)
    left_out = sum(elsewhere(command) is not None for command in commands())
    story.show("commands of the documents", f"{len(ran)} typed, each ended with 0; {left_out} tried elsewhere")


def run(story: StackStory, *arguments: str, keys: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run a module of this repository as root or as the owner of the keys; return its exit code and its output."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TELENOR_"))}
    environment = mine | story.stack.emulator.environment | {"HOME": str(story.stack.sam.home), "COLUMNS": "140"}
    environment |= {name.upper(): value for name, value in (keys or {}).items()}
    done = subprocess.run(  # noqa: S603  our own words
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_LONGEST_SECONDS,
        check=False,
    )
    return done.returncode, done.stdout


def two_clients_stand_side_by_side(story: StackStory) -> None:
    """`make deploy CLIENT=second` deploys another stack; each has its own token, metrics and function."""
    credentials = {"client_id": _SECOND_CLIENT_ID, "client_secret": DEMO_CLIENT_SECRET}
    secret = story.client("secretsmanager").create_secret(
        Name="second-credentials", SecretString=json.dumps(credentials)
    )
    values = (
        "ScheduleMinutes=1",
        "GraceSeconds=25",
        f"TelenorBaseUrl={story.telenor.url}",
        f"CredentialsSecretArn={secret['ARN']}",
    )
    sam = ("--sam", story.stack.sam.program)
    code, printed = run(story, "infra.deploy", "deploy", *sam, "--client", "second", "--yes", *values)
    assert code == 0, printed
    assert "WARNING: no alarm reaches anybody" in printed, printed
    second = Stack(SECOND, story.stack.sam, {"ClientName": "second"})
    second.look()
    assert second.outputs["FunctionName"].startswith("telenor-token-second-"), second.outputs
    assert second.outputs["CredentialsSecretArn"] == secret["ARN"], second.outputs
    other = Story(
        stack=second,
        telenor=story.telenor,
        console=story.console,
        minted=story.minted,
        client_id=_SECOND_CLIENT_ID,
    )
    until("the second client's first token", lambda: bool(other.tracked()))
    before = story.tracked()
    assert second.invoke({"action": "rotate-and-revoke-now"})["client"] == "second"
    assert story.telenor.is_live(story.token()), "one client's emergency has ended the other's token"
    assert story.telenor.is_live(other.token())
    assert other.token() != story.token()
    assert not other.tracked() & (before | story.tracked())
    code, printed = run(story, "infra.deploy", "outputs", "--stack", SECOND)
    assert f"export FUNCTION_NAME={second.outputs['FunctionName']}\n" in printed, printed
    code, printed = run(story, "infra.deploy", "redeploy", *sam, "--stack", SECOND)
    assert code == 0, printed
    settings = story.client("lambda").get_function_configuration(FunctionName=second.outputs["FunctionName"])
    assert settings["Environment"]["Variables"]["GRACE_SECONDS"] == "25", settings
    assert settings["Environment"]["Variables"]["CLIENT_NAME"] == "second", settings
    story.show("two clients", "make deploy CLIENT=second; its emergency leaves the first one's token alone")
    story.show("outputs, redeploy", "export lines; the second stack updated with the values that it had")


def smoke_tells_what_holds(story: StackStory) -> None:
    """`make smoke` finds nothing wrong with the first stack, and says what is wrong with the second."""
    code, printed = run(story, "infra.smoke", "--stack", story.stack.name, "--yes")
    story.console.print(printed, markup=False)
    assert code == 0, printed
    assert "not shown" not in printed, printed
    story.show("smoke", f"{printed.count(' holds ')} claims hold on the first stack")
    # Its alarms tell nobody, and an operator may see neither the token nor the role.
    operator = user(story, "smoke-operator")
    story.client("iam").attach_user_policy(
        UserName="smoke-operator", PolicyArn=Stack(SECOND, story.stack.sam, {}).look()["OperatorPolicyArn"]
    )
    code, printed = run(story, "infra.smoke", "--stack", SECOND, "--yes", keys=operator)
    assert (code, printed.count("DOES NOT HOLD"), printed.count("not shown")) == (1, 1, 2), printed
    story.show(
        "smoke, by an operator", "alarms that tell nobody found, exit 1; what the operator may not see, not shown"
    )
    Stack(SECOND, story.stack.sam, {}).delete()


def alarms_and_dashboard_watch_what_is_put_out(story: Story) -> None:
    """Alarms and widgets name metrics and dimensions that the function really sends."""
    put_out = next(record for record in story.stack.records() if "_aws" in record)
    dimensions = {name: put_out[name] for name in ("service", "client")}
    cloudwatch = story.client("cloudwatch")
    alarms = cloudwatch.describe_alarms(AlarmNamePrefix=f"{story.stack.name}-{story.stack.client_name}-")[
        "MetricAlarms"
    ]
    for alarm in alarms:
        assert alarm["AlarmActions"], f"{alarm['AlarmName']} tells nobody"
        for namespace, name, which in watched(alarm):
            if namespace == "TelenorToken":
                assert name in METRICS, name
                assert which == dimensions, which
    # Dashboards are global in an account: the name has the region.
    region = story.stack.emulator.environment["AWS_REGION"]
    body = cloudwatch.get_dashboard(DashboardName=f"{story.stack.name}-{region}")["DashboardBody"]
    widgets = json.loads(body)["widgets"]
    drawn = {name for name in METRICS if f'"{name}"' in body}
    assert drawn == METRICS, f"the dashboard leaves out {METRICS - drawn}"
    assert all(f'"{value}"' in body for value in dimensions.values()), body
    story.show("alarms and dashboard", f"{len(alarms)} alarms, {len(widgets)} widgets, on metrics that runs send")


def watched(alarm: Mapping[str, object]) -> list[tuple[str, str, dict[str, str]]]:
    """Return namespace, name and dimensions of each metric that an alarm watches, also in metric math."""
    looked_at = [each["MetricStat"]["Metric"] for each in alarm.get("Metrics", []) if "MetricStat" in each]  # type: ignore[attr-defined]
    return [
        (metric["Namespace"], metric["MetricName"], {each["Name"]: each["Value"] for each in metric["Dimensions"]})
        for metric in looked_at or [alarm]
    ]


def an_update_keeps_everything(story: StackStory) -> None:
    """A changed parameter arrives in the function; secrets, versions and ledger stay."""
    # make smoke has rotated, and the schedule ends the token before that at some time.
    until("nothing waits for its revocation", lambda: len(story.tracked()) == 1)
    before = story.labels(), story.token(), story.stack.outputs
    story.stack.deploy(GraceSeconds="30")
    configuration = story.client("lambda").get_function_configuration(FunctionName=story.stack.outputs["FunctionName"])
    assert configuration["Environment"]["Variables"]["GRACE_SECONDS"] == "30"
    assert (story.labels(), story.token(), story.stack.outputs) == before
    assert story.stack.invoke()["outcome"] == "not-due"
    story.show("update", "GraceSeconds=30 arrived; both secrets, the versions and the ledger as before")


def a_deletion_keeps_what_it_should(story: StackStory) -> None:
    """While others hold its policies: the credentials, the log and the policies stay; the token goes."""
    outputs = story.stack.outputs
    story.stack.delete()
    secretsmanager = story.client("secretsmanager")
    value = secretsmanager.get_secret_value(SecretId=outputs["CredentialsSecretArn"])["SecretString"]
    assert DEMO_CLIENT_SECRET in value
    try:
        secretsmanager.get_secret_value(SecretId=outputs["TokenSecretArn"])
    except ClientError as error:
        assert error.response["Error"]["Code"] in {"ResourceNotFoundException", "InvalidRequestException"}
    else:
        raise AssertionError("the token secret is still there")
    groups = story.client("logs").describe_log_groups(logGroupNamePrefix=outputs["LogGroupName"])["logGroups"]
    assert groups, "the log group is gone"
    story.consumer.delete()
    iam = story.client("iam")
    for name in ("ConsumerPolicyArn", "OperatorPolicyArn"):
        for holder in iam.list_entities_for_policy(PolicyArn=outputs[name])["PolicyUsers"]:
            iam.detach_user_policy(UserName=holder["UserName"], PolicyArn=outputs[name])
        iam.delete_policy(PolicyArn=outputs[name])
    story.show(
        "deletion",
        "while both policies are held; the credentials secret, the log and the policies stay, the token goes",
    )
