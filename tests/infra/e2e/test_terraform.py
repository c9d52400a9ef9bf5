"""What the steps read out of Terraform's words, and what they refuse."""

from __future__ import annotations

import json

import pytest

from infra.e2e.terraform.changes import check
from infra.e2e.terraform.module import Change, changes


def planned(address: str, key: str | None, action: str) -> str:
    resource = {"addr": f"module.token.{address}", "resource": address, "resource_key": key}
    return json.dumps({"type": "planned_change", "change": {"resource": resource, "action": action}})


ROLE = Change("aws_iam_role_policy.function", "", "update")
SECRET = Change('aws_secretsmanager_secret.token["fiber"]', "fiber", "create")
ALARM = Change('aws_cloudwatch_metric_alarm.client["fiber/RunsFailing"]', "fiber/RunsFailing", "create")


def test_changes_are_what_was_planned_and_not_what_is_read_or_left() -> None:
    printed = [
        json.dumps({"type": "version", "terraform": "1.11.4"}),
        planned(ROLE.address, None, "update"),
        planned(ALARM.address, ALARM.key, "create"),
        planned("aws_sqs_queue.undelivered", None, "noop"),
        planned("data.aws_region.current", None, "read"),
        json.dumps({"type": "change_summary", "changes": {"add": 1}}),
    ]
    assert changes("\n".join(printed)) == [ROLE, ALARM]
    assert (ALARM.client, ROLE.client) == ("fiber", "")


def test_a_client_that_joins_may_update_what_lists_the_clients() -> None:
    assert check([ROLE, SECRET, ALARM], "fiber", "create") == [ROLE.address]


@pytest.mark.parametrize(
    "change",
    [
        Change('aws_secretsmanager_secret.token["iot"]', "iot", "create"),
        Change('aws_secretsmanager_secret.token["fiber"]', "fiber", "delete"),
        Change("aws_lambda_function.token", "", "update"),
        Change("aws_iam_role_policy.function", "", "delete"),
        # A client whose name begins with the other's.
        Change('aws_cloudwatch_metric_alarm.client["fiber-2/RunsFailing"]', "fiber-2/RunsFailing", "create"),
    ],
)
def test_a_plan_that_touches_anything_else_is_refused(change: Change) -> None:
    with pytest.raises(AssertionError):
        check([ROLE, SECRET, change], "fiber", "create")
