"""Settings: what is taken, and how each bad value is refused."""

from __future__ import annotations

from datetime import timedelta

import pytest

from handler.config import OWN_PARAMETERS, Settings, client_of, settings_from
from handler.errors import InvalidInputError
from handler.model import Action, ClientAuthentication, OAuthServer, Policy

ENVIRONMENT = {"CREDENTIALS_SECRET_ID": "telenor/credentials", "TOKEN_SECRET_ID": "telenor/token"}
SERVES_CLIENTS = ENVIRONMENT | {"SERVES_CLIENTS": "true"}
ARN = "arn:aws:secretsmanager:eu-north-1:123456789012:secret:telenor/token-AbCdEf"


def test_two_names_are_enough() -> None:
    assert settings_from(ENVIRONMENT, {}) == Settings(
        client="default",
        action=Action.RENEW_IF_DUE,
        credentials_secret_id="telenor/credentials",
        token_secret_id="telenor/token",
        base_url="https://api.telenor.no",
        scope=None,
        policy=Policy(timedelta(seconds=600), 0.33, timedelta(minutes=5)),
        verify_url=None,
    )


def test_an_empty_variable_counts_as_unset() -> None:
    optional = "CLIENT_NAME TELENOR_BASE_URL TELENOR_SCOPE GRACE_SECONDS RENEW_AT_FRACTION SCHEDULE_MINUTES VERIFY_URL"
    empty = dict.fromkeys([*optional.split(), "SERVES_CLIENTS", "ROUTINE_METRICS"], "")
    assert settings_from(ENVIRONMENT | empty, {}) == settings_from(ENVIRONMENT, {})


def test_every_variable_is_taken() -> None:
    settings = settings_from(
        {
            "CREDENTIALS_SECRET_ID": "credentials",
            "TOKEN_SECRET_ID": ARN,
            "CLIENT_NAME": "store-17",
            "TELENOR_BASE_URL": "https://gateway.example/telenor/",
            "TELENOR_SCOPE": "incidents.read incidents.write",
            "GRACE_SECONDS": "0",
            "RENEW_AT_FRACTION": "0.25",
            "SCHEDULE_MINUTES": "1.5",
            "VERIFY_URL": "https://gateway.example/ping?deep=1",
            "ROUTINE_METRICS": "false",
        },
        {},
    )
    assert settings == Settings(
        client="store-17",
        action=Action.RENEW_IF_DUE,
        credentials_secret_id="credentials",
        token_secret_id=ARN,
        base_url="https://gateway.example/telenor",
        scope="incidents.read incidents.write",
        policy=Policy(timedelta(0), 0.25, timedelta(seconds=90)),
        verify_url="https://gateway.example/ping?deep=1",
        has_routine_metrics=False,
    )


OTHER = {"client": "other", "credentials_secret_id": "other/credentials", "token_secret_id": "other/token"}
GRACE_AND_SCOPE = {"grace_seconds": 0, "scope": "other"}


def test_an_event_takes_the_place_of_the_environment() -> None:
    environment = SERVES_CLIENTS | {"CLIENT_NAME": "ours", "TELENOR_SCOPE": "ours"}
    settings = settings_from(environment, OTHER | {"action": "rotate-now", "scope": "other"})
    assert (
        settings.client,
        settings.action,
        settings.credentials_secret_id,
        settings.token_secret_id,
        settings.scope,
    ) == (
        "other",
        Action.ROTATE_NOW,
        "other/credentials",
        "other/token",
        "other",
    )


def test_an_event_that_names_a_client_needs_no_secrets_in_the_environment() -> None:
    assert settings_from({"SERVES_CLIENTS": "true"}, OTHER).token_secret_id == "other/token"


def test_an_event_can_ask_for_no_scope() -> None:
    assert settings_from(SERVES_CLIENTS | {"TELENOR_SCOPE": "ours"}, OTHER | {"scope": ""}).scope is None


@pytest.mark.parametrize(
    "named",
    [
        ["client"],
        ["credentials_secret_id"],
        ["token_secret_id"],
        ["client", "credentials_secret_id"],
        ["client", "token_secret_id"],
        ["credentials_secret_id", "token_secret_id"],
    ],
)
def test_a_client_that_is_named_in_part_is_refused(named: list[str]) -> None:
    """One client's token would otherwise go into another's secret."""
    with pytest.raises(InvalidInputError) as refusal:
        settings_from(SERVES_CLIENTS, {name: OTHER[name] for name in named})
    assert refusal.value.error_code == "invalid-event"
    assert all(name in str(refusal.value) for name in OTHER)


