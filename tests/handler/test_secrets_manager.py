"""The Secrets Manager adapter against moto: labels to ledger and back, and each way a call can fail."""

from __future__ import annotations

import json
import logging
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from handler.errors import (
    InvalidInputError,
    PublicationRefusedError,
    PublicationUnknownError,
    SecretsManagerError,
    VersionExistsError,
)
from handler.model import Credentials, Entry, StoredValue, Token
from handler.secrets_manager import SecretsManager, create_client
from infra.local.secrets_manager import CallFault, LocalSecretsManager
from tests.conftest import CANARY, CLIENT_ID, CLIENT_SECRET

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

T0 = datetime(2026, 11, 23, 21, 30, tzinfo=UTC)
ID = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
LABEL = "LIVE_20261123T213000Z_20261123T222959Z_3fa85f64"


def token(value: str = CANARY, seconds: int = 3599) -> Token:
    return Token(value, "Bearer", T0, T0 + timedelta(seconds=seconds))


@pytest.fixture
def secrets(aws: LocalSecretsManager, client: SecretsManagerClient) -> SecretsManager:
    assert aws.url
    client.create_secret(
        Name="credentials", SecretString=json.dumps({"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET})
    )
    client.create_secret(Name="token")
    return SecretsManager(create_client(), "credentials", "token")


def stages(client: SecretsManagerClient) -> dict[str, list[str]]:
    versions = client.describe_secret(SecretId="token").get("VersionIdsToStages", {})
    return {version_id: sorted(labels) for version_id, labels in versions.items() if labels}


# Publishing


def test_a_publication_is_one_write_that_makes_the_token_current_and_live(
    aws: LocalSecretsManager, secrets: SecretsManager, client: SecretsManagerClient
) -> None:
    before = aws.calls()
    entry = secrets.publish(token(), ID, T0)
    assert aws.calls() - before == {"PutSecretValue": 1}
    assert entry == Entry(ID, T0, T0 + timedelta(seconds=3599), (LABEL,))
    assert stages(client) == {ID: ["AWSCURRENT", LABEL]}


def test_rounding_never_shortens_a_promise(secrets: SecretsManager) -> None:
    expires_at = T0 + timedelta(seconds=3599, milliseconds=900)
    entry = secrets.publish(Token(CANARY, "Bearer", T0, expires_at), ID, T0 + timedelta(microseconds=1))
    assert entry.published_at == T0 + timedelta(seconds=1)
    assert entry.expires_at == T0 + timedelta(seconds=3599)


def test_what_was_published_is_read_back(secrets: SecretsManager) -> None:
    entry = secrets.publish(token(), ID, T0)
    ledger = secrets.describe()
    assert (ledger.current, ledger.superseded) == (entry, ())
    current = secrets.read_current()
    assert current is not None
    assert (current.version_id, current.is_current, current.access_token) == (ID, True, CANARY)


def test_superseded_tokens_are_listed_the_oldest_first(secrets: SecretsManager) -> None:
    entries = [secrets.publish(token(f"{CANARY}-{n}"), str(uuid.uuid4()), T0 + timedelta(hours=n)) for n in range(4)]
    ledger = secrets.describe()
    assert (ledger.current, ledger.superseded) == (entries[3], tuple(entries[:3]))


def test_a_repeated_publication_changes_nothing(secrets: SecretsManager, client: SecretsManagerClient) -> None:
    assert secrets.publish(token(), ID, T0) == secrets.publish(token(), ID, T0)
    assert stages(client) == {ID: ["AWSCURRENT", LABEL]}


def test_a_lost_answer_is_asked_for_again_by_the_sdk(
    aws: LocalSecretsManager, secrets: SecretsManager, client: SecretsManagerClient
) -> None:
    aws.fault(CallFault(operation="PutSecretValue", when="after"))
    assert secrets.publish(token(), ID, T0).labels == (LABEL,)
    assert stages(client) == {ID: ["AWSCURRENT", LABEL]}


def test_a_twin_with_another_token_is_told_apart(secrets: SecretsManager) -> None:
    secrets.publish(token(), ID, T0)
    with pytest.raises(VersionExistsError):
        secrets.publish(token(f"{CANARY}-other"), ID, T0)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("AccessDeniedException", "policy"),
        ("LimitExceededException", "labels"),
        ("ResourceNotFoundException", "create the secret"),
        ("InvalidRequestException", "RestoreSecret"),
        ("EncryptionFailure", "KMS key"),
        ("ThrottlingException", "so often"),
        ("SomethingNew", "API reference"),
    ],
)
def test_a_refused_write_is_known_to_have_failed(
    aws: LocalSecretsManager, secrets: SecretsManager, code: str, advice: str
) -> None:
    aws.fault(CallFault(operation="PutSecretValue", code=code), times=3)
    with pytest.raises(PublicationRefusedError, match=f"{code}: .*{advice}"):
        secrets.publish(token(), ID, T0)


