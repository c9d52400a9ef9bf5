"""Reads the settings from the environment and the event. Each error names the variable or field, and what is allowed.

No error repeats the value: it may be a secret that was put in the wrong place.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from handler.errors import ErrorCode, InvalidInputError
from handler.hostnames import is_hostname, is_loopback
from handler.model import Action, Policy
from handler.server_protocols import CLIENT_AUTHENTICATIONS, OAuthProtocol, TelenorProtocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handler.server_protocols import ServerProtocol

_DAY_SECONDS = 86_400
_DAY_MINUTES = 1_440
_GRACE = f"a whole number of seconds from 0 to {_DAY_SECONDS}"

# AWS, "CreateSecret": letters, digits and /_+=.@- ; an ARN adds colons.
_SECRET_ID = re.compile(r"[A-Za-z0-9/_+=.@:-]{1,2048}")

CLIENT_NAME = re.compile(r"[a-z0-9-]{1,32}")
_CLIENT_FIELDS = ("client", "credentials_secret_id", "token_secret_id")
_CLIENT_VARIABLES = {"scope": "TELENOR_SCOPE", "grace_seconds": "GRACE_SECONDS", "token_parameters": "TOKEN_PARAMETERS"}

_ACTIONS = {action.value: action for action in Action}

# Whoever may invoke the function could otherwise have the client secret sent anywhere.
_URL_FIELDS = ("telenor_base_url", "base_url", "token_url", "revocation_url", "verify_url")

# The job sets these itself (RFC 6749, sections 2.3.1 and 4.4.2).
OWN_PARAMETERS = ("grant_type", "scope", "client_id", "client_secret")

# The REVOCATION_URL of a server that cannot revoke access tokens.
_NO_REVOCATION = "none"

DEFAULT_CLIENT = "default"

# RFC 6749, section 3.3: scope tokens with one space between them.
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*")


class Settings(NamedTuple):
    """The settings of one run."""

    client: str
    action: Action
    credentials_secret_id: str
    token_secret_id: str
    protocol: ServerProtocol
    scope: str | None
    policy: Policy
    verify_url: str | None
    has_routine_metrics: bool = True
    """Whether the run sends metrics that a healthy month has every hour and no alarm needs."""


def settings_from(environ: Mapping[str, str], event: object) -> Settings:
    """Check the environment and the event; an empty variable counts as unset. Raises InvalidInputError."""
    if not isinstance(event, dict):
        raise _event_error('the event is not a JSON object: send {}, or for example {"action": "rotate-now"}')
    _check_fields(environ, event)
    credentials_secret_id = _secret_id(environ, event, "CREDENTIALS_SECRET_ID", "credentials_secret_id")
    token_secret_id = _secret_id(environ, event, "TOKEN_SECRET_ID", "token_secret_id")
    if credentials_secret_id == token_secret_id:
        where = "CREDENTIALS_SECRET_ID and TOKEN_SECRET_ID"
        if "client" in event:
            where = "the event's credentials_secret_id and token_secret_id"
        raise _setting_error(
            where,
            f"{where} name the same secret, and publishing would overwrite the credentials: give the token a secret of "
            "its own",
        )
    return Settings(
        client=_client(environ, event),
        action=_action(event),
        credentials_secret_id=credentials_secret_id,
        token_secret_id=token_secret_id,
        protocol=_protocol(environ, event),
        scope=_scope(environ, event),
        policy=_policy(environ, event),
        verify_url=_url(environ, "VERIFY_URL", "", with_query=True) or None,
        has_routine_metrics=_flag(environ, "ROUTINE_METRICS", "true"),
    )


def _check_fields(environ: Mapping[str, str], event: dict[str, Any]) -> None:
    """Check which fields the event may have."""
    for field in _URL_FIELDS:
        if field in event:
            raise _event_error(f"the event has {field}, and no event can name a URL: set it in the environment")
    if not _flag(environ, "SERVES_CLIENTS", "false"):
        for field in (*_CLIENT_FIELDS, *_CLIENT_VARIABLES):
            if field in event:
                raise _event_error(
                    f"the event has {field}, and this deployment has one client: send an action alone, or set "
                    "SERVES_CLIENTS to true if events may name clients"
                )
    named = [field for field in _CLIENT_FIELDS if field in event]
    if named and len(named) < len(_CLIENT_FIELDS):
        raise _event_error(
            f"the event has only {' and '.join(named)}: send all of {', '.join(_CLIENT_FIELDS)}, or none of them "
            "for the client of the environment"
        )
    for field, variable in _CLIENT_VARIABLES.items():
        if field in event and not named:
            raise _event_error(
                f"the event has {field} and names no client: name {', '.join(_CLIENT_FIELDS)} too, or set {variable}"
            )


def client_of(environ: Mapping[str, str], event: object) -> str:
    """Return the client of a run, for its metrics, even if the settings are invalid."""
    named = event.get("client") if isinstance(event, dict) and environ.get("SERVES_CLIENTS") == "true" else None
    if isinstance(named, str) and CLIENT_NAME.fullmatch(named):
        return named
    name = environ.get("CLIENT_NAME", "")
    return name if CLIENT_NAME.fullmatch(name) else DEFAULT_CLIENT


def _flag(environ: Mapping[str, str], name: str, default: str) -> bool:
    flag = environ.get(name) or default
    if flag not in {"true", "false"}:
        raise InvalidInputError(f"{name} must be true or false: correct it, or leave it out for {default}")
    return flag == "true"


def _client(environ: Mapping[str, str], event: dict[str, Any]) -> str:
    where, name = _either(environ, event, "CLIENT_NAME", "client")
    if name == "" and "client" not in event:
        return DEFAULT_CLIENT
    if not isinstance(name, str) or not CLIENT_NAME.fullmatch(name):
        raise _setting_error(
            where, f"{where} is not the name of a client: it must be 1 to 32 characters from a-z, 0-9 and -"
        )
    return name


def _either(environ: Mapping[str, str], event: dict[str, Any], variable: str, field: str) -> tuple[str, object]:
    """Return the name and the value of a setting: the event's field if it is there, else the variable."""
    return (f"the event's {field}", event[field]) if field in event else (variable, environ.get(variable, ""))


