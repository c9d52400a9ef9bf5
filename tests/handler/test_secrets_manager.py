"""The Secrets Manager adapter against moto: the ledger in labels, and each way in which a call can fail."""

from __future__ import annotations

import json
import logging
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from unittest.mock import Mock

import boto3
import pytest
from botocore.exceptions import ClientError

from handler import errors, secrets_manager
from handler.credentials import Credentials
from handler.ledger import Ledger, new_entry
from handler.model import SecretVersion, Token
from handler.secrets_manager import SecretsManager, create_client
from infra.local.secrets_manager import LocalSecretsManager, create_secret, stages_of
from infra.local.secrets_manager_faults import CallFault
from tests.leak_detector import CANARY, CLIENT_ID, CLIENT_SECRET

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_secretsmanager.client import SecretsManagerClient

T0 = datetime(2026, 11, 23, 21, 30, tzinfo=UTC)
ID = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
ENTRY = new_entry(ID, T0, T0 + timedelta(seconds=3599))
(LABEL,) = ENTRY.labels
ARN = "arn:aws:secretsmanager:eu-north-1:123456789012:secret:token-AbCdEf"


def token(value: str = CANARY) -> Token:
    return Token(value, "Bearer", T0, T0 + timedelta(seconds=3599))


@pytest.fixture
def secrets(aws: LocalSecretsManager) -> SecretsManager:
    assert aws.url
    create_secret("credentials", json.dumps({"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}))
    create_secret("token")
    return SecretsManager(create_client(), "credentials", "token")


def stages() -> dict[str, set[str]]:
    return {version_id: set(labels) for version_id, labels in stages_of("token").items() if labels}


def fake_client(response: Any) -> Mock:
    """Return a client of the SDK that returns the same response to each call."""
    call = Mock(return_value=response)
    client = Mock(describe_secret=call, get_secret_value=call, put_secret_value=call)
    client.exceptions.ResourceNotFoundException = LookupError
    return client


def secrets_of(response: Any) -> SecretsManager:
    return SecretsManager(fake_client(response), "credentials", "token")


def test_an_id_is_reported_once_aws_has_found_its_secret() -> None:
    found: list[dict[str, str]] = []
    response = {"ARN": "arn", "VersionIdsToStages": {}, "SecretString": '{"client_id": "a", "client_secret": "b"}'}
    for client in (fake_client(response), fake_client({})):
        secrets = SecretsManager(client, "credentials", "token", lambda **ids: found.append(ids))
        for call in (secrets.read_credentials, lambda: secrets.describe(T0)):  # noqa: B023  called at once
            with suppress(errors.SecretsManagerError):
                call()
    assert found == [{"credentials_secret_id": "credentials"}, {"token_secret_id": "token"}]


@pytest.mark.usefixtures("secrets")
def test_without_time_only_a_publication_is_begun(client: SecretsManagerClient) -> None:
    """Each other call could take three attempts of five seconds."""
    secrets = SecretsManager(client, "credentials", "token", has_time=lambda: False)
    entry = new_entry(ID, T0, T0 + timedelta(hours=1))
    calls: list[Callable[[], object]] = [
        *(secrets.read_credentials, secrets.read_previous_credentials, secrets.read_current, secrets.write_times),
        *(lambda: secrets.describe(T0), lambda: secrets.read_version(ID), lambda: secrets.add_labels(ID, ["LIVE_x"])),
        lambda: secrets.remove_labels(entry),
    ]
    for call in calls:
        with pytest.raises(errors.SecretsManagerUnavailableError) as failure:
            call()
        assert failure.value.error_code == "no-time-left"
    assert secrets.write(Token("t", "Bearer", T0, T0 + timedelta(hours=1)), entry) == set()


# Publishing


def test_a_publication_unregisters_its_handlers_from_the_client() -> None:
    """Lambda keeps the client for hours, and every run publishes with it."""
    client = fake_client({"VersionId": ID, "VersionStages": [LABEL]})
    assert SecretsManager(client, "credentials", "token").write(token(), ENTRY) == set()
    assert client.meta.events.register.call_args_list == client.meta.events.unregister.call_args_list != []


def test_a_publication_is_one_write_that_sets_awscurrent_and_the_live_label(
    aws: LocalSecretsManager, secrets: SecretsManager
) -> None:
    before = aws.calls()
    assert not secrets.write(token(), ENTRY)
    assert aws.calls() - before == {"PutSecretValue": 1}
    assert stages() == {ID: {"AWSCURRENT", LABEL}}
    # Again, with a lost response.
    aws.fault(CallFault(operation="PutSecretValue", when="after"))
    assert not secrets.write(token(), ENTRY)
    assert stages() == {ID: {"AWSCURRENT", LABEL}}


def test_a_published_token_can_be_read_back(secrets: SecretsManager) -> None:
    secrets.write(token(), ENTRY)
    assert secrets.describe(T0) == Ledger(ENTRY)
    assert secrets.read_current() == SecretVersion(ID, is_current=True, is_tracked=True, content=token().document())
    assert secrets.read_version(ID) == secrets.read_current()


def test_a_duplicate_delivery_with_another_token_is_recognised(secrets: SecretsManager) -> None:
    secrets.write(token(), ENTRY)
    with pytest.raises(errors.VersionExistsError):
        secrets.write(token(f"{CANARY}-other"), ENTRY)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        *(("AccessDeniedException", "policy"), ("LimitExceededException", "labels")),
        *(("ResourceNotFoundException", "create the secret"), ("InvalidRequestException", "RestoreSecret")),
        *(("EncryptionFailure", "KMS key"), ("ThrottlingException", "so often"), ("SomethingNew", "API reference")),
    ],
)
def test_a_write_refused_in_every_attempt_has_failed(
    aws: LocalSecretsManager, secrets: SecretsManager, code: str, advice: str
) -> None:
    aws.fault(CallFault(operation="PutSecretValue", code=code), times=3)
    with pytest.raises(errors.WriteRefusedError, match=f"{code}: .*{advice}"):
        secrets.write(token(), ENTRY)


LOST, BROKEN, THROTTLED, DENIED = (None, 0), ("InternalServiceError", 500), ("ThrottlingException", 400), ("No", 400)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("attempts", "error"),
    [
        ([LOST, LOST, LOST], errors.WriteUnknownError),
        ([("ServiceUnavailable", 503)] * 3, errors.WriteUnknownError),
        *(([LOST, THROTTLED, THROTTLED], errors.WriteUnknownError), ([LOST, DENIED], errors.WriteUnknownError)),
        ([BROKEN, THROTTLED, DENIED], errors.WriteUnknownError),
        ([THROTTLED, LOST, DENIED], errors.WriteUnknownError),
        ([THROTTLED, THROTTLED, LOST], errors.WriteUnknownError),
        ([THROTTLED, THROTTLED, BROKEN], errors.WriteUnknownError),
        ([THROTTLED, THROTTLED, THROTTLED], errors.WriteRefusedError),
        *(([THROTTLED, DENIED], errors.WriteRefusedError), ([DENIED], errors.WriteRefusedError)),
    ],
)
def test_a_write_has_certainly_failed_only_if_every_attempt_got_a_response(
    aws: LocalSecretsManager,
    secrets: SecretsManager,
    when: Literal["before", "after"],
    attempts: list[tuple[str | None, int]],
    error: type[errors.SecretsManagerError],
) -> None:
    for code, status in attempts:
        # A throttled or denied attempt takes no effect; one without a response may have.
        lands: Literal["before", "after"] = when if status != THROTTLED[1] else "before"
        aws.fault(CallFault(operation="PutSecretValue", when=lands, code=code, status=status))
    with pytest.raises(error) as failure:
        secrets.write(token(), ENTRY)
    assert failure.value.error_code == error.default_code