def test_a_refusal_after_a_lost_answer_is_not_certain(aws: LocalSecretsManager, secrets: SecretsManager) -> None:
    aws.fault(CallFault(operation="PutSecretValue", when="after"))
    aws.fault(CallFault(operation="PutSecretValue", code="ThrottlingException"), times=2)
    with pytest.raises(PublicationRefusedError) as refusal:
        secrets.publish(token(), ID, T0)
    assert not refusal.value.is_certain
    aws.fault(CallFault(operation="PutSecretValue", code="AccessDeniedException"))
    with pytest.raises(PublicationRefusedError) as refusal:
        secrets.publish(token(), ID, T0)
    assert refusal.value.is_certain


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("code", "status"), [(None, 0), ("InternalServiceError", 500), ("ServiceUnavailable", 503)])
def test_a_write_without_a_clear_answer_is_unknown(
    aws: LocalSecretsManager, secrets: SecretsManager, when: str, code: str | None, status: int
) -> None:
    fault = CallFault(operation="PutSecretValue", when=when, code=code, status=status)  # type: ignore[arg-type]
    aws.fault(fault, times=3)
    with pytest.raises(PublicationUnknownError, match="may have been written"):
        secrets.publish(token(), ID, T0)


@pytest.mark.parametrize("answer", [{"VersionStages": ["AWSCURRENT"]}, {}])
def test_a_label_that_was_not_set_is_noticed(
    aws: LocalSecretsManager,
    secrets: SecretsManager,
    client: SecretsManagerClient,
    monkeypatch: pytest.MonkeyPatch,
    answer: dict[str, list[str]],
) -> None:
    """MiniStack drops the labels of a Put beside AWSCURRENT, so this is what a handler on it sees."""
    assert aws.url
    monkeypatch.setattr(secrets._client, "put_secret_value", lambda **_parameters: answer)  # noqa: SLF001
    assert secrets.publish(token(), ID, T0) == Entry(ID, T0, token().expires_at)
    assert stages(client) == {}


# The ledger


def test_a_version_is_tracked_and_forgotten(secrets: SecretsManager, client: SecretsManagerClient) -> None:
    version_id = client.put_secret_value(SecretId="token", SecretString="by hand", ClientRequestToken=ID)["VersionId"]
    entry = secrets.track(version_id, T0, T0 + timedelta(seconds=3599))
    assert stages(client) == {ID: ["AWSCURRENT", LABEL]}
    secrets.forget(entry)
    assert stages(client) == {ID: ["AWSCURRENT"]}


def test_forgetting_what_is_forgotten_is_no_error(secrets: SecretsManager) -> None:
    entry = secrets.publish(token(), ID, T0)
    secrets.forget(entry)
    secrets.forget(entry)


@pytest.mark.parametrize(
    "label",
    [
        "LIVE_",
        "LIVE_by_hand",
        "LIVE_20261123T213000Z_20261123T222959Z",
        "LIVE_20261323T213000Z_20261123T222959Z_3fa85f64",
        "LIVE_20261123T213000Z_20261123T222960Z_3fa85f64",
        "LIVE_00010101T000000Z_99991231T235959Z_3fa85f64",
        "LIVE_20261123T213000Z_99991231T235959Z_3fa85f64",
        "LIVE_\uff12\uff10261123T213000Z_20261123T222959Z_3fa85f64",
    ],
)
def test_a_label_that_nobody_can_read_is_tracked_without_times(
    secrets: SecretsManager, client: SecretsManagerClient, label: str
) -> None:
    client.put_secret_value(
        SecretId="token", SecretString="x", ClientRequestToken=ID, VersionStages=["AWSCURRENT", label]
    )
    assert secrets.describe().current == Entry(ID, None, None, (label,))


