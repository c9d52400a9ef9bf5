"""MiniStack 1.5.33 with what this deployment rests on and it lacks. Runs in the environment of MiniStack.

Each correction says what AWS does. They reach into MiniStack's own names, so its version is pinned; a name that is gone
ends this with an error.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import threading
import uuid
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import botocore.session
from ministack import app
from ministack.core import iam_actions, iam_evaluator
from ministack.services import cloudwatch, eventbridge, iam, lambda_svc, scheduler, secretsmanager
from ministack.services.cloudformation import provisioners

if TYPE_CHECKING:
    from collections.abc import Callable

_BAD_REQUEST = 400


def know_resource_policies() -> None:
    """AWS::SecretsManager::ResourcePolicy: its CloudFormation does not know it; its API does, and enforces it."""

    def create(_logical_id: str, properties: dict[str, Any], _stack: str) -> tuple[str, dict[str, str]]:
        policy = properties["ResourcePolicy"]
        text = policy if isinstance(policy, str) else json.dumps(policy)
        body = {"SecretId": properties["SecretId"], "ResourcePolicy": text}
        status, _, answer = secretsmanager._put_resource_policy(body)
        if status >= _BAD_REQUEST:
            raise ValueError(f"AWS::SecretsManager::ResourcePolicy failed: {answer!r}")
        arn = json.loads(answer)["ARN"]
        return arn, {"Id": arn}

    def update(
        _physical_id: str, _old: dict[str, Any], new: dict[str, Any], stack: str, logical_id: str = ""
    ) -> tuple[str, dict[str, str]]:
        return create(logical_id, new, stack)

    def delete(physical_id: str, _properties: dict[str, Any]) -> None:
        secretsmanager._delete_resource_policy({"SecretId": physical_id})

    provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::ResourcePolicy"] = {
        "create": create,
        "update": update,
        "delete": delete,
    }


def know_alarms_on_arithmetic() -> None:
    """AWS::CloudWatch::Alarm with Metrics: its CloudFormation refuses it. It is kept as it is, and not evaluated."""
    record = provisioners._cw_metric_alarm_record
    evaluate = cloudwatch._evaluate_alarm

    def with_metrics(name: str, properties: dict[str, Any]) -> dict[str, Any]:
        if "Metrics" not in properties:
            alarm: dict[str, Any] = record(name, properties)
            return alarm
        named = {"MetricName": "-", "Namespace": "-"} | {key: properties[key] for key in properties if key != "Metrics"}
        alarm = {key: value for key, value in record(name, named).items() if key not in {"MetricName", "Namespace"}}
        return alarm | {"Metrics": properties["Metrics"]}

    provisioners._cw_metric_alarm_record = with_metrics
    cloudwatch._evaluate_alarm = lambda alarm: None if "Metrics" in alarm else evaluate(alarm)


def keep_alarms_whole() -> None:
    """The Query protocol, which version 5 of Terraform's provider speaks: it kept and told a part of each alarm.

    A request is read, and an answer written, by botocore's own description of both; and Metrics are kept, whatever the
    protocol.
    """
    model = botocore.session.get_session().get_service_model("cloudwatch")
    put, describe = cloudwatch._put_metric_alarm, cloudwatch._describe_alarms

    def asked(operation: str, form: dict[str, Any]) -> dict[str, Any]:
        return _from_query(model.operation_model(operation).input_shape, form, "") or {}

    def put_whole(form: dict[str, Any], document: dict[str, Any], *protocol: bool) -> Any:
        answer = put(form, document, *protocol)
        if answer[0] >= _BAD_REQUEST:
            return answer
        given = document if any(protocol) else asked("PutMetricAlarm", form)
        alarm = cloudwatch._alarms[given["AlarmName"]]
        alarm |= {name: value for name, value in given.items() if name != "Tags"}
        if "Metrics" in given:
            for name in ("Namespace", "MetricName", "Dimensions", "Statistic", "ExtendedStatistic", "Period", "Unit"):
                alarm.pop(name, None)
        return answer

    def describe_whole(form: dict[str, Any], document: dict[str, Any], *protocol: bool) -> Any:
        if any(protocol):
            return describe(form, document, *protocol)
        answer = describe({}, asked("DescribeAlarms", form), is_cbor=False, is_json=True)
        if answer[0] >= _BAD_REQUEST:
            return describe(form, document, *protocol)
        told = _to_query(model.operation_model("DescribeAlarms").output_shape, json.loads(answer[2]))
        return cloudwatch._xml(200, "DescribeAlarmsResponse", f"<DescribeAlarmsResult>{told}</DescribeAlarmsResult>")

    cloudwatch._put_metric_alarm = put_whole
    cloudwatch._describe_alarms = describe_whole


_CASTS: dict[str, Callable[[str], object]] = {"boolean": "true".__eq__, "integer": int, "double": float}


def _from_query(shape: Any, form: dict[str, Any], name: str) -> Any:
    """Return what a form says of a shape; None for nothing."""
    if shape.type_name == "structure":
        members = {key: _from_query(each, form, f"{name}.{key}".strip(".")) for key, each in shape.members.items()}
        return {key: value for key, value in members.items() if value is not None} or None
    if shape.type_name == "list":
        numbered = (_from_query(shape.member, form, f"{name}.member.{number}") for number in itertools.count(1))
        return list(itertools.takewhile(lambda each: each is not None, numbered)) or None
    if name not in form:
        return None
    text = form[name][0] if isinstance(form[name], list) else form[name]
    return _CASTS.get(shape.type_name, str)(text)


def _to_query(shape: Any, value: Any) -> str:
    """Return a value as the XML of its shape."""
    if shape.type_name == "structure":
        told = ((name, each, value.get(name)) for name, each in shape.members.items())
        return "".join(f"<{name}>{_to_query(each, part)}</{name}>" for name, each, part in told if part is not None)
    if shape.type_name == "list":
        return "".join(f"<member>{_to_query(shape.member, each)}</member>" for each in value)
    if shape.type_name == "timestamp":
        return datetime.fromtimestamp(value, UTC).isoformat()
    return escape(str(value).lower() if shape.type_name == "boolean" else str(value))


def keep_policies_that_are_held() -> None:
    """AWS, "DeletePolicy": one that is attached cannot be deleted. The API here knows that, CloudFormation does not."""
    original = provisioners._RESOURCE_HANDLERS["AWS::IAM::ManagedPolicy"]["delete"]

    def delete(physical_id: str, properties: dict[str, Any]) -> None:
        if iam._policies.get(physical_id, {}).get("AttachmentCount"):
            raise ValueError("Cannot delete a policy attached to entities. (Status Code: 409, DeleteConflict)")
        original(physical_id, properties)

    provisioners._RESOURCE_HANDLERS["AWS::IAM::ManagedPolicy"]["delete"] = delete


def know_the_condition_keys() -> None:
    """What AWS puts into a request's context and this does not, for the keys that the template names.

    aws:PrincipalArn is a session's role. lambda:SourceFunctionArn is there for sessions that Lambda has made, which it
    calls by the function's name. secretsmanager:VersionStage is a list. A simulation brings its own.
    """
    simulated: ContextVar[dict[str, Any] | None] = ContextVar("simulated", default=None)
    simulate = iam._simulate_principal_policy
    with_the_request = iam_actions.request_tag_context
    of_the_caller = iam_evaluator._resolve_condition_key

    def request_context(service: str, action: str, body: bytes | str | None, *rest: object) -> dict[str, Any]:
        context: dict[str, Any] = with_the_request(service, action, body, *rest)
        if service != "secretsmanager":
            return context
        label = json.loads(body or b"{}").get("VersionStage")
        return context | ({"secretsmanager:versionstage": [label]} if label else {})

    def condition_key(key: str, context: iam_evaluator.EvalContext) -> Any:
        if key.lower() in (brought := simulated.get() or {}):
            return brought[key.lower()]
        if key.lower() not in {"aws:principalarn", "lambda:sourcefunctionarn"}:
            return of_the_caller(key, context)
        kind, _, rest = context.principal_arn.partition(":assumed-role/")
        role, _, session = rest.partition("/")
        if key.lower() == "aws:principalarn":
            return f"{kind.replace(':sts:', ':iam:')}:role/{role}" if role else context.principal_arn
        function = lambda_svc._functions.get(session, {}).get("config", {})
        return function.get("FunctionArn") if function.get("Role", "").endswith(f":role/{role}") else None

    def simulate_in_context(parameters: dict[str, Any]) -> Any:
        given, index = {}, 1
        while name := iam._p(parameters, f"ContextEntries.member.{index}.ContextKeyName"):
            value = iam._p(parameters, f"ContextEntries.member.{index}.ContextKeyValues.member.1")
            is_list = iam._p(parameters, f"ContextEntries.member.{index}.ContextKeyType").endswith("List")
            given[name.lower()] = [value] if is_list else value
            index += 1
        token = simulated.set(given)
        try:
            return simulate(parameters)
        finally:
            simulated.reset(token)

    iam._IAM_HANDLERS["SimulatePrincipalPolicy"] = simulate_in_context
    iam_actions.request_tag_context = request_context
    iam_evaluator._resolve_condition_key = condition_key


def name_log_groups_with_what_is_in_them() -> None:
    """AWS, "CloudWatch Logs resources and operations": a log group's ARN in policies ends with `:*`, tagging apart."""
    original = iam_actions.extract_resource_arn

    def resource_arn(service: str, method: str, path: str, headers: dict[str, str], *rest: Any) -> str:
        arn: str = original(service, method, path, headers, *rest)
        is_tagging = "Tag" in headers.get("x-amz-target", "")
        return f"{arn}:*" if service == "logs" and ":log-group:" in arn and not is_tagging else arn

    iam_actions.extract_resource_arn = resource_arn