@pytest.mark.parametrize("event", [{"scope": "other"}, {"grace_seconds": 60}])
def test_what_belongs_to_a_client_is_refused_without_one(event: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError, match=f"{next(iter(event))} .*client"):
        settings_from(SERVES_CLIENTS, event)


@pytest.mark.parametrize("seconds", [0, 900])
def test_an_event_can_name_the_grace_of_its_client(seconds: int) -> None:
    settings = settings_from(SERVES_CLIENTS | {"GRACE_SECONDS": "300"}, OTHER | {"grace_seconds": seconds})
    assert settings.policy.grace == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("environment", "event", "name"),
    [
        ({}, {}, "default"),
        ({"CLIENT_NAME": "ours"}, {}, "ours"),
        ({"CLIENT_NAME": "ours", "SERVES_CLIENTS": "true"}, {"client": "other"}, "other"),
        ({"CLIENT_NAME": "ours", "SERVES_CLIENTS": "true"}, {"client": "CANARY"}, "ours"),
        ({"CLIENT_NAME": "CANARY", "SERVES_CLIENTS": "true"}, {"client": 5}, "default"),
        ({"CLIENT_NAME": "ours"}, {"client": "other"}, "ours"),
        ({"CLIENT_NAME": "ours"}, None, "ours"),
    ],
)
def test_a_run_whose_settings_are_refused_is_counted_for_whom_it_names_as_far_as_that_can_be_told(
    environment: dict[str, str], event: object, name: str
) -> None:
    assert client_of(environment, event) == name


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"version": "0", "id": "x", "detail-type": "Scheduled Event", "source": "aws.scheduler", "detail": "{}"},
        {"version": "0", "detail-type": "Scheduled Event", "source": "aws.events", "detail": {"action": "rotate-now"}},
    ],
)
def test_whatever_eventbridge_sends_means_renew_if_due(event: dict[str, object]) -> None:
    assert settings_from(ENVIRONMENT, event).action is Action.RENEW_IF_DUE


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8081", "http://localhost:8081", "http://[::1]:8081", "http://127.8.0.1", "https://127.0.0.1"],
)
def test_plain_http_is_taken_on_a_loopback_host(url: str) -> None:
    assert settings_from(ENVIRONMENT | {"TELENOR_BASE_URL": url}, {}).base_url == url


SECRET_PASTED = "CANARY"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CLIENT_NAME", "Store"),
        ("CLIENT_NAME", "store_17"),
        ("CLIENT_NAME", "s" * 33),
        ("CREDENTIALS_SECRET_ID", ""),
        ("CREDENTIALS_SECRET_ID", "two words"),
        ("TOKEN_SECRET_ID", ""),
        ("TOKEN_SECRET_ID", "{CANARY}"),
        ("TOKEN_SECRET_ID", "x" * 2049),
        ("TOKEN_SECRET_ID", "telenor/credentials"),
        ("TELENOR_BASE_URL", "http://api.telenor.no"),
        ("TELENOR_BASE_URL", "http://localhost.example.com"),
        ("TELENOR_BASE_URL", "http://10.0.0.1"),
        ("TELENOR_BASE_URL", "api.telenor.no"),
        ("TELENOR_BASE_URL", "https://"),
        ("TELENOR_BASE_URL", "https://user:CANARY@api.telenor.no"),
        ("TELENOR_BASE_URL", "https://api.telenor.no/?key=CANARY"),
        ("TELENOR_BASE_URL", "https://api.telenor.no/#top"),
        ("TELENOR_BASE_URL", "https://api.telenor.no:port"),
        ("TELENOR_BASE_URL", "https://api.telenor.no:0"),
        ("TELENOR_BASE_URL", "https://api.telenor.no\\@evil.example"),
        ("TELENOR_BASE_URL", "https://api.telenor.no\n"),
        ("TELENOR_BASE_URL", "https://[::1"),
        ("TELENOR_BASE_URL", "file:///etc/passwd"),
        ("TELENOR_BASE_URL", "https://api..telenor.no"),
        ("TELENOR_BASE_URL", f"https://{'x' * 64}.telenor.no"),
        ("TELENOR_SCOPE", "two  spaces"),
        ("TELENOR_SCOPE", 'a "quoted" CANARY'),
        ("TELENOR_SCOPE", " incidents.read"),
        ("GRACE_SECONDS", "ten minutes"),
        ("GRACE_SECONDS", "-1"),
        ("GRACE_SECONDS", "0.5"),
        ("GRACE_SECONDS", "86401"),
        ("GRACE_SECONDS", "nan"),
        ("GRACE_SECONDS", "inf"),
        ("RENEW_AT_FRACTION", "0"),
        ("RENEW_AT_FRACTION", "1"),
        ("RENEW_AT_FRACTION", "half"),
        ("RENEW_AT_FRACTION", "nan"),
        ("SCHEDULE_MINUTES", "0"),
        ("SCHEDULE_MINUTES", "1e-12"),
        ("SCHEDULE_MINUTES", "-5"),
        ("SCHEDULE_MINUTES", "1441"),
        ("SCHEDULE_MINUTES", "rate(5 minutes)"),
        ("VERIFY_URL", "http://api.telenor.no/ping"),
        ("VERIFY_URL", "CANARY"),
        ("SERVES_CLIENTS", "CANARY"),
        ("SERVES_CLIENTS", "True"),
        ("ROUTINE_METRICS", "0"),
    ],
)
def test_a_bad_setting_is_refused_by_name_and_not_repeated(variable: str, value: str) -> None:
    with pytest.raises(InvalidInputError, match=rf"{variable}\b.*(:|must|may)") as refusal:
        settings_from(ENVIRONMENT | {variable: value}, {})
    assert refusal.value.error_code == "invalid-setting"
    assert "CANARY" not in str(refusal.value)


