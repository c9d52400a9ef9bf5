"""The checks of `make smoke` on alarms, and its exit if it cannot call AWS or ask."""

from __future__ import annotations

import io
import json
import os
import types
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from botocore import exceptions
from botocore.parsers import ResponseParserError

from infra import deployed_stack_checks
from infra.deployed_stack import Deployed, RefusalError
from infra.deployed_stack_checks import FAILS, HOLDS, NOT_SHOWN, Stack, check

if TYPE_CHECKING:
    from collections.abc import Callable

    ExitOf = Callable[..., tuple[int, str]]

TOPIC = "arn:aws:sns:eu-north-1:000000000000:telenor-token-alarms"
PAGER = "arn:aws:sns:eu-north-1:000000000000:telenor-token-pager"
FUNCTION = "arn:aws:lambda:eu-north-1:000000000000:function:token"
CONFIRMED = f"{TOPIC}:0b5d3d5e-3a8c-4e0a-9b0c-0f8f7c5a2b1d"
PENDING = "PendingConfirmation"
OUTPUTS = ("FunctionName", "FunctionRoleArn", "TokenSecretArn", "LogGroupName")


class FakeStack(Stack):
    """A stack with alarms of these actions. Listing the subscriptions of any other topic is denied.

    It has these lines in its log, and its clients these operations.
    """

    def __init__(
        self, actions: Any = (), topics: Any = (), *, lines: Any = (), operations: Any = (), **alarm: Any
    ) -> None:
        super().__init__("telenor-token", "eu-north-1", dict.fromkeys(OUTPUTS, "x"), print)
        alarm = {"AlarmName": "an-alarm", "StateValue": "OK", "ActionsEnabled": True} | alarm
        self.found = [alarm | {"AlarmActions": each} for each in actions]
        self.topics: dict[str, list[str]] = dict(topics)
        self.lines = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        self.operations = types.SimpleNamespace(**dict(operations))

    def client(self, *_: object) -> Any:
        return self.operations

    def labels(self) -> dict[str, list[str]]:
        return {}

    def log_since(self, _: datetime) -> list[str]:
        return self.lines

    def alarms(self) -> list[dict[str, Any]]:
        return self.found

    def subscriptions(self, topic: str) -> list[str]:
        if topic not in self.topics:
            raise exceptions.ClientError({"Error": {"Code": "AuthorizationError"}}, "ListSubscriptionsByTopic")
        return self.topics[topic]