@pytest.mark.parametrize("unseen", [1, 2])
def test_a_write_with_unseen_attempts_has_an_unknown_outcome(
    aws: LocalSecretsManager, secrets: SecretsManager, monkeypatch: pytest.MonkeyPatch, unseen: int
) -> None:
    """AWS updates the Lambda runtime's boto3, which may change its events: here some attempts emit none."""
    note = secrets_manager._Attempts.note  # noqa: SLF001  the handler of each attempt's event
    seen = iter([False] * unseen + [True] * 3)

    def note_later_ones(self: secrets_manager._Attempts, **event: Any) -> None:
        if next(seen):
            note(self, **event)

    monkeypatch.setattr(secrets_manager._Attempts, "note", note_later_ones)  # noqa: SLF001  likewise
    aws.fault(CallFault(operation="PutSecretValue", when="after"))
    aws.fault(CallFault(operation="PutSecretValue", code="AccessDeniedException"))
    with pytest.raises(errors.WriteUnknownError):
        secrets.write(token(), ENTRY)


def test_a_write_without_attempt_events_has_an_unknown_outcome() -> None:
    client = fake_client({})
    client.put_secret_value.side_effect = ClientError({"Error": {"Code": "AccessDeniedException"}}, "PutSecretValue")
    with pytest.raises(errors.WriteUnknownError):
        SecretsManager(client, "credentials", "token").write(token(), ENTRY)


@pytest.mark.parametrize("returned", [{"VersionStages": ["AWSCURRENT"]}, {}])
def test_a_label_missing_in_the_response_is_returned(returned: dict[str, list[str]]) -> None:
    """MiniStack drops the other labels of a PutSecretValue with AWSCURRENT, and responds like this."""
    assert secrets_of({"VersionId": ID} | returned).write(token(), ENTRY) == {LABEL}


