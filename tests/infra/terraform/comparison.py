"""SAM's translation of template.yaml beside the Terraform module's plan for one client, applied to a mocked provider.

`python -m tests.infra.terraform.comparison` prints what was compared, and every difference that is meant.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from tests.infra.terraform import module, sam

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_KEY = "arn:aws:kms:eu-north-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab"
_OTHER_KEY = "arn:aws:kms:eu-north-1:000000000000:key/abcd1234-12ab-34cd-56ef-1234567890ab"
_SECRET = "arn:aws:secretsmanager:eu-north-1:000000000000:secret:theirs-a1b2c3"
_TOPIC = "arn:aws:sns:eu-north-1:000000000000:theirs"
_PAGER = "arn:aws:sns:eu-north-1:000000000000:pages"
_BOUNDARY = "arn:aws:iam::000000000000:policy/boundary"
_DEPLOYER = "arn:aws:iam::000000000000:role/deploys"
_ACCOUNT = "999999999999"
_READER = f"arn:aws:iam::{_ACCOUNT}:role/reader"


@dataclass(frozen=True, slots=True)
class Case:
    """One deployment, as both are told of it."""

    parameters: Mapping[str, Any]
    variables: Mapping[str, Any]


CASES = {
    "by_default": Case({}, {"clients": {"default": {}}}),
    "with_everything": Case(
        {
            "CredentialsSecretArn": _SECRET,
            "CredentialsKmsKeyArn": _OTHER_KEY,
            "TelenorBaseUrl": "https://gateway.example.com",
            "TelenorScope": "one two",
            "VerifyUrl": "https://api.telenor.no/me",
            "ScheduleMinutes": "1",
            "GraceSeconds": 300,
            "RenewAtFraction": "0.5",
            "ReaderAccountIds": _ACCOUNT,
            "ReaderPrincipals": _READER,
            "KmsKeyArn": _KEY,
            "PermissionsBoundaryArn": _BOUNDARY,
            "DeploymentRoleArn": _DEPLOYER,
            "SubnetIds": "subnet-0a1b2c3d,subnet-1a1b2c3d",
            "SecurityGroupIds": "sg-0a1b2c3d",
            "PagerTopicArn": _PAGER,
            "AlarmTopicArn": _TOPIC,
            "LogRetentionDays": 30,
            "Architecture": "x86_64",
        },
        {
            "clients": {
                "default": {
                    "credentials_secret_arn": _SECRET,
                    "credentials_kms_key_arn": _OTHER_KEY,
                    "scope": "one two",
                    "grace_seconds": 300,
                    "reader_principals": [_READER],
                }
            },
            "telenor_base_url": "https://gateway.example.com",
            "verify_url": "https://api.telenor.no/me",
            "schedule_minutes": 1,
            "renew_at_fraction": 0.5,
            "kms_key_arn": _KEY,
            "permissions_boundary_arn": _BOUNDARY,
            "deployment_role_arn": _DEPLOYER,
            "subnet_ids": ["subnet-0a1b2c3d", "subnet-1a1b2c3d"],
            "security_group_ids": ["sg-0a1b2c3d"],
            "pager_topic_arn": _PAGER,
            "alarm_topic_arn": _TOPIC,
            "log_retention_days": 30,
            "architecture": "x86_64",
        },
    ),
    "with_mail_and_a_key": Case(
        {
            "ScheduleMinutes": "2",
            "GraceSeconds": 0,
            "KmsKeyArn": _KEY,
            "ReaderAccountIds": _ACCOUNT,
            "PagerEmail": "pager@example.com",
            "AlarmEmail": "us@example.com",
        },
        {
            "clients": {"default": {"reader_principals": [f"arn:aws:iam::{_ACCOUNT}:root"]}},
            "schedule_minutes": 2,
            "grace_seconds": 0,
            "kms_key_arn": _KEY,
            "pager_email": "pager@example.com",
            "alarm_email": "us@example.com",
        },
    ),
    "with_another_server": Case(
        {
            "TokenUrl": "https://login.example.com/token?tenant=1",
            "RevocationUrl": "none",
            "ClientAuthentication": "client_secret_post",
            "TokenParameters": "audience=https://api.example.com&resource=a%20b",
        },
        {
            "clients": {"default": {"token_parameters": "audience=https://api.example.com&resource=a%20b"}},
            "token_url": "https://login.example.com/token?tenant=1",
            "revocation_url": "none",
            "client_authentication": "client_secret_post",
        },
    ),
}

VARIABLES = {name: case.variables for name, case in CASES.items()}

_SHARED = "one function serves all clients of the module, so that the alarm names the job"

# Every difference that is meant, and why.
MEANT = {
    "settings: the client stands in": "one function serves all clients, and the event names whose run it is",
    "settings: SERVES_CLIENTS": "an event of the module names its client, and one of the stack may not",
    "role: where it stands": "a role's own policies have room for some thirty clients, and two more policies for fifty",
    **dict.fromkeys(
        ("operators: ReadAndDisableTheSchedule", "operators: ReadTheLabels"),
        "a pattern in the module: a managed policy has no room for a list of every client's",
    ),
    "operators: FindTheStack": "there is no stack; operators name the function",
    **dict.fromkeys(
        (f"RunsFailingAlarm: {fact}" for fact in ("metric", "statistic", "period", "arithmetic")),
        "Lambda counts the errors of all clients as one, and the job each client's own. A run that cannot even start "
        "is silence, and rings TokenExpiryAlarm",
    ),
    "token secret's policy: NobodyDeletes": "a stack has termination protection of its own",
    "credentials secret's policy: none that is public": "it is a part of the secret, and stays with it",
    **{
        f"{alarm}: {fact}": _SHARED
        for alarm in ("UndeliveredAlarm", "ThrottledAlarm", "WaitingAlarm")
        for fact in ("name", "whose")
    },
    "names: function": "a stack's id keeps two stacks apart, the variable `name` two instances of the module",
    "function: tags": "SAM's own tag",
    "credentials secret: first value": "it would stand in Terraform's state, and Terraform may not read the secret",
    "afterwards: the credentials secret": "Terraform leaves no secret behind: thirty days to take it back instead",
    **{
        f"afterwards: the {whose} policy": "Terraform leaves none behind, and stops while another role still holds it"
        for whose in ("consumers'", "operators'")
    },
}


@dataclass(frozen=True, slots=True)
class Compared:
    """A fact, and what both deployments say about it."""

    case: str
    name: str
    sam: Any
    terraform: Any

    @property
    def is_equal(self) -> bool:
        """Tell whether both say the same; nothing is the same as an empty one."""
        return (self.sam or None) == (self.terraform or None) or self.sam == self.terraform

    def __str__(self) -> str:
        return f"{self.case}, {self.name}:\n  SAM       {self.sam}\n  Terraform {self.terraform}"


def compare(states: Mapping[str, module.State], body: Mapping[str, Any] | None = None) -> list[Compared]:
    """Compare every case. Raises ValueError for what a side says and the comparison does not know."""
    compared, unread = [], set()
    for case, told in CASES.items():
        by_sam, left_by_sam = sam.deployment(body or sam.translated(), told.parameters)
        by_terraform, left_by_terraform = module.deployment(states[case])
        unread |= {*left_by_sam, *left_by_terraform}
        names = [*by_sam, *(name for name in by_terraform if name not in by_sam)]
        compared += [Compared(case, name, by_sam.get(name), by_terraform.get(name)) for name in names]
    if unread:
        raise ValueError("the comparison does not know " + ", ".join(sorted(unread)))
    return compared


def table(compared: Iterable[Compared]) -> str:
    """Return what was compared by subject, and the differences with their reasons, as Markdown."""
    lines = ["| | facts compared | equal | meant | not meant |", "|---|--:|--:|--:|--:|"]

    def subject(fact: Compared) -> str:
        return "alarms" if "Alarm: " in fact.name else fact.name.partition(":")[0]

    listed = list(compared)
    for name, facts in groupby(sorted(listed, key=subject), subject):
        group = list(facts)
        unequal = [fact for fact in group if not fact.is_equal]
        meant = sum(fact.name in MEANT for fact in unequal)
        lines.append(f"| {name} | {len(group)} | {len(group) - len(unequal)} | {meant} | {len(unequal) - meant} |")
    unequal = [fact for fact in listed if not fact.is_equal]
    meant = sum(fact.name in MEANT for fact in unequal)
    lines.append(f"| **all** | {len(listed)} | {len(listed) - len(unequal)} | {meant} | {len(unequal) - meant} |")
    lines += ["", "| difference | SAM | Terraform | why |", "|---|---|---|---|"]
    told = {fact.name: fact for fact in reversed(unequal)}
    lines += [
        f"| {name} | {_short(told[name].sam)} | {_short(told[name].terraform)} | {MEANT.get(name, '**not meant**')} |"
        for name in sorted(told)
    ]
    return "\n".join(lines)


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return f"`{value['Action']}`" if "Action" in value else ", ".join(value)
    return "nothing" if value is None else str(value).replace("|", "\\|")


if __name__ == "__main__":
    print(table(compare(module.applied(VARIABLES))))  # noqa: T201  what it is for
