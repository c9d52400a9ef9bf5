"""The patched moto and the simulation's model behave as Secrets Manager is known to."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from infra.local.secrets_manager_faults import Lag
from tests.simulation.secrets_manager import SecretsManagerModel

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

    from infra.local.secrets_manager import LocalSecretsManager

SECRET = "telenor/token"


@pytest.fixture(params=["moto", "model"])
def store(request: pytest.FixtureRequest, aws: LocalSecretsManager, client: SecretsManagerClient) -> Any:
    """Create a secret without a value, in the patched moto and in the simulation's model."""
    assert aws.url
    store = client if request.param == "moto" else SecretsManagerModel()
    store.create_secret(Name=SECRET)
    return store


def put(store: Any, content: str, *labels: str, version_id: str | None = None) -> str:
    response = store.put_secret_value(
        SecretId=SECRET,
        SecretString=content,
        VersionStages=["AWSCURRENT", *labels],
        ClientRequestToken=version_id or str(uuid.uuid4()),
    )
    return str(response["VersionId"])


def labels(store: Any) -> dict[str, set[str]]:
    stages = store.describe_secret(SecretId=SECRET).get("VersionIdsToStages", {})
    return {version_id: set(labels) for version_id, labels in stages.items() if labels}


def test_a_put_moves_aws_own_labels_and_those_that_it_names_and_keeps_the_others(store: Any) -> None:
    first, second, third = (put(store, f"value {name}", f"LIVE_{name}") for name in "axx")
    assert labels(store) == {first: {"LIVE_a"}, second: {"AWSPREVIOUS"}, third: {"LIVE_x", "AWSCURRENT"}}


def test_after_a_roll_back_a_put_moves_awsprevious_to_the_current_version(store: Any) -> None:
    first, second = put(store, "1", "LIVE_a"), put(store, "2", "LIVE_b")
    store.update_secret_version_stage(
        SecretId=SECRET, VersionStage="AWSCURRENT", MoveToVersionId=first, RemoveFromVersionId=second
    )
    response = store.get_secret_value(SecretId=SECRET, VersionStage="AWSCURRENT")
    assert (response["VersionId"], response["SecretString"]) == (first, "1")
    third = put(store, "3", "LIVE_c")
    assert labels(store) == {first: {"LIVE_a", "AWSPREVIOUS"}, second: {"LIVE_b"}, third: {"LIVE_c", "AWSCURRENT"}}


def test_a_request_token_changes_nothing_a_second_time_and_is_refused_with_other_content(store: Any) -> None:
    first = put(store, "1", "LIVE_a")
    put(store, "2", "LIVE_b")
    before = labels(store)
    assert put(store, "1", "LIVE_a", version_id=first) == first
    with pytest.raises(ClientError, match="ResourceExistsException"):
        put(store, "other", version_id=first)
    assert labels(store) == before


def test_the_first_version_is_current_in_any_case(store: Any) -> None:
    version_id = store.put_secret_value(SecretId=SECRET, SecretString="1", VersionStages=["LIVE_a"])["VersionId"]
    assert labels(store) == {version_id: {"LIVE_a", "AWSCURRENT"}}


def test_a_secret_without_a_value_is_described_but_not_read(store: Any) -> None:
    assert labels(store) == {}
    for version in ({}, {"VersionStage": "AWSCURRENT"}, {"VersionId": str(uuid.uuid4())}):
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            store.get_secret_value(SecretId=SECRET, **version)


def test_removing_a_label_twice_is_refused(store: Any) -> None:
    version_id = put(store, "1", "LIVE_a")
    store.update_secret_version_stage(SecretId=SECRET, VersionStage="LIVE_a", RemoveFromVersionId=version_id)
    assert labels(store) == {version_id: {"AWSCURRENT"}}
    with pytest.raises(ClientError, match="InvalidParameterException"):
        store.update_secret_version_stage(SecretId=SECRET, VersionStage="LIVE_a", RemoveFromVersionId=version_id)


# Quotas


@pytest.fixture
def at(aws: LocalSecretsManager, client: SecretsManagerClient, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Create a secret without a value; return a function that sets the clock to some hours after the start."""
    client.create_secret(Name=SECRET)

    def set_clock(hours: float) -> None:
        monkeypatch.setattr(aws, "clock", lambda: hours * 3600)

    set_clock(0)
    return set_clock


def test_a_secret_gets_at_most_144_versions_a_day(client: SecretsManagerClient, at: Any) -> None:
    for number in range(144):
        at(number / 10)
        put(client, str(number))
    at(23.9)
    with pytest.raises(client.exceptions.LimitExceededException):
        put(client, "one too many")
    at(24.05)
    version_id = put(client, "the first is a day old")
    # A write that creates no version does not count towards the quota.
    assert put(client, "the first is a day old", version_id=version_id) == version_id
    with pytest.raises(client.exceptions.LimitExceededException):
        put(client, "the second is not")


def test_a_secret_has_at_most_20_labels_of_any_kind(client: SecretsManagerClient, at: Any) -> None:
    at(0)
    put(client, "1")
    version_id = put(client, "2")
    for number in range(18):
        client.update_secret_version_stage(SecretId=SECRET, VersionStage=f"LIVE_{number}", MoveToVersionId=version_id)
    before = labels(client)
    with pytest.raises(client.exceptions.LimitExceededException):
        put(client, "3", "LIVE_x")
    with pytest.raises(client.exceptions.LimitExceededException):
        client.update_secret_version_stage(SecretId=SECRET, VersionStage="LIVE_x", MoveToVersionId=version_id)
    assert labels(client) == before
    assert put(client, "3", "LIVE_0")


# Stale reads


def test_a_read_is_stale_only_within_the_limit(aws: LocalSecretsManager, client: SecretsManagerClient, at: Any) -> None:
    at(0)
    put(client, "1")
    put(client, "2")
    at(1)
    put(client, "3")
    aws.fault(Lag(operation="GetSecretValue", writes=9, within_seconds=60))
    assert client.get_secret_value(SecretId=SECRET)["SecretString"] == "2"
