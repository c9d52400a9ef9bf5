"""Loads a CloudFormation template, and checks values against its parameters and rules as CloudFormation does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samtranslator.yaml_helper import yaml_parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TEMPLATE = Path(__file__).parent.parent / "template.yaml"


def load(path: Path = TEMPLATE) -> dict[str, Any]:
    """Read a template as plain values, with functions in the long form: `!Ref x` is `{"Ref": "x"}`."""
    template: dict[str, Any] = yaml_parse(path.read_text(encoding="utf-8"))
    return template


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a template, and what it accepts."""

    name: str
    definition: Mapping[str, Any]

    @property
    def default(self) -> str:
        """The default value."""
        return str(self.definition.get("Default", ""))

    def accepts(self, value: str) -> bool:
        """Return whether CloudFormation accepts a value. Lists are checked item by item."""
        definition = self.definition
        # AWS, "CloudFormation quotas": a parameter's value has 4,096 bytes at most.
        if len(value.encode()) > int(definition.get("MaxLength", 4096)):
            return False
        is_list = definition["Type"] == "CommaDelimitedList"
        items = [item.strip() for item in value.split(",")] if is_list else [value]
        # The pattern of a list that may be empty accepts an empty item too.
        if len(items) > 1 and "" in items:
            return False
        if not all(re.fullmatch(definition.get("AllowedPattern", "(?s).*"), item) for item in items):
            return False
        return "AllowedValues" not in definition or value in map(str, definition["AllowedValues"])

    @property
    def accepted(self) -> str:
        """The accepted values, in words."""
        definition = self.definition
        if "ConstraintDescription" in definition:
            return str(definition["ConstraintDescription"])
        if "AllowedValues" in definition:
            return "one of " + ", ".join(map(str, definition["AllowedValues"]))
        return "any text"


def parameters(template: Mapping[str, Any]) -> dict[str, Parameter]:
    """Return a template's parameters by name, in its order."""
    return {name: Parameter(name, definition) for name, definition in template["Parameters"].items()}


def broken_rules(template: Mapping[str, Any], values: Mapping[str, str]) -> Iterator[str]:
    """Yield the messages of the broken rules, as CloudFormation checks them before it begins."""
    for rule in template.get("Rules", {}).values():
        if _holds(rule.get("RuleCondition", True), template, values):
            for assertion in rule["Assertions"]:
                if not _holds(assertion["Assert"], template, values):
                    yield assertion["AssertDescription"]


def _holds(expression: Any, template: Mapping[str, Any], values: Mapping[str, str]) -> Any:  # noqa: ANN401  a function's
    """Evaluate what AWS, "CloudFormation template Rules syntax", allows and this repository's templates use."""
    if not isinstance(expression, dict):
        return expression
    ((function, argument),) = expression.items()
    if function == "Ref":
        is_list = template["Parameters"][argument]["Type"] == "CommaDelimitedList"
        return values[argument].split(",") if is_list else values[argument]
    first, *others = (_holds(each, template, values) for each in argument)
    match function:
        case "Fn::Not":
            return not first
        case "Fn::Equals":
            return [first] == others
        case "Fn::EachMemberEquals":
            return all([member] == others for member in first)
    raise ValueError(f"{function} is not known here")
