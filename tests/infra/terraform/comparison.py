"""Compares SAM's translation of template.yaml with the Terraform module, applied for one client (mocked provider)."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from infra.load_template import load
from tests.infra.alarms.cloudwatch import metrics_of
from tests.infra.resolved_template import PSEUDO, stack_of
from tests.infra.terraform import module_as_stack

if TYPE_CHECKING:
    from collections.abc import Mapping

_HERE = Path(__file__).parent

CASES: dict[str, dict[str, Any]] = tomllib.loads((_HERE / "deployments.toml").read_text(encoding="utf-8"))
"""Deployments: the parameters of the stack, and the variables of the module."""

INTENDED: dict[str, str] = {
    name: each["reason"]
    for each in tomllib.loads((_HERE / "intended_differences.toml").read_text(encoding="utf-8"))["differences"]
    for name in each["names"]
}
"""The reason of each intended difference. A name includes everything below it."""

_FUNCTION_NAME = "telenor-token-default-0a1b2c3d"

# The property that identifies the members of a list.
_KEYS = {"Statement": "Sid", "Policies": "Sid", "Metrics": "Id"}

Facts = dict[str, Any]
"""All values of a deployment by their paths."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A value in which the two deployments differ."""

    case: str
    name: str
    sam: Any
    terraform: Any

    @property
    def intended(self) -> str | None:
        """The entry of INTENDED that includes it."""
        return next((name for name in INTENDED if f"{self.name}.".startswith(f"{name}.")), None)


@cache
def translated() -> dict[str, Any]:
    """Return template.yaml as SAM translates it for CloudFormation."""
    template = load()
    # The value that `sam package` would set.
    template["Resources"]["TokenFunction"]["Properties"]["CodeUri"] = "s3://bucket/key"
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name=PSEUDO["AWS::Region"]))
    body: dict[str, Any] = translator.translate(sam_template=template, parameter_values={})
    return body


def differences(states: Mapping[str, module_as_stack.State]) -> list[Difference]:
    """Compare the applied cases value by value."""
    found = []
    for case, state in states.items():
        resources = module_as_stack.stack(state) | {"UntoldAlarms": state.outputs.get("untold_alarms")}
        sam, terraform = (
            _of_sam(dict(translated()), CASES[case]["parameters"]),
            _facts(resources, module_as_stack.NAMES),
        )
        assert len(sam) > 200
        found += [
            Difference(case, name, sam.get(name), terraform.get(name))
            for name in {**sam, **terraform}
            if sam.get(name) != terraform.get(name)
        ]
    return found


def _of_sam(body: dict[str, Any], parameters: Mapping[str, object]) -> Facts:
    stack = stack_of(body, **parameters)
    resources = {
        name: properties | {"DeletionPolicy": body["Resources"][name].get("DeletionPolicy", "Delete")}
        for kind in {resource["Type"] for resource in body["Resources"].values()}
        for name, properties in stack.resources(kind).items()
    }
    del resources["TokenFunction"]["Code"], resources["TokenFunctionNewCredentials"]["Targets"][0]["Id"]
    for resource in resources.values():
        resource["DeletionPolicy"] = resource["DeletionPolicy"].removesuffix("ExceptOnCreate")
        if "ResourcePolicy" in resource:
            resource["PolicyDocument"] = resource.pop("ResourcePolicy")
        if "Policies" in resource:
            (policy,) = resource["Policies"]
            resource["Policies"] = policy["PolicyDocument"]["Statement"]
    names = {f"{name}.{value}": name for name in resources for value in ("Arn", "Id", "QueueName")}
    arn = f"arn:aws:lambda:{PSEUDO['AWS::Region']}:{PSEUDO['AWS::AccountId']}:function:{_FUNCTION_NAME}"
    names |= dict.fromkeys((arn, _FUNCTION_NAME), "TokenFunction")
    return _facts(resources | {"UntoldAlarms": stack.outputs().get("UntoldAlarms")}, names)


def _facts(value: Any, names: Mapping[str, str], path: str = "") -> Facts:
    """Return each part of a value by its path: unordered, no empty values, single items unwrapped, common names."""
    key = path.rpartition(".")[2]
    if key == "DashboardBody":
        value = _drawn(json.loads(value), names)
    elif key == "AlarmDescription":
        who, _, what = value.partition(": ")
        value = {"Whose": who.replace(" of stack ", " of job "), "What": what}
    elif key == "Dimensions":
        value = {each["Name"]: each["Value"] for each in value}
    elif key in _KEYS and isinstance(value, list):
        by_name = {str(each.get(_KEYS[key], each.get("Action"))): each for each in value}
        assert len(by_name) == len(value), f"two of the same name in {path}"
        value = by_name
    elif isinstance(value, str) and value.startswith("{"):
        value = json.loads(value)
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    if isinstance(value, dict):
        parts = (_facts(each, names, f"{path}.{name}".strip(".")) for name, each in value.items())
        return {name: each for part in parts for name, each in part.items()}
    if value in (None, "", []):
        return {}
    if isinstance(value, list):
        return {path: sorted(_plain(key, each, names) for each in value)}
    return {path: _plain(key, value, names)}


def _plain(key: str, value: Any, names: Mapping[str, str]) -> str:
    text = str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
    # AWS, "AWS JSON policy elements: Principal": an account id is equivalent to this ARN.
    if re.fullmatch("[0-9]{12}", text):
        return f"arn:aws:iam::{text}:root"
    return names.get(f"{key} {text}", names.get(text, text))


def _drawn(body: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the contents of a dashboard without their positions: metrics, lines for the graces, and alarms."""
    widgets = [widget["properties"] for widget in body["widgets"]]
    metrics = {metric for widget in widgets if "metrics" in widget for metric in metrics_of(widget)}
    horizontal = (line for widget in widgets for line in widget.get("annotations", {}).get("horizontal", []))
    return {
        "Shown": [
            f"{metric.namespace} {metric.name}, {name} {_plain(name, value, names)}"
            for metric in metrics
            for name, value in metric.dimensions
        ],
        "Lines": list({line["value"] for line in horizontal}),
        "Alarms": list({alarm for widget in widgets for alarm in widget.get("alarms", [])}),
    }
