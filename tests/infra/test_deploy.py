"""What `make deploy` asks, refuses and prints, before anything is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from infra import deploy
from infra.template import load, parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TEMPLATE = load()
DEFAULTS = {name: parameter.default for name, parameter in parameters(TEMPLATE).items()}


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
    assert "  GraceSeconds is a number from 0 to 1200." in said
    assert values["GraceSeconds"] == "1200"


def test_a_hyphen_takes_a_value_away() -> None:
    values = DEFAULTS | {"TelenorScope": "read"}
    asked(["TelenorScope"], ["-"], values)
    assert values["TelenorScope"] == ""


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"GraceSeconds": "1800"}, "GraceSeconds=1800 is not accepted: it is a number from 0 to 1200"),
        ({"ScheduleMinutes": "15"}, "ScheduleMinutes=15 is not accepted: it is one of 1, 2, 5"),
        ({"Grace": "1"}, "there is no parameter Grace"),
        ({"SubnetIds": "subnet-0a"}, "SubnetIds needs SecurityGroupIds"),
    ],
)
def test_what_cloudformation_would_refuse_is_refused_before(changed: dict[str, str], sentence: str) -> None:
    with pytest.raises(deploy.RefusalError, match=sentence):
        deploy.check(TEMPLATE, DEFAULTS | changed)


def test_a_stack_whose_alarms_tell_nobody_is_known() -> None:
    assert deploy.tells_nobody(DEFAULTS)
    for name in ("AlarmEmail", "AlarmTopicArn", "PagerEmail", "PagerTopicArn"):
        assert not deploy.tells_nobody(DEFAULTS | {name: "x"})


def test_outputs_become_lines_for_the_shell() -> None:
    lines = deploy.exports({"TokenSecretArn": "arn:x", "UntoldAlarms": "WARNING: it's so"}, "eu-north-1")
    assert list(lines) == [
        "export AWS_REGION=eu-north-1",
        "export TOKEN_SECRET_ARN=arn:x",
        "export UNTOLD_ALARMS='WARNING: it'\"'\"'s so'",
    ]


@pytest.mark.parametrize("command", [["outputs"], ["redeploy"], ["deploy", "--yes"]])
def test_without_a_region_nothing_is_tried(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    assert deploy.main(command) == 2
    assert "no region is set" in capfd.readouterr().err


def test_a_no_at_the_end_deploys_nothing(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def no_stack(stack: str, region: str) -> None:
        assert (stack, region) == ("telenor-token-b2b", "eu-north-1")

    monkeypatch.setattr(deploy, "the_region", lambda: "eu-north-1")
    monkeypatch.setattr(deploy, "describe", no_stack)
    monkeypatch.setattr(deploy, "build_and_deploy", lambda *_: pytest.fail("something was built"))
    answers = iter(["" for name in DEFAULTS if name != "ClientName"] + ["n"])
    read: Callable[[str], str] = lambda _prompt: next(answers)  # noqa: E731  a type for mypy
    monkeypatch.setattr("builtins.input", read)
    assert deploy.main(["deploy", "--client", "b2b"]) == 2
    printed = capfd.readouterr()
    assert "WARNING: no alarm reaches anybody" in printed.out
    assert "nothing was deployed" in printed.err
