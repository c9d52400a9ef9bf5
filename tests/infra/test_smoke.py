"""The checks of `make smoke` on alarms, and its exit if it cannot call AWS or ask."""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    IncompleteReadError,
    ReadTimeoutError,
)

from infra import smoke
from infra.deploy import Deployed, RefusalError
from infra.smoke import FAILS, HOLDS, NOT_SHOWN, Stack, check

TOPIC = "arn:aws:sns:eu-north-1:000000000000:telenor-token-alarms"
PAGER = "arn:aws:sns:eu-north-1:000000000000:telenor-token-pager"
FUNCTION = "arn:aws:lambda:eu-north-1:000000000000:function:token"
CONFIRMED = f"{TOPIC}:0b5d3d5e-3a8c-4e0a-9b0c-0f8f7c5a2b1d"
PENDING = "PendingConfirmation"


class FakeStack(Stack):
    """A stack of alarms with these actions. Listing the subscriptions of any other topic is denied."""

    def __init__(self, actions: list[list[str]], topics: dict[str, list[str]], outputs: Any = (), **alarm: Any) -> None:
        super().__init__("telenor-token", "eu-north-1", {"FunctionName": "the-job", **dict(outputs)}, print)
        alarm = {"AlarmName": "an-alarm", "StateValue": "OK", "ActionsEnabled": True} | alarm
        self.found = [alarm | {"AlarmActions": each} for each in actions]
        self.topics = topics

    def alarms(self) -> list[dict[str, Any]]:
        return self.found

    def subscriptions(self, topic: str) -> list[str]:
        if topic not in self.topics:
            raise ClientError({"Error": {"Code": "AuthorizationError"}}, "ListSubscriptionsByTopic")
        return self.topics[topic]


@pytest.mark.parametrize(
    ("stack", "result"),
    [
        (FakeStack([[TOPIC], [TOPIC]], {TOPIC: [CONFIRMED]}), HOLDS),
        (FakeStack([[TOPIC]], {TOPIC: [PENDING, CONFIRMED]}), HOLDS),
        (FakeStack([[TOPIC]], {TOPIC: []}), FAILS),
        (FakeStack([[TOPIC]], {TOPIC: [PENDING]}), FAILS),
        (FakeStack([[TOPIC]], {TOPIC: ["Deleted"]}), FAILS),
        (FakeStack([[TOPIC], [PAGER]], {TOPIC: [CONFIRMED], PAGER: []}), FAILS),
        (FakeStack([[TOPIC]], {}), NOT_SHOWN),
        # An action that is not a topic needs no subscription.
        (FakeStack([[FUNCTION]], {}), HOLDS),
        (FakeStack([[FUNCTION]], {}, ActionsEnabled=False), FAILS),
        (FakeStack([[FUNCTION], []], {}), FAILS),
        (FakeStack([], {}), FAILS),
    ],
)
def test_each_alarm_needs_an_action_and_each_topic_one_confirmed_subscription(stack: FakeStack, result: str) -> None:
    _, found, evidence = check(smoke.every_alarm_has_a_recipient, stack)
    assert found == result
    assert ("48 hours" in evidence) == any(PENDING in arns for arns in stack.topics.values())


@pytest.mark.parametrize(
    ("stack", "result"),
    [(FakeStack([[]], {}, StateValue="ALARM"), FAILS), (FakeStack([], {}), FAILS), (FakeStack([[]], {}), HOLDS)],
)
def test_the_claim_that_no_alarm_is_active(stack: FakeStack, result: str) -> None:
    assert check(smoke.no_alarm_is_active, stack)[1] == result


@pytest.mark.parametrize(("sent", "result"), [(2.0, HOLDS), (1.0, FAILS)])
def test_metrics_arrive_if_every_run_in_the_log_has_sent_one(
    monkeypatch: pytest.MonkeyPatch, sent: float, result: str
) -> None:
    """`ROUTINE_METRICS=false` leaves out TokenRotated."""

    class CloudWatch:
        def get_metric_data(self, *, MetricDataQueries: list[Any], **_: Any) -> dict[str, Any]:  # noqa: N803  boto3's
            stat = MetricDataQueries[0]["MetricStat"]
            is_sent = (stat["Metric"]["MetricName"], stat["Stat"]) == ("SecondsUntilExpiry", "SampleCount")
            return {"MetricDataResults": [{"Values": [sent] if is_sent else []}]}

    stack = FakeStack([], {})
    stack.settings = {"POWERTOOLS_SERVICE_NAME": "telenor-token", "CLIENT_NAME": "default"}
    records = [{"outcome": "rotated"}, {"error_code": "label-lost"}, {"outcome": "not-due"}]
    monkeypatch.setattr(stack, "client", lambda _service: CloudWatch())
    monkeypatch.setattr(stack, "records_since", lambda _when: records)
    monkeypatch.setattr(smoke, "_METRICS_SECONDS", 0)
    monkeypatch.setattr(smoke, "_POLL_SECONDS", 0)
    assert check(smoke.metrics_arrive, stack)[1] == result


@pytest.mark.parametrize("error", [EndpointConnectionError(endpoint_url="https://sns"), KeyError("eyJhbGciOi")])
def test_a_claim_that_ends_with_an_error_is_not_shown(error: Exception) -> None:
    def unreachable(_: Stack) -> tuple[bool, str]:
        """Hold."""
        raise error

    _, found, evidence = check(unreachable, FakeStack([], {}))
    assert found == NOT_SHOWN
    assert "eyJhbGciOi" not in evidence


