"""Deploys the real template with the real artifact to an emulator, and checks what the deployment promises.

Every step asserts; the first claim that fails ends it with its sentence and what the function logged.
"""

from __future__ import annotations

import argparse
import json
import secrets as random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from rich.console import Console
from rich.table import Table

from infra import artifact, docs
from infra.e2e.commands import DOCUMENTS, commands, elsewhere, type_in
from infra.e2e.emulator import Emulator
from infra.e2e.runtime import check_artifact
from infra.e2e.stack import ROOT, CommandError, Sam, Stack
from infra.local.telenor_sandbox import DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, TelenorSandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# What the scheduler takes for a minute here. Nothing else is quicker than in AWS.
SECONDS_A_MINUTE = 8.0
GRACE_SECONDS = 20

ARTIFACT = ROOT / ".aws-sam" / "build" / "TokenFunction"
ALARMS = 5

_PATIENCE_SECONDS = 90.0
_METRICS = {
    "TokenRotated",
    "TokenRevoked",
    "TokenReissued",
    "RotationFailed",
    "RevocationFailed",
    "RevocationAbandoned",
    "RevocationsPending",
    "SecondsUntilExpiry",
}

# Actions that the emulator does not enforce, and why they are in the policy all the same.
TRUSTED = {
    "logs:CreateLogStream": "Lambda writes the log with it; AWS, 'Lambda execution role'",
    "logs:PutLogEvents": "likewise",
    "xray:PutTraceSegments": "Lambda sends traces with it; AWS, 'AWSXRayDaemonWriteAccess'",
    "xray:PutTelemetryRecords": "likewise",
}

# What else is not AWS here.
DIFFERENT = {
    "retries, dead-letter queue and role of the schedule": "not modelled; written by SAM itself, checked by cfn-lint",
    "PutSecretValue drops labels beside AWSCURRENT": "left as it is: each publication shows that the job mends it",
    "resource policies in CloudFormation, the key VersionStage": "added in ministack_corrected.py; IAM itself enforces",
    "a minute of the schedule": f"passes in {SECONDS_A_MINUTE:.0f} s",
    "customer-managed keys and subnets": "accepted and not enforced; the conditions are checked by cfn-lint",
}


@dataclass
class Story:
    """The parts, and what has been shown so far."""

    stack: Stack
    consumer: Stack
    telenor: TelenorSandbox
    console: Console
    minted: list[str]
    aws: Path
    shown: list[tuple[str, str]] = field(default_factory=list)
    trusted: list[tuple[str, str]] = field(default_factory=list)

    def show(self, step: str, evidence: str) -> None:
        """Note a claim that has held."""
        self.shown.append((step, evidence))
        self.console.print(f"{step}: {evidence}")

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

    def tracked(self) -> set[str]:
        """Return the versions in the ledger."""
        return {version for version, stages in self.labels().items() if any(s.startswith("LIVE_") for s in stages)}

    def token(self, version_id: str | None = None) -> str:
        """Return the access token of a version, by default of the current one."""
        which = {"VersionId": version_id} if version_id else {"VersionStage": "AWSCURRENT"}
        value = self.client("secretsmanager").get_secret_value(SecretId=self.token_secret, **which)["SecretString"]
        access_token: str = json.loads(value)["access_token"]
        return access_token


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


def a_bad_parameter_is_refused_by_name(story: Story) -> None:
    """A value out of range does not get as far as a stack."""
    for name, value in (("ScheduleMinutes", "7"), ("GraceSeconds", "-1"), ("TelenorBaseUrl", "http://example.com")):
        try:
            Stack("refused", story.stack.sam, story.stack.parameters | {name: value}).deploy()
        except CommandError as error:
            assert name in str(error), f"the refusal of {name} does not name it: {error}"
        else:
            raise AssertionError(f"{name}={value} was deployed")
    story.show("bad parameters", "ScheduleMinutes=7, GraceSeconds=-1 and a plain-http TelenorBaseUrl refused by name")


