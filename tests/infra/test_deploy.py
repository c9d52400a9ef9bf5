"""The questions, refusals and output of `make deploy` before anything is built."""

from __future__ import annotations

import io
import os
import subprocess
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from infra import deploy
from infra.template import load, parameters

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = load()
DEFAULTS = {name: parameter.default for name, parameter in parameters(TEMPLATE).items()}
ASKED = [
    name
    for group in TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    for name in group["Parameters"]
]

# By these a stack is this job's.
OWN = {"FunctionName": "x", "FunctionRoleArn": "x", "LogGroupName": "x", "TokenSecretArn": "y"}

# Records its arguments and region.
SAM = """\
#!/bin/sh
for word in "$AWS_REGION" "$AWS_DEFAULT_REGION" "$@"; do printf '%s\\n' "$word"; done >> called
"""


class FakeCloudFormation:
    """An account with some stacks; it records the regions of its clients."""

    def __init__(self) -> None:
        self.stacks: dict[str, dict[str, Any]] = {}
        self.regions: list[str] = []

    def client(self, service: str, region_name: str) -> FakeCloudFormation:
        assert service in {"cloudformation", "sts"}
        self.regions.append(region_name)
        return self

    def put(
        self, status: str = "CREATE_COMPLETE", name: str = "telenor-token", given: Any = (), outputs: Any = OWN
    ) -> None:
        self.stacks[name] = {
            "StackStatus": status,
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in dict(given).items()],
            "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in dict(outputs).items()],
        }

    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": ACCOUNT}

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803  boto3's own name
        if StackName not in self.stacks:
            raise ClientError({"Error": {"Message": f"Stack with id {StackName} does not exist"}}, "DescribeStacks")
        return {"Stacks": [self.stacks[StackName]]}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove this machine's AWS settings."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    # boto3's default session caches the credentials.
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


@pytest.fixture
def cloudformation(monkeypatch: pytest.MonkeyPatch) -> FakeCloudFormation:
    """Set up an account without stacks, with AWS_REGION alone."""
    fake = FakeCloudFormation()
    monkeypatch.setattr(boto3, "client", fake.client)
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    return fake


