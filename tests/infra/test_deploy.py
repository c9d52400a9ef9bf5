"""The questions, refusals and output of `make deploy` before anything is built."""

from __future__ import annotations

import io
import subprocess
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from botocore.parsers import ResponseParserError

from infra import deploy
from infra.load_template import load
from infra.stack_parameters import parameters
from tests.infra.fake_cloudformation import UNUSABLE_ENVIRONMENTS, FakeCloudFormation, unwritable_stdout

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("clean_environment")

TEMPLATE = load()
DEFAULTS = {name: parameter.default for name, parameter in parameters(TEMPLATE).items()}
ASKED = [
    name
    for group in TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    for name in group["Parameters"]
]

# Records its arguments and region.
SAM = """\
#!/bin/sh
for word in "$AWS_REGION" "$AWS_DEFAULT_REGION" "$@"; do printf '%s\\n' "$word"; done >> called
"""


class Program:
    """The program on an account without stacks, with a fake SAM CLI in a checkout of its own."""

    def __init__(self, aws: FakeCloudFormation, root: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.aws = aws
        self.sam = root / "sam"
        self._capture = capture
        self.sam.write_text(SAM)
        self.sam.chmod(0o755)
        git(root, "init", "--quiet")
        git(root, "add", "sam")
        git(root, "commit", "--quiet", "--message", "A commit")

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Return its exit status, stdout and stderr."""
        status = deploy.main([*arguments, "--sam", str(self.sam)])
        printed = self._capture.readouterr()
        return status, printed.out, printed.err

    @property
    def called(self) -> list[str]:
        """The arguments of every call of SAM, each after the two regions of its environment."""
        written = self.sam.with_name("called")
        return written.read_text().splitlines() if written.exists() else []


@pytest.fixture
def program(
    cloudformation: FakeCloudFormation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Program:
    program = Program(cloudformation, tmp_path, capfd)
    monkeypatch.setattr(deploy, "ROOT", tmp_path)
    # Reading the template takes most of a command's time.
    monkeypatch.setattr(deploy, "load", lambda: TEMPLATE)
    return program


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com")
    done = subprocess.run(  # noqa: S603  our own words
        ["/usr/bin/env", "git", "-C", str(root), *identity, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


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
    name: str, before: str, answers: list[str], value: str, message: str, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    answer(monkeypatch, *answers)
    parameter = parameters(TEMPLATE)[name]
    assert deploy.ask(parameter, before) == value
    printed = capfd.readouterr().out
    assert f"Accepted: {parameter.accepted}." in printed
    assert message in printed


# Refusals

KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def test_an_arn_of_another_account_is_refused_before_the_build(program: Program) -> None:
    given = "DeploymentRoleArn=arn:aws:iam::999999999999:role/a"
    status, _, message = program.run("deploy", "--yes", "--set", given)
    assert (status, "999999999999" in message) == (2, True)
    assert not program.called


@pytest.mark.parametrize(
    ("given", "named"),
    [
        *(("Grace=1", "Grace"), ("GraceSecond=1", "did you mean GraceSeconds"), ("GraceSeconds", "GraceSeconds")),
        *(("GraceSeconds=1800", "GraceSeconds=1800"), ("TelenorScope='read", "SET")),
        *(('RunbookUrl="https://a/it\'s"', "SAM drops quotes"), (f"PreviousKmsKeyArns={KEY},", "PreviousKmsKeyArns")),
        *(("SubnetIds=subnet-1, SecurityGroupIds=sg-1", "SubnetIds"), ("TelenorScope=' a'", "TelenorScope")),
        *(("ClientName=beta", "CLIENT is acme, and SET has ClientName=beta"), ("Version=v1", "SET has Version")),
    ],
)
def test_an_invalid_set_option_is_refused_before_any_call_to_aws(given: str, named: str, program: Program) -> None:
    status, _, message = program.run("deploy", "--client", "acme", "--yes", "--set", given)
    assert (status, named in message) == (2, True)
    assert not program.called
    assert not program.aws.regions


@pytest.mark.parametrize(
    ("status", "command"),
    [
        *((f"{each}_FAILED", "delete-stack") for each in ("CREATE", "ROLLBACK", "DELETE")),
        *(("ROLLBACK_COMPLETE", "delete-stack"), ("UPDATE_FAILED", "rollback-stack")),
        *(("UPDATE_ROLLBACK_FAILED", "continue-update-rollback"), ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "wait")),
        ("IMPORT_ROLLBACK_FAILED", "describe-stack-events"),
    ],
)
@pytest.mark.parametrize("subcommand", ["deploy", "redeploy"])
def test_a_stack_that_cannot_be_updated_is_refused_before_the_build(
    subcommand: str, status: str, command: str, program: Program
) -> None:
    program.aws.put(status=status)
    exit_status, out, message = program.run(subcommand)
    assert exit_status == 2
    assert status in message
    assert command in message
    assert message.count("\n") == 1
    assert "[" not in out, "it asked questions first"
    assert not program.called


@pytest.mark.parametrize(
    "state", ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"]
)
def test_a_stack_in_any_other_state_is_deployed(state: str, program: Program) -> None:
    program.aws.put(state)
    assert program.run("deploy", "--yes")[0] == 0
    assert "deploy" in program.called


@pytest.mark.parametrize("outputs", [{}, {"FunctionName": "x"}, {"TokenSecretArn": "y"}])
@pytest.mark.parametrize("command", [["deploy", "--yes"], ["redeploy"]])
def test_a_stack_that_is_not_the_job_s_is_not_replaced(
    command: list[str], outputs: dict[str, str], program: Program
) -> None:
    program.aws.put(name="network-prod", given={"VpcCidr": "10.0.0.0/16"}, outputs=outputs)
    status, _, message = program.run(*command, "--stack", "network-prod")
    assert (status, "network-prod in eu-north-1 is not this job's" in message) == (2, True)
    assert not program.called


@pytest.mark.parametrize("stack", ["telenor_token", "1telenor", "t" * 129, "-"])
def test_a_stack_name_that_cloudformation_refuses_is_not_built(stack: str, program: Program) -> None:
    status, _, message = program.run("deploy", "--yes", f"--stack={stack}")
    assert (status, f"STACK={stack}" in message) == (2, True)
    assert not program.aws.regions
    assert not program.called


def test_a_redeployment_requires_a_stack(program: Program) -> None:
    status, _, message = program.run("redeploy")
    assert (status, "there is no stack telenor-token in eu-north-1" in message) == (2, True)


def test_a_redeployment_keeps_every_value_but_the_given_ones(program: Program) -> None:
    program.aws.put(given={"GraceSeconds": "900"})
    status, out, _ = program.run("redeploy", "--set", "ScheduleMinutes=1")
    assert status == 0
    assert "ScheduleMinutes: 5 -> 1" in out
    assert "GraceSeconds" not in out


# The environment


@UNUSABLE_ENVIRONMENTS
@pytest.mark.parametrize("command", [["redeploy"], ["deploy", "--yes"]])
def test_an_unusable_environment_prints_one_sentence(
    variables: dict[str, str], message: str, command: list[str], monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert deploy.main(command) == 2
    printed = capfd.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize(
    ("operation", "response"),
    [
        *(("describe_stacks", ResponseParserError()), ("describe_stacks", None), ("describe_stacks", {})),
        *(("describe_stacks", {"Stacks": []}), ("describe_stacks", {"Stacks": [{"StackStatus": None}]})),
        ("describe_stacks", {"Stacks": [{"StackStatus": "CREATE_COMPLETE", "Outputs": [{}]}]}),
        *(("get_caller_identity", ResponseParserError()), ("get_caller_identity", {})),
    ],
)
def test_a_response_that_is_not_aws_s_prints_one_sentence(
    operation: str, response: Any, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program.aws, operation, Mock(side_effect=[response]))
    status, _, message = program.run("deploy", "--yes", "--set", "DeploymentRoleArn=arn:aws:iam::123456789012:role/a")
    assert (status, message.count("\n"), "cannot be read" in message) == (2, 1, True)
    assert not program.called


@pytest.mark.parametrize("command", [["redeploy"], ["deploy", "--yes"], ["deploy"]])
@pytest.mark.parametrize("is_full", [True, False])
def test_an_unwritable_stdout_deploys_nothing_and_prints_one_sentence(
    command: list[str], program: Program, *, is_full: bool
) -> None:
    program.aws.put()
    with unwritable_stdout(is_full=is_full):
        status, _, message = program.run(*command)
    assert (status, message.count("\n"), "nothing was deployed" in message) == (2, 1, True)
    assert not program.called


def test_a_stdout_in_ascii_shows_the_changes(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert program.run("deploy", "--yes")[0] == 0


@pytest.mark.parametrize(
    "regions",
    [
        *({"AWS_REGION": "eu-west-1"}, {"AWS_DEFAULT_REGION": "eu-west-1"}),
        {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-central-1"},
    ],
)
def test_aws_calls_and_sam_use_the_same_region(
    regions: dict[str, str], program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_REGION")
    for name, region in regions.items():
        monkeypatch.setenv(name, region)
    assert program.run("deploy", "--yes")[0] == 0
    assert set(program.aws.regions) == {"eu-west-1"}
    assert program.called[:6] == ["eu-west-1", "eu-west-1", "build", "eu-west-1", "eu-west-1", "deploy"]
    assert program.called[program.called.index("--region") + 1] == "eu-west-1"


@pytest.mark.parametrize("missing", ["sam", ".git"])
def test_without_a_sam_cli_or_a_git_checkout_nothing_is_deployed(missing: str, program: Program) -> None:
    program.sam.with_name(missing).rename(program.sam.with_name("moved"))
    status, _, message = program.run("deploy", "--yes")
    assert (status, message.count("\n")) == (2, 1)
    assert not program.called


# Deployments


def test_without_questions_set_values_are_deployed_and_the_others_kept(program: Program) -> None:
    kept = {"GraceSeconds": "900", "AlarmEmail": "somebody@example.com", "RunbookUrl": "https://example.com/it's"}
    program.aws.put(given=kept | {"TelenorScope": "read"})
    given = "GraceSeconds=900 RenewAtFraction=0.25 TelenorScope='read write'"
    status, out, _ = program.run("deploy", "--yes", "--set", given)
    commit = git(program.sam.parent, "rev-parse", "HEAD")
    assert status == 0
    *_, option, scope, fraction, version = program.called
    assert [option, scope, fraction] == ["--parameter-overrides", 'TelenorScope="read write"', 'RenewAtFraction="0.25"']
    assert version.startswith('Version="')
    assert [line.strip() for line in out.splitlines() if "->" in line] == [
        "TelenorScope: read -> read write",
        "RenewAtFraction: 0.33 -> 0.25",
        f"Version: unknown -> {commit}",
    ]
    assert "WARNING" not in out


@pytest.mark.parametrize("command", [["deploy", "--yes"], ["redeploy"]])
def test_the_function_gets_the_commit_as_its_version(command: list[str], program: Program) -> None:
    program.aws.put(given={"Version": "v1.2.2-0-g0123"})
    git(program.sam.parent, "tag", "v1.2.3")
    commit = git(program.sam.parent, "rev-parse", "HEAD")
    assert program.run(*command)[0] == 0
    assert program.called[-1] == f'Version="v1.2.3-0-g{commit}"'
    program.sam.write_text(f"{SAM}\n")
    assert program.run(*command)[0] == 0
    assert program.called[-1] == f'Version="v1.2.3-0-g{commit}-dirty"'


def test_changes_are_shown_before_confirmation_and_no_deploys_nothing(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {"ClientName": "b2b", "TelenorScope": "read", "Version": git(program.sam.parent, "rev-parse", "HEAD")}
    program.aws.put(name="telenor-token-b2b", given=kept)
    answers = {"GraceSeconds": "900", "TelenorScope": "-"}
    answer(monkeypatch, *(answers.get(name, "") for name in ASKED if name not in {"ClientName", "Version"}), "n")
    status, out, message = program.run("deploy", "--client", "b2b")
    assert (status, "nothing was deployed" in message) == (2, True)
    assert "WARNING: no alarm has a recipient" in out
    assert out.index("GraceSeconds: 600 -> 900") < out.index("[y/N]")
    assert "TelenorScope: read -> (empty)" in out
    assert out.count("->") == 2
    assert not program.called


@pytest.mark.parametrize("answered", [0, 3])
def test_an_end_of_stdin_deploys_nothing(answered: int, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, *[""] * answered)
    status, _, message = program.run("deploy")
    assert (status, "YES=1" in message) == (2, True)
    assert not program.called