def invoke_as_lambda_does() -> None:
    """AWS, "How Lambda handles errors and retries with asynchronous invocation".

    Scheduler and EventBridge hand over to Lambda's queue, so that the function's EventInvokeConfig decides. An event
    that is run again keeps its request id.
    """
    queued: ContextVar[str | None] = ContextVar("queued", default=None)
    run_with_retries = lambda_svc.invoke_async_with_retry
    run = lambda_svc._execute_function_dispatch

    def enqueue(function: dict[str, Any], event: dict[str, Any]) -> None:
        token = queued.set(str(uuid.uuid4()))
        try:
            run_with_retries(function, event)
        finally:
            queued.reset(token)

    def run_under_its_id(
        function: dict[str, Any], config: dict[str, Any], event: dict[str, Any], request_id: str, started: float
    ) -> dict[str, Any]:
        answer: dict[str, Any] = run(function, config, event, queued.get() or request_id, started)
        return answer

    def deliver(arn: str, payload: str) -> None:
        function, config, _ = lambda_svc._get_func_record_for_ref(arn)
        enqueue(lambda_svc._execution_record_for_config(function, config), json.loads(payload))

    lambda_svc.invoke_async_with_retry = enqueue
    lambda_svc._execute_function_dispatch = run_under_its_id
    eventbridge._dispatch_to_lambda = deliver


