"""`make outputs`: lines for a shell's eval, which unset the variables after a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from botocore.exceptions import EndpointConnectionError

from infra import print_stack_outputs
from tests.infra.fake_cloudformation import UNUSABLE_ENVIRONMENTS, unwritable_stdout

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.infra.fake_cloudformation import FakeCloudFormation

    Printed = Callable[..., tuple[int, str, str]]

pytestmark = pytest.mark.usefixtures("clean_environment")


@pytest.fixture
def printed(capfd: pytest.CaptureFixture[str]) -> Printed:
    """Return a function that runs the program and returns its exit status, stdout and stderr."""

    def run(stack: str = "telenor-token") -> tuple[int, str, str]:
        status = print_stack_outputs.main([f"--stack={stack}"])
        captured = capfd.readouterr()
        return status, captured.out, captured.err

    return run


def test_outputs_are_export_lines_of_an_existing_stack(cloudformation: FakeCloudFormation, printed: Printed) -> None:
    status, out, message = printed()
    assert (status, "there is no stack telenor-token in eu-north-1" in message) == (2, True)
    assert_unsets(out)
    cloudformation.put(status="ROLLBACK_COMPLETE", outputs={})
    status, out, message = printed()
    assert (status, "ROLLBACK_COMPLETE" in message) == (2, True)
    assert_unsets(out)
    outputs = {"FunctionName": "x", "UntoldAlarms": "WARNING: it's so"}
    cloudformation.put(status="UPDATE_IN_PROGRESS", outputs=outputs)
    status, out, _ = printed()
    assert status == 0
    assert out.splitlines() == [
        "export AWS_REGION=eu-north-1",
        "export AWS_DEFAULT_REGION=eu-north-1",
        "export FUNCTION_NAME=x",
        "export UNTOLD_ALARMS='WARNING: it'\"'\"'s so'",
    ]


@UNUSABLE_ENVIRONMENTS
def test_an_unusable_environment_prints_one_sentence_and_unsets_the_variables(
    variables: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert print_stack_outputs.main(["--stack", "telenor-token"]) == 2
    printed = capfd.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert_unsets(printed.out)


@pytest.mark.usefixtures("cloudformation")
@pytest.mark.parametrize("stack", ["", "two words", "-x"])
def test_an_invalid_name_unsets_the_variables(stack: str, printed: Printed) -> None:
    status, out, message = printed(stack)
    assert (status, f"STACK={stack} " in message) == (2, True)
    assert_unsets(out)


@pytest.mark.parametrize("error", [FileNotFoundError("credential process"), KeyboardInterrupt()])
def test_an_interruption_unsets_the_variables(
    error: BaseException, cloudformation: FakeCloudFormation, printed: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloudformation, "describe_stacks", Mock(side_effect=error))
    status, out, message = printed()
    assert (status, message.count("\n")) == (2, 1)
    assert_unsets(out)


def assert_unsets(out: str) -> None:
    """Check lines for eval, so that no command acts on the stack before."""
    assert out.startswith("unset ")
    assert {"FUNCTION_NAME", "TOKEN_SECRET_ARN"} <= {*out.split()}
    assert out.endswith("; false\n")


def test_an_unreachable_aws_prints_one_sentence(
    cloudformation: FakeCloudFormation, printed: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreachable = EndpointConnectionError(endpoint_url="https://nowhere")
    monkeypatch.setattr(cloudformation, "describe_stacks", Mock(side_effect=unreachable))
    status, _, message = printed()
    assert (status, message.count("\n"), "Log in" in message) == (2, 1, False)


@pytest.mark.parametrize("is_full", [True, False])
def test_an_unwritable_stdout_fails_with_one_sentence(
    cloudformation: FakeCloudFormation, printed: Printed, *, is_full: bool
) -> None:
    cloudformation.put()
    with unwritable_stdout(is_full=is_full):
        status, _, message = printed()
    assert (status, message.count("\n"), "stdout cannot be written" in message) == (2, 1, True)