def _event_error(sentence: str) -> InvalidInputError:
    return InvalidInputError(sentence, error_code=ErrorCode.INVALID_EVENT)


def _setting_error(where: str, sentence: str) -> InvalidInputError:
    return _event_error(sentence) if where.startswith("the event") else InvalidInputError(sentence)


def _action(event: dict[str, Any]) -> Action:
    # Events of EventBridge have no action.
    name = event.get("action", Action.RENEW_IF_DUE)
    action = _ACTIONS.get(name) if isinstance(name, str) else None
    if action is None:
        raise _event_error(f"the event's action is not one that this job knows: use one of {', '.join(Action)}")
    return action


def _secret_id(environ: Mapping[str, str], event: dict[str, Any], variable: str, field: str) -> str:
    where, secret_id = _either(environ, event, variable, field)
    if secret_id == "":
        raise _setting_error(where, f"{where} is not set: it must be the name or the ARN of a secret")
    if not isinstance(secret_id, str) or not _SECRET_ID.fullmatch(secret_id):
        raise _setting_error(
            where, f"{where} is not the name or the ARN of a secret: letters, digits and /_+=.@- are allowed in a name"
        )
    return secret_id


def _scope(environ: Mapping[str, str], event: dict[str, Any]) -> str | None:
    where, scope = _either(environ, event, "TELENOR_SCOPE", "scope")
    if scope == "":
        return None
    if not isinstance(scope, str) or not _SCOPE.fullmatch(scope):
        raise _setting_error(
            where,
            f"{where} is not a scope: it must be printable ASCII words separated by one space, or empty for none",
        )
    return scope


