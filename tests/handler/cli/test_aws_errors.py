"""Answers that are not AWS's, missing permissions, expired logins and broken networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from werkzeug.wrappers import Response

from tests.handler.cli.deployed_aws import SCHEDULE, refusal

if TYPE_CHECKING:
    from tests.handler.cli.conftest import Terminal
    from tests.handler.cli.deployed_aws import DeployedAws

pytestmark = pytest.mark.usefixtures("deployed")


HTML = Response("<html>Log in to the guest network</html>", content_type="text/html")


def answered(content_type: str, *bodies: str) -> list[Response]:
    return [Response(body, content_type=content_type) for body in bodies]


NOT_AWSS = {
    "cloudformation:DescribeStacks": [
        *answered("application/json", "{}", '{"Error": {"Code": "ExpiredToken"}}'),
        *answered("text/xml", "<DescribeStacksResponse/>", "<?xml"),
        *(Response('{"__type": "ExpiredTokenException"}', 403, content_type="application/json"), HTML),
    ],
    "lambda:GetFunctionConfiguration": answered("application/json", "[]", "null", "{", '"x"', '{"Environment": []}'),
    "scheduler:ListSchedules": [HTML, *answered("application/json", '{"Schedules": [{}]}')],
    "scheduler:GetSchedule": [HTML, *answered("application/json", "[]", '{"Target": {}}')],
}


@pytest.mark.parametrize(
    ("action", "response"), [(action, response) for action, responses in NOT_AWSS.items() for response in responses]
)
def test_a_response_that_is_not_awss_is_one_sentence(
    deployed: DeployedAws, terminal: Terminal, action: str, response: Response
) -> None:
    deployed.responses[action] = response
    ran = terminal.on_stack(*(["retire", "--yes"] if "scheduler" in action else ["status"]))
    assert (ran.status, ran.out, "cannot be read" in ran.err) == (1, "", True)
    assert not deployed.events


@pytest.mark.parametrize("response", [HTML, *answered("application/json", "[]", '{"events": [{}]}', '{"events": [1]}')])
def test_a_log_that_is_not_awss_leaves_labels(deployed: DeployedAws, terminal: Terminal, response: Response) -> None:
    deployed.run({})
    deployed.responses["logs:FilterLogEvents"] = response
    ran = terminal.on_stack("status", "--json")
    assert (ran.status, ran.json["last_run"], "cannot be read" in ran.err) == (0, None, True)


@pytest.mark.parametrize(
    ("action", "command", "notes"),
    [
        *(("cloudformation:DescribeStacks", ["status"], []), ("lambda:GetFunctionConfiguration", ["status"], [])),
        ("lambda:InvokeFunction", ["rotate"], []),
        ("lambda:InvokeFunction", ["emergency", "--yes"], ["Done: the job was not started", "To do: correct the"]),
        ("scheduler:ListSchedules", ["retire", "--yes"], ["Done: no token was revoked", "To do: correct the cause"]),
        ("scheduler:UpdateSchedule", ["retire", "--yes"], ["Done: no token was revoked", "To do: correct the cause"]),
    ],
)
def test_a_missing_permission_is_named_with_its_identity_and_resource(
    deployed: DeployedAws, terminal: Terminal, action: str, command: list[str], notes: list[str]
) -> None:
    deployed.denied.add(action)
    ran = terminal.on_stack(*command)
    assert (ran.status, ran.out) == (1, "")
    lines = ran.err.splitlines()
    assert f"user/operator has no permission for {action} on" in lines[-1 - len(notes)]
    assert all(map(str.startswith, lines[-len(notes) :], notes))
    assert "in eu-north-1" in ran.err
    assert (deployed.events, deployed.schedules[SCHEDULE]["State"]) == ([], "ENABLED")


def test_expired_aws_credentials_ask_for_a_new_login(deployed: DeployedAws, terminal: Terminal) -> None:
    expired = "The security token included in the request is expired"
    deployed.responses["lambda:GetFunctionConfiguration"] = refusal("ExpiredTokenException", expired, 403)
    ran = terminal.on_function("status")
    assert (ran.status, len(ran.err.splitlines())) == (1, 1)
    assert ran.err.rstrip().endswith("log in again")


def test_a_network_failure_prints_one_sentence(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:1")
    ran = terminal.on_function("rotate")
    assert (ran.status, len(ran.err.splitlines())) == (1, 1)
    assert "AWS did not respond about function" in ran.err
