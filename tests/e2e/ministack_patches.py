"""MiniStack 1.5.33 with patches for AWS behaviour that this deployment needs. Runs in MiniStack's virtual environment.

Each patch describes AWS's behaviour. They use MiniStack's internal names, so its version is pinned; a missing name is
an error.
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
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import botocore.session
from ministack import app
from ministack.core import iam_actions, iam_evaluator, lambda_runtime
from ministack.services import cloudwatch, eventbridge, iam, lambda_svc, scheduler, secretsmanager
from ministack.services.cloudformation import provisioners

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Original = Callable[..., Any]

_BAD_REQUEST = 400
_SECONDS_A_MINUTE = float(os.environ["SECONDS_A_MINUTE"])


def wraps(module: Any, name: str) -> Callable[[Original], Original]:
    """Replace a function of MiniStack's by one that gets the original as its first argument."""

    def decorate(function: Original) -> Original:
        setattr(module, name, partial(function, getattr(module, name)))
        return function

    return decorate


def create_resource_policy(_logical_id: str, properties: dict[str, Any], _stack: str) -> tuple[str, dict[str, str]]:
    """AWS::SecretsManager::ResourcePolicy: MiniStack's API has and enforces it; its CloudFormation lacks it."""
    request = {"SecretId": properties["SecretId"], "ResourcePolicy": json.dumps(properties["ResourcePolicy"])}
    status, _, response = secretsmanager._put_resource_policy(request)
    if status >= _BAD_REQUEST:
        raise ValueError(f"AWS::SecretsManager::ResourcePolicy failed: {response!r}")
    arn = json.loads(response)["ARN"]
    return arn, {"Id": arn}


provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::ResourcePolicy"] = {
    "create": create_resource_policy,
    "update": lambda _id, _old, new, stack, logical_id="": create_resource_policy(logical_id, new, stack),
    "delete": lambda secret_id, _properties: secretsmanager._delete_resource_policy({"SecretId": secret_id}),
}


@wraps(provisioners, "_cw_metric_alarm_record")
def keep_metric_math(record: Original, name: str, properties: dict[str, Any]) -> Any:
    """AWS::CloudWatch::Alarm with Metrics: MiniStack's CloudFormation refuses it. It is stored but not evaluated."""
    if "Metrics" not in properties:
        return record(name, properties)
    named = {"MetricName": "-", "Namespace": "-"} | {key: properties[key] for key in properties if key != "Metrics"}
    alarm = {key: value for key, value in record(name, named).items() if key not in {"MetricName", "Namespace"}}
    return alarm | {"Metrics": properties["Metrics"]}


# The Query protocol, which version 5 of Terraform's provider uses: MiniStack stored and returned only part of each
# alarm. botocore's service model parses requests and formats responses; Metrics are stored in every protocol.
_CLOUDWATCH = botocore.session.get_session().get_service_model("cloudwatch")


def from_form(operation: str, form: dict[str, Any]) -> dict[str, Any]:
    return _from_query(_CLOUDWATCH.operation_model(operation).input_shape, form, "") or {}


@wraps(cloudwatch, "_put_metric_alarm")
def keep_the_whole_alarm(put: Original, form: dict[str, Any], document: Any, *protocol: bool) -> Any:
    response = put(form, document, *protocol)
    if response[0] >= _BAD_REQUEST:
        return response
    given = document if any(protocol) else from_form("PutMetricAlarm", form)
    alarm = cloudwatch._alarms[given["AlarmName"]]
    alarm |= {name: value for name, value in given.items() if name != "Tags"}
    if "Metrics" in given:
        for name in ("Namespace", "MetricName", "Dimensions", "Statistic", "ExtendedStatistic", "Period", "Unit"):
            alarm.pop(name, None)
    return response


@wraps(cloudwatch, "_describe_alarms")
def return_the_whole_alarm(describe: Original, form: dict[str, Any], document: Any, *protocol: bool) -> Any:
    if any(protocol):
        return describe(form, document, *protocol)
    response = describe({}, from_form("DescribeAlarms", form), is_cbor=False, is_json=True)
    if response[0] >= _BAD_REQUEST:
        return describe(form, document, *protocol)
    result = _to_query(_CLOUDWATCH.operation_model("DescribeAlarms").output_shape, json.loads(response[2]))
    return cloudwatch._xml(200, "DescribeAlarmsResponse", f"<DescribeAlarmsResult>{result}</DescribeAlarmsResult>")


_CASTS: dict[str, Callable[[str], object]] = {"boolean": "true".__eq__, "integer": int, "double": float}


