"""A token secret survives until its deletion is allowed, and deleted credentials can be restored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.infra.terraform.moto_account import statements
from tests.infra.terraform.root_module import RefusedError

if TYPE_CHECKING:
    from tests.infra.terraform.moto_account import Account
    from tests.infra.terraform.root_module import RootModule

pytestmark = pytest.mark.terraform


def managed(root_module: RootModule) -> list[str]:
    return [address for address in root_module.state() if ".data." not in address]


def policy_of_secret(account: Account, secret: str) -> dict[str, dict[str, Any]]:
    response = account.client("secretsmanager").get_resource_policy(SecretId=secret)
    return statements(response.get("ResourcePolicy", '{"Statement": []}'))


def test_a_clients_token_secret_survives_until_it_may_be_deleted(account: Account, root_module: RootModule) -> None:
    secretsmanager = account.client("secretsmanager")
    mail = {"alarm_email": "us@example.com", "pager_email": "pager@example.com"}
    both: dict[str, Any] = {"clients": {"shop": {}, "support": {}}, **mail}
    root_module.apply(both)
    before, outputs = root_module.state(), root_module.outputs["clients"]["shop"]

    # The client was mistyped or renamed.
    with pytest.raises(RefusedError, match="clients: shop: it is missing, and its token secret is protected"):
        root_module.apply(both | {"clients": {"shpo": {}, "support": {}}})
    # AWS refuses what a plan cannot refuse, and the job keeps running.
    with pytest.raises(RefusedError, match="AccessDenied"):
        root_module.destroy()
    assert managed(root_module) == [address for address in before if ".data." not in address]
    # Likewise a job that gets another name.
    with pytest.raises(RefusedError, match="AccessDenied"):
        root_module.apply(both | {"name": "other"})
    assert managed(root_module) == [address for address in before if ".data." not in address]
    assert secretsmanager.describe_secret(SecretId=outputs["token_secret_arn"])["Name"] == "telenor-token/shop/token"
    assert "NobodyButTheJobWrites" in policy_of_secret(account, outputs["token_secret_arn"])

    # An intended deletion.
    root_module.apply(both | {"clients": {"shop": {"deletion_protection": False}, "support": {}}})
    assert sorted(root_module.state()) == sorted(before)
    gone = root_module.apply(both | {"clients": {"support": {}}})
    assert {change.client for change in gone if change.action == "delete"} == {"shop"}
    assert [each["Name"] for each in secretsmanager.list_secrets()["SecretList"] if "shop" in each["Name"]] == []

    # The credentials can be restored, with the same policy as before.
    credentials = outputs["credentials_secret_arn"]
    secretsmanager.restore_secret(SecretId=credentials)
    assert policy_of_secret(account, credentials).keys() == {"NobodyButTheJobReads"}
    taken_over = {"to": 'module.token.aws_secretsmanager_secret.credentials["shop"]', "id": credentials}
    back = root_module.apply(both, **{"import": [taken_over]})
    assert 'create aws_secretsmanager_secret.credentials["shop"]' not in map(str, back)
    assert {change.action for change in back} <= {"create", "update"}
    assert root_module.outputs["clients"]["shop"]["credentials_secret_arn"] == credentials
    assert policy_of_secret(account, credentials).keys() == {"NobodyButTheJobReads"}
    assert root_module.plan(both) == []