@pytest.fixture
def sam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create a fake SAM CLI, in a checkout of its own."""
    program = tmp_path / "sam"
    program.write_text(SAM)
    program.chmod(0o755)
    monkeypatch.setattr(deploy, "ROOT", tmp_path)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "sam")
    git(tmp_path, "commit", "--quiet", "--message", "A commit")
    return program


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com")
    done = subprocess.run(  # noqa: S603  our own words
        ["/usr/bin/env", "git", "-C", str(root), *identity, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def called(sam: Path) -> list[str]:
    """Return the arguments of every call of SAM, each after the two regions of its environment."""
    written = sam.with_name("called")
    return written.read_text().splitlines() if written.exists() else []


def overrides(sam: Path) -> list[str]:
    """Return the parameters that SAM changes, except Version."""
    words = called(sam)
    return [word for word in words[words.index("--parameter-overrides") + 1 :] if not word.startswith("Version=")]


def answer(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


# The questions


def test_every_parameter_is_asked_for_once() -> None:
    assert sorted(ASKED) == sorted(DEFAULTS)


@pytest.mark.parametrize(
    ("name", "before", "answers", "value", "message"),
    [
        ("GraceSeconds", "900", [""], "900", "GraceSeconds [900]: "),
        ("GraceSeconds", "600", ["1800", "1200"], "1200", "GraceSeconds=1800 is not accepted: use a whole number"),
        ("TelenorScope", "read", ["-"], "", "A hyphen empties it"),
        ("RunbookUrl", "https://a/b", ["https://a/it's", ""], "https://a/b", "SAM drops quotes and backslashes"),
    ],
)
def test_a_question_is_repeated_until_its_answer_is_valid(
    name: str,
    before: str,
    answers: list[str],
    value: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    answer(monkeypatch, *answers)
    parameter = parameters(TEMPLATE)[name]
    assert deploy.ask(parameter, before) == value
    printed = capfd.readouterr().out
    assert f"Accepted: {parameter.accepted}." in printed
    assert message in printed


# Refusals

ACCOUNT = "123456789012"
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mine-a1b2c3"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:mine"
READER = {"ReaderPrincipals": "arn:aws:iam::999999999999:role/a", "KmsKeyArn": KEY}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"GraceSeconds": "1800"}, "GraceSeconds=1800 is not accepted: use a whole number from 0 to 1200"),
        ({"ScheduleMinutes": "15"}, "ScheduleMinutes=15 is not accepted: use one of 1, 2, 5"),
        ({"SubnetIds": "subnet-0a"}, "SubnetIds needs SecurityGroupIds"),
        (READER | {"ReaderAccountIds": "888888888888"}, "add 999999999999 to ReaderAccountIds"),
        (READER | {"ReaderAccountIds": "888888888888, 999999999999"}, None),
        ({"PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/a"}, None),
        ({"PermissionsBoundaryArn": "arn:aws:iam::aws:policy/a"}, None),
        (
            {"PermissionsBoundaryArn": "arn:aws:iam::999999999999:policy/a"},
            "is in account 999999999999, and the stack in 123456789012",
        ),
        ({"PermissionsBoundaryArn": "arn:aws-cn:iam::123456789012:policy/a"}, "is in the partition aws-cn"),
        ({"AlarmTopicArn": "arn:aws-cn:sns:eu-west-1:123456789012:a"}, "is in the partition aws-cn"),
        ({"RunbookUrl": f"https://{'a' * 504}"}, None),
        ({"RunbookUrl": f"https://{'a' * 505}"}, "RunbookUrl=https://a+ is not accepted"),
        ({"TelenorScope": "a" * 513}, "TelenorScope=a+ is not accepted"),
    ],
)
def test_values_that_cloudformation_would_refuse_are_refused_first(
    changed: dict[str, str], sentence: str | None
) -> None:
    if sentence is None:
        deploy.check(TEMPLATE, DEFAULTS | changed, "eu-west-1", ACCOUNT)
        return
    with pytest.raises(deploy.RefusalError, match=sentence):
        deploy.check(TEMPLATE, DEFAULTS | changed, "eu-west-1", ACCOUNT)


@pytest.mark.parametrize(
    "name", [name for name in DEFAULTS if name.endswith(("Arn", "Arns")) and "Role" not in name and "Bound" not in name]
)
def test_an_arn_of_another_region_is_refused_and_both_regions_named(name: str) -> None:
    arn = TOPIC if "Topic" in name else KEY if "Kms" in name else SECRET
    values = DEFAULTS | {"CredentialsSecretArn": SECRET.replace("eu-west-1", "eu-north-1"), name: arn}
    with pytest.raises(deploy.RefusalError, match=f"{name} is in eu-west-1, and the stack is deployed in eu-north-1"):
        deploy.check(TEMPLATE, values, "eu-north-1", ACCOUNT)
    deploy.check(TEMPLATE, DEFAULTS | {"CredentialsSecretArn": SECRET, name: arn}, "eu-west-1", ACCOUNT)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("Grace=1", "Grace"),
        ("GraceSecond=1", "did you mean GraceSeconds"),
        ("GraceSeconds", "GraceSeconds"),
        ("GraceSeconds=1800", "GraceSeconds=1800"),
        ("TelenorScope='read", "SET"),
        ('RunbookUrl="https://a/it\'s"', "SAM drops quotes"),
        (f"PreviousKmsKeyArns={KEY},", "PreviousKmsKeyArns"),
        ("SubnetIds=subnet-1, SecurityGroupIds=sg-1", "SubnetIds"),
        ("TelenorScope=' a'", "TelenorScope"),
        ("ClientName=beta", "CLIENT is acme, and SET has ClientName=beta"),
        ("Version=v1", "SET has Version"),
    ],
)
def test_an_invalid_set_option_is_refused_before_any_call_to_aws(
    given: str, named: str, cloudformation: FakeCloudFormation, sam: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert deploy.main(["deploy", "--sam", str(sam), "--client", "acme", "--yes", "--set", given]) == 2
    assert named in capfd.readouterr().err
    assert not called(sam)
    assert not cloudformation.regions


@pytest.mark.parametrize(
    ("status", "command"),
    [
        *((f"{each}_FAILED", "delete-stack") for each in ("CREATE", "ROLLBACK", "DELETE")),
        ("ROLLBACK_COMPLETE", "delete-stack"),
        ("UPDATE_FAILED", "rollback-stack"),
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "wait"),
        ("IMPORT_ROLLBACK_FAILED", "describe-stack-events"),
    ],
)
@pytest.mark.parametrize("subcommand", ["deploy", "redeploy"])
def test_a_stack_that_cannot_be_updated_is_refused_before_the_build(
    subcommand: str,
    status: str,
    command: str,
    cloudformation: FakeCloudFormation,
    sam: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    cloudformation.put(status=status)
    assert deploy.main([subcommand, "--sam", str(sam)]) == 2
    printed = capfd.readouterr()
    assert status in printed.err
    assert command in printed.err
    assert printed.err.count("\n") == 1
    assert "[" not in printed.out, "it asked questions first"
    assert not called(sam)


@pytest.mark.parametrize(
    "status", ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"]
)
def test_a_stack_in_any_other_state_is_deployed(status: str, cloudformation: FakeCloudFormation, sam: Path) -> None:
    cloudformation.put(status=status)
    assert deploy.main(["deploy", "--sam", str(sam), "--yes"]) == 0
    assert "deploy" in called(sam)


@pytest.mark.parametrize("outputs", [{}, {"FunctionName": "x"}, {"TokenSecretArn": "y"}])
@pytest.mark.parametrize("command", [["deploy", "--yes"], ["redeploy"]])
def test_a_stack_that_is_not_the_job_s_is_not_replaced(
    command: list[str],
    outputs: dict[str, str],
    cloudformation: FakeCloudFormation,
    sam: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    cloudformation.put(name="network-prod", given={"VpcCidr": "10.0.0.0/16"}, outputs=outputs)
    assert deploy.main([*command, "--sam", str(sam), "--stack", "network-prod"]) == 2
    printed = capfd.readouterr()
    assert "network-prod in eu-north-1 is not this job's" in printed.err
    assert not called(sam)


@pytest.mark.parametrize("stack", ["telenor_token", "1telenor", "t" * 129, "-"])
def test_a_stack_name_that_cloudformation_refuses_is_not_built(
    stack: str, cloudformation: FakeCloudFormation, sam: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert deploy.main(["deploy", "--yes", "--sam", str(sam), f"--stack={stack}"]) == 2
    assert f"STACK={stack}" in capfd.readouterr().err
    assert not cloudformation.regions
    assert not called(sam)


def test_outputs_and_redeployment_require_a_stack(
    cloudformation: FakeCloudFormation, capfd: pytest.CaptureFixture[str]
) -> None:
    for command in ("outputs", "redeploy"):
        assert deploy.main([command]) == 2
        assert "there is no stack telenor-token in eu-north-1" in capfd.readouterr().err
    cloudformation.put(status="ROLLBACK_COMPLETE", outputs={})
    assert deploy.main(["outputs"]) == 2
    assert "ROLLBACK_COMPLETE" in capfd.readouterr().err
    outputs = {"FunctionName": "x", "UntoldAlarms": "WARNING: it's so"}
    cloudformation.put(status="UPDATE_IN_PROGRESS", outputs=outputs)
    assert deploy.main(["outputs"]) == 0
    assert capfd.readouterr().out.splitlines() == [
        "export AWS_REGION=eu-north-1",
        "export AWS_DEFAULT_REGION=eu-north-1",
        "export FUNCTION_NAME=x",
        "export UNTOLD_ALARMS='WARNING: it'\"'\"'s so'",
    ]


# The environment


@pytest.mark.parametrize("command", [["outputs"], ["redeploy"], ["deploy", "--yes"]])
@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "no region is set"),
        ({"AWS_PROFILE": "nope"}, "nope"),
        ({"AWS_PROFILE": "nope", "AWS_REGION": "eu-north-1"}, "nope"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}, "no region is set"),
        ({"AWS_REGION": "eu-north-1", "AWS_ENDPOINT_URL": "notaurl"}, "notaurl"),
        ({"AWS_REGION": "eu-north-1", "AWS_MAX_ATTEMPTS": "abc"}, "abc"),
        ({"AWS_REGION": "eu-north-1", "AWS_EC2_METADATA_DISABLED": "true"}, "Log in, or set AWS_PROFILE"),
    ],
)
def test_an_unusable_environment_prints_one_sentence(
    variables: dict[str, str], message: str, command: list[str], monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert deploy.main(command) == 2
    printed = capfd.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def test_an_unreachable_aws_prints_one_sentence(
    cloudformation: FakeCloudFormation, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def describe_stacks(**_: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://nowhere")

    monkeypatch.setattr(cloudformation, "describe_stacks", describe_stacks)
    assert deploy.main(["outputs"]) == 2
    printed = capfd.readouterr().err
    assert (printed.count("\n"), "Log in" in printed) == (1, False)


@pytest.mark.parametrize(
    "regions",
    [
        {"AWS_REGION": "eu-west-1"},
        {"AWS_DEFAULT_REGION": "eu-west-1"},
        {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-central-1"},
    ],
)
def test_aws_calls_and_sam_use_the_same_region(
    regions: dict[str, str], cloudformation: FakeCloudFormation, sam: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_REGION")
    for name, region in regions.items():
        monkeypatch.setenv(name, region)
    assert deploy.main(["deploy", "--yes", "--sam", str(sam)]) == 0
    assert set(cloudformation.regions) == {"eu-west-1"}
    assert called(sam)[:6] == ["eu-west-1", "eu-west-1", "build", "eu-west-1", "eu-west-1", "deploy"]
    assert called(sam)[called(sam).index("--region") + 1] == "eu-west-1"


@pytest.mark.parametrize("missing", ["sam", ".git"])
@pytest.mark.usefixtures("cloudformation")
def test_without_a_sam_cli_or_a_git_checkout_nothing_is_deployed(
    missing: str, sam: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sam.with_name(missing).rename(sam.with_name("moved"))
    assert deploy.main(["deploy", "--yes", "--sam", str(sam)]) == 2
    assert capfd.readouterr().err.count("\n") == 1
    assert not called(sam)


# Deployments


def test_without_questions_set_values_are_deployed_and_the_others_kept(
    cloudformation: FakeCloudFormation, sam: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kept = {"GraceSeconds": "900", "AlarmEmail": "somebody@example.com", "RunbookUrl": "https://example.com/it's"}
    cloudformation.put(given=kept | {"TelenorScope": "read"})
    given = "GraceSeconds=900 RenewAtFraction=0.25 TelenorScope='read write'"
    assert deploy.main(["deploy", "--sam", str(sam), "--yes", "--set", given]) == 0
    assert overrides(sam) == ['TelenorScope="read write"', 'RenewAtFraction="0.25"']
    printed = capfd.readouterr().out
    assert [line.strip() for line in printed.splitlines() if "→" in line] == [
        "TelenorScope: read → read write",
        "RenewAtFraction: 0.33 → 0.25",
        f"Version: unknown → {git(sam.parent, 'rev-parse', 'HEAD')}",
    ]
    assert "WARNING" not in printed


@pytest.mark.parametrize("command", [["deploy", "--yes"], ["redeploy"]])
def test_the_function_gets_the_commit_as_its_version(
    command: list[str], cloudformation: FakeCloudFormation, sam: Path
) -> None:
    cloudformation.put(given={"Version": "v1.2.2-0-g0123"})
    git(sam.parent, "tag", "v1.2.3")
    commit = git(sam.parent, "rev-parse", "HEAD")
    assert deploy.main([*command, "--sam", str(sam)]) == 0
    assert called(sam)[-1] == f'Version="v1.2.3-0-g{commit}"'
    sam.write_text(f"{SAM}\n")
    assert deploy.main([*command, "--sam", str(sam)]) == 0
    assert called(sam)[-1] == f'Version="v1.2.3-0-g{commit}-dirty"'


def test_changes_are_shown_before_confirmation_and_no_deploys_nothing(
    cloudformation: FakeCloudFormation,
    sam: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    kept = {"ClientName": "b2b", "TelenorScope": "read", "Version": git(sam.parent, "rev-parse", "HEAD")}
    cloudformation.put(name="telenor-token-b2b", given=kept)
    answers = {"GraceSeconds": "900", "TelenorScope": "-"}
    answer(monkeypatch, *(answers.get(name, "") for name in ASKED if name not in {"ClientName", "Version"}), "n")
    assert deploy.main(["deploy", "--sam", str(sam), "--client", "b2b"]) == 2
    printed = capfd.readouterr()
    assert "WARNING: no alarm has a recipient" in printed.out
    assert printed.out.index("GraceSeconds: 600 → 900") < printed.out.index("[y/N]")
    assert "TelenorScope: read → (empty)" in printed.out
    assert printed.out.count("→") == 2
    assert "nothing was deployed" in printed.err
    assert not called(sam)


@pytest.mark.parametrize("answered", [0, 3])
@pytest.mark.usefixtures("cloudformation")
def test_an_end_of_stdin_deploys_nothing(
    answered: int, sam: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, *[""] * answered)
    assert deploy.main(["deploy", "--sam", str(sam)]) == 2
    assert "YES=1" in capfd.readouterr().err
    assert not called(sam)
