"""Adding or removing a client changes nothing of the others."""

from __future__ import annotations

from typing import Any

import pytest

from infra.terraform_cli import MODULE, copied, terraform_test

pytestmark = pytest.mark.terraform

# The resources that list all clients, and therefore change with each of them.
SHARED = {
    "aws_cloudwatch_dashboard.token[0]",
    'aws_iam_policy.function["ledger"]',
    'aws_iam_policy.function["token"]',
    "aws_iam_role_policy.function",
    "aws_sqs_queue_policy.undelivered",
}


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, set[str]]]:
    """Return the resources of each plan of tests/clients.tftest.hcl by the planned action."""
    copy = copied(MODULE, tmp_path_factory.mktemp("terraform") / "module")
    messages = terraform_test(copy, "clients")
    return {m["@testrun"]: by_action(m["test_plan"]) for m in messages if m["type"] == "test_plan"}


def by_action(plan: dict[str, Any]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for change in plan["resource_changes"]:
        found.setdefault("+".join(change["change"]["actions"]), set()).add(change["address"])
    return found


@pytest.mark.parametrize(
    ("run", "action", "client", "other"), [("one_comes", "create", "aa", "a"), ("one_goes", "delete", "a", "b")]
)
def test_adding_or_removing_a_client_changes_nothing_of_the_others(
    plans: dict[str, dict[str, set[str]]], run: str, action: str, client: str, other: str
) -> None:
    plan = plans[run]
    assert set(plan) == {action, "update", "no-op"}
    assert all(f'["{client}"]' in address or f'["{client}/' in address for address in plan[action])
    assert plan["update"] == SHARED
    assert {f'aws_secretsmanager_secret.token["{other}"]', 'aws_scheduler_schedule.client["b"]'} <= plan["no-op"]
    assert "aws_lambda_function.token" in plan["no-op"]