@pytest.mark.parametrize(
    ("event", "names"),
    [
        (None, "the event"),
        ([], "the event"),
        ("rotate-now", "the event"),
        ({"action": "rotate"}, "action.* renew-if-due, rotate-now, rotate-and-revoke-now"),
        ({"action": "ROTATE-NOW"}, "action"),
        ({"action": ""}, "action"),
        ({"action": None}, "action"),
        ({"action": 1}, "action"),
        ({"action": ["rotate-now"]}, "action"),
        ({"action": {"CANARY": 1}}, "action"),
        (OTHER | {"client": ""}, "client"),
        (OTHER | {"client": None}, "client"),
        (OTHER | {"client": "CANARY"}, "client"),
        (OTHER | {"credentials_secret_id": 5}, "credentials_secret_id"),
        (OTHER | {"credentials_secret_id": ""}, "credentials_secret_id"),
        (OTHER | {"token_secret_id": None}, "token_secret_id"),
        (OTHER | {"token_secret_id": "a CANARY"}, "token_secret_id"),
        (OTHER | {"scope": 5}, "scope"),
        (OTHER | {"grace_seconds": -1}, "grace_seconds"),
        (OTHER | {"grace_seconds": 86_401}, "grace_seconds"),
        (OTHER | {"grace_seconds": 1.5}, "grace_seconds"),
        (OTHER | {"grace_seconds": True}, "grace_seconds"),
        (OTHER | {"grace_seconds": "CANARY"}, "grace_seconds"),
        (OTHER | {"scope": ["CANARY"]}, "scope"),
    ],
)
def test_a_bad_event_is_refused_by_field_and_not_repeated(event: object, names: str) -> None:
    with pytest.raises(InvalidInputError, match=names) as refusal:
        settings_from(SERVES_CLIENTS, event)
    assert refusal.value.error_code == "invalid-event"
    assert "CANARY" not in str(refusal.value)


@pytest.mark.parametrize("environment", [{}, {"SERVES_CLIENTS": "false"}])
@pytest.mark.parametrize("event", [OTHER, *({name: value} for name, value in (OTHER | GRACE_AND_SCOPE).items())])
def test_a_deployment_for_one_client_takes_an_action_alone(
    environment: dict[str, str], event: dict[str, object]
) -> None:
    assert settings_from(ENVIRONMENT | environment, {"action": "rotate-now"}).action is Action.ROTATE_NOW
    with pytest.raises(InvalidInputError, match="SERVES_CLIENTS") as refusal:
        settings_from(ENVIRONMENT | environment, event | {"action": "rotate-now"})
    assert refusal.value.error_code == "invalid-event"


def test_two_names_of_one_secret_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="same secret"):
        settings_from(SERVES_CLIENTS, OTHER | {"token_secret_id": OTHER["credentials_secret_id"]})


