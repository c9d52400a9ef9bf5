"""The module on its own: its tests pass, and one client's coming or going leaves the others alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from infra.terraform_cli import MODULE, MissingError, copied
from tests.infra.terraform import module

if TYPE_CHECKING:
    from pathlib import Path

# What names all clients, and so changes with each of them, where it is.
SHARED = {
    "aws_cloudwatch_dashboard.token",
    'aws_iam_policy.function["ledger"]',
    'aws_iam_policy.function["token"]',
    "aws_iam_policy.operator",
    "aws_iam_role_policy.function",
    "aws_sqs_queue_policy.undelivered",
}


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, set[str]]]:
    """Return for each plan of tests/clients.tftest.hcl which resources it does what with."""
    copy = copied(MODULE, tmp_path_factory.mktemp("terraform") / "module")
    try:
        messages = module.tested(copy, "clients")
    except MissingError as missing:
        pytest.skip(str(missing))
    return {m["@testrun"]: by_action(m["test_plan"]) for m in messages if m["type"] == "test_plan"}


def by_action(plan: dict[str, Any]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for change in plan["resource_changes"]:
        found.setdefault("+".join(change["change"]["actions"]), set()).add(change["address"])
    return found


def of_client(addresses: set[str], name: str) -> bool:
    return all(f'["{name}"]' in address or f'["{name}/' in address for address in addresses)


def test_a_client_that_comes_changes_nothing_of_the_others(plans: dict[str, dict[str, set[str]]]) -> None:
    plan = plans["one_comes"]
    assert set(plan) == {"create", "update", "no-op"}
    assert of_client(plan["create"], "aa")
    assert plan["update"] == SHARED
    assert {'aws_secretsmanager_secret.token["a"]', 'aws_scheduler_schedule.client["b"]'} <= plan["no-op"]
    assert "aws_lambda_function.token" in plan["no-op"]


def test_a_client_that_goes_changes_nothing_of_the_others(plans: dict[str, dict[str, set[str]]]) -> None:
    plan = plans["one_goes"]
    assert set(plan) == {"delete", "update", "no-op"}
    assert of_client(plan["delete"], "a")
    assert plan["update"] == SHARED
    assert {'aws_secretsmanager_secret.token["b"]', 'aws_scheduler_schedule.client["b"]'} <= plan["no-op"]


def test_a_failing_test_of_the_module_is_told(tmp_path: Path, plans: object) -> None:
    del plans  # skipped where these are
    copy = copied(MODULE, tmp_path / "module")
    (copy / "tests" / "wrong.tftest.hcl").write_text(
        'mock_provider "aws" {\n  source = "./tests/mocks"\n}\n\n'
        'run "wrong" {\n  command = plan\n  variables {\n    artifact_path = "versions.tf"\n    clients = {}\n  }\n}\n'
    )
    with pytest.raises(ValueError, match="clients is empty: name at least one"):
        module.tested(copy, "wrong")
