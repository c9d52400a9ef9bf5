"""Clients join and leave, and what Terraform plans, keeps and leaves behind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from infra.e2e import access, runs
from infra.e2e.stack import CommandError
from infra.e2e.story import refused, until
from infra.e2e.terraform.fleet import EXISTING, FOURTH, SCOPED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.e2e.story import Story
    from infra.e2e.terraform.fleet import Fleet
    from infra.e2e.terraform.module import Change

# What lists the clients: no other resource may change when one joins or leaves.
_SHARED = {
    "aws_iam_policy.function",
    "aws_iam_role_policy.function",
    "aws_iam_policy.operator",
    "aws_sqs_queue_policy.undelivered",
    "aws_cloudwatch_dashboard.token",
}


def a_fourth_joins_while_the_others_rotate(fleet: Fleet) -> None:
    """Its plan touches nothing of the others; each of them rotates, and revokes by its grace, while it is applied."""
    changes: list[Change] = []
    clients = {**fleet.module.variables["clients"], FOURTH: {}}
    fleet.at_once(
        dict.fromkeys(fleet.stories, runs.a_superseded_token_has_its_grace),
        lambda: changes.extend(fleet.module.apply(clients)),
    )
    updated = check(changes, FOURTH, "create")
    fleet.look()
    story = fleet.stories[FOURTH]
    took = runs.put_credentials(story, story.client_secret)
    assert story.telenor.is_live(story.token())
    fleet.show(
        "a fourth client",
        f"{len(changes) - len(updated)} resources created, all of {FOURTH}; updated: {', '.join(updated)}; "
        f"a token {took:.0f} s after its credentials",
    )


def one_leaves_and_the_others_stay(fleet: Fleet) -> None:
    """Its plan touches nothing of the others; its token secret goes, and its credentials can be taken back."""
    gone, others = fleet.stories[SCOPED], fleet.others(SCOPED)
    before = {name: (story.token(), story.token_secret, len(runs.ended(story))) for name, story in others.items()}
    clients = fleet.module.variables["clients"]
    kept = {name: value for name, value in clients.items() if name != SCOPED}
    _is_protected(fleet, gone, kept)
    fleet.module.apply({**clients, SCOPED: {**clients[SCOPED], "deletion_protection": False}})
    changes = fleet.module.apply(kept)
    updated = check(changes, SCOPED, "delete")
    fleet.look()
    assert fleet.stories.keys() == others.keys()
    for name, story in fleet.stories.items():
        token, secret, ended = before[name]
        assert (story.token(), story.token_secret) == (token, secret), f"{name} feels that {SCOPED} has left"
        until(f"a tick of {name}", lambda story=story, ended=ended: len(runs.ended(story)) > ended)  # type: ignore[misc]
        assert runs.ended(story)[-1]["outcome"] == "not-due", runs.ended(story)[-1]
    secretsmanager = fleet.emulator.client("secretsmanager")
    assert _is_gone(secretsmanager, gone.token_secret)
    credentials = gone.stack.outputs["CredentialsSecretArn"]
    assert "DeletedDate" in secretsmanager.describe_secret(SecretId=credentials)
    secretsmanager.restore_secret(SecretId=credentials)
    value = json.loads(secretsmanager.get_secret_value(SecretId=credentials)["SecretString"])
    assert value["client_id"] == gone.client_id
    secretsmanager.delete_secret(SecretId=credentials, RecoveryWindowInDays=30)
    fleet.show(
        "one leaves",
        f"{len(changes) - len(updated)} resources destroyed, all of {SCOPED}; updated: {', '.join(updated)}; its "
        f"credentials can be taken back; {', '.join(fleet.stories)} keep their tokens and run on",
    )


def _is_protected(fleet: Fleet, story: Story, kept: Mapping[str, Any]) -> None:
    """Neither a plan without the client nor AWS lets its token secret go."""
    clients = fleet.module.variables["clients"]
    try:
        fleet.module.apply(kept)
    except CommandError as error:
        assert f"clients: {SCOPED}: it is no longer named" in str(error), error
    else:
        raise AssertionError(f"{SCOPED} has left, though its token secret is protected")
    fleet.module.variables["clients"] = clients
    mine = access.session(fleet.emulator, str(story.stack.deployment_role_arn), "somebody")
    secretsmanager = fleet.emulator.client("secretsmanager", mine)
    assert refused(secretsmanager.delete_secret, SecretId=story.token_secret, ForceDeleteWithoutRecovery=True)
    assert refused(secretsmanager.delete_resource_policy, SecretId=story.token_secret)
    fleet.show(
        "deletion protection", f"a plan without {SCOPED} is refused, and so is the deployment role's DeleteSecret"
    )


def check(changes: Sequence[Change], client: str, action: str) -> list[str]:
    """See that a plan does this to one client's resources, and nothing more than update those that list the clients."""
    shared = [change for change in changes if change.address.partition("[")[0] in _SHARED]
    assert {change.action for change in shared} <= {"update"}, [str(change) for change in shared]
    for change in changes:
        if change not in shared:
            assert (change.client, change.action) == (client, action), f"{client} is changed, and so is {change}"
    return [change.address for change in shared]