@pytest.mark.parametrize("response", [{}, {"VersionId": "another"}, [], None])
def test_an_invalid_success_response_has_an_unknown_outcome(response: Any) -> None:
    """A proxy in between may return 200 with other content."""
    secrets = secrets_of(response)
    with pytest.raises(errors.WriteUnknownError):
        secrets.write(token(), ENTRY)
    with pytest.raises(errors.SecretsManagerUnavailableError):
        secrets.describe(T0)


# The ledger


def test_a_version_is_tracked_and_untracked(secrets: SecretsManager, client: SecretsManagerClient) -> None:
    client.put_secret_value(SecretId="token", SecretString="manual", ClientRequestToken=ID)
    secrets.add_labels(ID, ENTRY.labels)
    assert stages() == {ID: {"AWSCURRENT", LABEL}}
    # Removing a removed label is no error.
    for _ in range(2):
        secrets.remove_labels(ENTRY)
        assert stages() == {ID: {"AWSCURRENT"}}


def test_untracking_a_version_removes_each_of_its_labels(secrets: SecretsManager, client: SecretsManagerClient) -> None:
    secrets.write(token(), ENTRY)
    secrets.add_labels(ID, ["LIVE_manual"])
    secrets.write(token(f"{CANARY}-next"), new_entry(str(uuid.uuid4()), T0, T0))
    (superseded,) = secrets.describe(T0).superseded
    assert superseded.labels == (LABEL, "LIVE_manual")
    # A label that was moved meanwhile does not prevent the removal of the other one.
    client.update_secret_version_stage(SecretId="token", VersionStage=LABEL, RemoveFromVersionId=ID)
    secrets.remove_labels(superseded)
    assert stages()[ID] == {"AWSPREVIOUS"}


def test_a_secret_without_a_value_has_an_empty_ledger(secrets: SecretsManager) -> None:
    assert secrets.describe(T0) == Ledger(None)
    assert (secrets.read_current(), secrets.read_version(ID)) == (None, None)


def test_a_binary_value_is_read_as_text(secrets: SecretsManager, client: SecretsManagerClient) -> None:
    """An operator may have put the token as bytes; it is current nevertheless."""
    client.put_secret_value(SecretId="token", SecretBinary=b"\x00\xff" + CANARY.encode())
    current = secrets.read_current()
    assert current is not None
    assert current.access_token is None
    assert current.contains_token(CANARY)


@pytest.mark.parametrize(("returned", "content"), [({"SecretString": "x"}, "x"), ({}, "")])
def test_a_version_returned_without_labels_is_not_current(returned: dict[str, str], content: str) -> None:
    version = secrets_of({"ARN": "arn", "VersionId": ID} | returned).read_version(ID)
    assert version == SecretVersion(ID, is_current=False, is_tracked=False, content=content)


def test_a_secret_marked_for_deletion_is_refused(secrets: SecretsManager, client: SecretsManagerClient) -> None:
    client.delete_secret(SecretId="token", RecoveryWindowInDays=7)
    with pytest.raises(errors.MarkedForDeletionError, match="RestoreSecret"):
        secrets.describe(T0)


@pytest.mark.parametrize("primary_region", ["eu-north-1", None])
def test_a_secret_in_its_primary_region_is_not_a_replica(primary_region: str | None) -> None:
    assert secrets_of({"ARN": ARN, "PrimaryRegion": primary_region}).describe(T0) == Ledger(None)


def test_a_replica_is_refused_and_the_primary_region_named() -> None:
    with pytest.raises(errors.SecretsManagerRefusedError, match="eu-west-1") as refusal:
        secrets_of({"ARN": ARN, "PrimaryRegion": "eu-west-1"}).describe(T0)
    assert refusal.value.error_code == "secret-is-a-replica"


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("AccessDeniedException", 400, errors.SecretsManagerRefusedError),
        ("ResourceNotFoundException", 400, errors.SecretsManagerRefusedError),
        ("SomethingNew", 400, errors.SecretsManagerRefusedError),
        ("ThrottlingException", 400, errors.SecretsManagerUnavailableError),
        ("TooManyRequestsException", 400, errors.SecretsManagerUnavailableError),
        ("InternalServiceError", 500, errors.SecretsManagerUnavailableError),
        (None, 0, errors.SecretsManagerUnavailableError),
    ],
)
def test_a_failed_call_raises_one_sentence_and_whether_it_is_retryable(
    aws: LocalSecretsManager,
    secrets: SecretsManager,
    code: str | None,
    status: int,
    error: type[errors.SecretsManagerError],
) -> None:
    aws.fault(CallFault(operation="DescribeSecret", code=code, status=status), times=3)
    with pytest.raises(errors.SecretsManagerError, match=rf"DescribeSecret.*TOKEN_SECRET_ID.*{code or ''}") as failure:
        secrets.describe(T0)
    assert type(failure.value) is error