def _from_query(shape: Any, form: dict[str, Any], name: str) -> Any:
    """Return a shape's value in a form, or None."""
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
        parts = ((name, each, value.get(name)) for name, each in shape.members.items())
        return "".join(f"<{name}>{_to_query(each, part)}</{name}>" for name, each, part in parts if part is not None)
    if shape.type_name == "list":
        return "".join(f"<member>{_to_query(shape.member, each)}</member>" for each in value)
    if shape.type_name == "timestamp":
        return datetime.fromtimestamp(value, UTC).isoformat()
    return escape(str(value).lower() if shape.type_name == "boolean" else str(value))


def delete_policy(delete: Original, arn: str, properties: dict[str, Any]) -> None:
    """AWS, "DeletePolicy": an attached policy cannot be deleted. MiniStack's API does that, its CloudFormation not."""
    if iam._policies.get(arn, {}).get("AttachmentCount"):
        raise ValueError("Cannot delete a policy attached to entities. (Status Code: 409, DeleteConflict)")
    delete(arn, properties)


_POLICIES = provisioners._RESOURCE_HANDLERS["AWS::IAM::ManagedPolicy"]
_POLICIES["delete"] = partial(delete_policy, _POLICIES["delete"])


# The condition keys of a simulation. The next two functions add AWS's keys that the template uses.
_SIMULATED: ContextVar[Mapping[str, Any]] = ContextVar("simulated", default=MappingProxyType({}))


@wraps(iam_actions, "request_tag_context")
def add_the_version_stage(context_of: Original, service: str, action: str, body: Any, *rest: Any) -> Any:
    """secretsmanager:VersionStage is a list."""
    label = json.loads(body or b"{}").get("VersionStage") if service == "secretsmanager" else None
    return context_of(service, action, body, *rest) | ({"secretsmanager:versionstage": [label]} if label else {})


@wraps(iam_evaluator, "_resolve_condition_key")
def resolve_sessions(resolve: Original, key: str, context: iam_evaluator.EvalContext) -> Any:
    """aws:PrincipalArn is a session's role; Lambda's sessions, named like the function, have SourceFunctionArn."""
    if key.lower() in _SIMULATED.get():
        return _SIMULATED.get()[key.lower()]
    kind, _, rest = context.principal_arn.partition(":assumed-role/")
    role, _, session = rest.partition("/")
    if key.lower() == "aws:principalarn":
        return f"{kind.replace(':sts:', ':iam:')}:role/{role}" if role else context.principal_arn
    if key.lower() == "lambda:sourcefunctionarn":
        function = lambda_svc._functions.get(session, {}).get("config", {})
        return function.get("FunctionArn") if function.get("Role", "").endswith(f":role/{role}") else None
    return resolve(key, context)


def simulate_in_context(simulate: Original, parameters: dict[str, Any]) -> Any:
    given: dict[str, Any] = {}
    for number in itertools.count(1):
        entry = f"ContextEntries.member.{number}"
        if not (name := iam._p(parameters, f"{entry}.ContextKeyName")):
            break
        value = iam._p(parameters, f"{entry}.ContextKeyValues.member.1")
        given[name.lower()] = [value] if iam._p(parameters, f"{entry}.ContextKeyType").endswith("List") else value
    token = _SIMULATED.set(given)
    try:
        return simulate(parameters)
    finally:
        _SIMULATED.reset(token)


iam._IAM_HANDLERS["SimulatePrincipalPolicy"] = partial(simulate_in_context, iam._simulate_principal_policy)


@wraps(iam_actions, "extract_resource_arn")
def end_arns_of_log_groups(arn_of: Original, service: str, method: str, path: str, headers: Any, *rest: Any) -> Any:
    """AWS, "CloudWatch Logs resources and operations": a log group's ARN in policies ends with `:*`, tagging apart."""
    arn = arn_of(service, method, path, headers, *rest)
    is_tagging = "Tag" in headers.get("x-amz-target", "")
    return f"{arn}:*" if service == "logs" and ":log-group:" in arn and not is_tagging else arn


# AWS, "How Lambda handles errors and retries with asynchronous invocation": Scheduler and EventBridge put events into
# Lambda's queue, so that the function's EventInvokeConfig applies. A retried event keeps its request id.
_QUEUED: ContextVar[str | None] = ContextVar("queued", default=None)


@wraps(lambda_svc, "invoke_async_with_retry")
def enqueue(run_with_retries: Original, function: dict[str, Any], event: dict[str, Any]) -> None:
    token = _QUEUED.set(str(uuid.uuid4()))
    try:
        run_with_retries(function, event)
    finally:
        _QUEUED.reset(token)


