"""The Terraform module deploys for one client what template.yaml deploys, but for what is listed with its reason."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from infra.terraform_cli import MODULE, MissingError, copied
from tests.infra.terraform import module, sam
from tests.infra.terraform.comparison import CASES, MEANT, VARIABLES, compare, table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.infra.terraform.comparison import Compared


pytestmark = pytest.mark.terraform


@pytest.fixture(scope="module")
def states() -> Mapping[str, module.State]:
    try:
        return module.applied(VARIABLES)
    except MissingError as missing:
        pytest.skip(str(missing))


def not_meant(compared: list[Compared]) -> list[str]:
    return [str(fact) for fact in compared if not fact.is_equal and fact.name not in MEANT]


def test_both_deploy_the_same_for_one_client(states: Mapping[str, module.State]) -> None:
    compared = compare(states)
    assert not_meant(compared) == []
    assert {fact.name for fact in compared if not fact.is_equal} == set(MEANT), "a difference that is meant is gone"
    assert {fact.case for fact in compared} == set(CASES)
    assert "**not meant**" not in table(compared)


def role_statement(body: dict[str, Any], sid: str) -> dict[str, Any]:
    (policy,) = body["Resources"]["TokenFunctionRole"]["Properties"]["Policies"]
    found: dict[str, Any] = next(s for s in policy["PolicyDocument"]["Statement"] if s.get("Sid") == sid)
    return found


def properties(body: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = body["Resources"][name]["Properties"]
    return found


BROKEN: dict[str, Callable[[dict[str, Any]], Any]] = {
    "role: KeepTheLedger": lambda body: role_statement(body, "KeepTheLedger").pop("Condition"),
    "role: ReadTheCredentials": lambda body: role_statement(body, "ReadTheCredentials").update(Resource="*"),
    "role: ForThisFunctionAlone": lambda body: role_statement(body, "ForThisFunctionAlone").update(Effect="Allow"),
    "retries: how many": lambda body: properties(body, "TokenFunctionEventInvokeConfig").update(MaximumRetryAttempts=1),
    "settings: GRACE_SECONDS": lambda body: body["Parameters"]["GraceSeconds"].update(Default="601"),
    "TokenExpiryAlarm: periods": lambda body: properties(body, "TokenExpiryAlarm").update(EvaluationPeriods=12),
    "TokenExpiryAlarm: arithmetic": lambda body: body["Mappings"]["Page"]["5"].update(LeadSeconds=1),
    "WaitingAlarm: threshold": lambda body: properties(body, "WaitingAlarm").update(Threshold=40000),
    "ThrottledAlarm: tells": lambda body: properties(body, "ThrottledAlarm").update(AlarmActions=[]),
    "schedule: undelivered": lambda body: properties(body, "TokenFunctionSchedule")["Target"].pop("DeadLetterConfig"),
    "log: days": lambda body: properties(body, "TokenFunctionLogGroup").update(RetentionInDays=1),
    "queue: encrypted": lambda body: properties(body, "UndeliveredQueue").pop("SqsManagedSseEnabled"),
    "afterwards: the token secret": lambda body: body["Resources"]["TokenSecret"].update(DeletionPolicy="Retain"),
}


@pytest.mark.parametrize("fact", BROKEN)
def test_what_one_of_them_changes_is_told_by_its_name(fact: str, states: Mapping[str, module.State]) -> None:
    body = copy.deepcopy(sam.translated())
    BROKEN[fact](body)
    told = {each.name for each in compare(states, body) if not each.is_equal} - set(MEANT)
    assert fact in told


def test_what_the_template_learns_is_not_overlooked(states: Mapping[str, module.State]) -> None:
    body = copy.deepcopy(sam.translated())
    properties(body, "TokenFunction")["EphemeralStorage"] = {"Size": 1024}
    with pytest.raises(ValueError, match=r"does not know TokenFunction\.EphemeralStorage of template\.yaml"):
        compare(states, body)


def test_what_the_module_changes_or_learns_is_told(tmp_path: Path, states: Mapping[str, module.State]) -> None:
    other = copied(MODULE, tmp_path / "module")
    iam, function = (other / "iam.tf").read_text(), (other / "function.tf").read_text()
    (other / "iam.tf").write_text(iam.replace('"LIVE_*"', '"*"'))
    (other / "function.tf").write_text(function.replace("timeout = 120", "timeout = 120\n  publish = true"))
    changed = module.applied({"by_default": VARIABLES["by_default"]}, other)
    with pytest.raises(ValueError, match=r"does not know publish of aws_lambda_function\.token"):
        compare({**states, **changed})
    changed["by_default"].resources["aws_lambda_function.token"].read("publish")
    facts, _ = module.deployment(changed["by_default"])
    assert facts["role: KeepTheLedger"]["Condition"] == {"ForAnyValue:StringLike": {"secretsmanager:VersionStage": "*"}}