def test_without_a_region_the_setting_is_named(aws: LocalSecretsManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert create_client().meta.region_name == "eu-north-1"
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(errors.InvalidInputError, match=r"NoRegionError.*AWS_REGION") as refusal:
        create_client()
    assert refusal.value.error_code == "aws-setup"
    assert aws.calls()["DescribeSecret"] == 0


def test_the_sdk_logs_no_secret_at_debug(secrets: SecretsManager, caplog: pytest.LogCaptureFixture) -> None:
    """Lambda's ApplicationLogLevel DEBUG sets the root logger, and botocore would log both secrets."""
    logging.getLogger("botocore").setLevel(logging.NOTSET)
    with caplog.at_level(logging.DEBUG):
        create_client()
        secrets.read_credentials()
        secrets.write(token(), ENTRY)
        assert logging.getLogger().level == logging.DEBUG
    assert CANARY not in caplog.text


def test_a_call_without_a_response_times_out_early_enough_for_the_rest_of_the_run(aws: LocalSecretsManager) -> None:
    assert aws.url
    config: Any = create_client().meta.config  # its type declares only the options that can be set
    assert (config.connect_timeout, config.read_timeout) == (2, 5)
    assert config.retries == {"mode": "standard", "total_max_attempts": 3}


def test_missing_aws_credentials_are_named(aws: LocalSecretsManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # boto3's default session caches the credentials
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(errors.SecretsManagerError, match=r"NoCredentialsError.*credentials"):
        SecretsManager(create_client(), "credentials", "token").describe(T0)
    assert aws.calls()["DescribeSecret"] == 0


def test_a_response_that_is_not_from_aws_counts_as_no_response() -> None:
    secrets = secrets_of({})
    reads = (lambda: secrets.describe(T0), lambda: secrets.read_version(ID), secrets.read_current)
    for read in (*reads, secrets.read_credentials):
        with pytest.raises(errors.SecretsManagerUnavailableError, match="response"):
            read()


# Credentials


def test_current_and_previous_credentials_are_read(secrets: SecretsManager, client: SecretsManagerClient) -> None:
    assert secrets.read_credentials() == Credentials(CLIENT_ID, CLIENT_SECRET)
    with pytest.raises(errors.SecretsManagerRefusedError, match=r"CREDENTIALS_SECRET_ID.*create the secret"):
        secrets.read_previous_credentials()
    client.put_secret_value(SecretId="credentials", SecretString=NEW)
    assert secrets.read_credentials() == Credentials("new", CANARY)
    assert secrets.read_previous_credentials() == Credentials(CLIENT_ID, CLIENT_SECRET)


OLD = '{"client_id": "old", "client_secret": "CANARY"}'
NEW = OLD.replace("old", "new")


@pytest.mark.parametrize(
    ("values", "client_ids", "code"),
    [
        *(([], [], errors.ErrorCode.SECRETS_MANAGER_REFUSED), ([OLD], ["old"], None)),
        *(([OLD, NEW], ["new", "old"], None), ([OLD, "{}"], ["old"], errors.ErrorCode.CREDENTIALS_UNUSABLE)),
        (["{}", NEW], ["new"], errors.ErrorCode.CREDENTIALS_UNUSABLE),
        (["{}"], [], errors.ErrorCode.CREDENTIALS_UNUSABLE),
    ],
)
def test_the_known_credentials_are_all_that_can_be_read(
    secrets: SecretsManager, client: SecretsManagerClient, values: list[str], client_ids: list[str], code: str | None
) -> None:
    client.delete_secret(SecretId="credentials", ForceDeleteWithoutRecovery=True)
    client.create_secret(Name="credentials")
    for value in values:
        client.put_secret_value(SecretId="credentials", SecretString=value)
    pairs, error = secrets.read_known_credentials()
    assert ([pair.client_id for pair in pairs], error and error.error_code) == (client_ids, code)


def test_binary_credentials_are_read(secrets: SecretsManager, client: SecretsManagerClient) -> None:
    content = b'\xef\xbb\xbf{"client_id": "x", "client_secret": "CANARY"}'
    client.put_secret_value(SecretId="credentials", SecretBinary=content)
    assert secrets.read_credentials() == Credentials("x", CANARY)


def test_one_secret_under_two_names_is_refused(secrets: SecretsManager, client: SecretsManagerClient) -> None:
    assert secrets.read_credentials()
    arn = client.describe_secret(SecretId="credentials")["ARN"]
    same = SecretsManager(create_client(), "credentials", arn)
    same.describe(T0)
    with pytest.raises(errors.InvalidInputError, match="name the same secret"):
        same.read_credentials()
