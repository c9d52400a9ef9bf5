"""A template of CloudFormation as plain values, its functions in their long form: `!Ref x` is `{"Ref": "x"}`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TEMPLATE = Path(__file__).parent.parent / "template.yaml"


class _Loader(yaml.SafeLoader):
    """YAML with the short forms of CloudFormation's functions."""


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    match node:
        case yaml.ScalarNode():
            value = loader.construct_scalar(node)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case _:
            value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)


def load(path: Path = TEMPLATE) -> dict[str, Any]:
    """Read a template, with CloudFormation's short forms."""
    template: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506  a SafeLoader, see above
    return template


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a template, and what it accepts."""

    name: str
    definition: Mapping[str, Any]

    @property
    def default(self) -> str:
        """What it is if nobody says anything."""
        return str(self.definition.get("Default", ""))

    @property
    def description(self) -> str:
        """What it is for."""
        return str(self.definition.get("Description", ""))

    def accepts(self, value: str) -> bool:
        """Tell whether CloudFormation takes a value. Lists are checked item by item."""
        definition = self.definition
        items = value.split(",") if definition["Type"] == "CommaDelimitedList" else [value]
        if definition["Type"] == "Number" and not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value):
            return False
        if "AllowedValues" in definition and value not in [str(allowed) for allowed in definition["AllowedValues"]]:
            return False
        if not all(re.fullmatch(definition.get("AllowedPattern", "(?s).*"), item.strip()) for item in items):
            return False
        bounds = [float(definition[name]) for name in ("MinValue", "MaxValue") if name in definition]
        return not bounds or min(bounds) <= float(value) <= max(bounds)

    @property
    def accepted(self) -> str:
        """What it accepts, in words."""
        definition = self.definition
        if "ConstraintDescription" in definition:
            return str(definition["ConstraintDescription"])
        if "AllowedValues" in definition:
            return "one of " + ", ".join(str(allowed) for allowed in definition["AllowedValues"])
        if "MinValue" in definition:
            return f"a number from {definition['MinValue']} to {definition['MaxValue']}"
        return "any text"


def parameters(template: Mapping[str, Any]) -> dict[str, Parameter]:
    """Return a template's parameters by name, in its order."""
    return {name: Parameter(name, definition) for name, definition in template["Parameters"].items()}


def broken_rules(template: Mapping[str, Any], values: Mapping[str, str]) -> Iterator[str]:
    """Yield what the template's Rules say against a set of values, as CloudFormation does before it begins."""
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
