"""The settings of template.yaml that only the real AWS enforces. Each claim fails on a template that lacks it."""

from __future__ import annotations

import json
import re
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from moto.events.models import EventPattern

from infra.load_template import TEMPLATE, load
from infra.stack_parameters import parameters
from tests.infra import resolved_template

if TYPE_CHECKING:
    from collections.abc import Iterator


ACCOUNT = "123456789012"
KEY = f"arn:aws:kms:eu-north-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
SECRET = f"arn:aws:secretsmanager:eu-north-1:{ACCOUNT}:secret:telenor/credentials-a1b2c3"


OTHER_SERVER = {
    "TokenUrl": "https://login.example.com/token",
    "RevocationUrl": "https://login.example.com/revoke",
    "ClientAuthentication": "client_secret_post",
    "TokenParameters": "audience=a",
}

CONSUMER = "infra/consumer/template.yaml"


@cache
def template(name: str = "template.yaml") -> dict[str, Any]:
    return load(TEMPLATE.parent / name)


def properties(logical_id: str) -> dict[str, Any]:
    found: dict[str, Any] = template()["Resources"][logical_id]["Properties"]
    return found


def branches(value: Any) -> Iterator[Any]:
    """Yield a value, or each branch of its `!If` except AWS::NoValue."""
    if isinstance(value, dict) and "Fn::If" in value:
        for branch in value["Fn::If"][1:]:
            yield from branches(branch)
    elif value != {"Ref": "AWS::NoValue"}:
        yield value