def test_of_two_labels_the_careful_reading_counts_and_both_are_forgotten(
    secrets: SecretsManager, client: SecretsManagerClient
) -> None:
    longer = "LIVE_20261123T213001Z_20291123T230000Z_3fa85f64"
    entry = secrets.publish(token(), ID, T0)
    client.update_secret_version_stage(SecretId="token", VersionStage=longer, MoveToVersionId=ID)
    current = secrets.describe().current
    assert current is not None
    assert current.expires_at == entry.expires_at
    secrets.publish(token(f"{CANARY}-next"), str(uuid.uuid4()), T0 + timedelta(hours=1))
    (superseded,) = secrets.describe().superseded
    assert superseded.expires_at == datetime(2029, 11, 23, 23, 0, tzinfo=UTC)
    assert set(superseded.labels) == {longer, *entry.labels}
    # One that a hand has taken meanwhile does not keep the other.
    client.update_secret_version_stage(
        SecretId="token", VersionStage=superseded.labels[0], RemoveFromVersionId=superseded.version_id
    )
    secrets.forget(superseded)
    assert stages(client)[ID] == ["AWSPREVIOUS"]


def test_a_superseded_version_whose_label_nobody_can_read_counts_as_the_oldest(
    secrets: SecretsManager, client: SecretsManagerClient
) -> None:
    secrets.publish(token(), ID, T0)
    by_hand = client.put_secret_value(SecretId="token", SecretString="x", VersionStages=["AWSCURRENT", "LIVE_by_hand"])[
        "VersionId"
    ]
    secrets.publish(token(f"{CANARY}-next"), str(uuid.uuid4()), T0 + timedelta(hours=1))
    assert [entry.version_id for entry in secrets.describe().superseded] == [by_hand, ID]


def test_labels_of_others_are_left_alone(secrets: SecretsManager, client: SecretsManagerClient) -> None:
    client.put_secret_value(SecretId="token", SecretString="x", ClientRequestToken=ID, VersionStages=["theirs"])
    secrets.publish(token(), str(uuid.uuid4()), T0)
    assert secrets.describe().superseded == ()
    assert "theirs" in stages(client)[ID]


def test_a_secret_without_a_value_has_an_empty_ledger(secrets: SecretsManager) -> None:
    ledger = secrets.describe()
    assert (ledger.current, ledger.superseded, secrets.read_current(), secrets.read_version(ID)) == (
        None,
        (),
        None,
        None,
    )


def test_a_binary_value_is_no_token(secrets: SecretsManager, client: SecretsManagerClient) -> None:
    client.put_secret_value(SecretId="token", SecretBinary=b"\x00\xff")
    current = secrets.read_current()
    assert current is not None
    assert (current.content, current.access_token) == ("", None)