@pytest.fixture
def exit_of(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> ExitOf:
    """Return a function that runs the program on a stack, and returns its exit status and stderr."""

    def run(stack: Stack | None, *options: str) -> tuple[int, str]:
        if stack:
            monkeypatch.setattr(deployed_stack_checks, "read_stack", lambda *_: stack)
        monkeypatch.setattr("sys.argv", ["smoke", *options])
        monkeypatch.setenv("AWS_REGION", "eu-north-1")
        return deployed_stack_checks.main(), capfd.readouterr().err

    return run


@pytest.mark.parametrize(
    ("stack", "result"),
    [
        (FakeStack([[TOPIC], [TOPIC]], {TOPIC: [CONFIRMED]}), HOLDS),
        *((FakeStack([[TOPIC]], {TOPIC: [PENDING, CONFIRMED]}), HOLDS), (FakeStack([[TOPIC]], {TOPIC: []}), FAILS)),
        *((FakeStack([[TOPIC]], {TOPIC: [PENDING]}), FAILS), (FakeStack([[TOPIC]], {TOPIC: ["Deleted"]}), FAILS)),
        *((FakeStack([[TOPIC], [PAGER]], {TOPIC: [CONFIRMED], PAGER: []}), FAILS), (FakeStack([[TOPIC]]), NOT_SHOWN)),
        # An action that is not a topic needs no subscription.
        *((FakeStack([[FUNCTION]]), HOLDS), (FakeStack([[FUNCTION]], ActionsEnabled=False), FAILS)),
        *((FakeStack([[FUNCTION], []]), FAILS), (FakeStack(), FAILS)),
    ],
)
def test_each_alarm_needs_an_action_and_each_topic_one_confirmed_subscription(stack: FakeStack, result: str) -> None:
    _, found, evidence = check(deployed_stack_checks.every_alarm_has_a_recipient, stack)
    assert found == result
    assert ("48 hours" in evidence) == any(PENDING in arns for arns in stack.topics.values())


@pytest.mark.parametrize(
    ("stack", "result"), [(FakeStack([[]], StateValue="ALARM"), FAILS), (FakeStack(), FAILS), (FakeStack([[]]), HOLDS)]
)
def test_the_claim_that_no_alarm_is_active(stack: FakeStack, result: str) -> None:
    assert check(deployed_stack_checks.no_alarm_is_active, stack)[1] == result


def test_alarms_of_other_stacks_and_clients_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = ("WaitingAlarm", "b-WaitingAlarm", "b-c-WaitingAlarm", "WaitingAlarm2")
    names = [f"telenor-token-a-{end}" for end in ends]
    stack = Stack("telenor-token", "eu-north-1", {}, print, settings={"CLIENT_NAME": "a"})
    monkeypatch.setattr(stack, "listed", lambda *_, **__: [{"AlarmName": name} for name in names])
    assert stack.alarms() == [{"AlarmName": names[0]}]


@pytest.mark.parametrize(("sent", "result"), [(2.0, HOLDS), (1.0, FAILS)])
def test_metrics_arrive_if_every_run_in_the_log_has_sent_one(
    monkeypatch: pytest.MonkeyPatch, sent: float, result: str
) -> None:
    """`ROUTINE_METRICS=false` leaves out TokenRotated."""

    def get_metric_data(*, MetricDataQueries: list[Any], **_: Any) -> dict[str, Any]:  # noqa: N803  boto3's
        stat = MetricDataQueries[0]["MetricStat"]
        is_sent = (stat["Metric"]["MetricName"], stat["Stat"]) == ("SecondsUntilExpiry", "SampleCount")
        return {"MetricDataResults": [{"Values": [sent] if is_sent else []}]}

    lines = [{"outcome": "rotated"}, {"error_code": "label-lost"}, {"outcome": "not-due"}]
    stack = FakeStack(
        lines=[line | {"function_request_id": "1"} for line in lines], operations={"get_metric_data": get_metric_data}
    )
    stack.settings = {"POWERTOOLS_SERVICE_NAME": "telenor-token", "CLIENT_NAME": "default"}
    monkeypatch.setattr(deployed_stack_checks, "_METRICS_SECONDS", 0)
    monkeypatch.setattr(deployed_stack_checks, "_POLL_SECONDS", 0)
    assert check(deployed_stack_checks.metrics_arrive, stack)[1] == result


@pytest.mark.parametrize(
    "error", [exceptions.EndpointConnectionError(endpoint_url="https://sns"), KeyError("eyJhbGciOi")]
)
def test_a_claim_that_ends_with_an_error_is_not_shown(error: Exception) -> None:
    _, found, evidence = check(Mock(side_effect=error), FakeStack())
    assert found == NOT_SHOWN
    assert "eyJhbGciOi" not in evidence


@pytest.mark.parametrize("value", ["eyJhbGciOi", "[]", "{}", '{"access_token": null}', '{"access_token": ""}'])
def test_a_value_that_is_no_token_document_is_not_shown_nor_printed(value: str) -> None:
    stack = FakeStack(lines=["{}"], operations={"get_secret_value": lambda **_: {"SecretString": value}})
    _, found, evidence = check(deployed_stack_checks.no_token_is_in_the_log, stack)
    assert found == NOT_SHOWN
    assert value not in evidence


def test_a_line_that_only_looks_like_json_is_no_record() -> None:
    stack = FakeStack(lines=["{'a': 1}", "START", {"a": 1}, {"function_request_id": "1"}])
    assert stack.records_since(datetime.now(UTC)) == [{"function_request_id": "1"}]


@pytest.mark.parametrize("answer", [b"null", b"<html>", b"[]", b"\xff", b'{"errorMessage": "no"}'])
def test_an_answer_that_is_no_result_fails_the_first_claim(answer: bytes) -> None:
    stack = FakeStack(operations={"invoke": lambda **_: {"Payload": io.BytesIO(answer)}})
    deployed_stack_checks.rotate(stack)
    assert check(deployed_stack_checks.the_rotation_succeeds, stack)[1] == FAILS


@pytest.mark.parametrize(
    ("error", "is_unknown"),
    [
        (exceptions.ReadTimeoutError(endpoint_url="https://lambda"), True),
        (exceptions.ConnectionClosedError(endpoint_url="https://lambda"), True),
        (exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2), True),
        *((ResponseParserError("invalid"), True), (KeyError("Payload"), True)),
        (exceptions.EndpointConnectionError(endpoint_url="https://lambda"), False),
    ],
)
def test_a_rotation_without_an_answer_is_unknown(exit_of: ExitOf, error: Exception, is_unknown: bool) -> None:
    status, message = exit_of(FakeStack(operations={"invoke": Mock(side_effect=error)}), "--yes")
    assert (status, "was sent, and its outcome is unknown" in message) == (2, is_unknown)


