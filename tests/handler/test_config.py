"""Settings: accepted values, and the refusal of each invalid one."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import combinations

import pytest

from handler.config import OWN_PARAMETERS, Settings, client_of, settings_from
from handler.errors import InvalidInputError
from handler.model import Action, Policy
from handler.server_protocols import OAuthProtocol, TelenorProtocol

ENVIRONMENT = {"CREDENTIALS_SECRET_ID": "telenor/credentials", "TOKEN_SECRET_ID": "telenor/token"}
SERVES_CLIENTS = ENVIRONMENT | {"SERVES_CLIENTS": "true"}
SERVER = "https://id.example.com"
OAUTH = SERVES_CLIENTS | {"TOKEN_URL": f"{SERVER}/token", "REVOCATION_URL": f"{SERVER}/revoke"}
URLS = ("token_url", "revocation_url", "verify_url", "telenor_base_url", "base_url")
ARN = "arn:aws:secretsmanager:eu-north-1:123456789012:secret:telenor/token-AbCdEf"


def test_the_two_secret_names_are_the_only_required_settings() -> None:
    assert settings_from(ENVIRONMENT, {}) == Settings(
        client="default",
        action=Action.RENEW_IF_DUE,
        credentials_secret_id="telenor/credentials",
        token_secret_id="telenor/token",
        protocol=TelenorProtocol("https://api.telenor.no"),
        scope=None,
        policy=Policy(timedelta(seconds=600), 0.33, timedelta(minutes=5)),
        verify_url=None,
    )


def test_an_empty_variable_counts_as_unset() -> None:
    empty = dict.fromkeys([*EVERY_VARIABLE, "SERVES_CLIENTS"], "")
    assert settings_from(empty | ENVIRONMENT, {}) == settings_from(ENVIRONMENT, {})


EVERY_VARIABLE = {
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
}


def test_every_variable_is_read() -> None:
    assert settings_from(EVERY_VARIABLE, {}) == Settings(
        client="store-17",
        action=Action.RENEW_IF_DUE,
        credentials_secret_id="credentials",
        token_secret_id=ARN,
        protocol=TelenorProtocol("https://gateway.example/telenor"),
        scope="incidents.read incidents.write",
        policy=Policy(timedelta(0), 0.25, timedelta(seconds=90)),
        verify_url="https://gateway.example/ping?deep=1",
        has_routine_metrics=False,
    )


OTHER = {"client": "other", "credentials_secret_id": "other/credentials", "token_secret_id": "other/token"}


@pytest.mark.parametrize("scope", ["other", ""])
@pytest.mark.parametrize("seconds", [0, 900])
@pytest.mark.parametrize("environment", [{}, EVERY_VARIABLE])
def test_event_fields_override_the_environment(environment: dict[str, str], seconds: int, scope: str) -> None:
    event = OTHER | {"action": "rotate-now", "scope": scope, "grace_seconds": seconds}
    settings = settings_from(environment | {"SERVES_CLIENTS": "true"}, event)
    assert (settings.client, settings.action) == ("other", Action.ROTATE_NOW)
    assert (settings.credentials_secret_id, settings.token_secret_id) == ("other/credentials", "other/token")
    assert (settings.scope, settings.policy.grace) == (scope or None, timedelta(seconds=seconds))


@pytest.mark.parametrize("named", [*combinations(OTHER, 1), *combinations(OTHER, 2)])
def test_an_event_with_only_some_client_fields_is_refused(named: tuple[str, ...]) -> None:
    """Otherwise one client's token could be stored in another client's secret."""
    refusal = refusal_of(SERVES_CLIENTS, {name: OTHER[name] for name in named})
    assert refusal.error_code == "invalid-event"
    assert all(name in str(refusal) for name in OTHER)


@pytest.mark.parametrize(
    ("environment", "event", "name"),
    [
        *(({}, {}, "default"), ({"CLIENT_NAME": "ours"}, {}, "ours")),
        ({"CLIENT_NAME": "ours", "SERVES_CLIENTS": "true"}, {"client": "other"}, "other"),
        ({"CLIENT_NAME": "ours", "SERVES_CLIENTS": "true"}, {"client": "CANARY"}, "ours"),
        ({"CLIENT_NAME": "CANARY", "SERVES_CLIENTS": "true"}, {"client": 5}, "default"),
        *(({"CLIENT_NAME": "ours"}, {"client": "other"}, "ours"), ({"CLIENT_NAME": "ours"}, None, "ours")),
    ],
)
def test_the_client_in_metrics_is_the_named_one_if_its_name_is_valid(
    environment: dict[str, str], event: object, name: str
) -> None:
    assert client_of(environment, event) == name


@pytest.mark.parametrize(
    "event",
    [
        {"version": "0", "id": "x", "detail-type": "Scheduled Event", "source": "aws.scheduler", "detail": "{}"},
        {"version": "0", "detail-type": "Scheduled Event", "source": "aws.events", "detail": {"action": "rotate-now"}},
    ],
)
def test_any_eventbridge_event_means_renew_if_due(event: dict[str, object]) -> None:
    assert settings_from(ENVIRONMENT, event).action is Action.RENEW_IF_DUE


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8081", "http://localhost:8081", "http://[::1]:8081", "http://127.8.0.1", "https://127.0.0.1"],
)
def test_plain_http_is_accepted_for_a_loopback_host(url: str) -> None:
    assert settings_from(ENVIRONMENT | {"TELENOR_BASE_URL": url}, {}).protocol == TelenorProtocol(url)


def refusal_of(environment: dict[str, str], event: object) -> InvalidInputError:
    """Return the refusal of settings, after checking that it repeats no value."""
    with pytest.raises(InvalidInputError) as refusal:
        settings_from(environment, event)
    assert "CANARY" not in str(refusal.value)
    return refusal.value


BAD_SETTINGS: dict[str, list[str]] = {
    "CLIENT_NAME": ["Store", "store_17", "s" * 33],
    "CREDENTIALS_SECRET_ID": ["", "two words"],
    "TOKEN_SECRET_ID": ["", "{CANARY}", "x" * 2049, "telenor/credentials"],
    "TELENOR_BASE_URL": [
        *("http://api.telenor.no", "http://localhost.example.com", "http://10.0.0.1", "api.telenor.no", "https://"),
        *("https://user:CANARY@api.telenor.no", "https://api.telenor.no/?key=CANARY", "https://api.telenor.no/#top"),
        *("https://api.telenor.no:port", "https://api.telenor.no:0", "https://api.telenor.no\\@evil.example"),
        *("https://api.telenor.no\n", "https://[::1", "https://[v1.telenor.no]", "file:///etc/passwd"),
        *("https://api..telenor.no", "https://*.telenor.no", "https://a%zz", "https://a^b.telenor.no"),
        f"https://{'x' * 64}.telenor.no",
    ],
    "TELENOR_SCOPE": ["two  spaces", 'a "quoted" CANARY', " incidents.read"],
    "GRACE_SECONDS": ["ten minutes", "-1", "0.5", "86401", "nan", "inf"],
    "RENEW_AT_FRACTION": ["0", "1", "half", "nan"],
    "SCHEDULE_MINUTES": ["0", "1e-12", "-5", "1441", "rate(5 minutes)"],
    "VERIFY_URL": ["http://api.telenor.no/ping", "CANARY"],
    "SERVES_CLIENTS": ["CANARY", "True"],
    "ROUTINE_METRICS": ["0"],
}


@pytest.mark.parametrize(
    ("variable", "value"), [(variable, value) for variable, values in BAD_SETTINGS.items() for value in values]
)
def test_an_invalid_setting_is_named_without_its_value(variable: str, value: str) -> None:
    refusal = refusal_of(ENVIRONMENT | {variable: value}, {})
    assert refusal.error_code == "invalid-setting"
    assert re.search(rf"{variable}\b.*(:|must)", str(refusal))


BAD_FIELDS: dict[str, list[object]] = {
    "action": ["ROTATE-NOW", "", None, 1, {"CANARY": 1}],
    "client": ["", None, "CANARY"],
    "credentials_secret_id": [5, ""],
    "token_secret_id": [None, "a CANARY"],
    "scope": [5, ["CANARY"]],
    "grace_seconds": [-1, 86_401, 1.5, True, "CANARY"],
    "token_parameters": [5, None, "CANARY", "client_secret=CANARY", ["audience=CANARY"]],
    **{field: ["https://CANARY.example.com"] for field in URLS},
}


@pytest.mark.parametrize(
    ("event", "names"),
    [
        *((None, "the event"), ([], "the event"), ("rotate-now", "the event")),
        ({"action": "rotate"}, "action.* renew-if-due, rotate-now, rotate-and-revoke-now"),
        *(({"scope": "other"}, "scope .*client"), ({"grace_seconds": 60}, "grace_seconds .*client")),
        *((OTHER | {field: value}, field) for field, values in BAD_FIELDS.items() for value in values),
    ],
)
def test_an_invalid_event_field_is_named_without_its_value(event: object, names: str) -> None:
    refusal = refusal_of(OAUTH, event)
    assert refusal.error_code == "invalid-event"
    assert re.search(names, str(refusal))


@pytest.mark.parametrize("environment", [{}, {"SERVES_CLIENTS": "false"}])
@pytest.mark.parametrize("event", [OTHER, {"grace_seconds": 0}, {"scope": "other"}, *({n: OTHER[n]} for n in OTHER)])
def test_a_deployment_for_one_client_takes_only_an_action(
    environment: dict[str, str], event: dict[str, object]
) -> None:
    assert settings_from(ENVIRONMENT | environment, {"action": "rotate-now"}).action is Action.ROTATE_NOW
    refusal = refusal_of(ENVIRONMENT | environment, event | {"action": "rotate-now"})
    assert refusal.error_code == "invalid-event"
    assert "SERVES_CLIENTS" in str(refusal)


def test_one_secret_for_both_token_and_credentials_is_refused() -> None:
    refusal = refusal_of(SERVES_CLIENTS, OTHER | {"token_secret_id": OTHER["credentials_secret_id"]})
    assert (refusal.error_code, "event" in str(refusal)) == ("invalid-event", True)
    refusal = refusal_of(dict.fromkeys(ENVIRONMENT, "one"), {})
    assert (refusal.error_code, "event" in str(refusal)) == ("invalid-setting", False)


# Another authorization server


def test_another_server_is_read_from_the_environment() -> None:
    variables = {"CLIENT_AUTHENTICATION": "client_secret_post", "TOKEN_PARAMETERS": "resource=a&resource=b%26c&empty="}
    assert settings_from(OAUTH | variables, {}).protocol == OAuthProtocol(
        "https://id.example.com/token",
        "https://id.example.com/revoke",
        "client_secret_post",
        (("resource", "a"), ("resource", "b&c"), ("empty", "")),
    )


def test_the_revocation_url_is_optional() -> None:
    settings = settings_from(OAUTH | {"REVOCATION_URL": "none"}, {})
    assert settings.protocol == OAuthProtocol("https://id.example.com/token", None, "client_secret_basic")
    assert not settings.policy.can_revoke


def test_an_event_can_set_the_parameters_of_its_client() -> None:
    environment = OAUTH | {"TOKEN_PARAMETERS": "audience=a"}
    protocol = settings_from(environment, OTHER | {"token_parameters": "audience=b"}).protocol
    assert isinstance(protocol, OAuthProtocol)
    assert protocol.token_parameters == (("audience", "b"),)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        *(({"REVOCATION_URL": ""}, "REVOCATION_URL"), ({"REVOCATION_URL": "None"}, "REVOCATION_URL")),
        ({"REVOCATION_URL": "http://id.example.com/revoke"}, "REVOCATION_URL"),
        ({"TOKEN_URL": "http://id.example.com/token"}, "TOKEN_URL"),
        *(({"TOKEN_URL": "https://user:CANARY@id.example.com/token"}, "TOKEN_URL"), ({"TOKEN_URL": ""}, "TOKEN_URL")),
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
def test_an_invalid_setting_of_another_server_is_named_without_its_value(changes: dict[str, str], names: str) -> None:
    refusal = refusal_of(OAUTH | changes, {})
    assert refusal.error_code == "invalid-setting"
    assert names in str(refusal)


@pytest.mark.parametrize("field", URLS)
def test_an_event_cannot_override_a_url_of_a_deployment_for_one_client(field: str) -> None:
    assert field in str(refusal_of(ENVIRONMENT, OTHER | {field: "https://CANARY.example.com"}))
