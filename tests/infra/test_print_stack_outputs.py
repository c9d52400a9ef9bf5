"""`make outputs`: lines for a shell's eval, which unset the variables after a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest
from botocore.exceptions import EndpointConnectionError

from infra import print_stack_outputs
from tests.infra.fake_cloudformation import UNUSABLE_ENVIRONMENTS, unwritable_stdout

if TYPE_CHECKING:
    from tests.infra.fake_cloudformation import FakeCloudFormation

    Capture = pytest.CaptureFixture[str]

pytestmark = pytest.mark.usefixtures("clean_environment")


def outputs(capfd: Capture, stack: str = "telenor-token") -> tuple[int, str, str]:
    """Return the exit status, stdout and stderr."""
    status = print_stack_outputs.main([f"--stack={stack}"])
    return status, *capfd.readouterr()


def test_outputs_are_export_lines_of_an_existing_stack(cloudformation: FakeCloudFormation, capfd: Capture) -> None:
    status, out, message = outputs(capfd)
    assert (status, "there is no stack telenor-token in eu-north-1" in message) == (2, True)
    assert_unsets(out)
    cloudformation.put(status="ROLLBACK_COMPLETE", outputs={})
    status, out, message = outputs(capfd)
    assert (status, "ROLLBACK_COMPLETE" in message) == (2, True)
    assert_unsets(out)
    given = {"FunctionName": "x", "UntoldAlarms": "WARNING: it's so"}
    cloudformation.put(status="UPDATE_IN_PROGRESS", outputs=given)
    status, out, _ = outputs(capfd)
    assert status == 0
    assert out.splitlines() == [
        "export AWS_REGION=eu-north-1",
        "export AWS_DEFAULT_REGION=eu-north-1",
        "export FUNCTION_NAME=x",
        "export UNTOLD_ALARMS='WARNING: it'\"'\"'s so'",
    ]


@UNUSABLE_ENVIRONMENTS
def test_an_unusable_environment_prints_one_sentence_and_unsets_the_variables(
    variables: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    status, out, printed = outputs(capfd)
    assert (status, message in printed, printed.count("\n")) == (2, True, 1)
    assert_unsets(out)


@pytest.mark.usefixtures("cloudformation")
@pytest.mark.parametrize("stack", ["", "two words", "-x"])
def test_an_invalid_name_unsets_the_variables(stack: str, capfd: Capture) -> None:
    status, out, message = outputs(capfd, stack)
    assert (status, f"STACK={stack} " in message) == (2, True)
    assert_unsets(out)


UNREACHABLE = EndpointConnectionError(endpoint_url="https://nowhere")


@pytest.mark.parametrize("error", [FileNotFoundError("credential process"), KeyboardInterrupt(), UNREACHABLE])
def test_a_call_without_a_response_unsets_the_variables(
    error: BaseException, cloudformation: FakeCloudFormation, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloudformation, "describe_stacks", Mock(side_effect=error))
    status, out, message = outputs(capfd)
    assert (status, message.count("\n"), "Log in" in message) == (2, 1, False)
    assert_unsets(out)


def assert_unsets(out: str) -> None:
    """Check lines for eval, so that no command acts on the stack before."""
    assert out.startswith("unset ")
    assert {"FUNCTION_NAME", "TOKEN_SECRET_ARN"} <= {*out.split()}
    assert out.endswith("; false\n")


@pytest.mark.parametrize("is_full", [True, False])
def test_an_unwritable_stdout_fails_with_one_sentence(
    cloudformation: FakeCloudFormation, capfd: Capture, *, is_full: bool
) -> None:
    cloudformation.put()
    with unwritable_stdout(is_full=is_full):
        status, _, message = outputs(capfd)
    assert (status, message.count("\n"), "stdout cannot be written" in message) == (2, 1, True)