@wraps(lambda_svc, "_execute_function_dispatch")
def run_under_its_id(run: Original, function: Any, config: Any, event: Any, request_id: str, started: float) -> Any:
    return run(function, config, event, _QUEUED.get() or request_id, started)


@wraps(eventbridge, "_dispatch_to_lambda")
def deliver(_original: object, arn: str, payload: str) -> None:
    function, config, _ = lambda_svc._get_func_record_for_ref(arn)
    lambda_svc.invoke_async_with_retry(lambda_svc._execution_record_for_config(function, config), json.loads(payload))


@wraps(secretsmanager, "_create_secret")
def create_no_version_without_a_value(create: Original, request: dict[str, Any]) -> Any:
    """AWS, "CreateSecret": without SecretString and SecretBinary there is no version. MiniStack creates one."""
    response = create(request)
    if response[0] >= _BAD_REQUEST or request.keys() & {"SecretString", "SecretBinary"}:
        return response
    body = {name: value for name, value in json.loads(response[2]).items() if name != "VersionId"}
    secretsmanager._resolve(body["ARN"])[1]["Versions"].clear()
    return response[0], response[1], json.dumps(body).encode()


@wraps(secretsmanager, "_put_secret_value")
def keep_each_label_of_a_put(put: Original, request: dict[str, Any]) -> Any:
    """AWS, "PutSecretValue": the new version gets all the labels of the request, and each label sends its event."""
    response = put(request)
    labels = request.get("VersionStages", [])
    if response[0] >= _BAD_REQUEST or "AWSCURRENT" not in labels:
        return response
    body = json.loads(response[2])
    for label in set(labels).difference(body["VersionStages"]):
        move = {"SecretId": request["SecretId"], "VersionStage": label, "MoveToVersionId": body["VersionId"]}
        secretsmanager._update_secret_version_stage(move)
    return response[0], response[1], json.dumps(body | {"VersionStages": labels}).encode()


@wraps(lambda_svc, "_emit_lambda_logs")
def emit_metrics(emit: Original, function: Any, request_id: str, text: str, *rest: Any, **options: Any) -> None:
    """AWS, "Embedded metric format": CloudWatch extracts metrics from the function's log lines in this format."""
    emit(function, request_id, text, *rest, **options)
    for line in (text or "").splitlines():
        if not line.startswith('{"_aws"') and '"CloudWatchMetrics"' not in line:
            continue
        record = json.loads(line)
        for directive in record["_aws"]["CloudWatchMetrics"]:
            for names, metric in itertools.product(directive["Dimensions"], directive["Metrics"]):
                values = record[metric["Name"]]
                for value in values if isinstance(values, list) else [values]:
                    dimensions = {name: record[name] for name in names}
                    cloudwatch.record_metric(directive["Namespace"], metric["Name"], value, metric["Unit"], dimensions)


# A run has its whole log. MiniStack stops reading when a worker writes nothing for 5 ms, and gives the rest to the
# worker's next run: so the worker says when a run has ended, before it answers.
_RUN_ENDED = "the run has ended"
_RUN = "            result = handler_fn(event, context)\n"
_MARKED_RUN = f"""\
            try:
    {_RUN}            finally:
                print({_RUN_ENDED!r}, file=sys.stderr, flush=True)
"""
assert _RUN in lambda_runtime._PYTHON_WORKER_SCRIPT
lambda_runtime._PYTHON_WORKER_SCRIPT = lambda_runtime._PYTHON_WORKER_SCRIPT.replace(_RUN, _MARKED_RUN)


def read_until_the_run_has_ended(worker: Any) -> str:
    return "\n".join(iter(partial(worker._stderr_queue.get, timeout=10), _RUN_ENDED))


lambda_runtime.Worker._drain_stderr_bounded = read_until_the_run_has_ended


# A faster scheduler and faster retries by Lambda: a minute takes a few seconds.
scheduler._SCHEDULE_TICK_INTERVAL = 1.0
lambda_svc._LAMBDA_ASYNC_RETRY_BASE_SECONDS = _SECONDS_A_MINUTE


@wraps(eventbridge, "_parse_rate_seconds")
def let_minutes_pass_quickly(parse: Callable[[str], float | None], expression: str) -> float | None:
    seconds = parse(expression)
    return None if seconds is None else seconds * _SECONDS_A_MINUTE / 60


def exit_with_the_parent() -> None:
    """Exit with the parent process, even if that is killed: its end of the pipe closes then."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=exit_with_the_parent, daemon=True).start()
    app.main()
