"""Lambda, Scheduler, CloudWatch Logs and CloudFormation on a loopback port, as far as the command line calls them.

The deployed function is the real handler, run in this process with the function's environment. Denied actions get AWS's
own error message. Not modelled: cold starts, throttling, quotas, and filter patterns other than one field that equals a
text.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import logging
import os
import re
import socket
import types
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from urllib.parse import unquote

from werkzeug.wrappers import Request, Response

from handler import app
from infra.local.secrets_manager import REGION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from wsgiref.types import StartResponse, WSGIEnvironment

    from tests.world import World

Events = dict[str, dict[str, str]]
"""Each client's event by its name."""

ACCOUNT = "123456789012"
STACK = "telenor-token"
# The names as the template and CloudFormation choose them: neither is a prefix of the other.
FUNCTION = "telenor-token-default-1a2b3c4d"
SCHEDULE = "telenor-token-TokenFunctionSchedule-XYZ"
LOG_GROUP = "telenor-token-TokenFunctionLogGroup-abc"

_IDENTITY = f"arn:aws:iam::{ACCOUNT}:user/operator"
_PATTERN = re.compile(r'\{ \$\.(\w+) = "([^"]*)" \}')
_SCHEDULES = re.compile(r"/schedules(?:/([^/]+))?")
_FUNCTIONS = re.compile(r"/2015-03-31/functions/([^/]+)/(configuration|invocations)")
_TAIL_BYTES = 4096


def arn(function: str = FUNCTION) -> str:
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"


