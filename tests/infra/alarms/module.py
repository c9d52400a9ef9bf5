"""Reads the alarms of the Terraform module, from its state after an apply to a provider that is mocked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from infra.terraform_cli import MODULE, copied
from tests.infra.terraform.module import tested

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_ALARM = "aws_cloudwatch_metric_alarm"

# An attribute of the provider, and what CloudFormation calls it.
_NAMES = {
    "alarm_name": "AlarmName",
    "alarm_description": "AlarmDescription",
    "namespace": "Namespace",
    "metric_name": "MetricName",
    "statistic": "Statistic",
    "period": "Period",
    "evaluation_periods": "EvaluationPeriods",
    "datapoints_to_alarm": "DatapointsToAlarm",
    "threshold": "Threshold",
    "comparison_operator": "ComparisonOperator",
    "treat_missing_data": "TreatMissingData",
}


def deployed(cases: Mapping[str, Mapping[str, Any]], directory: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Return for each set of variables the alarms by name, as a template would have them. Raises MissingError."""
    copy = copied(MODULE, directory / "module")
    given = {"name": "job", "artifact_path": "versions.tf"}
    runs = [
        "\n".join(
            [f'run "{case}" {{', "  variables {"]
            + [f"    {name} = {json.dumps(value)}" for name, value in (given | dict(variables)).items()]
            + ["  }", "}"]
        )
        for case, variables in cases.items()
    ]
    mocked = 'mock_provider "aws" {\n  source = "./tests/mocks"\n}'
    (copy / "tests" / "alarms.tftest.hcl").write_text("\n\n".join([mocked, *runs]) + "\n", encoding="utf-8")
    states = {said["@testrun"]: said["test_state"] for said in tested(copy, "alarms") if said["type"] == "test_state"}
    return {
        case: {
            each["values"]["alarm_name"]: properties(each["values"])
            for each in state["root_module"]["resources"]
            if each["type"] == _ALARM
        }
        for case, state in states.items()
    }


def properties(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties of an AWS::CloudWatch::Alarm that says the same."""
    told = {_NAMES[name]: value for name, value in values.items() if name in _NAMES and value not in (None, "")}
    if values["metric_query"]:
        told["Metrics"] = [_query(each) for each in values["metric_query"]]
    else:
        told["Dimensions"] = _dimensions(values)
    return told


def _query(values: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"Id": values["id"], "ReturnData": values["return_data"]}
    if values["expression"]:
        return told | {"Expression": values["expression"]}
    (metric,) = values["metric"]
    named = {"Namespace": metric["namespace"], "MetricName": metric["metric_name"], "Dimensions": _dimensions(metric)}
    return told | {"MetricStat": {"Metric": named, "Stat": metric["stat"], "Period": metric["period"]}}


def _dimensions(values: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in values["dimensions"].items()]
