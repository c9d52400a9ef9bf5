"""What the Terraform module deploys for one client: its state after an apply to a provider that is mocked."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import hcl2

from infra.terraform_cli import MODULE, copied, find
from tests.infra.alarms.template import PSEUDO
from tests.infra.terraform.facts import Facts, Resource, drawn, plain, statements
from tests.infra.terraform.sam import ALARMS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_REGION, _ACCOUNT = PSEUDO["AWS::Region"], PSEUDO["AWS::AccountId"]
_NAME, CLIENT = PSEUDO["AWS::StackName"], "default"


def url_patterns() -> dict[str, str]:
    """Return the patterns that URLs have to match, by their variables; what they use means the same in Python."""
    return {
        name.strip('"'): re.findall(r'regex\("(.*)", var', body["validation"][0]["condition"])[0].replace("\\\\", "\\")
        for block in hcl2.loads((MODULE / "variables.tf").read_text(encoding="utf-8"))["variable"]
        for name, body in block.items()
        if name.strip('"') in {"telenor_base_url", "verify_url", "token_url", "revocation_url"}
    }


_OF_THE_FUNCTION = ("UndeliveredAlarm", "ThrottledAlarm", "WaitingAlarm")


def _arn(service: str, name: str, region: str = _REGION) -> str:
    return f"arn:aws:{service}:{region}:{_ACCOUNT}:{name}"


def _alarm_address(alarm: str) -> str:
    if alarm == "TokenExpiryAlarm":
        return f'aws_cloudwatch_metric_alarm.token_expiry["{CLIENT}"]'
    if alarm == "RevocationsPendingAlarm":
        return f'aws_cloudwatch_metric_alarm.revocations_pending["{CLIENT}"]'
    kind = alarm.removesuffix("Alarm")
    if alarm in _OF_THE_FUNCTION:
        return f'aws_cloudwatch_metric_alarm.function["{kind}"]'
    return f'aws_cloudwatch_metric_alarm.client["{CLIENT}/{kind}"]'


# What the mocked AWS calls things, so that each can be told from the others.
_ARNS = {
    "aws_secretsmanager_secret.token": _arn("secretsmanager", "secret:token-a1b2c3"),
    "aws_secretsmanager_secret.credentials": _arn("secretsmanager", "secret:credentials-a1b2c3"),
    "aws_iam_role.function": _arn("iam", "role/function", region=""),
    "aws_iam_role.schedules": _arn("iam", "role/schedules", region=""),
    "aws_iam_policy.function": _arn("iam", "policy/function", region=""),
    "aws_lambda_function.token": _arn("lambda", f"function:{_NAME}"),
    "aws_cloudwatch_log_group.function": _arn("logs", "log-group:the-log"),
    "aws_cloudwatch_event_rule.new_credentials": _arn("events", "rule/new-credentials"),
    "aws_sqs_queue.undelivered": _arn("sqs", f"{_NAME}-undelivered"),
    "aws_sns_topic.alarms": _arn("sns", "alarms"),
    "aws_sns_topic.pager": _arn("sns", "pager"),
    **{_alarm_address(alarm): _arn("cloudwatch", f"alarm:{alarm}") for alarm in ALARMS},
}
_LOG_NAME, _QUEUE_URL = "/aws/lambda/the-log", "https://queue"

IDENTIFIERS = {
    _ARNS["aws_secretsmanager_secret.token"]: "the token secret",
    _ARNS["aws_secretsmanager_secret.credentials"]: "the credentials secret",
    **dict.fromkeys((_NAME, _ARNS["aws_lambda_function.token"]), "the function"),
    _ARNS["aws_iam_role.function"]: "the function's role",
    _ARNS["aws_iam_role.schedules"]: "the schedule's role",
    _LOG_NAME: "the log",
    f"{_ARNS['aws_cloudwatch_log_group.function']}:*": "the log's streams",
    **dict.fromkeys((f"{_NAME}-undelivered", _QUEUE_URL, _ARNS["aws_sqs_queue.undelivered"]), "the queue"),
    _ARNS["aws_cloudwatch_event_rule.new_credentials"]: "the rule",
    _ARNS["aws_sns_topic.alarms"]: "the alarms' topic",
    _ARNS["aws_sns_topic.pager"]: "the pager's topic",
    **{_ARNS[_alarm_address(alarm)]: alarm for alarm in ALARMS},
}

# The function's name is its service as well: where that stands, it means the service.
_WITH_SERVICE = {arn: name for arn, name in IDENTIFIERS.items() if arn != _NAME}


@dataclass(frozen=True)
class State:
    """An applied module."""

    resources: Mapping[str, Resource]
    outputs: Mapping[str, Any]


def applied(cases: Mapping[str, Mapping[str, Any]], module: Path = MODULE) -> dict[str, State]:
    """Apply a module with each set of variables, to a mocked provider. Raises MissingError and ValueError."""
    with TemporaryDirectory() as directory:
        copy = copied(module, Path(directory) / "module")
        (copy / "tests" / "compared.tftest.hcl").write_text(_test(cases))
        messages = tested(copy, "compared")
    configured = _configured(module)
    return {m["@testrun"]: _state(m["test_state"], configured) for m in messages if m["type"] == "test_state"}


def tested(module: Path, name: str) -> list[dict[str, Any]]:
    """Run a file of `terraform test`, and return all that it says. Raises MissingError, and ValueError if it fails."""
    terraform = find()
    terraform.init(module)
    ran = terraform.run(module, "test", "-json", "-verbose", f"-filter=tests/{name}.tftest.hcl", check=False)
    messages: list[dict[str, Any]] = [json.loads(line) for line in ran.stdout.splitlines()]
    if ran.returncode:
        said = [m["diagnostic"] for m in messages if m["@level"] == "error" and "diagnostic" in m]
        raise ValueError("\n".join(f"{each['summary']}: {each['detail']}" for each in said) or ran.stderr)
    return messages


def _test(cases: Mapping[str, Mapping[str, Any]]) -> str:
    overrides = [(address, {"arn": arn}) for address, arn in _ARNS.items()]
    overrides += [
        ("data.aws_region.current", {"name": _REGION}),
    ]
    values = dict(overrides)
    values["aws_cloudwatch_log_group.function"]["name"] = _LOG_NAME
    values["aws_sqs_queue.undelivered"]["url"] = _QUEUE_URL
    blocks = [
        f"  override_{'data' if address.startswith('data.') else 'resource'} {{\n"
        f"    target = {address}\n    values = {json.dumps(given)}\n  }}"
        for address, given in values.items()
    ]
    runs = [
        f'run "{name}" {{\n  variables {{\n'
        + "\n".join(f"    {variable} = {json.dumps(value)}" for variable, value in variables.items())
        + f'\n    name = "{_NAME}"\n    artifact_path = "versions.tf"\n  }}\n}}'
        for name, variables in cases.items()
    ]
    return "\n".join(['mock_provider "aws" {\n  source = "./tests/mocks"', *blocks, "}", *runs])


def _state(values: Mapping[str, Any], configured: Mapping[str, set[str]]) -> State:
    resources = {}
    for said in values["root_module"]["resources"]:
        if said["mode"] == "managed":
            resource = Resource(said["address"], said["values"])
            resource.unread &= configured[f"{said['type']}.{said['name']}"]
            resources[said["address"]] = resource
    return State(resources, {name: output.get("value") for name, output in values["outputs"].items()})


def _configured(module: Path) -> dict[str, set[str]]:
    """Return what the module's files say about each resource: all other values are defaults or AWS's."""
    found: dict[str, set[str]] = {}
    for path in module.glob("*.tf"):
        for block in hcl2.loads(path.read_text(encoding="utf-8")).get("resource", []):
            ((kind, named),) = ((kind, named) for kind, named in block.items() if not kind.startswith("__"))
            ((name, body),) = ((name, body) for name, body in named.items() if not name.startswith("__"))
            dynamic = {key.strip('"') for each in body.get("dynamic", []) for key in each if not key.startswith("__")}
            found[f"{kind}.{name}".replace('"', "")] = {key for key in body if not key.startswith("__")} - {
                "for_each",
                "count",
                "depends_on",
                "lifecycle",
                "dynamic",
            } | dynamic
    return found


def deployment(state: State) -> tuple[Facts, list[str]]:
    """Return what a state comes to, and what of it was not read."""
    resources = state.resources
    facts: Facts = {}
    for part in (_function, _starters, _roles, _secrets, _policies, _alarms):
        facts |= part(resources)
    dashboard = resources["aws_cloudwatch_dashboard.token[0]"]
    facts |= drawn(dashboard.read("dashboard_body"), _WITH_SERVICE)
    facts["dashboard: metrics"] = [
        row.replace(f"FunctionName {_NAME}", "FunctionName the function") for row in facts["dashboard: metrics"]
    ]
    facts["names: dashboard"] = dashboard.read("dashboard_name")
    facts["warning: alarms that reach nobody"] = state.outputs.get("untold_alarms")
    for resource in resources.values():
        resource.read("tags")  # the variable of that name, and nothing else
    return facts, list(_unread(resources))


def _unread(resources: Mapping[str, Resource]) -> Iterator[str]:
    for address, resource in resources.items():
        for value in sorted(resource.unread):
            yield f"{value} of {address}"


def _of_client(address: str) -> str:
    return f'{address}["{CLIENT}"]'


def _only(values: Any) -> dict[str, Any]:
    """Return the one block of a kind, or none."""
    (block,) = values or [{}]
    return dict(block)


def _function(resources: Mapping[str, Resource]) -> Facts:
    function, log = resources["aws_lambda_function.token"], resources["aws_cloudwatch_log_group.function"]
    invocations = resources["aws_lambda_function_event_invoke_config.token"]
    schedule = resources[_of_client("aws_scheduler_schedule.client")]
    for artifact in ("filename", "source_code_hash"):
        function.read(artifact)
    log.read("name_prefix")
    vpc, logging = _only(function.read("vpc_config")), _only(function.read("logging_config"))
    # A run sees both: the event goes before the environment. handler/config.py
    settings = _only(function.read("environment"))["variables"] | {
        {"client": "CLIENT_NAME", "scope": "TELENOR_SCOPE"}.get(field, field.upper()): str(value)
        for field, value in json.loads(_only(schedule.read("target"))["input"]).items()
    }
    facts = {
        "names: function": function.read("function_name"),
        "function: description": function.read("description"),
        "function: handler": function.read("handler"),
        "function: runtime": function.read("runtime"),
        "function: architecture": function.read("architectures"),
        "function: memory": function.read("memory_size"),
        "function: timeout": function.read("timeout"),
        "function: tracing": _only(function.read("tracing_config"))["mode"],
        "function: role": function.read("role"),
        "function: log format": logging["log_format"],
        "function: log": logging["log_group"],
        "function: subnets": vpc.get("subnet_ids"),
        "function: security groups": vpc.get("security_group_ids"),
        "log: days": log.read("retention_in_days"),
        "afterwards: the log": "stays" if log.read("skip_destroy") else "goes",
        "retries: of which function": invocations.read("function_name"),
        "retries: of which version": invocations.read("qualifier") or "$LATEST",
        "retries: how many": invocations.read("maximum_retry_attempts"),
        "retries: oldest event": invocations.read("maximum_event_age_in_seconds"),
        "settings: the client stands in": "the event",
    }
    facts = {name: plain(value, IDENTIFIERS) for name, value in facts.items()}
    facts["names: function"] = _NAME
    return facts | {f"settings: {name}": plain(value, _WITH_SERVICE) for name, value in settings.items() if value}


def _starters(resources: Mapping[str, Resource]) -> Facts:
    schedule = resources[_of_client("aws_scheduler_schedule.client")]
    rule = resources[_of_client("aws_cloudwatch_event_rule.new_credentials")]
    aim = resources[_of_client("aws_cloudwatch_event_target.new_credentials")]
    allowed = resources[_of_client("aws_lambda_permission.new_credentials")]
    queue, may_leave = resources["aws_sqs_queue.undelivered"], resources["aws_sqs_queue_policy.undelivered"]
    target = _only(schedule.read("target"))
    retries, retries_of_rule = _only(target["retry_policy"]), _only(aim.read("retry_policy"))
    event, event_of_rule = json.loads(target["input"]), json.loads(aim.read("input"))
    action = event_of_rule.pop("action")
    assert event == event_of_rule, "the schedule and the rule run another client"
    for named in (schedule, rule, queue, allowed):
        named.read("name")
        named.read("statement_id")
    facts = {
        "schedule: expression": schedule.read("schedule_expression"),
        "schedule: latitude": _only(schedule.read("flexible_time_window"))["mode"],
        "schedule: description": schedule.read("description"),
        "schedule: runs": target["arn"],
        "schedule: as": target["role_arn"],
        "schedule: action": event.get("action"),
        "schedule: retries": retries["maximum_retry_attempts"],
        "schedule: oldest event": retries["maximum_event_age_in_seconds"],
        "schedule: undelivered": _only(target["dead_letter_config"])["arn"],
        "rule: pattern": json.loads(rule.read("event_pattern")),
        "rule: runs": aim.read("arn"),
        "rule: action": action,
        "rule: retries": retries_of_rule["maximum_retry_attempts"],
        "rule: oldest event": retries_of_rule["maximum_event_age_in_seconds"],
        "rule: undelivered": _only(aim.read("dead_letter_config"))["arn"],
        "rule: may": allowed.read("action"),
        "rule: may run": allowed.read("function_name"),
        "rule: which service": allowed.read("principal"),
        "rule: which rule": allowed.read("source_arn"),
        "queue: encrypted": queue.read("sqs_managed_sse_enabled"),
        "queue: seconds": queue.read("message_retention_seconds"),
        "queue: whose policy": may_leave.read("queue_url"),
        "afterwards: the queue": "goes",
    }
    assert aim.read("rule") == rule.read("name")
    policy = statements("queue policy", [may_leave.read("policy")], IDENTIFIERS)
    return {name: plain(value, IDENTIFIERS) for name, value in facts.items()} | policy


def _roles(resources: Mapping[str, Resource]) -> Facts:
    facts: Facts = {"role: where it stands": "in the role and in two policies that it holds"}
    for name, words in (("function", "role"), ("schedules", "schedule's role")):
        role, own = resources[f"aws_iam_role.{name}"], resources[f"aws_iam_role_policy.{name}"]
        assert own.read("role") == role.read("name")
        own.read("name")
        documents = [own.read("policy")]
        for address, policy in resources.items():
            if address.startswith(f"aws_iam_policy.{name}["):
                attached = resources[address.replace("aws_iam_policy.", "aws_iam_role_policy_attachment.")]
                assert (attached.read("role"), attached.read("policy_arn")) == (role.read("name"), policy.read("arn"))
                policy.read("name")
                policy.read("description")
                documents.append(policy.read("policy"))
        facts |= statements(f"{words}, used by", [role.read("assume_role_policy")], IDENTIFIERS)
        facts |= statements(words, documents, IDENTIFIERS)
        facts[f"{words}: boundary"] = role.read("permissions_boundary")
    facts["role: description"] = resources["aws_iam_role.function"].read("description")
    resources["aws_iam_role.schedules"].read("description")
    # SAM gives these two statements no Sid.
    for name in ("RunTheJob", "LeaveWhatCouldNotBeDelivered"):
        statement = facts.pop(f"schedule's role: {name}")
        facts[f"schedule's role: {statement['Action']}"] = statement
    return facts


def _secrets(resources: Mapping[str, Resource]) -> Facts:
    facts: Facts = {}
    for name in ("token", "credentials"):
        address = _of_client(f"aws_secretsmanager_secret.{name}")
        if address not in resources:
            continue
        secret = resources[address]
        for named in ("name", "name_prefix", "replica"):
            secret.read(named)
        days = secret.read("recovery_window_in_days")
        key = secret.read("kms_key_id")
        facts |= {
            f"{name} secret: description": secret.read("description"),
            # CloudFormation takes a key that is left out for this one, and Terraform for the key that there was.
            f"{name} secret: key": key,
            f"{name} secret: first value": None,
            f"afterwards: the {name} secret": f"can be taken back for {days} days" if days else "goes",
        }
        apart = resources.get(_of_client(f"aws_secretsmanager_secret_policy.{name}"))
        if apart:
            facts |= statements(f"{name} secret's policy", [apart.read("policy")], IDENTIFIERS)
            facts |= {
                f"{name} secret's policy: none that is public": apart.read("block_public_policy"),
                f"{name} secret's policy: of": plain(apart.read("secret_arn"), IDENTIFIERS),
            }
        else:
            facts |= statements(f"{name} secret's policy", [secret.read("policy")], IDENTIFIERS)
            facts[f"{name} secret's policy: of"] = plain(secret.read("arn"), IDENTIFIERS)
    assert not any(address.startswith("aws_secretsmanager_secret_version") for address in resources)
    return facts


def _policies(resources: Mapping[str, Resource]) -> Facts:
    facts: Facts = {}
    for address, words in (
        (_of_client("aws_iam_policy.consumer"), "consumers"),
        ("aws_iam_policy.operator", "operators"),
    ):
        policy = resources[address]
        policy.read("name")
        facts |= statements(words, [policy.read("policy")], IDENTIFIERS)
        facts[f"{words}: description"] = policy.read("description")
        facts[f"afterwards: the {words}' policy"] = "goes"
    return facts


def _alarms(resources: Mapping[str, Resource]) -> Facts:
    facts: Facts = {}
    for name, words in (("alarms", "alarms' topic"), ("pager", "pager's topic")):
        if f"aws_sns_topic.{name}[0]" in resources:
            topic = resources[f"aws_sns_topic.{name}[0]"]
            subscription = resources[f"aws_sns_topic_subscription.{name}[0]"]
            topic.read("name")
            assert subscription.read("topic_arn") == topic.read("arn")
            facts[f"{words}: name"] = topic.read("display_name")
            facts[f"{words}: to"] = [(subscription.read("protocol"), subscription.read("endpoint"))]
    for name in ALARMS:
        alarm = resources[_alarm_address(name)]
        who, _, what = alarm.read("alarm_description").partition(": ")
        said = {
            "name": alarm.read("alarm_name"),
            "whose": who,
            "description": what,
            "metric": alarm.read("metric_name")
            and {f"{alarm.read('namespace')} {alarm.read('metric_name')}": alarm.read("dimensions")},
            "statistic": alarm.read("statistic"),
            "period": alarm.read("period"),
            "arithmetic": {query["id"]: _metric(query) for query in alarm.read("metric_query") or []},
            "periods": alarm.read("evaluation_periods"),
            "of them bad": alarm.read("datapoints_to_alarm"),
            "threshold": alarm.read("threshold"),
            "compared": alarm.read("comparison_operator"),
            "silence": alarm.read("treat_missing_data"),
            "tells": alarm.read("alarm_actions"),
            "tells when over": alarm.read("ok_actions"),
        }
        identifiers = IDENTIFIERS if name in _OF_THE_FUNCTION else _WITH_SERVICE
        facts |= {f"{name}: {fact}": plain(value, identifiers) for fact, value in said.items()}
    return facts


def _metric(query: Mapping[str, Any]) -> dict[str, Any]:
    (metric,) = query["metric"] or [{}]
    return {
        "label": query["label"],
        "returned": query["return_data"],
        "expression": query["expression"],
        "metric": metric and {f"{metric['namespace']} {metric['metric_name']}": metric["dimensions"]},
        "statistic": metric.get("stat"),
        "period": metric.get("period"),
    }
