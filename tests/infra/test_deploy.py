"""What `make deploy` asks, refuses and prints, before anything is built."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from infra import deploy
from infra.template import load, parameters
from tests.infra.fake_cloudformation import FakeCloudFormation, FakeStack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

TEMPLATE = load()
DEFAULTS = {name: parameter.default for name, parameter in parameters(TEMPLATE).items()}

# Writes down what it is told, in which region, and builds an artifact that has no fault.
SAM = """\
#!/bin/sh
mkdir -p .aws-sam/build/TokenFunction/handler
touch .aws-sam/build/TokenFunction/handler/app.py
for word in "$AWS_REGION" "$AWS_DEFAULT_REGION" "$@"; do printf '%s\\n' "$word"; done >> called
"""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what this machine knows of AWS."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def cloudformation(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCloudFormation]:
    """Set up an account without stacks, with AWS_REGION alone."""
    with FakeCloudFormation() as fake:
        for name, value in {
            "AWS_ENDPOINT_URL": fake.url,
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "anything",
            "AWS_REGION": "eu-north-1",
        }.items():
            monkeypatch.setenv(name, value)
        yield fake


@pytest.fixture
def sam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a SAM CLI that deploys nothing, in a checkout of its own."""
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
    """Return the words of every call of SAM, each after both regions of its environment."""
    written = sam.with_name("called")
    return written.read_text().splitlines() if written.exists() else []


def overrides(sam: Path) -> list[str]:
    """Return the parameters that SAM is to change, apart from Version."""
    words = called(sam)
    return [word for word in words[words.index("--parameter-overrides") + 1 :] if not word.startswith("Version=")]


def answer(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def asked(names: Sequence[str], answers: Sequence[str], values: dict[str, str]) -> list[str]:
    """Answer the questions for some parameters, and return what was printed."""
    said: list[str] = []
    waiting = iter(answers)

    def read(prompt: str) -> str:
        said.append(prompt)
        return next(waiting)

    deploy.ask([each for each in deploy.questions(TEMPLATE) if each[1].name in names], values, read, said.append)
    assert not list(waiting), "fewer questions than answers"
    return said


# The questions


def test_every_parameter_is_asked_for_once() -> None:
    assert sorted(parameter.name for _, parameter in deploy.questions(TEMPLATE)) == sorted(DEFAULTS)


def test_enter_keeps_what_stands_in_brackets() -> None:
    values = DEFAULTS | {"GraceSeconds": "900"}
    said = asked(["GraceSeconds"], [""], values)
    assert said[-1] == "  GraceSeconds [900]: "
    assert values["GraceSeconds"] == "900"


def test_a_bad_value_is_refused_by_name_and_asked_for_again() -> None:
    values = dict(DEFAULTS)
    said = asked(["GraceSeconds"], ["1800", "1200"], values)
    assert "  GraceSeconds=1800 is not accepted: it is a number from 0 to 1200." in said
    assert values["GraceSeconds"] == "1200"


@pytest.mark.parametrize("name", DEFAULTS)
def test_each_question_says_what_is_accepted_and_how_to_empty_it(name: str) -> None:
    parameter = parameters(TEMPLATE)[name]
    said = "\n".join(asked([name], [""], dict(DEFAULTS)))
    assert parameter.accepted in said
    assert "empties" not in said
    if parameter.accepts(""):
        assert "empties" in "\n".join(asked([name], ["-"], DEFAULTS | {name: "x"}))


def test_a_hyphen_takes_a_value_away() -> None:
    values = DEFAULTS | {"TelenorScope": "read"}
    asked(["TelenorScope"], ["-"], values)
    assert values["TelenorScope"] == ""


@pytest.mark.parametrize("value", ["it's", '"read"', "C:\\read"])
def test_what_sam_would_change_is_refused(value: str, cloudformation: FakeCloudFormation, sam: Path) -> None:
    values = DEFAULTS | {"RunbookUrl": "https://example.com"}
    asked(["RunbookUrl"], [f"https://example.com/{value}", ""], values)
    assert values["RunbookUrl"] == "https://example.com"
    given = f"RunbookUrl={shlex.quote(f'https://example.com/{value}')}"
    assert deploy.main(["deploy", "--sam", str(sam), "--yes", "--set", given]) == 2
    assert not called(sam)
    assert not cloudformation.regions, "it asked AWS first"


def test_a_deployed_value_with_a_quote_is_kept(cloudformation: FakeCloudFormation, sam: Path) -> None:
    kept = {"RunbookUrl": "https://example.com/it's"}
    cloudformation.stacks["telenor-token"] = FakeStack(parameters=kept)
    assert deploy.main(["deploy", "--sam", str(sam), "--yes", "--set", "GraceSeconds=900"]) == 0
    assert overrides(sam) == ['GraceSeconds="900"']


# What is refused


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"GraceSeconds": "1800"}, "GraceSeconds=1800 is not accepted: it is a number from 0 to 1200"),
        ({"ScheduleMinutes": "15"}, "ScheduleMinutes=15 is not accepted: it is one of 1, 2, 5"),
        ({"SubnetIds": "subnet-0a"}, "SubnetIds needs SecurityGroupIds"),
    ],
)
def test_what_cloudformation_would_refuse_is_refused_before(changed: dict[str, str], sentence: str) -> None:
    with pytest.raises(deploy.RefusalError, match=sentence):
        deploy.check(TEMPLATE, DEFAULTS | changed, "eu-north-1")


SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mine-a1b2c3"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:mine"


@pytest.mark.parametrize(
    "name", [name for name in DEFAULTS if name.endswith(("Arn", "Arns")) and "Role" not in name and "Bound" not in name]
)
def test_an_arn_of_another_region_is_refused_by_both_regions(name: str) -> None:
    arn = TOPIC if "Topic" in name else KEY if "Kms" in name else SECRET
    values = DEFAULTS | {"CredentialsSecretArn": SECRET.replace("eu-west-1", "eu-north-1"), name: arn}
    with pytest.raises(deploy.RefusalError, match=f"{name} is in eu-west-1, and the stack is deployed in eu-north-1"):
        deploy.check(TEMPLATE, values, "eu-north-1")
    deploy.check(TEMPLATE, DEFAULTS | {"CredentialsSecretArn": SECRET, name: arn}, "eu-west-1")


def test_a_reader_of_an_account_that_is_not_named_is_refused() -> None:
    readers = {
        "ReaderAccountIds": "888888888888, 999999999999",
        "ReaderPrincipals": "arn:aws:iam::999999999999:role/a",
        "KmsKeyArn": KEY,
    }
    deploy.check(TEMPLATE, DEFAULTS | readers, "eu-west-1")
    with pytest.raises(deploy.RefusalError, match="name 999999999999 in ReaderAccountIds"):
        deploy.check(TEMPLATE, DEFAULTS | readers | {"ReaderAccountIds": "888888888888"}, "eu-west-1")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("Grace=1", "Grace"),
        ("GraceSecond=1", "did you mean GraceSeconds"),
        ("GraceSeconds", "GraceSeconds"),
        ("GraceSeconds=1800", "GraceSeconds=1800"),
        ("TelenorScope='read", "SET"),
    ],
)
def test_a_bad_set_is_refused_before_aws_is_asked(
    given: str, named: str, cloudformation: FakeCloudFormation, sam: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert deploy.main(["deploy", "--sam", str(sam), "--yes", "--set", given]) == 2
    assert named in capfd.readouterr().err
    assert not called(sam)
    assert not cloudformation.regions


@pytest.mark.parametrize(
    ("status", "command"),
    [
        ("ROLLBACK_COMPLETE", "delete-stack"),
        ("ROLLBACK_FAILED", "delete-stack"),
        ("CREATE_FAILED", "delete-stack"),
        ("DELETE_FAILED", "delete-stack"),
        ("UPDATE_FAILED", "rollback-stack"),
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback"),
        ("UPDATE_IN_PROGRESS", "wait"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "wait"),
        ("DELETE_IN_PROGRESS", "wait"),
        ("IMPORT_ROLLBACK_FAILED", "describe-stack-events"),
    ],
)
@pytest.mark.parametrize("subcommand", ["deploy", "redeploy"])
def test_a_stack_that_takes_no_update_is_said_before_anything_is_built(
    subcommand: str,
    status: str,
    command: str,
    cloudformation: FakeCloudFormation,
    sam: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    cloudformation.stacks["telenor-token"] = FakeStack(status, outputs={"FunctionName": "x"})
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
def test_any_other_stack_is_deployed(status: str, cloudformation: FakeCloudFormation, sam: Path) -> None:
    cloudformation.stacks["telenor-token"] = FakeStack(status)
    assert deploy.main(["deploy", "--sam", str(sam), "--yes"]) == 0
    assert "deploy" in called(sam)


def test_outputs_need_a_stack_that_has_some(
    cloudformation: FakeCloudFormation, capfd: pytest.CaptureFixture[str]
) -> None:
    cloudformation.stacks["telenor-token"] = FakeStack("ROLLBACK_COMPLETE")
    assert deploy.main(["outputs"]) == 2
    assert "ROLLBACK_COMPLETE" in capfd.readouterr().err
    cloudformation.stacks["telenor-token"] = FakeStack("UPDATE_IN_PROGRESS", outputs={"FunctionName": "x"})
    assert deploy.main(["outputs"]) == 0
    assert "export FUNCTION_NAME=x\n" in capfd.readouterr().out


# The environment


def test_outputs_become_lines_for_the_shell() -> None:
    lines = deploy.exports({"TokenSecretArn": "arn:x", "UntoldAlarms": "WARNING: it's so"}, "eu-north-1")
    assert list(lines) == [
        "export AWS_REGION=eu-north-1",
        "export AWS_DEFAULT_REGION=eu-north-1",
        "export TOKEN_SECRET_ARN=arn:x",
        "export UNTOLD_ALARMS='WARNING: it'\"'\"'s so'",
    ]


@pytest.mark.parametrize("command", [["outputs"], ["redeploy"], ["deploy", "--yes"]])
def test_without_a_region_nothing_is_tried(command: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert deploy.main(command) == 2
    assert "no region is set" in capfd.readouterr().err


@pytest.mark.parametrize("command", [["outputs"], ["redeploy"], ["deploy", "--yes"]])
@pytest.mark.parametrize("region", ["eu-north-1", None])
def test_a_profile_that_is_not_there_is_one_sentence(
    region: str | None, command: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nope")
    if region:
        monkeypatch.setenv("AWS_REGION", region)
    assert deploy.main(command) == 2
    said = capfd.readouterr().err
    assert "nope" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("command", ["deploy", "redeploy"])
@pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_either_region_variable_is_enough_for_aws_and_for_sam(
    variable: str, command: str, cloudformation: FakeCloudFormation, sam: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloudformation.stacks["telenor-token"] = FakeStack()
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.setenv(variable, "eu-west-1")
    assert deploy.main([command, "--sam", str(sam), *(["--yes"] if command == "deploy" else [])]) == 0
    assert cloudformation.regions == ["eu-west-1"]
    assert called(sam)[:3] == ["eu-west-1", "eu-west-1", "build"]
    assert called(sam)[3:6] == ["eu-west-1", "eu-west-1", "deploy"]
    assert called(sam)[called(sam).index("--region") + 1] == "eu-west-1"


def test_aws_region_counts_before_the_other(
    cloudformation: FakeCloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert deploy.main(["outputs"]) == 2
    assert cloudformation.regions == ["eu-north-1"]


def test_a_sam_cli_that_is_not_there_is_one_sentence(
    cloudformation: FakeCloudFormation, capfd: pytest.CaptureFixture[str]
) -> None:
    assert not cloudformation.stacks
    assert deploy.main(["deploy", "--sam", "/nowhere/sam", "--yes"]) == 2
    assert capfd.readouterr().err.count("\n") == 1


# What is deployed


def test_a_stack_whose_alarms_tell_nobody_is_known() -> None:
    assert deploy.tells_nobody(DEFAULTS)
    for name in ("AlarmEmail", "AlarmTopicArn", "PagerEmail", "PagerTopicArn"):
        assert not deploy.tells_nobody(DEFAULTS | {name: "x"})


def test_without_questions_what_is_set_is_deployed_and_the_rest_kept(
    cloudformation: FakeCloudFormation, sam: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cloudformation.stacks["telenor-token"] = FakeStack(parameters={"TelenorScope": "read", "GraceSeconds": "900"})
    given = "GraceSeconds=900 RenewAtFraction=0.25 TelenorScope="
    assert deploy.main(["deploy", "--sam", str(sam), "--yes", "--set", given]) == 0
    assert overrides(sam) == ['TelenorScope=""', 'RenewAtFraction="0.25"']
    lines = capfd.readouterr().out.splitlines()
    assert [line.strip() for line in lines if "→" in line] == [
        "TelenorScope: read → (empty)",
        "RenewAtFraction: 0.33 → 0.25",
        f"Version: unknown → {git(sam.parent, 'rev-parse', 'HEAD')}",
    ]


@pytest.mark.parametrize("command", [["deploy", "--yes"], ["redeploy"]])
def test_the_function_learns_the_commit(command: list[str], cloudformation: FakeCloudFormation, sam: Path) -> None:
    cloudformation.stacks["telenor-token"] = FakeStack(parameters={"Version": "v1.2.2-0-g0123"})
    git(sam.parent, "tag", "v1.2.3")
    commit = git(sam.parent, "rev-parse", "HEAD")
    assert deploy.main([*command, "--sam", str(sam)]) == 0
    assert called(sam)[-1] == f'Version="v1.2.3-0-g{commit}"'
    sam.write_text(f"{SAM}\n")
    assert deploy.main([*command, "--sam", str(sam)]) == 0
    assert called(sam)[-1] == f'Version="v1.2.3-0-g{commit}-dirty"'


def test_outside_a_git_checkout_nothing_is_deployed(
    cloudformation: FakeCloudFormation, sam: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert not cloudformation.stacks
    shutil.rmtree(sam.parent / ".git")
    assert deploy.main(["deploy", "--yes", "--sam", str(sam)]) == 2
    assert capfd.readouterr().err.count("\n") == 1
    assert not called(sam)


def test_a_value_may_have_spaces(cloudformation: FakeCloudFormation, sam: Path) -> None:
    assert not cloudformation.stacks
    assert deploy.main(["deploy", "--sam", str(sam), "--yes", "--set", "TelenorScope='read write'"]) == 0
    assert overrides(sam) == ['TelenorScope="read write"']


def test_what_changes_is_shown_before_the_last_question_and_a_no_deploys_nothing(
    cloudformation: FakeCloudFormation,
    sam: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    kept = {"ClientName": "b2b", "Version": git(sam.parent, "rev-parse", "HEAD")}
    cloudformation.stacks["telenor-token-b2b"] = FakeStack(parameters=kept)
    names = [parameter.name for _, parameter in deploy.questions(TEMPLATE)]
    names = [name for name in names if name not in {"ClientName", "Version"}]
    answer(monkeypatch, *("900" if name == "GraceSeconds" else "" for name in names), "n")
    assert deploy.main(["deploy", "--sam", str(sam), "--client", "b2b"]) == 2
    printed = capfd.readouterr()
    assert "WARNING: no alarm reaches anybody" in printed.out
    assert printed.out.index("GraceSeconds: 600 → 900") < printed.out.index("[y/N]")
    assert printed.out.count("→") == 1
    assert "nothing was deployed" in printed.err
    assert not called(sam)


@pytest.mark.parametrize("answered", [0, 3])
def test_an_end_of_stdin_deploys_nothing(
    answered: int,
    cloudformation: FakeCloudFormation,
    sam: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert not cloudformation.stacks
    answer(monkeypatch, *[""] * answered)
    assert deploy.main(["deploy", "--sam", str(sam)]) == 2
    assert "YES=1" in capfd.readouterr().err
    assert not called(sam)