def test_a_version_that_no_label_is_told_of_is_not_current(
    aws: LocalSecretsManager, secrets: SecretsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert aws.url
    answer = {"VersionId": ID, "SecretString": "x"}
    monkeypatch.setattr(secrets._client, "get_secret_value", lambda **_parameters: answer)  # noqa: SLF001
    assert secrets.read_version(ID) == StoredValue(ID, is_current=False, content="x")


def test_a_secret_marked_for_deletion_is_refused(secrets: SecretsManager, client: SecretsManagerClient) -> None:
    client.delete_secret(SecretId="token", RecoveryWindowInDays=7)
    with pytest.raises(SecretsManagerError, match=r"marked for deletion.*RestoreSecret"):
        secrets.describe()


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException", "SomethingNew", None])
def test_a_failed_call_is_one_sentence(aws: LocalSecretsManager, secrets: SecretsManager, code: str | None) -> None:
    aws.fault(CallFault(operation="DescribeSecret", code=code), times=3)
    with pytest.raises(
        SecretsManagerError, match=rf"DescribeSecret on the token secret .*TOKEN_SECRET_ID.*{code or ''}"
    ):
        secrets.describe()


def test_without_a_region_the_sentence_says_what_to_set(
    aws: LocalSecretsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert create_client().meta.region_name == "eu-north-1"
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(InvalidInputError, match=r"NoRegionError.*AWS_REGION"):
        create_client()
    assert aws.calls()["DescribeSecret"] == 0


def test_the_sdk_logs_no_secret_at_debug(secrets: SecretsManager, caplog: pytest.LogCaptureFixture) -> None:
    """Lambda's ApplicationLogLevel DEBUG sets the root logger, and botocore would print both secrets."""
    logging.getLogger("botocore").setLevel(logging.NOTSET)
    with caplog.at_level(logging.DEBUG):
        create_client()
        secrets.read_credentials()
        secrets.publish(token(), ID, T0)
        assert logging.getLogger().level == logging.DEBUG
    assert CANARY not in caplog.text


def test_a_call_without_an_answer_is_given_up_in_time_for_the_rest_of_the_run(aws: LocalSecretsManager) -> None:
    assert aws.url
    config: Any = create_client().meta.config  # the types know only what one may give it
    assert (config.connect_timeout, config.read_timeout) == (3, 5)
    assert config.retries == {"mode": "standard", "total_max_attempts": 3}


def test_without_credentials_the_sentence_says_so(aws: LocalSecretsManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(SecretsManagerError, match=r"NoCredentialsError.*credentials"):
        SecretsManager(create_client(), "credentials", "token").describe()
    assert aws.calls()["DescribeSecret"] == 0


# Credentials


def test_credentials_are_read(secrets: SecretsManager) -> None:
    assert secrets.read_credentials() == Credentials(CLIENT_ID, CLIENT_SECRET)


def test_what_stands_beside_good_credentials_does_no_harm(
    secrets: SecretsManager, client: SecretsManagerClient
) -> None:
    content = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "username": "kari", "note": 5}
    client.put_secret_value(SecretId="credentials", SecretString=json.dumps(content))
    assert secrets.read_credentials() == Credentials(CLIENT_ID, CLIENT_SECRET)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "JSON object"),
        (CANARY, "JSON object"),
        ("[]", "JSON object"),
        ('"CANARY"', "JSON object"),
        ("{}", "client_id"),
        ('{"client_id": "x"}', "client_secret"),
        ('{"client_id": "", "client_secret": "CANARY"}', "client_id"),
        ('{"client_id": 5, "client_secret": "CANARY"}', "client_id"),
        ('{"client_id": "x", "client_secret": ["CANARY"]}', "client_secret"),
        ('{"client_id": "x", "client_secret": "CANARY\\n"}', "client_secret"),
        ('{"client_id": " x", "client_secret": "CANARY"}', "client_id"),
        ('{"client_id": "x", "client_secret": "CAN\\u0000ARY"}', "client_secret"),
        ('{"client_id": "x:y", "client_secret": "CANARY"}', "colon"),
        ('{"username": "kari", "password": "CANARY"}', "Connect ID and Min Bedrift"),
        ('{"client_id": "x", "password": "CANARY"}', "Connect ID and Min Bedrift"),
        ('{"client_secret": "CANARY", "username": "kari"}', "Connect ID and Min Bedrift"),
        ('{"password": "CANARY"}', "Connect ID and Min Bedrift"),
        ("[" * 50_000, "JSON object"),
    ],
)
def test_other_content_is_refused_with_what_to_put_there(
    secrets: SecretsManager, client: SecretsManagerClient, content: str, says: str
) -> None:
    client.put_secret_value(SecretId="credentials", SecretString=content or " ")
    with pytest.raises(InvalidInputError, match=rf"CREDENTIALS_SECRET_ID.*{says}"):
        secrets.read_credentials()


def test_half_of_the_credentials_is_not_taken_for_a_login(
    secrets: SecretsManager, client: SecretsManagerClient
) -> None:
    client.put_secret_value(SecretId="credentials", SecretString='{"client_id": "x"}')
    with pytest.raises(InvalidInputError, match="has no usable client_secret") as refusal:
        secrets.read_credentials()
    assert "Connect ID" not in str(refusal.value)


def test_a_binary_credentials_secret_is_refused(secrets: SecretsManager, client: SecretsManagerClient) -> None:
    client.put_secret_value(SecretId="credentials", SecretBinary=b"\x00")
    with pytest.raises(InvalidInputError, match="JSON object"):
        secrets.read_credentials()


def test_one_secret_by_two_names_would_be_overwritten_and_is_refused(
    secrets: SecretsManager, client: SecretsManagerClient
) -> None:
    assert secrets.read_credentials()
    arn = client.describe_secret(SecretId="credentials")["ARN"]
    same = SecretsManager(create_client(), "credentials", arn)
    same.describe()
    with pytest.raises(InvalidInputError, match="name the same secret"):
        same.read_credentials()


def test_a_missing_credentials_secret_is_named(aws: LocalSecretsManager) -> None:
    assert aws.url
    with pytest.raises(SecretsManagerError, match=r"CREDENTIALS_SECRET_ID.*create the secret"):
        SecretsManager(create_client(), "nowhere", "token").read_credentials()