def leave_a_secret_without_a_value_without_a_version() -> None:
    """AWS, "CreateSecret": without SecretString and SecretBinary there is no version. The API here made one."""
    original = secretsmanager._create_secret

    def create(request: dict[str, Any]) -> Any:
        answer = original(request)
        if answer[0] >= _BAD_REQUEST or request.keys() & {"SecretString", "SecretBinary"}:
            return answer
        body = {name: value for name, value in json.loads(answer[2]).items() if name != "VersionId"}
        secretsmanager._resolve(body["ARN"])[1]["Versions"].clear()
        return answer[0], answer[1], json.dumps(body).encode()

    secretsmanager._create_secret = create


def keep_each_label_of_a_put() -> None:
    """AWS, "PutSecretValue": all the labels that it names are on the new version, and each sends its event."""
    original = secretsmanager._put_secret_value

    def put(request: dict[str, Any]) -> Any:
        answer = original(request)
        labels = request.get("VersionStages", [])
        if answer[0] >= _BAD_REQUEST or "AWSCURRENT" not in labels:
            return answer
        _, secret = secretsmanager._resolve(request["SecretId"])
        body = json.loads(answer[2])
        for label in labels:
            if label not in body["VersionStages"]:
                secretsmanager._remove_stage_everywhere(secret, label)
                secretsmanager._add_stage(secret, body["VersionId"], label)
                secretsmanager._emit_secret_label_updated(secret, label, body["VersionId"])
        stages = secret["Versions"][body["VersionId"]]["Stages"]
        return answer[0], answer[1], json.dumps(body | {"VersionStages": list(stages)}).encode()

    secretsmanager._put_secret_value = put


def take_metrics_out_of_the_log() -> None:
    """AWS, "Embedded metric format": CloudWatch makes metrics of the lines that a function prints in this form."""
    original = lambda_svc._emit_lambda_logs

    def emit(function: dict[str, Any], request_id: str, text: str, *rest: Any, **options: Any) -> None:
        original(function, request_id, text, *rest, **options)
        for line in (text or "").splitlines():
            if not line.startswith('{"_aws"') and '"CloudWatchMetrics"' not in line:
                continue
            record = json.loads(line)
            for directive in record["_aws"]["CloudWatchMetrics"]:
                for names in directive["Dimensions"]:
                    dimensions = {name: record[name] for name in names}
                    for metric in directive["Metrics"]:
                        values = record[metric["Name"]]
                        for value in values if isinstance(values, list) else [values]:
                            cloudwatch.record_metric(
                                directive["Namespace"], metric["Name"], value, metric["Unit"], dimensions
                            )

    lambda_svc._emit_lambda_logs = emit


def let_minutes_pass_quickly(seconds_a_minute: float) -> None:
    """The ticks of the scheduler and Lambda's retries, only sooner: a minute is a few seconds."""
    original = eventbridge._parse_rate_seconds

    def quick(expression: str) -> float | None:
        seconds = original(expression)
        return None if seconds is None else seconds * seconds_a_minute / 60

    eventbridge._parse_rate_seconds = quick
    scheduler._SCHEDULE_TICK_INTERVAL = 1.0
    lambda_svc._LAMBDA_ASYNC_RETRY_BASE_SECONDS = seconds_a_minute


def end_with_the_parent() -> None:
    """End with the process that started this one, also if that was killed: its end of the pipe closes then."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    end_with_the_parent()
    know_resource_policies()
    know_alarms_on_arithmetic()
    keep_alarms_whole()
    keep_policies_that_are_held()
    know_the_condition_keys()
    name_log_groups_with_what_is_in_them()
    invoke_as_lambda_does()
    leave_a_secret_without_a_value_without_a_version()
    keep_each_label_of_a_put()
    take_metrics_out_of_the_log()
    let_minutes_pass_quickly(float(os.environ["SECONDS_A_MINUTE"]))
    app.main()