def a_second_plan_changes_nothing(fleet: Fleet) -> None:
    """What was applied is what Terraform reads back."""
    changes = fleet.module.plan()
    assert not changes, [str(change) for change in changes]
    fleet.show("a second plan", f"no change in {len(fleet.module.resources())} resources")


def destroying_leaves_what_it_should(fleet: Fleet) -> None:
    """Nothing but the log, credentials that can be taken back, and the secret that was there before."""
    outputs = fleet.module.outputs
    existing = fleet.stories[EXISTING].stack.outputs["CredentialsSecretArn"]
    made = {story.stack.outputs["CredentialsSecretArn"] for story in fleet.others(EXISTING).values()}
    fleet.module.variables["deletion_protection"] = False
    fleet.module.apply(fleet.module.variables["clients"])
    fleet.module.destroy()
    assert not fleet.module.resources()
    left = _left(fleet)
    log = left.pop("log groups")
    assert log == [outputs["log_group_name"]], log
    secrets = left.pop("secrets")
    assert {arn for arn, deleted in secrets if not deleted} == {existing}, secrets
    assert {arn for arn, deleted in secrets if deleted} >= made, secrets
    assert not any(left.values()), left
    restorable = sum(deleted for _, deleted in secrets)
    fleet.show(
        "destroy",
        f"no {', '.join(left)} left; the log stays, {restorable} credentials secrets can be taken back for thirty "
        "days, and the one that was there before is as it was",
    )


def _left(fleet: Fleet) -> dict[str, list[Any]]:
    """List what is in the account under the module's name, by kind."""
    name = fleet.module.variables["name"]

    def listed(service: str, operation: str, key: str, field: str = "", **parameters: Any) -> list[Any]:  # noqa: ANN401
        pages = getattr(fleet.emulator.client(service), operation)(**parameters).get(key, [])
        told = [each[field] if field else each for each in pages]
        return [each for each in told if name in str(each)]

    secrets = fleet.emulator.client("secretsmanager").list_secrets(IncludePlannedDeletion=True)["SecretList"]
    return {
        "secrets": [
            (each["ARN"], "DeletedDate" in each) for each in secrets if not each["Name"].startswith("somebody/else")
        ],
        "log groups": listed("logs", "describe_log_groups", "logGroups", "logGroupName"),
        "functions": listed("lambda", "list_functions", "Functions", "FunctionName"),
        "schedules": listed("scheduler", "list_schedules", "Schedules", "Name"),
        "rules": listed("events", "list_rules", "Rules", "Name"),
        "roles": listed("iam", "list_roles", "Roles", "RoleName"),
        "policies": listed("iam", "list_policies", "Policies", "PolicyName", Scope="Local"),
        "queues": listed("sqs", "list_queues", "QueueUrls"),
        "topics": listed("sns", "list_topics", "Topics", "TopicArn"),
        "subscriptions": listed("sns", "list_subscriptions", "Subscriptions", "TopicArn"),
        "alarms": listed("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
        "dashboards": listed("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
    }


def _is_gone(secretsmanager: Any, secret: str) -> bool:  # noqa: ANN401  a client of the SDK
    try:
        secretsmanager.describe_secret(SecretId=secret)
    except ClientError as error:
        return str(error.response["Error"]["Code"]) == "ResourceNotFoundException"
    return False