def _protocol(environ: Mapping[str, str], event: dict[str, Any]) -> ServerProtocol:
    base_url = _url(environ, "TELENOR_BASE_URL", "https://api.telenor.no", with_query=False).rstrip("/")
    token_url = _url(environ, "TOKEN_URL", "", with_query=True)
    parameters_at, parameters = _either(environ, event, "TOKEN_PARAMETERS", "token_parameters")
    if not token_url:
        names = ("REVOCATION_URL", "CLIENT_AUTHENTICATION")
        for where, value in (*((name, environ.get(name)) for name in names), (parameters_at, parameters)):
            if value:
                raise _setting_error(where, f"{where} is set without TOKEN_URL: set TOKEN_URL too, or leave it out")
        return TelenorProtocol(base_url)
    if not (revocation_url := environ.get("REVOCATION_URL")):
        raise InvalidInputError(
            "TOKEN_URL is set without REVOCATION_URL: set the revocation endpoint, or none if the server cannot revoke "
            "access tokens"
        )
    authentication = environ.get("CLIENT_AUTHENTICATION") or "client_secret_basic"
    if authentication not in CLIENT_AUTHENTICATIONS:
        raise InvalidInputError(
            f"CLIENT_AUTHENTICATION is not a method that this job knows: use one of {', '.join(CLIENT_AUTHENTICATIONS)}"
        )
    return OAuthProtocol(
        token_url,
        None if revocation_url == _NO_REVOCATION else _url(environ, "REVOCATION_URL", "", with_query=True),
        authentication,
        _token_parameters(parameters_at, parameters),
    )


def _token_parameters(where: str, text: object) -> tuple[tuple[str, str], ...]:
    """Parse form fields (WHATWG URL, "application/x-www-form-urlencoded parsing")."""
    parameters: list[tuple[str, str]] | None = None
    if isinstance(text, str) and text.isascii() and text.isprintable():
        with suppress(ValueError):
            parameters = parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict") if text else []
    if parameters is None:
        raise _setting_error(
            where, f"{where} are not form fields: write name=value pairs joined by &, with special characters encoded"
        )
    for name, _ in parameters:
        if name in OWN_PARAMETERS:
            raise _setting_error(where, f"{where} have {name}, which this job sets itself: leave it out")
    return tuple(parameters)


def _policy(environ: Mapping[str, str], event: dict[str, Any]) -> Policy:
    grace_seconds = _grace_of_event(event) if "grace_seconds" in event else _grace_of_environment(environ)
    renew_at_fraction = _number(
        environ, "RENEW_AT_FRACTION", "0.33", lambda fraction: 0 < fraction < 1, "a number above 0 and below 1"
    )
    schedule_minutes = _number(
        environ,
        "SCHEDULE_MINUTES",
        "5",
        lambda minutes: 0 < minutes <= _DAY_MINUTES and timedelta(minutes=minutes) > timedelta(0),
        f"a number of minutes above 0 and up to {_DAY_MINUTES}",
    )
    can_revoke = environ.get("REVOCATION_URL") != _NO_REVOCATION
    return Policy(timedelta(seconds=grace_seconds), renew_at_fraction, timedelta(minutes=schedule_minutes), can_revoke)


def _grace_of_event(event: dict[str, Any]) -> float:
    seconds = event["grace_seconds"]
    # JSON's true is an int to Python.
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not _is_grace(seconds):
        raise _event_error(f"the event's grace_seconds is not {_GRACE}: send a number without quotes")
    return seconds


def _grace_of_environment(environ: Mapping[str, str]) -> float:
    return _number(environ, "GRACE_SECONDS", "600", _is_grace, _GRACE)


def _is_grace(seconds: float) -> bool:
    return 0 <= seconds <= _DAY_SECONDS and seconds == int(seconds)


def _number(
    environ: Mapping[str, str], name: str, default: str, is_allowed: Callable[[float], bool], allowed: str
) -> float:
    try:
        number = float(environ.get(name) or default)
    except ValueError:
        number = float("nan")
    if not is_allowed(number):
        raise InvalidInputError(f"{name} is not {allowed}: correct it, or leave it out for {default}")
    return number


def _url(environ: Mapping[str, str], name: str, default: str, *, with_query: bool) -> str:
    url = environ.get(name) or default
    if url and not _is_safe_url(url, with_query=with_query):
        query = "" if with_query else ", no query"
        raise InvalidInputError(
            f"{name} is not a URL that a token may be sent to: it must begin with https, or with http and a loopback "
            f"host, and have no user{query} and no fragment"
        )
    return url


@lru_cache(maxsize=16)  # a warm process checks the same URLs in every run
def _is_safe_url(url: str, *, with_query: bool) -> bool:
    """Return whether a token may be sent there: over TLS, or to this very machine."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url or "[v" in parts.netloc.lower():
        return False
    if not parts.hostname or port == 0 or "@" in parts.netloc or "#" in url or ("?" in url and not with_query):
        return False
    if not is_hostname(parts.hostname):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))
