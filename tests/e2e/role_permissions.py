"""What a deployed role may do, and how to take permissions from it for a while."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.e2e.users_and_roles import policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tests.e2e.emulator import Emulator


def managed_policy(emulator: Emulator, arn: str) -> list[dict[str, Any]]:
    """Return the statements of a managed policy."""
    iam = emulator.client("iam")
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return _statements(iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"])


def _statements(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a policy's statements, each with a list of actions."""
    given: list[dict[str, Any]] = document["Statement"]
    return [each | {"Action": [each["Action"]]} if isinstance(each["Action"], str) else each for each in given]


def allowed(statements: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """List the statements' ids with each action that they allow."""
    return [(each["Sid"], action) for each in statements if each["Effect"] == "Allow" for action in each["Action"]]


def without(statements: Iterable[Mapping[str, Any]], sid: str, action: str) -> list[dict[str, Any]]:
    """Return the statements without one action of one of them."""
    less = [
        {**each, "Action": [name for name in each["Action"] if (each["Sid"], name) != (sid, action)]}
        for each in statements
    ]
    return [each for each in less if each["Action"]]


class Role:
    """A role, with the statements of all its policies as they were deployed."""

    def __init__(self, emulator: Emulator, arn: str) -> None:
        self._iam = iam = emulator.client("iam")
        self._role = role = {"RoleName": arn.rpartition("/")[2]}
        names = iam.list_role_policies(**role)["PolicyNames"]
        inline = [iam.get_role_policy(**role, PolicyName=name) for name in names]
        self._inline = {each["PolicyName"]: _statements(each["PolicyDocument"]) for each in inline}
        attached = iam.list_attached_role_policies(**role)["AttachedPolicies"]
        self._attached = {each["PolicyArn"]: managed_policy(emulator, each["PolicyArn"]) for each in attached}
        self.statements = [each for own in (*self._inline.values(), *self._attached.values()) for each in own]

    @contextmanager
    def having(self, statements: Iterable[Mapping[str, Any]]) -> Iterator[None]:
        """Replace the role's statements within the block."""
        iam, role = self._iam, self._role
        iam.put_role_policy(**role, PolicyName="changed", PolicyDocument=policy(*statements))
        for name in self._inline:
            iam.delete_role_policy(**role, PolicyName=name)
        for arn in self._attached:
            iam.detach_role_policy(**role, PolicyArn=arn)
        try:
            yield
        finally:
            for name, original in self._inline.items():
                iam.put_role_policy(**role, PolicyName=name, PolicyDocument=policy(*original))
            for arn in self._attached:
                iam.attach_role_policy(**role, PolicyArn=arn)
            iam.delete_role_policy(**role, PolicyName="changed")