@dataclass
class DeployedAws:
    """One stack with one function. `denied` holds the actions that IAM does not allow."""

    world: World
    variables: dict[str, str]
    denied: set[str] = field(default_factory=set)
    calls: Counter[str] = field(default_factory=Counter)
    events: list[Any] = field(default_factory=list)
    lines: list[tuple[int, str]] = field(default_factory=list)
    schedules: dict[str, dict[str, Any]] = field(default_factory=dict)
    invoked: list[str] = field(default_factory=list)
    output: str = "FunctionName"
    loses_responses: bool = False
    responses: dict[str, Response] = field(default_factory=dict)
    """What is answered instead, by action, or by action and schedule; by "run" what is answered after a run."""
    extra_log: str = ""
    """Additional lines in the log tail of an invocation."""

    def __post_init__(self) -> None:
        self.add_schedule(SCHEDULE, None)
        # The schedule of another function in the same account, whose name has the same prefix.
        self.add_schedule(f"{FUNCTION}-stranger", {"client": "stranger"}, target=arn("other"))

    def add_schedule(self, name: str, event: object, *, target: str | None = None) -> None:
        self.schedules[name] = {
            "Name": name,
            "GroupName": "default",
            "State": "ENABLED",
            "Description": "Runs the Telenor token job.",
            "ScheduleExpression": "rate(2 minutes)",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {
                "Arn": target or arn(),
                "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/schedules",
                "RetryPolicy": {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 60},
                **({} if event is None else {"Input": json.dumps(event)}),
            },
        }

    def serve(self, *clients: dict[str, Any]) -> None:
        """Configure the function to serve these clients by their schedules, without a client of its own."""
        for name in ("CREDENTIALS_SECRET_ID", "TOKEN_SECRET_ID", "CLIENT_NAME"):
            self.variables.pop(name, None)
        self.variables["SERVES_CLIENTS"] = "true"
        del self.schedules[SCHEDULE]
        for client in clients:
            self.add_schedule(f"{FUNCTION}-{client['client']}", client)

    def run(self, event: object) -> dict[str, Any]:
        """Run the function as its schedule does, and return its result or error."""
        return self._run(event)[0]

    def respond(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        if match := _FUNCTIONS.fullmatch(request.path):
            response = self._lambda(request, unquote(match[1]), match[2])
        elif match := _SCHEDULES.fullmatch(request.path):
            response = self._scheduler(request, match[1])
        elif request.headers.get("X-Amz-Target") == "Logs_20140328.FilterLogEvents":
            response = self._filter_log_events(request.get_json(force=True))
        else:
            response = self._describe_stacks(request.form)
        return response(environ, start_response)

    def _lambda(self, request: Request, name: str, what: str) -> Response:
        payload = request.get_data()
        action = {"configuration": "lambda:GetFunctionConfiguration", "invocations": "lambda:InvokeFunction"}[what]
        if denial := self._denial(action, arn()):
            return denial
        if name not in {FUNCTION, arn(), f"{arn()}:live"} or f"/{REGION}/" not in request.headers["Authorization"]:
            return refusal("ResourceNotFoundException", f"Function not found: {name}", 404)
        if what == "configuration":
            return _json(
                {
                    "FunctionName": FUNCTION,
                    "FunctionArn": name if ":" in name else arn(),
                    "Timeout": 120,
                    "Environment": {"Variables": self.variables},
                    "LoggingConfig": {"LogFormat": "JSON", "LogGroup": LOG_GROUP},
                }
            )
        self.invoked.append(name)
        if request.headers.get("X-Amz-Invocation-Type") == "DryRun":
            return Response(status=204)
        return self._invoke(request, json.loads(payload))

    def _invoke(self, request: Request, event: object) -> Response:
        result, log, has_failed = self._run(event)
        if self.loses_responses:
            request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        if "run" in self.responses:
            return self.responses["run"]
        response = _json(result)
        if has_failed:
            response.headers["X-Amz-Function-Error"] = "Unhandled"
        tail = (log + self.extra_log).encode()[-_TAIL_BYTES:]
        response.headers["X-Amz-Log-Result"] = base64.b64encode(tail).decode()
        return response

    def _run(self, event: object) -> tuple[dict[str, Any], str, bool]:
        self.events.append(event)
        context: Any = types.SimpleNamespace(get_remaining_time_in_millis=lambda: 120_000)
        context.aws_request_id = str(uuid.uuid4())
        has_failed = False
        with _as_function(self.variables) as out:
            try:
                result = json.loads(json.dumps(app.lambda_handler(event, context)))
            except Exception as error:  # noqa: BLE001  as Lambda
                has_failed = True
                result = {"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": []}
        log = '{"type": "platform.start", "record": {}}\n' + out.getvalue()
        at = int(self.world.clock.now().timestamp() * 1000)
        self.lines += [(at, line) for line in log.splitlines()]
        return result, log, has_failed

    def _filter_log_events(self, asked: Mapping[str, Any]) -> Response:
        if denial := self._denial("logs:FilterLogEvents", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{LOG_GROUP}"):
            return denial
        assert asked["logGroupName"] == LOG_GROUP
        end = asked.get("endTime", float("inf"))
        pattern = _PATTERN.fullmatch(asked["filterPattern"]) if "filterPattern" in asked else None
        assert pattern or "filterPattern" not in asked, asked
        found = [
            {"timestamp": at, "message": line}
            for at, line in self.lines
            if asked["startTime"] <= at < end and (not pattern or json.loads(line).get(pattern[1]) == pattern[2])
        ]
        # In pages, as on AWS, where the first one may be empty.
        begin = int(asked.get("nextToken", -1))
        page = found[begin : begin + 5] if begin >= 0 else []
        following = max(begin + 5, 0) if begin >= 0 else 0
        more = {"nextToken": str(following)} if following < len(found) else {}
        return _json({"events": page} | more)

    def _scheduler(self, request: Request, name: str | None) -> Response:
        method = "ListSchedules" if name is None else {"GET": "GetSchedule", "PUT": "UpdateSchedule"}[request.method]
        place = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/{'*/*' if name is None else f'default/{name}'}"
        if denial := self._denial(f"scheduler:{method}", place) or self.responses.get(f"scheduler:{method} {name}"):
            return denial
        if name is None:
            begin, found = int(request.args.get("NextToken", 0)), list(self.schedules.values())
            summaries = [
                {key: each[key] for key in ("Name", "GroupName", "State")} | {"Target": {"Arn": each["Target"]["Arn"]}}
                for each in found[begin : begin + 2]
            ]
            more = {"NextToken": str(begin + 2)} if begin + 2 < len(found) else {}
            return _json({"Schedules": summaries} | more)
        if name not in self.schedules:
            return refusal("ResourceNotFoundException", f"Schedule {name} does not exist.", 404)
        if method == "UpdateSchedule":
            # Omitted fields are reset, as on AWS.
            asked = request.get_json(force=True)
            self.schedules[name] = {"Name": name, "State": "ENABLED"} | {
                key: value for key, value in asked.items() if key != "ClientToken"
            }
            return _json({"ScheduleArn": place})
        return _json(self.schedules[name])

    def _describe_stacks(self, asked: Mapping[str, str]) -> Response:
        assert asked["Action"] == "DescribeStacks"
        action = "cloudformation:DescribeStacks"
        self.calls[action] += 1
        if action in self.denied:
            return _xml_error("AccessDenied", _denied(action, "*"), 403)
        if action in self.responses:
            return self.responses[action]
        if asked["StackName"] != STACK:
            return _xml_error("ValidationError", f"Stack with id {asked['StackName']} does not exist", 400)
        return Response(
            '<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">'
            f"<DescribeStacksResult><Stacks><member><StackName>{STACK}</StackName>"
            "<CreationTime>2026-11-23T21:30:00Z</CreationTime><StackStatus>CREATE_COMPLETE</StackStatus>"
            f"<Outputs><member><OutputKey>{self.output}</OutputKey><OutputValue>{FUNCTION}</OutputValue></member></Outputs>"
            "</member></Stacks></DescribeStacksResult></DescribeStacksResponse>",
            content_type="text/xml",
        )

    def _denial(self, action: str, resource: str) -> Response | None:
        self.calls[action] += 1
        if action in self.denied:
            return refusal("AccessDeniedException", _denied(action, resource), 403)
        return self.responses.get(action)


@contextlib.contextmanager
def _as_function(variables: Mapping[str, str]) -> Iterator[io.StringIO]:
    """Give the handler only the function's environment, and capture its output."""
    out = io.StringIO()
    handler = app.logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    stream = handler.stream
    mine = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    with patch.dict(os.environ, mine | dict(variables), clear=True), contextlib.redirect_stdout(out):
        handler.stream = out
        try:
            yield out
        finally:
            handler.stream = stream


def _denied(action: str, resource: str) -> str:
    return (
        f"User: {_IDENTITY} is not authorized to perform: {action} on resource: {resource} because no identity-based "
        f"policy allows the {action} action"
    )


def _json(document: object) -> Response:
    return Response(json.dumps(document), content_type="application/json")


def refusal(code: str, message: str, status: int) -> Response:
    body = json.dumps({"__type": code, "Type": "User", "Message": message, "message": message})
    return Response(body, status, {"X-Amzn-ErrorType": code}, content_type="application/json")


def _xml_error(code: str, message: str, status: int) -> Response:
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    return Response(f"<ErrorResponse>{error}</ErrorResponse>", status, content_type="text/xml")