def the_schedule_finds_the_placeholder(story: Story) -> None:
    """Nothing is invoked by hand: the first ticks fail with the sentence, and the next one publishes."""
    says = "does not hold a JSON object: put"
    took = until("a tick that says what to put", lambda: any(says in line for line in story.stack.messages()))
    metrics = story.stack.metrics()[0]
    assert metrics["RotationFailed"] == 1, metrics
    assert metrics["SecondsUntilExpiry"] == 0, metrics
    assert not story.telenor.requests, "a token was asked for without credentials"
    sentence = next(line for line in story.stack.messages() if says in line)
    story.show("placeholder", f"a tick after {took:.0f} s: {sentence[:90]}…; RotationFailed 1, SecondsUntilExpiry 0")

    story.client("secretsmanager").put_secret_value(
        SecretId=story.stack.outputs["CredentialsSecretArn"],
        SecretString=json.dumps({"client_id": DEMO_CLIENT_ID, "client_secret": DEMO_CLIENT_SECRET}),
    )
    took = until("a tick that publishes", lambda: bool(story.tracked()))
    assert story.telenor.is_live(story.token())
    story.show("first token", f"{took:.0f} s after the credentials were put, by the schedule alone")


def consumers_read_and_strangers_do_not(story: Story) -> None:
    """The consumer stack works under the consumer policy; nobody else reads, and nobody but the job writes."""
    story.consumer.parameters |= {
        "TokenSecretArn": story.token_secret,
        "ConsumerPolicyArn": story.stack.outputs["ConsumerPolicyArn"],
    }
    story.consumer.deploy()
    answer = story.consumer.invoke()
    assert answer.get("status") == 200, answer  # noqa: PLR2004
    served = story.telenor.state()["protected"]["accepted"]
    story.show("consumer", f"deployed, read the token, and the API answered {answer} ({served} served)")

    stranger = story.client("secretsmanager", user(story, "stranger"))
    assert refused(stranger.get_secret_value, SecretId=story.token_secret)
    reader = story.client("secretsmanager", user(story, "reader"))
    assert json.loads(reader.get_secret_value(SecretId=story.token_secret)["SecretString"])["access_token"]
    assert refused(reader.put_secret_value, SecretId=story.token_secret, SecretString="x")
    admin = story.client("secretsmanager", user(story, "admin", "secretsmanager:*"))
    assert refused(admin.put_secret_value, SecretId=story.token_secret, SecretString="x")
    story.show("readers", "a user without a policy refused; a named reader reads and cannot write; nor can an admin")


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


def the_role_can_do_no_more(story: Story) -> None:
    """With the function's own permissions: no writing of credentials, no moving of AWSCURRENT, no other secrets."""
    session = story.client("sts").assume_role(RoleArn=story.stack.outputs["FunctionRoleArn"], RoleSessionName="e2e")
    keys = session["Credentials"]
    role = story.client(
        "secretsmanager",
        {
            "aws_access_key_id": keys["AccessKeyId"],
            "aws_secret_access_key": keys["SecretAccessKey"],
            "aws_session_token": keys["SessionToken"],
        },
    )
    credentials, token = story.stack.outputs["CredentialsSecretArn"], story.token_secret
    other = story.client("secretsmanager").create_secret(Name="somebody/else", SecretString="x")["ARN"]
    current = next(version for version, stages in story.labels().items() if "AWSCURRENT" in stages)
    assert role.describe_secret(SecretId=token)["ARN"] == token, "the session is not the role's"
    assert refused(role.put_secret_value, SecretId=credentials, SecretString="x")
    assert refused(role.describe_secret, SecretId=credentials)
    assert refused(role.get_secret_value, SecretId=other)
    assert refused(role.delete_secret, SecretId=token)
    for label in ("AWSCURRENT", "AWSPENDING"):
        assert refused(
            role.update_secret_version_stage, SecretId=token, VersionStage=label, RemoveFromVersionId=current
        ), f"the function may move {label}"
    story.show("role", "cannot write the credentials, read another secret, delete, or move AWSCURRENT or AWSPENDING")


def a_superseded_token_has_its_grace(story: Story) -> None:
    """rotate-now by hand; the previous token lives through its grace, and the schedule revokes it."""
    previous = story.token()
    result = story.stack.invoke({"action": "rotate-now"})
    rotated_at = time.time()
    assert (result.get("outcome"), result.get("reason")) == ("rotated", "forced"), result
    assert story.telenor.is_live(previous), "the previous token did not live through its grace"
    until("a scheduled run that revokes it", lambda: not story.telenor.is_live(previous))
    lived = time.time() - rotated_at
    assert lived >= GRACE_SECONDS - 1, f"it was revoked after {lived:.1f} s of {GRACE_SECONDS} s"
    until("its label is removed", lambda: story.tracked() == {result["version_id"]})
    assert story.telenor.is_live(story.token())
    story.show("grace", f"rotate-now; the previous token was revoked by the schedule {lived:.0f} s later")


