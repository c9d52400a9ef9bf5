"""The values and combinations that a stack's parameters take, and the refusals before a build."""

from __future__ import annotations

import pytest

from infra.deployed_stack import RefusalError
from infra.stack_parameters import broken_rules, check, parameters
from tests.infra.test_template import CONSUMER, OTHER_SERVER, template

ACCOUNT = "123456789012"
KEY = f"arn:aws:kms:eu-north-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
SECRET = f"arn:aws:secretsmanager:eu-north-1:{ACCOUNT}:secret:telenor/credentials-a1b2c3"
TOPIC = f"arn:aws:sns:eu-north-1:{ACCOUNT}:pager"
ELSEWHERE = SECRET.replace(ACCOUNT, "999999999999")
READER = {"ReaderPrincipals": "arn:aws:iam::999999999999:role/a", "KmsKeyArn": KEY}
NOT_TOPICS = (f"arn:aws:sns:eu-north-1:{ACCOUNT}:*", f"arn:aws:sns:*:{ACCOUNT}:pager", "pager")

DEFAULTS = {name: parameter.default for name, parameter in parameters(template()).items()}

WRONG = [
    ("CredentialsSecretArn", f"arn:aws:secretsmanager:eu-north-1:{ACCOUNT}:secret:telenor/cred*-a1b2c3"),
    ("CredentialsSecretArn", f"arn:aws:secretsmanager:eu-north-1:{ACCOUNT}:secret:telenor/credentials"),
    *(("CredentialsSecretArn", "telenor/credentials"), ("KmsKeyArn", f"arn:aws:kms:eu-north-1:{ACCOUNT}:key/*")),
    ("KmsKeyArn", f"arn:aws:kms:eu-north-1:{ACCOUNT}:alias/telenor"),
    ("CredentialsKmsKeyArn", f"arn:aws:kms:eu-north-1:{ACCOUNT}:key/*"),
    ("ReaderPrincipals", f"arn:aws:iam::{ACCOUNT}:role/a,arn:aws:iam::{ACCOUNT}:user/a*"),
    *(("ReaderPrincipals", f"arn:aws:iam::{ACCOUNT}:root"), ("ReaderAccountIds", f"{ACCOUNT},1234")),
    ("ReaderAccountIds", f"arn:aws:iam::{ACCOUNT}:root"),
    ("PermissionsBoundaryArn", f"arn:aws:iam::{ACCOUNT}:policy/*"),
    *[(name, value) for name in ("AlarmTopicArn", "PagerTopicArn") for value in NOT_TOPICS],
    ("DeploymentRoleArn", f"arn:aws:iam::{ACCOUNT}:role/*"),
    *(("DeploymentRoleArn", f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/me"), ("RevocationUrl", "None")),
    *(("ClientAuthentication", "private_key_jwt"), ("TokenParameters", "audience=")),
    *(("TokenParameters", "audience=a b"), ("TokenParameters", "audience=%zz")),
]
RIGHT = [
    *(("CredentialsSecretArn", SECRET), ("KmsKeyArn", KEY)),
    ("CredentialsKmsKeyArn", f"arn:aws:kms:eu-north-1:{ACCOUNT}:key/mrk-{'0f' * 16}"),
    ("ReaderPrincipals", f"arn:aws:iam::{ACCOUNT}:user/a,arn:aws:iam::{ACCOUNT}:role/path/a.b@c"),
    ("ReaderAccountIds", f"{ACCOUNT},999999999999"),
    ("PermissionsBoundaryArn", "arn:aws:iam::aws:policy/PowerUserAccess"),
    ("PermissionsBoundaryArn", f"arn:aws:iam::{ACCOUNT}:policy/path/boundary"),
    *[("AlarmTopicArn", TOPIC), ("PagerTopicArn", TOPIC)],
    *(("DeploymentRoleArn", f"arn:aws:iam::{ACCOUNT}:role/deploy"), ("RevocationUrl", "none")),
    ("ClientAuthentication", "client_secret_post"),
]


@pytest.mark.parametrize(("name", "value"), [*WRONG, *RIGHT])
def test_only_a_value_that_would_fail_later_is_refused(name: str, value: str) -> None:
    assert parameters(template())[name].accepts(value) == ((name, value) in RIGHT)


SAM = "template.yaml"


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        (SAM, {"SubnetIds": "subnet-0a,subnet-0b"}, "SubnetIds needs SecurityGroupIds"),
        (SAM, {"SecurityGroupIds": "sg-0a"}, "SecurityGroupIds does nothing without SubnetIds"),
        (SAM, {"ReaderAccountIds": ACCOUNT}, "ReaderAccountIds needs KmsKeyArn"),
        (SAM, {"ReaderPrincipals": f"arn:aws:iam::{ACCOUNT}:role/a"}, "ReaderPrincipals needs ReaderAccountIds"),
        (SAM, {"CredentialsKmsKeyArn": KEY}, "CredentialsKmsKeyArn is the key of the secret"),
        (SAM, {"TokenUrl": "https://login.example.com/token"}, "TokenUrl needs RevocationUrl"),
        (SAM, {"RevocationUrl": "none"}, "RevocationUrl needs TokenUrl"),
        (SAM, {"ClientAuthentication": "client_secret_post"}, "ClientAuthentication needs TokenUrl"),
        *((SAM, {"TokenParameters": "audience=a"}, "TokenParameters needs TokenUrl"), (SAM, OTHER_SERVER, None)),
        (SAM, {"SubnetIds": "subnet-0a", "SecurityGroupIds": "sg-0a"}, None),
        (SAM, {"ReaderAccountIds": ACCOUNT, "KmsKeyArn": KEY}, None),
        *((SAM, {"CredentialsSecretArn": SECRET, "CredentialsKmsKeyArn": KEY}, None), (SAM, {}, None)),
        # A consumer in another account needs the key instead of the policy.
        *((CONSUMER, {}, "Set ConsumerPolicyArn"), (CONSUMER, {"KmsKeyArn": KEY}, None)),
        (CONSUMER, {"ConsumerPolicyArn": f"arn:aws:iam::{ACCOUNT}:policy/read"}, None),
    ],
)
def test_contradictory_parameters_are_refused(name: str, values: dict[str, str], sentence: str | None) -> None:
    defaults = {each.name: each.default for each in parameters(template(name)).values()}
    messages = list(broken_rules(template(name), defaults | values))
    assert [line[: len(sentence or "")] for line in messages] == ([sentence] if sentence else [])


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"GraceSeconds": "1800"}, "GraceSeconds=1800 is not accepted: use a whole number from 0 to 1200"),
        ({"ScheduleMinutes": "15"}, "ScheduleMinutes=15 is not accepted: use one of 1, 2, 5"),
        (READER | {"ReaderAccountIds": "888888888888"}, "add 999999999999 to ReaderAccountIds"),
        (READER | {"ReaderAccountIds": "888888888888, 999999999999"}, None),
        ({"PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/a"}, None),
        ({"PermissionsBoundaryArn": "arn:aws:iam::aws:policy/a"}, None),
        (
            {"PermissionsBoundaryArn": "arn:aws:iam::999999999999:policy/a"},
            "is in account 999999999999, and the stack in 123456789012",
        ),
        ({"PermissionsBoundaryArn": "arn:aws-cn:iam::123456789012:policy/a"}, "is in the partition aws-cn"),
        ({"DeploymentRoleArn": "arn:aws:iam::123456789012:role/a"}, None),
        ({"DeploymentRoleArn": "arn:aws:iam::999999999999:role/a"}, "is in account 999999999999"),
        ({"CredentialsSecretArn": ELSEWHERE}, "set CredentialsKmsKeyArn"),
        ({"CredentialsSecretArn": ELSEWHERE, "CredentialsKmsKeyArn": KEY}, None),
        ({"AlarmTopicArn": "arn:aws-cn:sns:eu-north-1:123456789012:a"}, "is in the partition aws-cn"),
        ({"RunbookUrl": f"https://{'a' * 504}"}, None),
        ({"RunbookUrl": f"https://{'a' * 505}"}, "RunbookUrl=https://a+ is not accepted"),
        ({"TelenorScope": "a" * 513}, "TelenorScope=a+ is not accepted"),
    ],
)
def test_values_that_cloudformation_refuses_are_refused_first(changed: dict[str, str], sentence: str | None) -> None:
    if sentence is None:
        check(template(), DEFAULTS | changed, "eu-north-1", ACCOUNT)
        return
    with pytest.raises(RefusalError, match=sentence):
        check(template(), DEFAULTS | changed, "eu-north-1", ACCOUNT)


@pytest.mark.parametrize(
    "name", [name for name in DEFAULTS if name.endswith(("Arn", "Arns")) and "Role" not in name and "Bound" not in name]
)
def test_an_arn_of_another_region_is_refused_and_both_regions_named(name: str) -> None:
    arn = TOPIC if "Topic" in name else KEY if "Kms" in name else SECRET
    values = DEFAULTS | {"CredentialsSecretArn": SECRET.replace("eu-north-1", "eu-west-1"), name: arn}
    with pytest.raises(RefusalError, match=f"{name} is in eu-north-1, and the stack is deployed in eu-west-1"):
        check(template(), values, "eu-west-1", ACCOUNT)
    check(template(), DEFAULTS | {"CredentialsSecretArn": SECRET, name: arn}, "eu-north-1", ACCOUNT)
