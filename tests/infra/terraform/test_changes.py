"""The changes, deletions and leftovers of a second apply, by Terraform to an account of moto's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.infra.terraform.configuration import REGION, Configuration, RefusedError
from tests.infra.terraform.moto_account import ACCOUNT, KEYS, Account

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.terraform

OLD_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
DEFAULT_KEY = "alias/aws/secretsmanager"
READER = "arn:aws:iam::999999999999:role/reader"


@pytest.fixture
def account() -> Iterator[Account]:
    with Account() as account:
        yield account


@pytest.fixture
def configuration(account: Account, tmp_path: Path) -> Configuration:
    # moto does not store a function's logging_config, so every plan adds it again.
    return Configuration(account.url, tmp_path, KEYS, not_kept=["aws_lambda_function.token"])


def statements(document: Any) -> dict[str, dict[str, Any]]:
    policy = json.loads(document) if isinstance(document, str) else document
    return {statement.get("Sid", ""): statement for statement in policy["Statement"]}


def managed(configuration: Configuration) -> list[str]:
    return [address for address in configuration.state() if ".data." not in address]


def policy_of_secret(account: Account, secret: str) -> dict[str, dict[str, Any]]:
    response = account.client("secretsmanager").get_resource_policy(SecretId=secret)
    return statements(response.get("ResourcePolicy", '{"Statement": []}'))


def policy_of_role(account: Account) -> dict[str, dict[str, Any]]:
    role = f"telenor-token-{REGION}-function"
    return statements(account.client("iam").get_role_policy(RoleName=role, PolicyName="token-job")["PolicyDocument"])


def policy_of_consumers(account: Account, client: str) -> dict[str, dict[str, Any]]:
    iam = account.client("iam")
    arn = f"arn:aws:iam::{ACCOUNT}:policy/telenor-token-{REGION}-{client}-consumer"
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return statements(iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"])


def test_nothing_is_replaced_by_a_change_beside_the_module_or_a_deleted_log_group(
    account: Account, configuration: Configuration
) -> None:
    def beside(delay_seconds: int) -> dict[str, Any]:
        return {"aws_sns_topic": {"theirs": {"name": "theirs", "display_name": f"number {delay_seconds}"}}}

    configuration.apply({}, resources=beside(0))
    changed = configuration.apply({}, resources=beside(1))
    assert [str(change) for change in changed] == ["update aws_sns_topic.theirs"]
    assert configuration.plan({}, resources=beside(1)) == []
    account.client("logs").delete_log_group(logGroupName=configuration.outputs["log_group_name"])
    changed = configuration.apply({}, resources=beside(1))
    assert [str(change) for change in changed if change.action != "update"] == [
        "create aws_cloudwatch_log_group.function"
    ]
    assert configuration.plan({}, resources=beside(1)) == []


def test_removed_settings_take_effect_without_breaking_active_tokens(
    account: Account, configuration: Configuration
) -> None:
    secretsmanager = account.client("secretsmanager")
    given: dict[str, Any] = {
        "kms_key_arn": OLD_KEY,
        "subnet_ids": ["subnet-0a1b2c3d"],
        "security_group_ids": ["sg-0a1b2c3d"],
        "clients": {"shop": {"replica_regions": [{"region": "eu-west-1"}], "reader_principals": [READER]}},
    }
    configuration.apply(given)
    token = configuration.outputs["clients"]["shop"]["token_secret_arn"]
    credentials = configuration.outputs["clients"]["shop"]["credentials_secret_arn"]
    assert secretsmanager.describe_secret(SecretId=token)["KmsKeyId"] == OLD_KEY

    # The reader's account deletes the role, and IAM shows its unique id instead.
    policy = secretsmanager.get_resource_policy(SecretId=token)["ResourcePolicy"]
    deleted = json.loads(policy)
    for statement in deleted["Statement"]:
        if READER in json.dumps(statement["Principal"]):
            statement["Principal"] = {"AWS": "AROAEXAMPLEEXAMPLEEXAM"}
    secretsmanager.put_resource_policy(SecretId=token, ResourcePolicy=json.dumps(deleted))
    assert configuration.plan(given) == []

    left = {"previous_kms_key_arns": [OLD_KEY], "dashboard": False, "clients": {"shop": {}}}
    changed = configuration.apply(left)
    assert {change.action for change in changed} == {"update", "delete"}
    assert [change.address for change in changed if change.action == "delete"] == ["aws_cloudwatch_dashboard.token[0]"]
    assert configuration.outputs["dashboard_name"] is None
    for secret in (token, credentials):
        assert secretsmanager.describe_secret(SecretId=secret)["KmsKeyId"] == DEFAULT_KEY
    role = policy_of_role(account)
    assert role["DecryptWithPreviousKeys"]["Resource"] in (OLD_KEY, [OLD_KEY])
    assert policy_of_consumers(account, "shop")["DecryptWithPreviousKeys"]["Action"] == "kms:Decrypt"
    # Lambda detaches the function a few minutes after it leaves its subnets, with the function's role.
    assert {"ec2:DescribeNetworkInterfaces", "ec2:DeleteNetworkInterface"} <= {*role["AttachToTheSubnets"]["Action"]}
    assert configuration.plan(left) == []

    # The provider does not remove the replica, so each plan names the command that does.
    (copy,) = secretsmanager.describe_secret(SecretId=token)["ReplicationStatus"]
    (message,) = [warning for warning in configuration.warnings if "clients: shop" in warning]
    assert f"remove-regions-from-replication --region {REGION} --secret-id {token}" in message
    assert f"--remove-replica-regions {copy['Region']}" in message
    secretsmanager.remove_regions_from_replication(SecretId=token, RemoveReplicaRegions=[copy["Region"]])
    assert configuration.plan(left) == []
    assert configuration.warnings == []

    without = {"clients": {"shop": {}}, "dashboard": False}
    configuration.apply(without)
    assert "DecryptWithPreviousKeys" not in policy_of_role(account) | policy_of_consumers(account, "shop")
    assert configuration.plan(without) == []


def test_a_clients_token_secret_survives_until_its_deletion_is_allowed(
    account: Account, configuration: Configuration
) -> None:
    secretsmanager = account.client("secretsmanager")
    mail = {"alarm_email": "us@example.com", "pager_email": "pager@example.com"}
    both: dict[str, Any] = {"clients": {"shop": {}, "support": {}}, **mail}
    configuration.apply(both)
    before, outputs = configuration.state(), configuration.outputs["clients"]["shop"]

    # The client was mistyped or renamed.
    with pytest.raises(RefusedError, match="clients: shop: it is missing, and its token secret is protected"):
        configuration.apply(both | {"clients": {"shpo": {}, "support": {}}})
    # AWS refuses what a plan cannot refuse, and the job keeps running.
    with pytest.raises(RefusedError, match="AccessDenied"):
        configuration.destroy()
    assert managed(configuration) == [address for address in before if ".data." not in address]
    # Likewise a job that gets another name.
    with pytest.raises(RefusedError, match="AccessDenied"):
        configuration.apply(both | {"name": "other"})
    assert managed(configuration) == [address for address in before if ".data." not in address]
    assert secretsmanager.describe_secret(SecretId=outputs["token_secret_arn"])["Name"] == "telenor-token/shop/token"
    assert "NobodyButTheJobWrites" in policy_of_secret(account, outputs["token_secret_arn"])

    # An intended deletion.
    configuration.apply(both | {"clients": {"shop": {"deletion_protection": False}, "support": {}}})
    assert sorted(configuration.state()) == sorted(before)
    gone = configuration.apply(both | {"clients": {"support": {}}})
    assert {change.client for change in gone if change.action == "delete"} == {"shop"}
    assert [each["Name"] for each in secretsmanager.list_secrets()["SecretList"] if "shop" in each["Name"]] == []

    # The credentials can be restored, with the same policy as before.
    credentials = outputs["credentials_secret_arn"]
    secretsmanager.restore_secret(SecretId=credentials)
    assert policy_of_secret(account, credentials).keys() == {"NobodyButTheJobReads"}
    taken_over = {"to": 'module.token.aws_secretsmanager_secret.credentials["shop"]', "id": credentials}
    back = configuration.apply(both, **{"import": [taken_over]})
    assert 'create aws_secretsmanager_secret.credentials["shop"]' not in map(str, back)
    assert {change.action for change in back} <= {"create", "update"}
    assert configuration.outputs["clients"]["shop"]["credentials_secret_arn"] == credentials
    assert policy_of_secret(account, credentials).keys() == {"NobodyButTheJobReads"}
    assert configuration.plan(both) == []