@pytest.mark.parametrize("value", ["eyJhbGciOi", "[]", "{}", '{"access_token": null}', '{"access_token": ""}'])
def test_a_value_that_is_no_token_document_is_not_shown_nor_printed(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    class SecretsManager:
        def get_secret_value(self, **_: Any) -> dict[str, str]:
            return {"SecretString": value}

    stack = FakeStack([], {}, outputs={"TokenSecretArn": "y"})
    monkeypatch.setattr(stack, "client", lambda _service: SecretsManager())
    monkeypatch.setattr(stack, "log_since", lambda _when: ["{}"])
    _, found, evidence = check(smoke.no_token_is_in_the_log, stack)
    assert found == NOT_SHOWN
    assert value not in evidence


def test_a_line_that_only_looks_like_json_is_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = FakeStack([], {})
    lines = ["{'a': 1}", "START", '{"a": 1}', '{"function_request_id": "1"}']
    monkeypatch.setattr(stack, "log_since", lambda _when: lines)
    assert stack.records_since(datetime.now(UTC)) == [{"function_request_id": "1"}]


class FakeLambda:
    """Answers an invocation with a payload, or raises."""

    def __init__(self, answer: bytes | Exception) -> None:
        self.answer = answer

    def invoke(self, **_: Any) -> dict[str, Any]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return {"Payload": io.BytesIO(self.answer)}


@pytest.mark.parametrize("answer", [b"null", b"<html>", b"[]", b"\xff", b'{"errorMessage": "no"}'])
def test_an_answer_that_is_no_result_fails_the_first_claim(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    stack = FakeStack([], {})
    monkeypatch.setattr(stack, "client", lambda *_: FakeLambda(answer))
    smoke.rotate(stack)
    assert check(smoke.the_rotation_succeeds, stack)[1] == FAILS


@pytest.mark.parametrize(
    ("error", "is_unknown"),
    [
        (ReadTimeoutError(endpoint_url="https://lambda"), True),
        (ConnectionClosedError(endpoint_url="https://lambda"), True),
        (IncompleteReadError(actual_bytes=1, expected_bytes=2), True),
        (EndpointConnectionError(endpoint_url="https://lambda"), False),
    ],
)
def test_a_rotation_without_an_answer_is_said_to_be_unknown(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: Exception, is_unknown: bool
) -> None:
    stack = FakeStack([], {})
    monkeypatch.setattr(stack, "client", lambda *_: FakeLambda(error))
    monkeypatch.setattr(smoke, "read_stack", lambda *_: stack)
    monkeypatch.setattr("sys.argv", ["smoke", "--yes"])
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert smoke.main() == 2
    assert ("was sent, and its outcome is unknown" in capfd.readouterr().err) is is_unknown


@pytest.mark.parametrize(
    ("configuration", "missing"),
    [
        ({}, "CLIENT_NAME"),
        ({"Environment": {"Error": {}}}, "CLIENT_NAME"),
        (
            {"Environment": {"Variables": {"CLIENT_NAME": "a", "GRACE_SECONDS": "0", "SCHEDULE_MINUTES": "5"}}},
            "POWERTOOLS_SERVICE_NAME",
        ),
    ],
)
def test_a_function_without_the_job_s_settings_is_refused(
    monkeypatch: pytest.MonkeyPatch, configuration: dict[str, Any], missing: str
) -> None:
    outputs = dict.fromkeys(("FunctionName", "FunctionRoleArn", "LogGroupName", "TokenSecretArn"), "x")
    monkeypatch.setattr(smoke, "existing", lambda *_: Deployed({}, outputs))

    class Lambda:
        def get_function_configuration(self, **_: Any) -> dict[str, Any]:
            return {"FunctionArn": FUNCTION} | configuration

    monkeypatch.setattr(Stack, "client", lambda *_: Lambda())
    with pytest.raises(RefusalError, match=f"has no {missing} in its environment"):
        smoke.read_stack("telenor-token", "eu-north-1", print)


@pytest.mark.parametrize(
    ("outputs", "missing"),
    [
        ({}, "FunctionName"),
        ({"FunctionName": "consumer"}, "FunctionRoleArn"),
        ({"FunctionName": "consumer", "FunctionRoleArn": "x"}, "TokenSecretArn"),
        ({"FunctionName": "x", "FunctionRoleArn": "x", "TokenSecretArn": "x"}, "LogGroupName"),
    ],
)
def test_another_stack_is_refused(monkeypatch: pytest.MonkeyPatch, outputs: dict[str, str], missing: str) -> None:
    monkeypatch.setattr(smoke, "existing", lambda *_: Deployed({}, outputs))
    with pytest.raises(RefusalError, match=f"no output {missing}"):
        smoke.read_stack("telenor-consumer", "eu-north-1", print)


def test_an_end_of_stdin_sends_nothing(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(smoke, "read_stack", lambda *_: FakeStack([], {}))
    monkeypatch.setattr(smoke, "rotate", lambda *_: pytest.fail("something was sent"))
    monkeypatch.setattr("sys.argv", ["smoke"])
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert smoke.main() == 2
    assert "YES=1" in capfd.readouterr().err


def test_an_unknown_profile_prints_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["smoke"])
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_PROFILE", "nope")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert smoke.main() == 2
    message = capfd.readouterr().err
    assert "nope" in message
    assert message.count("\n") == 1
