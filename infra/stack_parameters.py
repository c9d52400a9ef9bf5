"""A stack's parameters: what CloudFormation's rules, SAM and the job accept as their values."""

from __future__ import annotations

import difflib
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3

from infra.deployed_stack import RefusalError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# SAM silently removes these from parameter values.
_LOST_BY_SAM = "\"'\\"

# Parameters that must name something of the stack's own account; a secret of another one needs its key.
_OF_OWN_ACCOUNT = ("PermissionsBoundaryArn", "DeploymentRoleArn", "CredentialsSecretArn")


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


def fault_of(parameter: Parameter, value: str, *, is_new: bool = False) -> str | None:
    """Return the fault of a value, or None. SAM gets only new values."""
    if not parameter.accepts(value):
        return f"{parameter.name}={value} is not accepted: use {parameter.accepted}"
    if is_new and any(character in value for character in _LOST_BY_SAM):
        return f"{parameter.name}={value} is not accepted: SAM drops quotes and backslashes"
    return None


def given_values(template: Mapping[str, Any], text: str) -> dict[str, str]:
    """Return the values of `NAME=VALUE …`, split as a shell does. Raises RefusalError."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise RefusalError(f"SET cannot be read: {error}") from None
    known = parameters(template)
    values, faults = {}, []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            faults.append(f"SET has {name} without a value: write {name}=VALUE")
        elif name not in known:
            near = difflib.get_close_matches(name, known, 1)
            faults.append(f"there is no parameter {name}{f': did you mean {near[0]}?' if near else ''}")
        else:
            values[name] = value
            faults += filter(None, [fault_of(known[name], value, is_new=True)])
    if faults:
        raise RefusalError("; ".join(faults))
    return values


def check(template: Mapping[str, Any], values: Mapping[str, str], region: str, account: str) -> None:
    """Check all values together, as CloudFormation and the job do. Raises RefusalError."""
    known = parameters(template)
    faults = [*filter(None, (fault_of(known[name], value) for name, value in values.items()))]
    if faults := faults or [*broken_rules(template, values), *misplaced(values, region, account)]:
        raise RefusalError("; ".join(faults))


def misplaced(values: Mapping[str, str], region: str, own_account: str) -> Iterator[str]:
    """Yield the faults of partitions, regions and accounts in ARNs, which no rule of CloudFormation can check."""
    own_partition = boto3.session.Session().get_partition_for_region(region)
    accounts = {each.strip() for each in values["ReaderAccountIds"].split(",")}
    for name, value in values.items():
        for arn in value.split(",") if value and name.endswith(("Arn", "Arns", "Principals")) else []:
            _, partition, _, of_region, account, *_ = arn.split(":")
            if partition != own_partition:
                yield f"{name} is in the partition {partition}, and the stack is deployed in {own_partition}"
            if of_region not in {"", region}:
                yield f"{name} is in {of_region}, and the stack is deployed in {region}: use one of {region}"
            if name in _OF_OWN_ACCOUNT and account not in {"aws", own_account}:
                elsewhere = f"{name} is in account {account}, and the stack in {own_account}"
                if name != "CredentialsSecretArn":
                    yield f"{elsewhere}: use one of {own_account}"
                elif not values["CredentialsKmsKeyArn"]:
                    yield f"{elsewhere}: set CredentialsKmsKeyArn, since no other account can use aws/secretsmanager"
            if name == "ReaderPrincipals" and account not in accounts:
                yield f"{name} has a role or user of account {account}: add {account} to ReaderAccountIds too"
