"""A setting that is removed takes effect, and active tokens stay readable."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.infra.terraform.moto_account import ACCOUNT, statements
from tests.infra.terraform.root_module import REGION

if TYPE_CHECKING:
    from tests.infra.terraform.moto_account import Account
    from tests.infra.terraform.root_module import RootModule

pytestmark = pytest.mark.terraform

OLD_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
DEFAULT_KEY = "alias/aws/secretsmanager"
READER = "arn:aws:iam::999999999999:role/reader"


def policy_of_role(account: Account) -> dict[str, dict[str, Any]]:
    role = f"telenor-token-{REGION}-function"
    return statements(account.client("iam").get_role_policy(RoleName=role, PolicyName="token-job")["PolicyDocument"])


def policy_of_consumers(account: Account, client: str) -> dict[str, dict[str, Any]]:
    iam = account.client("iam")
    arn = f"arn:aws:iam::{ACCOUNT}:policy/telenor-token-{REGION}-{client}-consumer"
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return statements(iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"])


def test_removed_settings_take_effect_and_break_no_active_tokens(account: Account, root_module: RootModule) -> None:
    secretsmanager = account.client("secretsmanager")
    given: dict[str, Any] = {
        "kms_key_arn": OLD_KEY,
        "subnet_ids": ["subnet-0a1b2c3d"],
        "security_group_ids": ["sg-0a1b2c3d"],
        "clients": {"shop": {"replica_regions": [{"region": "eu-west-1"}], "reader_principals": [READER]}},
    }
    root_module.apply(given)
    token = root_module.outputs["clients"]["shop"]["token_secret_arn"]
    credentials = root_module.outputs["clients"]["shop"]["credentials_secret_arn"]
    assert secretsmanager.describe_secret(SecretId=token)["KmsKeyId"] == OLD_KEY

    # The reader's account deletes the role, and IAM shows its unique id instead.
    policy = secretsmanager.get_resource_policy(SecretId=token)["ResourcePolicy"]
    deleted = json.loads(policy)
    for statement in deleted["Statement"]:
        if READER in json.dumps(statement["Principal"]):
            statement["Principal"] = {"AWS": "AROAEXAMPLEEXAMPLEEXAM"}
    secretsmanager.put_resource_policy(SecretId=token, ResourcePolicy=json.dumps(deleted))
    assert root_module.plan(given) == []

    left = {"previous_kms_key_arns": [OLD_KEY], "dashboard": False, "clients": {"shop": {}}}
    changed = root_module.apply(left)
    assert {change.action for change in changed} == {"update", "delete"}
    assert [change.address for change in changed if change.action == "delete"] == ["aws_cloudwatch_dashboard.token[0]"]
    assert root_module.outputs["dashboard_name"] is None
    for secret in (token, credentials):
        assert secretsmanager.describe_secret(SecretId=secret)["KmsKeyId"] == DEFAULT_KEY
    role = policy_of_role(account)
    assert role["DecryptWithPreviousKeys"]["Resource"] in (OLD_KEY, [OLD_KEY])
    assert policy_of_consumers(account, "shop")["DecryptWithPreviousKeys"]["Action"] == "kms:Decrypt"
    # Lambda detaches the function a few minutes after it leaves its subnets, with the function's role.
    assert {"ec2:DescribeNetworkInterfaces", "ec2:DeleteNetworkInterface"} <= {*role["AttachToTheSubnets"]["Action"]}
    assert root_module.plan(left) == []

    # The provider does not remove the replica, so each plan names the command that does.
    (copy,) = secretsmanager.describe_secret(SecretId=token)["ReplicationStatus"]
    (message,) = [warning for warning in root_module.warnings if "clients: shop" in warning]
    assert f"remove-regions-from-replication --region {REGION} --secret-id {token}" in message
    assert f"--remove-replica-regions {copy['Region']}" in message
    secretsmanager.remove_regions_from_replication(SecretId=token, RemoveReplicaRegions=[copy["Region"]])
    assert root_module.plan(left) == []
    assert root_module.warnings == []

    without = {"clients": {"shop": {}}, "dashboard": False}
    root_module.apply(without)
    assert "DecryptWithPreviousKeys" not in policy_of_role(account) | policy_of_consumers(account, "shop")
    assert root_module.plan(without) == []
