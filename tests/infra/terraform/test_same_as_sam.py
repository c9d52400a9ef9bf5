"""For one client the Terraform module deploys the same as template.yaml, except for the listed differences."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from tests.infra.terraform import module
from tests.infra.terraform.comparison import CASES, INTENDED, differences, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    States = Mapping[str, module.State]

pytestmark = pytest.mark.terraform


@pytest.fixture(scope="module")
def states() -> States:
    return module.applied({name: case["variables"] for name, case in CASES.items()})


def test_both_deploy_the_same_for_one_client(states: States) -> None:
    found = differences(states)
    assert [difference for difference in found if difference.intended is None] == []
    assert {difference.intended for difference in found} == set(INTENDED), "a difference that is intended is gone"


def role_statements(body: dict[str, Any]) -> dict[str, dict[str, Any]]:
    (policy,) = properties(body, "TokenFunctionRole")["Policies"]
    return {statement.get("Sid", ""): statement for statement in policy["PolicyDocument"]["Statement"]}


def properties(body: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = body["Resources"][name]["Properties"]
    return found


BROKEN: dict[str, Callable[[dict[str, Any]], Any]] = {
    "TokenFunctionRole.Policies.KeepTheLedger.Condition.ForAnyValue:StringLike.secretsmanager:VersionStage": (
        lambda body: role_statements(body)["KeepTheLedger"].pop("Condition")
    ),
    "TokenFunction.Environment.Variables.GRACE_SECONDS": (
        lambda body: body["Parameters"]["GraceSeconds"].update(Default="601")
    ),
    "TokenExpiryAlarm.Metrics.spare.Expression": lambda body: body["Mappings"]["Page"]["5"].update(LeadSeconds=1),
    "TokenSecret.DeletionPolicy": lambda body: body["Resources"]["TokenSecret"].update(DeletionPolicy="Retain"),
    "TokenDashboard.DashboardBody.Lines": lambda body: properties(body, "TokenDashboard").update(
        DashboardBody='{"widgets": []}'
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_change_of_the_template_is_found_by_name(name: str, states: States) -> None:
    body = copy.deepcopy(translated())
    BROKEN[name](body)
    assert name in {difference.name for difference in differences(states, body)}


def test_a_resource_and_an_attribute_of_the_module_alone_are_found(states: States) -> None:
    resources = copy.deepcopy(states["by_default"].resources)
    resources["aws_sqs_queue.other"] = {"name": "other"}
    resources["aws_lambda_function.token"]["publish"] = True
    changed = {**states, "by_default": states["by_default"]._replace(resources=resources)}
    found = {each.name: each.terraform for each in differences(changed) if each.intended is None}
    assert found == {"TokenFunction.Publish": "true", "aws_sqs_queue.other.name": "other"}
