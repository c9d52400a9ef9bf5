"""What `make smoke` finds out about the alarms, and how it ends where it cannot ask."""

from __future__ import annotations

import io
import os
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber

from infra import smoke
from infra.smoke import Result, Stack, judge

TOPIC = "arn:aws:sns:eu-north-1:000000000000:telenor-token-alarms"
PAGER = "arn:aws:sns:eu-north-1:000000000000:telenor-token-pager"
FUNCTION = "arn:aws:lambda:eu-north-1:000000000000:function:tell"
CONFIRMED = f"{TOPIC}:0b5d3d5e-3a8c-4e0a-9b0c-0f8f7c5a2b1d"
PENDING = "PendingConfirmation"


class StubbedStack(Stack):
    """A stack whose services answer from a list."""

    stubs: dict[str, Stubber]

    def client(self, service: str, config: Any = None) -> Any:
        assert config is None
        return self.stubs[service].client


class StackStubs:
    """Answers about one stack's alarms and topics."""

    def __init__(self) -> None:
        self.stack = StubbedStack("telenor-token", "eu-north-1", {}, print, settings={"CLIENT_NAME": "default"})
        self.stack.stubs = {}
        for service in ("cloudwatch", "sns"):
            client = boto3.client(service, region_name="eu-north-1", aws_access_key_id="x", aws_secret_access_key="x")
            self.stack.stubs[service] = Stubber(client)
            self.stack.stubs[service].activate()

    def has_alarms(self, *actions: list[str], state: str = "OK", enabled: bool = True) -> None:
        alarms = [
            {"AlarmName": f"alarm-{number}", "StateValue": state, "ActionsEnabled": enabled, "AlarmActions": each}
            for number, each in enumerate(actions)
        ]
        self.stack.stubs["cloudwatch"].add_response(
            "describe_alarms", {"MetricAlarms": alarms}, {"AlarmNamePrefix": "telenor-token-default-"}
        )

    def has_subscriptions(self, topic: str, *pages: list[str]) -> None:
        for number, page in enumerate(pages):
            answer: dict[str, Any] = {"Subscriptions": [{"SubscriptionArn": arn} for arn in page]}
            asked = {"TopicArn": topic} | ({"NextToken": str(number)} if number else {})
            if number + 1 < len(pages):
                answer["NextToken"] = str(number + 1)
            self.stack.stubs["sns"].add_response("list_subscriptions_by_topic", answer, asked)


@pytest.fixture
def stack() -> StackStubs:
    return StackStubs()


@pytest.mark.parametrize(
    ("subscriptions", "result"),
    [
        ([[CONFIRMED]], Result.HOLDS),
        ([[PENDING, CONFIRMED]], Result.HOLDS),
        ([[PENDING], [CONFIRMED]], Result.HOLDS),
        ([[]], Result.FAILS),
        ([[PENDING]], Result.FAILS),
        ([["Deleted"]], Result.FAILS),
    ],
)
def test_a_topic_needs_one_confirmed_subscription(
    stack: StackStubs, subscriptions: list[list[str]], result: Result
) -> None:
    stack.has_alarms([TOPIC], [TOPIC])
    stack.has_subscriptions(TOPIC, *subscriptions)
    row = judge(smoke.each_alarm_has_somebody_to_tell, stack.stack)
    assert row.result is result
    assert ("48 hours" in row.evidence) == any(PENDING in page for page in subscriptions)


def test_one_topic_without_a_subscription_is_enough_to_fail(stack: StackStubs) -> None:
    stack.has_alarms([TOPIC], [PAGER])
    stack.has_subscriptions(TOPIC, [CONFIRMED])
    stack.has_subscriptions(PAGER, [])
    row = judge(smoke.each_alarm_has_somebody_to_tell, stack.stack)
    assert row.result is Result.FAILS
    assert "telenor-token-pager: 0 confirmed" in row.evidence


def test_what_is_no_topic_needs_no_subscription(stack: StackStubs) -> None:
    stack.has_alarms([FUNCTION])
    assert judge(smoke.each_alarm_has_somebody_to_tell, stack.stack).result is Result.HOLDS


@pytest.mark.parametrize("enabled", [True, False])
def test_an_alarm_without_an_action_tells_nobody(stack: StackStubs, enabled: bool) -> None:
    stack.has_alarms([] if enabled else [FUNCTION], enabled=enabled)
    assert judge(smoke.each_alarm_has_somebody_to_tell, stack.stack).result is Result.FAILS


def test_who_may_not_read_subscriptions_still_learns_of_ringing_alarms(stack: StackStubs) -> None:
    stack.has_alarms([TOPIC], state="ALARM")
    stack.has_alarms([TOPIC], state="ALARM")
    stack.stack.stubs["sns"].add_client_error("list_subscriptions_by_topic", "AuthorizationError")
    assert judge(smoke.each_alarm_has_somebody_to_tell, stack.stack).result is Result.NOT_SHOWN
    assert judge(smoke.no_alarm_rings, stack.stack).result is Result.FAILS


def test_no_alarms_at_all_hold_no_claim(stack: StackStubs) -> None:
    stack.has_alarms()
    stack.has_alarms()
    assert judge(smoke.no_alarm_rings, stack.stack).result is Result.FAILS
    assert judge(smoke.each_alarm_has_somebody_to_tell, stack.stack).result is Result.FAILS


def test_a_claim_that_aws_does_not_answer_is_not_shown(stack: StackStubs) -> None:
    def unreachable(_: Stack) -> tuple[bool, str]:
        """Hold."""
        raise EndpointConnectionError(endpoint_url="https://sns")

    assert judge(unreachable, stack.stack).result is Result.NOT_SHOWN


def test_an_end_of_stdin_sends_nothing(
    stack: StackStubs, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    stack.stack.outputs = {"FunctionName": "the-job"}
    monkeypatch.setattr(smoke, "look", lambda *_: stack.stack)
    monkeypatch.setattr(smoke, "rotate", lambda *_: pytest.fail("something was sent"))
    monkeypatch.setattr("sys.argv", ["smoke"])
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert smoke.main() == 2
    assert "YES=1" in capfd.readouterr().err


def test_a_profile_that_is_not_there_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["smoke"])
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_PROFILE", "nope")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert smoke.main() == 2
    said = capfd.readouterr().err
    assert "nope" in said
    assert said.count("\n") == 1