@pytest.mark.parametrize(
    ("outputs", "configuration", "missing"),
    [
        *((OUTPUTS[:count], {}, f"no output {name}") for count, name in enumerate(OUTPUTS)),
        (OUTPUTS, {}, "no CLIENT_NAME in its environment"),
        (OUTPUTS, {"Environment": {"Error": {}}}, "no CLIENT_NAME in its environment"),
        (
            OUTPUTS,
            {"Environment": {"Variables": {"CLIENT_NAME": "a", "GRACE_SECONDS": "0", "SCHEDULE_MINUTES": "5"}}},
            "no POWERTOOLS_SERVICE_NAME in its environment",
        ),
    ],
)
def test_another_stack_and_a_function_without_the_job_s_settings_are_refused(
    monkeypatch: pytest.MonkeyPatch, outputs: tuple[str, ...], configuration: dict[str, Any], missing: str
) -> None:
    response = {"FunctionArn": FUNCTION} | configuration
    function = types.SimpleNamespace(get_function_configuration=lambda **_: response)
    monkeypatch.setattr(deployed_stack_checks, "existing", lambda *_: Deployed({}, dict.fromkeys(outputs, "x")))
    monkeypatch.setattr(Stack, "client", lambda *_: function)
    with pytest.raises(RefusalError, match=f"has {missing}"):
        deployed_stack_checks.read_stack("telenor-token", "eu-north-1", print)


@pytest.mark.parametrize("response", [ResponseParserError(), None, {"Environment": None}, {"Environment": []}])
def test_a_response_that_is_not_aws_s_prints_one_sentence(
    exit_of: ExitOf, monkeypatch: pytest.MonkeyPatch, response: Any
) -> None:
    client = Mock(get_function_configuration=Mock(side_effect=[response]))
    monkeypatch.setattr(deployed_stack_checks, "existing", lambda *_: Deployed({}, dict.fromkeys(OUTPUTS, "x")))
    monkeypatch.setattr(Stack, "client", lambda *_: client)
    status, message = exit_of(None)
    assert (status, message.count("\n"), "cannot be read" in message) == (2, 1, True)


@pytest.mark.parametrize("is_sent", [True, False])
@pytest.mark.parametrize("is_full", [True, False])
def test_an_unwritable_stdout_prints_one_sentence(
    exit_of: ExitOf, monkeypatch: pytest.MonkeyPatch, *, is_full: bool, is_sent: bool
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open("/dev/full" if is_full else writer, "w") as stdout:  # noqa: PTH123  one is a descriptor

        def claim(_: Stack) -> tuple[bool, str]:
            """Hold."""
            monkeypatch.setattr("sys.stdout", stdout)
            return True, ""

        monkeypatch.setattr(deployed_stack_checks, "rotate", lambda _: None)
        monkeypatch.setattr(deployed_stack_checks, "CLAIMS", [claim])
        if not is_sent:
            claim(FakeStack())
        status, message = exit_of(FakeStack(), "--yes")
    assert (status, message.count("\n"), "rotate-now" in message) == (2, 1, True)


def test_an_end_of_stdin_sends_nothing(exit_of: ExitOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployed_stack_checks, "rotate", lambda *_: pytest.fail("something was sent"))
    monkeypatch.setattr("sys.stdin", io.StringIO())
    status, message = exit_of(FakeStack())
    assert (status, "YES=1" in message) == (2, True)


def test_an_unknown_profile_prints_one_sentence(exit_of: ExitOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_PROFILE", "nope")
    status, message = exit_of(None)
    assert (status, "nope" in message, message.count("\n")) == (2, True, 1)