def statements(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return a policy's statements by their Sid, including conditional ones."""
    found = chain.from_iterable(branches(statement) for statement in document["Statement"])
    return {statement["Sid"]: statement for statement in found}


def role_statements() -> dict[str, dict[str, Any]]:
    (policy,) = properties("TokenFunctionRole")["Policies"]
    return statements(policy["PolicyDocument"])


def label_updated() -> dict[str, Any]:
    """Return the example of AWS, "Secret Label Updated event", unchanged."""
    event: dict[str, Any] = json.loads(Path(__file__).with_name("secret_label_updated.json").read_text("utf-8"))
    return event


def matches(pattern: dict[str, Any], event: Any) -> bool:
    return EventPattern(None, pattern).matches_event(event)


deployed = partial(resolved_template.stack_of, template())


def events() -> dict[str, Any]:
    found: dict[str, Any] = properties("TokenFunction")["Events"]
    return found


# Runs


def test_lambda_does_not_retry_failed_events_and_drops_old_ones() -> None:
    config = properties("TokenFunction")["EventInvokeConfig"]
    assert config == {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}


def environment(**values: object) -> dict[str, Any]:
    function = deployed(**values).resources("AWS::Serverless::Function")["TokenFunction"]
    return dict(function["Environment"]["Variables"])


def test_another_servers_settings_are_set_only_if_given() -> None:
    names = ("TOKEN_URL", "REVOCATION_URL", "CLIENT_AUTHENTICATION", "TOKEN_PARAMETERS")
    assert not {*names} & environment().keys()
    variables = environment(**OTHER_SERVER)
    assert [variables[name] for name in names] == [*OTHER_SERVER.values()]
    assert variables["SERVES_CLIENTS"] == "false"


def test_each_schedule_has_its_expression() -> None:
    schedules = template()["Mappings"]["Schedule"]
    assert sorted(schedules) == template()["Parameters"]["ScheduleMinutes"]["AllowedValues"]
    for minutes, schedule in schedules.items():
        assert schedule["Expression"] == f"rate({minutes} minute{'' if minutes == '1' else 's'})"
        assert schedule["Seconds"] == int(minutes) * 60


def test_the_client_has_a_name() -> None:
    client = parameters(template())["ClientName"]
    assert [name for name in ("a", "telenor-b2b", "x" * 32) if not client.accepts(name)] == []
    assert [name for name in ("", "A", "a_b", "a b", "x" * 33) if client.accepts(name)] == []
    assert properties("TokenFunction")["Environment"]["Variables"]["CLIENT_NAME"] == {"Ref": "ClientName"}


def test_new_credentials_are_tried_at_once() -> None:
    event = label_updated()
    rule = events()["NewCredentials"]["Properties"]
    (of_whom,) = rule["Pattern"]["resources"]
    assert list(branches(of_whom)) == [{"Fn::GetAtt": ["CredentialsSecret", "Id"]}, {"Ref": "CredentialsSecretArn"}]
    pattern = rule["Pattern"] | {"resources": event["resources"]}
    assert matches(pattern, event)
    assert not matches(pattern, event | {"resources": [SECRET]})
    assert not matches(pattern, event | {"detail": event["detail"] | {"labelUpdated": "LIVE_x"}})
    assert not matches(pattern, event | {"detail-type": "AWS API Call via CloudTrail"})
    assert json.loads(rule["Input"]) == {"action": "credentials-changed"}


@pytest.mark.parametrize("name", ["Schedule", "NewCredentials"])
def test_event_sources_stop_retrying_soon_and_use_the_dead_letter_queue(name: str) -> None:
    source = events()[name]["Properties"]
    assert source["RetryPolicy"] == {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 60}
    assert source["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["UndeliveredQueue", "Arn"]}}


def test_only_the_rule_may_send_to_the_dead_letter_queue() -> None:
    (statement,) = properties("UndeliveredQueuePolicy")["PolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Action"] == "sqs:SendMessage"
    # SAM names the rule after the function and the event.
    rule = {"Fn::GetAtt": ["TokenFunctionNewCredentials", "Arn"]}
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": rule}}


# Permissions


def test_the_version_stage_condition_compares_a_list() -> None:
    condition = role_statements()["KeepTheLedger"]["Condition"]
    assert condition == {"ForAnyValue:StringLike": {"secretsmanager:VersionStage": "LIVE_*"}}


def test_the_schedules_role_can_be_used_only_by_schedules_of_this_account() -> None:
    (statement,) = properties("TokenFunctionScheduleRole")["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert events()["Schedule"]["Properties"]["RoleArn"] == {"Fn::GetAtt": ["TokenFunctionScheduleRole", "Arn"]}


def test_the_functions_own_code_may_not_change_network_interfaces() -> None:
    statement = role_statements()["NotByTheFunctionItself"]
    assert (statement["Effect"], statement["Action"], statement["Resource"]) == ("Deny", "ec2:*", "*")
    # The policy cannot refer to the function, which does not exist before its role.
    name, variables = properties("TokenFunction")["FunctionName"]["Fn::Sub"]
    arn = f"arn:${{AWS::Partition}}:lambda:${{AWS::Region}}:${{AWS::AccountId}}:function:{name}"
    assert statement["Condition"]["ArnEquals"]["lambda:SourceFunctionArn"] == {"Fn::Sub": [arn, variables]}


def test_an_existing_credentials_secret_may_have_a_key_of_its_own() -> None:
    statement = role_statements()["UseTheKeyOfTheCredentials"]
    assert statement["Action"] == "kms:Decrypt"
    assert statement["Resource"] == {"Ref": "CredentialsKmsKeyArn"}
    assert "kms:ViaService" in statement["Condition"]["StringEquals"]


def test_an_existing_credentials_secret_keeps_its_owners_policy() -> None:
    assert template()["Resources"]["CredentialsSecretPolicy"]["Condition"] == "CreatesCredentials"


@pytest.mark.parametrize("readers", [[], ["arn:aws:iam::888888888888:role/one", "arn:aws:iam::999999999999:user/two"]])
def test_a_reader_in_another_account_is_a_condition_on_that_account(readers: list[str]) -> None:
    accounts = ["888888888888", "999999999999"]
    values = {"ReaderAccountIds": ",".join(accounts), "ReaderPrincipals": ",".join(readers), "KmsKeyArn": KEY}
    policy = deployed(**values).resources("AWS::SecretsManager::ResourcePolicy")["TokenSecretPolicy"]["ResourcePolicy"]
    (allowed,) = [statement for statement in policy["Statement"] if statement["Effect"] == "Allow"]
    assert allowed["Principal"] == {"AWS": accounts}
    assert allowed.get("Condition") == ({"ArnEquals": {"aws:PrincipalArn": readers}} if readers else None)


def test_every_role_can_have_a_permissions_boundary() -> None:
    boundary = {"Fn::If": ["HasBoundary", {"Ref": "PermissionsBoundaryArn"}, {"Ref": "AWS::NoValue"}]}
    roles = [name for name, each in template()["Resources"].items() if each["Type"] == "AWS::IAM::Role"]
    assert [properties(name)["PermissionsBoundary"] for name in roles] == [boundary] * 2
    # SAM creates one more, for the schedule.
    assert consumer()["PermissionsBoundary"] == boundary


def test_operators_read_no_secret_value() -> None:
    allowed = statements(properties("OperatorPolicy")["PolicyDocument"])
    actions = re.findall(r"[a-z]+:[\w*]+", str([each["Action"] for each in allowed.values()]))
    assert "lambda:InvokeFunction" in actions
    assert [action for action in actions if "*" in action or "Value" in action] == []
    assert [sid for sid, each in allowed.items() if each["Resource"] == "*"] == ["ReadAlarmsMetricsAndResults"]


def test_operators_may_disable_the_schedule_and_pass_only_its_role() -> None:
    allowed = statements(properties("OperatorPolicy")["PolicyDocument"])
    assert allowed["ReadAndDisableTheSchedule"]["Resource"] == {"Fn::GetAtt": ["TokenFunctionSchedule", "Arn"]}
    (passed,) = [each for each in allowed.values() if "iam:" in str(each["Action"])]
    assert passed["Action"] == "iam:PassRole"
    assert passed["Resource"] == {"Fn::GetAtt": ["TokenFunctionScheduleRole", "Arn"]}
    assert passed["Condition"] == {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}


@pytest.mark.parametrize("dashboard", ["true", "false"])
def test_operators_may_view_the_dashboard_if_there_is_one(dashboard: str) -> None:
    policy = deployed(Dashboard=dashboard).resources("AWS::IAM::ManagedPolicy")["OperatorPolicy"]
    assert ("dashboard/stack-eu-north-1" in str(policy)) == (dashboard == "true")
    assert ("GetDashboard" in str(policy)) == (dashboard == "true")


def test_texts_that_replace_a_secret_or_a_policy_when_they_change_have_not_changed() -> None:
    resources = template()["Resources"]
    placeholder = 'Replace this with {"client_id": "...", "client_secret": "..."} of the app at Telenor'
    assert resources["CredentialsSecret"]["Properties"]["SecretString"] == placeholder
    policies = [resources[name]["Properties"]["Description"] for name in ("ConsumerPolicy", "OperatorPolicy")]
    assert policies == [
        "Read the shared Telenor token, and nothing else.",
        "Invoke the Telenor token job and read its status, without access to secret values.",
    ]


def test_a_list_that_begins_with_an_empty_value_is_not_empty() -> None:
    stack = deployed(ReaderAccountIds=",999999999999", ReaderPrincipals=",arn:aws:iam::999999999999:role/r")
    policy = stack.resources("AWS::SecretsManager::ResourcePolicy")["TokenSecretPolicy"]["ResourcePolicy"]
    assert [each["Sid"] for each in policy["Statement"] if each["Effect"] == "Allow"] == ["NamedReaders"]


# Creation and deletion of the stack


@pytest.mark.parametrize("name", ["CredentialsSecret", "TokenFunctionLogGroup", "ConsumerPolicy", "OperatorPolicy"])
def test_a_failed_deployment_leaves_nothing_and_an_attached_policy_stays(name: str) -> None:
    assert template()["Resources"][name]["DeletionPolicy"] == "RetainExceptOnCreate"


# The example of a consumer stack


def consumer() -> dict[str, Any]:
    function: dict[str, Any] = template(CONSUMER)["Resources"]["ConsumerFunction"]["Properties"]
    return function


def test_a_consumer_in_another_account_may_read_this_secret_and_use_this_key() -> None:
    policies = consumer()["Policies"]
    in_this_account, in_another = chain.from_iterable(map(branches, policies))
    assert in_this_account == {"Ref": "ConsumerPolicyArn"}
    read, decrypt = in_another["Statement"]
    assert read["Resource"] == {"Ref": "TokenSecretArn"}
    assert read["Action"] == statements(properties("ConsumerPolicy")["PolicyDocument"])["ReadTheToken"]["Action"]
    assert decrypt["Action"] == "kms:Decrypt"
    assert decrypt["Resource"] == {"Ref": "KmsKeyArn"}


def test_a_consumer_is_notified_only_of_new_current_tokens() -> None:
    event = label_updated()
    rule = consumer()["Events"]["NewToken"]["Properties"]
    assert rule["Pattern"]["resources"] == [{"Ref": "TokenSecretArn"}]
    pattern = rule["Pattern"] | {"resources": event["resources"]}
    assert matches(pattern, event)
    assert not matches(pattern, event | {"detail": event["detail"] | {"labelUpdated": "LIVE_x"}})