def a_leak_is_ended_at_once(story: Story) -> None:
    """rotate-and-revoke-now leaves one token alive."""
    leaked = story.token()
    result = story.stack.invoke({"action": "rotate-and-revoke-now"})
    assert result.get("outcome") == "rotated", result
    assert not story.telenor.is_live(leaked)
    until("one token is alive", lambda: live(story) == 1)
    story.show("leak", f"rotate-and-revoke-now; revoked {len(result['revoked'])}, one token alive")


def every_command_of_the_documents_works(story: Story) -> None:
    """What README.md and the runbook tell their readers to type ends well, typed as it stands there."""
    outputs = story.stack.outputs
    variables = {
        "README.md": {
            "CREDENTIALS_SECRET_ARN": outputs["CredentialsSecretArn"],
            "FUNCTION_NAME": outputs["FunctionName"],
        },
        # It sets its own.
        "docs/runbook.md": {},
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


def live(story: Story) -> int:
    """Count the tokens that Telenor accepts. A scheduled run at the same time may have published one besides."""
    return sum(token["status"] == "live" for token in story.telenor.state()["tokens"].values())


def every_permission_is_needed(story: Story) -> None:
    """Take each action out of the role's policy: a named step fails. Give it back: all goes well."""
    role_name = story.stack.outputs["FunctionRoleArn"].rpartition("/")[2]
    iam = story.client("iam")
    (name,) = iam.list_role_policies(RoleName=role_name)["PolicyNames"]
    original = iam.get_role_policy(RoleName=role_name, PolicyName=name)["PolicyDocument"]
    for sid, action in actions(original):
        if action in TRUSTED:
            continue
        reduced = json.dumps(without(original, sid, action))
        iam.put_role_policy(RoleName=role_name, PolicyName=name, PolicyDocument=reduced)
        seen = len(story.stack.messages())
        answer = story.stack.invoke({"action": "rotate-and-revoke-now"})
        iam.put_role_policy(RoleName=role_name, PolicyName=name, PolicyDocument=json.dumps(original))
        said = [line for line in story.stack.messages()[seen:] if "AccessDenied" in line]
        operation = action.partition(":")[2]
        assert any(operation in line for line in said), f"without {action} ({sid}) nothing failed: {answer}"
        story.show(f"without {operation} ({sid})", next(line for line in said if operation in line)[:110] + "…")
    assert story.stack.invoke({"action": "rotate-and-revoke-now"}).get("outcome") == "rotated"
    until("with all permissions back, one token is alive", lambda: live(story) == 1)
    for action, reason in TRUSTED.items():
        assert action in {action for _, action in actions(original)}
        story.trusted.append((f"{action} is not enforced here", reason))


def actions(policy: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """List the actions of a policy with the statement that allows each."""
    for statement in policy["Statement"]:
        listed = statement["Action"]
        for action in [listed] if isinstance(listed, str) else listed:
            yield statement["Sid"], action


def without(policy: dict[str, Any], sid: str, action: str) -> dict[str, Any]:
    """Return a policy less one action of one statement."""
    statements = []
    for statement in policy["Statement"]:
        listed = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        kept = [each for each in listed if (statement["Sid"], each) != (sid, action)]
        if kept:
            statements.append(statement | {"Action": kept})
    return policy | {"Statement": statements}


def nothing_leaks_and_every_metric_is_there(story: Story) -> None:
    """The deployed log group, and what the emulator printed, hold no secret; each run has all metrics."""
    lines = story.stack.log()
    text = "\n".join(lines) + story.stack.emulator.log.read_text(errors="replace")
    for secret in (DEMO_CLIENT_SECRET, *story.minted):
        assert secret not in text, "a secret is in the log"
    for metrics in story.stack.metrics():
        assert metrics.keys() == _METRICS, f"a run's metrics are {sorted(metrics)}"
    runs = len(story.stack.metrics())
    story.show(
        "log",
        f"{len(lines)} lines, {runs} runs with all {len(_METRICS)} metrics; {len(story.minted)} tokens, none there",
    )


def alarms_and_dashboard_watch_what_is_put_out(story: Story) -> None:
    """Alarms and widgets name metrics and dimensions that the function really puts out."""
    service = next(record["service"] for record in story.stack.records() if "_aws" in record)
    cloudwatch = story.client("cloudwatch")
    alarms = cloudwatch.describe_alarms(AlarmNamePrefix=f"{story.stack.name}-")["MetricAlarms"]
    assert len(alarms) == ALARMS, [alarm["AlarmName"] for alarm in alarms]
    for alarm in alarms:
        assert len(alarm["AlarmActions"]) == 1, f"{alarm['AlarmName']} tells nobody"
        if alarm["Namespace"] == "TelenorToken":
            assert alarm["MetricName"] in _METRICS, alarm["MetricName"]
            assert alarm["Dimensions"] == [{"Name": "service", "Value": service}], alarm["Dimensions"]
    body = cloudwatch.get_dashboard(DashboardName=story.stack.name)["DashboardBody"]
    widgets = json.loads(body)["widgets"]
    drawn = {name for name in _METRICS if f'"{name}"' in body}
    assert drawn == _METRICS, f"the dashboard leaves out {_METRICS - drawn}"
    assert f'"{service}"' in body
    story.show("alarms and dashboard", f"{len(alarms)} alarms, {len(widgets)} widgets, on metrics that are put out")


def an_update_keeps_everything(story: Story) -> None:
    """A changed parameter arrives in the function; secrets, versions and ledger stay."""
    before = story.labels(), story.token(), story.stack.outputs
    story.stack.deploy(GraceSeconds="30")
    configuration = story.client("lambda").get_function_configuration(FunctionName=story.stack.outputs["FunctionName"])
    assert configuration["Environment"]["Variables"]["GRACE_SECONDS"] == "30"
    assert (story.labels(), story.token(), story.stack.outputs) == before
    assert story.stack.invoke()["outcome"] == "not-due"
    story.show("update", "GraceSeconds=30 arrived; both secrets, the versions and the ledger as before")


def a_deletion_keeps_what_it_should(story: Story) -> None:
    """The credentials and the log stay; the token goes."""
    outputs = story.stack.outputs
    story.consumer.delete()
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
    story.show("deletion", "the credentials secret and the log stay, the token secret goes")


def the_artifact_is_small_and_always_the_same(story: Story) -> None:
    """What SAM has built is pure Python, within its limit, and comes out the same a second time."""
    assert artifact.faults(ARTIFACT) == []
    content = artifact.zipped(ARTIFACT)
    with tempfile.TemporaryDirectory() as name:
        again = Path(name) / "again"
        artifact.make(again)
        assert artifact.zipped(again) == content, "a second build has other bytes"
    story.show("artifact", f"{len(content):,} bytes zipped, no compiled file, the same bytes in a second build")


STEPS = (
    the_artifact_is_small_and_always_the_same,
    a_bad_parameter_is_refused_by_name,
    the_schedule_finds_the_placeholder,
    consumers_read_and_strangers_do_not,
    the_role_can_do_no_more,
    a_superseded_token_has_its_grace,
    a_leak_is_ended_at_once,
    every_command_of_the_documents_works,
    every_permission_is_needed,
    nothing_leaks_and_every_metric_is_there,
    alarms_and_dashboard_watch_what_is_put_out,
    an_update_keeps_everything,
    a_deletion_keeps_what_it_should,
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
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 140
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
            reader = "arn:aws:iam::000000000000:user/reader"
            stack = Stack(
                "telenor-token",
                sam,
                {
                    "TelenorBaseUrl": telenor.url,
                    "ScheduleMinutes": "1",
                    "GraceSeconds": str(GRACE_SECONDS),
                    "ReaderPrincipals": reader,
                    "AlarmEmail": "operator@example.com",
                },
            )
            consumer = Stack(
                "telenor-consumer", sam, {"TelenorBaseUrl": telenor.url}, template="infra/consumer/template.yaml"
            )
            story = Story(stack, consumer, telenor, console, minted, arguments.aws.absolute())
            stack.deploy()
            story.show("deployment", f"sam build and sam deploy of template.yaml, {len(stack.outputs)} outputs")
            try:
                for step in STEPS:
                    step(story)
            except BaseException:
                console.print("\n".join(["What the function logged last:", *stack.log()[-15:]]))
                raise
        story.shown += check_artifact(ARTIFACT, arguments.runtime.absolute())
    seconds = time.monotonic() - began_at
    for title, rows in (
        (f"Shown, in {seconds:.0f} s", story.shown),
        ("Not shown here, and why it is trusted", [*story.trusted, *DIFFERENT.items()]),
    ):
        table = Table("step", "evidence", title=title, expand=True)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    console.print(f"{len(story.shown)} passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
