"""Resolves the intrinsic functions of a CloudFormation template for given parameters, as CloudFormation would."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

PSEUDO = {
    "AWS::StackName": "stack",
    "AWS::Region": "eu-north-1",
    "AWS::AccountId": "000000000000",
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackId": "arn:aws:cloudformation:eu-north-1:000000000000:stack/stack/0a1b2c3d-0000",
}

_NO_VALUE = object()


def stack_of(body: dict[str, Any], /, **parameters: object) -> Stack:
    """Return a template's stack with these parameters and the other defaults. Raises KeyError for an unknown one."""
    unknown = parameters.keys() - body["Parameters"].keys()
    if unknown:
        raise KeyError(f"the template has no parameter {', '.join(sorted(unknown))}")
    values = {name: parameters.get(name, each.get("Default", "")) for name, each in body["Parameters"].items()}
    for name, each in body["Parameters"].items():
        if each["Type"] == "CommaDelimitedList":
            values[name] = str(values[name]).split(",")
    return Stack(body, values)


@dataclass(frozen=True)
class Stack:
    """A template with values for its parameters."""

    body: dict[str, Any]
    values: dict[str, Any]

    def resources(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the resolved properties of each created resource of a type."""
        return {
            name: self._resolved(resource.get("Properties", {}))
            for name, resource in self.body["Resources"].items()
            if resource["Type"] == kind and ("Condition" not in resource or self._holds(resource["Condition"]))
        }

    def outputs(self) -> dict[str, str]:
        """Return the outputs whose condition holds."""
        return {
            name: self._resolved(output["Value"])
            for name, output in self.body["Outputs"].items()
            if "Condition" not in output or self._holds(output["Condition"])
        }

    def _holds(self, name: str) -> bool:
        return bool(self._resolved(self.body["Conditions"][name]))

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, list):
            return [each for each in (self._resolved(item) for item in value) if each is not _NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            if name in self._functions:
                return self._functions[name](argument)
            # The statements of a policy have a Condition too.
            if name.startswith("Fn::"):
                raise NotImplementedError(f"this reader of templates does not know {name}")
        resolved = {key: self._resolved(each) for key, each in value.items()}
        return {key: each for key, each in resolved.items() if each is not _NO_VALUE}

    @property
    def _functions(self) -> dict[str, Callable[[Any], Any]]:
        return {
            "Ref": self._reference,
            "Condition": lambda name: self._holds(name) if isinstance(name, str) else {"Condition": name},
            "Fn::GetAtt": ".".join,
            "Fn::Sub": lambda given: self._substituted(*([given] if isinstance(given, str) else given)),
            "Fn::FindInMap": self._found_in_map,
            "Fn::If": lambda given: self._resolved(given[1] if self._holds(given[0]) else given[2]),
            "Fn::Equals": lambda given: len({str(self._resolved(each)) for each in given}) == 1,
            "Fn::Not": lambda given: not self._resolved(given[0]),
            "Fn::Or": lambda given: any(self._resolved(given)),
            "Fn::Join": lambda given: given[0].join(self._resolved(given[1])),
            "Fn::Select": lambda given: self._resolved(given[1])[int(given[0])],
            "Fn::Split": lambda given: self._resolved(given[1]).split(given[0]),
        }

    def _found_in_map(self, given: list[Any]) -> Any:
        name, first, second = (self._resolved(each) for each in given)
        return self.body["Mappings"][name][str(first)][second]

    def _reference(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NO_VALUE
        if name in self.body["Resources"]:
            return name
        return PSEUDO[name] if name in PSEUDO else self.values[name]

    def _substituted(self, text: str, own: dict[str, Any] | None = None) -> str:
        names = self._resolved(own or {})

        def replaced(match: re.Match[str]) -> str:
            name = match[1]
            if name in names:
                return str(names[name])
            return name if "." in name else str(self._reference(name))

        return re.sub(r"\$\{([^!}][^}]*)\}", replaced, text)