# Another authorization server

OAUTH = SERVES_CLIENTS | {
    "TOKEN_URL": "https://id.example.com/token",
    "REVOCATION_URL": "https://id.example.com/revoke",
}


def test_telenor_is_the_server_unless_another_is_named() -> None:
    assert settings_from(ENVIRONMENT, {}).server is None


def test_another_server_is_taken_from_the_environment() -> None:
    environment = {"CLIENT_AUTHENTICATION": "client_secret_post", "TOKEN_PARAMETERS": "resource=a&resource=b%26c"}
    assert settings_from(OAUTH | environment, {}).server == OAuthServer(
        "https://id.example.com/token",
        "https://id.example.com/revoke",
        ClientAuthentication.POST,
        (("resource", "a"), ("resource", "b&c")),
    )


def test_a_server_may_have_no_revocation() -> None:
    server = settings_from(OAUTH | {"REVOCATION_URL": "none"}, {}).server
    assert server is not None
    assert (server.revocation_url, server.client_authentication) == (None, ClientAuthentication.BASIC)


def test_an_event_can_name_the_parameters_of_its_client() -> None:
    server = settings_from(
        OAUTH | {"TOKEN_PARAMETERS": "audience=a"}, OTHER | {"token_parameters": "audience=b"}
    ).server
    assert server is not None
    assert server.token_parameters == (("audience", "b"),)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"REVOCATION_URL": ""}, "REVOCATION_URL"),
        ({"REVOCATION_URL": "None"}, "REVOCATION_URL"),
        ({"REVOCATION_URL": "http://id.example.com/revoke"}, "REVOCATION_URL"),
        ({"TOKEN_URL": "http://id.example.com/token"}, "TOKEN_URL"),
        ({"TOKEN_URL": "https://user:CANARY@id.example.com/token"}, "TOKEN_URL"),
        ({"TOKEN_URL": ""}, "TOKEN_URL"),
        ({"TOKEN_URL": "", "REVOCATION_URL": "", "CLIENT_AUTHENTICATION": "client_secret_post"}, "TOKEN_URL"),
        ({"TOKEN_URL": "", "REVOCATION_URL": "", "TOKEN_PARAMETERS": "audience=CANARY"}, "TOKEN_URL"),
        ({"CLIENT_AUTHENTICATION": "private_key_jwt"}, "CLIENT_AUTHENTICATION"),
        ({"CLIENT_AUTHENTICATION": "CANARY"}, "CLIENT_AUTHENTICATION"),
        ({"TOKEN_PARAMETERS": "CANARY"}, "TOKEN_PARAMETERS"),
        ({"TOKEN_PARAMETERS": "audience=CANARY&"}, "TOKEN_PARAMETERS"),
        ({"TOKEN_PARAMETERS": "audience=\nCANARY"}, "TOKEN_PARAMETERS"),
        ({"TOKEN_PARAMETERS": "audience=%ff"}, "TOKEN_PARAMETERS"),
        *(({"TOKEN_PARAMETERS": f"audience=a&{name}=CANARY"}, name) for name in OWN_PARAMETERS),
    ],
)
def test_a_bad_setting_of_another_server_is_refused_and_not_repeated(changes: dict[str, str], names: str) -> None:
    with pytest.raises(InvalidInputError, match=names) as refusal:
        settings_from(OAUTH | changes, {})
    assert refusal.value.error_code == "invalid-setting"
    assert "CANARY" not in str(refusal.value)


@pytest.mark.parametrize("field", ["token_url", "revocation_url", "verify_url", "telenor_base_url", "base_url"])
@pytest.mark.parametrize("environment", [ENVIRONMENT, SERVES_CLIENTS, OAUTH])
def test_no_event_can_name_a_url(environment: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInputError, match=field) as refusal:
        settings_from(environment, OTHER | {field: "https://CANARY.example.com"})
    assert refusal.value.error_code == "invalid-event"
    assert "CANARY" not in str(refusal.value)


@pytest.mark.parametrize("parameters", [5, None, "CANARY", "client_secret=CANARY", ["audience=CANARY"]])
def test_bad_parameters_in_an_event_are_refused(parameters: object) -> None:
    with pytest.raises(InvalidInputError, match="token_parameters") as refusal:
        settings_from(OAUTH, OTHER | {"token_parameters": parameters})
    assert refusal.value.error_code == "invalid-event"
    assert "CANARY" not in str(refusal.value)
