"""A stand-in for Telenor's API, reached by real requests over real sockets.

It answers as the API reference says, with every error code in it, and fails on command while it runs::

    with TelenorSandbox() as sandbox:
        sandbox.knobs(lifetime_seconds=60, error_shape="fault")
        sandbox.fault(operation="token", status=503, retry_after=2, times=1)
        requests.post(f"{sandbox.url}/oauth/v2/token", ...)

The same can be done over HTTP, under ``/_sandbox/``: ``faults`` (POST, GET, DELETE), ``knobs`` (GET, PATCH),
``state`` (GET) and ``reset`` (POST). ``python -m infra.local.telenor_sandbox`` runs it alone.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import math
import secrets
import signal
import socket
import threading
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from email.utils import formatdate
from enum import Enum
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from flask import Flask, Request, Response, request

from infra.local.server import LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self

DEFAULT_PORT = 8081
HISTORY = 1000  # events and received requests that are kept

OPERATIONS: Mapping[str, tuple[str, str]] = {
    "token": ("POST", "/oauth/v2/token"),
    "logout": ("GET", "/oauth/v2/logout"),
    "incidents": ("GET", "/service-tickets/v2/incidents"),
}

INCIDENTS = (
    {"id": "INC-1001", "status": "open", "title": "No signal at Fornebu"},
    {"id": "INC-1002", "status": "resolved", "title": "Slow line in Bodø"},
)

HTML_PAGE = "<!doctype html><html><title>Sorry</title><body><h1>Back in a moment</h1></body></html>"


# --- The reference's error tables -----------------------------------------------------------------------


class ApiError(Enum):
    """Every documented refusal: status, error code and the reference's own wording."""

    GRANT_TYPE = (400, 2, "Missing or invalid grant_type")
    CLIENT_ID = (401, 1, "Invalid client id")
    ACCESS_TOKEN = (401, 2, "Invalid access token")
    AUTHORIZATION_CODE = (401, 4, "Invalid authorization code")
    NOT_APPROVED = (401, 5, "Not authorized to create access token")
    HEADER = (401, 6, "Missing or bad Authorization header")
    REFRESH_TOKEN = (401, 7, "Invalid refresh_token")
    CLIENT_DATA = (401, 9, "Invalid Client data")
    GRANT_NOT_ALLOWED = (401, 21, "Unsufficient permissions to use requested grant_type")
    CREDENTIALS = (401, 22, "Basic Authentication failed, bad username or password.")
    SCOPE = (403, 8, "Illegal or non authorized scope")
    REDIRECT_URI = (403, 12, "Invalid RedirectURI")
    RESPONSE_TYPE = (403, 15, "Illegal Response Type")
    INTERNAL = (500, 2, "Internal Server Error")
    APP_ATTRIBUTES = (500, 16, "Invalid App Attributes.Please contact Telenor Admin")

    def __init__(self, status: int, code: int, message: str) -> None:
        self.status = status
        self.code = code
        self.message = message


# The reference does not show the JSON of an error, so a client has to cope with all of these.
ERROR_SHAPES: Mapping[str, Callable[[ApiError], object]] = {
    "code": lambda error: {"code": error.code, "message": error.message},
    "errorCode": lambda error: {"errorCode": error.code, "errorMessage": error.message},
    "error_code": lambda error: {"error_code": error.code, "error_description": error.message},
    "error": lambda error: {"error": {"code": str(error.code), "message": error.message}},
    "fault": lambda error: {"fault": {"faultstring": error.message, "detail": {"errorcode": str(error.code)}}},
    "text": lambda error: f"Error code {error.code} - {error.message}",
    "none": lambda error: {"message": error.message},
}


# --- Who may ask ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Client:
    """A registered app: what it may do, and what is wrong with it."""

    secret: str = field(repr=False)
    grants: frozenset[str] = frozenset({"client_credentials"})
    scopes: frozenset[str] = frozenset()
    redirect_uri: str | None = None
    codes: tuple[str, ...] = field(default=(), repr=False)
    """Authorization codes that wait to be used, once each."""
    approved: bool = True
    data_valid: bool = True
    attributes_valid: bool = True
    backend_ok: bool = True
    """False: creating a token ends in an internal error."""
    logout_ok: bool = True
    """False: logging one of its tokens out ends in an internal error."""


CLIENT_CHECKS: Mapping[str, ApiError] = {
    "backend_ok": ApiError.INTERNAL,
    "data_valid": ApiError.CLIENT_DATA,
    "attributes_valid": ApiError.APP_ATTRIBUTES,
    "approved": ApiError.NOT_APPROVED,
}

DEMO_CLIENT_ID = "demo-client"
DEMO_CLIENT_SECRET = "demo-secret-for-this-sandbox-only"  # noqa: S105 - opens nothing but the sandbox
DEMO_USERNAME = "kari"
DEMO_PASSWORD = "demo-password-for-this-sandbox-only"  # noqa: S105 - opens nothing but the sandbox
DEMO_CODE = "demo-code"

USERS: Mapping[str, str] = MappingProxyType({DEMO_USERNAME: DEMO_PASSWORD})

_seeded = partial(Client, secret=DEMO_CLIENT_SECRET, scopes=frozenset({"incidents.read", "incidents.write"}))

SEEDED_CLIENTS: Mapping[str, Client] = MappingProxyType(
    {
        DEMO_CLIENT_ID: _seeded(),
        "demo-portal": _seeded(
            grants=frozenset({"client_credentials", "password", "authorization_code", "refresh_token"}),
            redirect_uri="https://portal.example/callback",
            codes=(DEMO_CODE,),
        ),
        "demo-not-approved": _seeded(approved=False),
        "demo-incomplete": _seeded(data_valid=False),
        "demo-broken-attributes": _seeded(attributes_valid=False),
        "demo-broken-backend": _seeded(backend_ok=False),
        "demo-broken-logout": _seeded(logout_ok=False),
    }
)


# --- What can be turned and broken while it runs --------------------------------------------------------


class BadSettingError(ValueError):
    """A knob or a fault that makes no sense; the message is one sentence for whoever sent it."""


class Rule(NamedTuple):
    """What a field takes, in words and as a check."""

    wanted: str
    allows: Callable[[Any], bool]


def _number(value: object, *kinds: type) -> bool:
    # JSON's true is not a number, though Python's True is one.
    return isinstance(value, kinds) and not isinstance(value, bool)


def _one_line(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable()


def _choice(choices: Sequence[str]) -> Rule:
    return Rule("one of " + ", ".join(choices), lambda value: value in choices)


def _whole(least: int, most: float = math.inf) -> Rule:
    words = f"a whole number from {least}" + (f" to {most}" if most < math.inf else "")
    return Rule(words, lambda value: _number(value, int) and least <= value <= most)


def _or_null(rule: Rule) -> Rule:
    return Rule(f"{rule.wanted}, or null", lambda value: value is None or rule.allows(value))


_ANYTHING = Rule("anything", lambda _: True)
_FLAG = Rule("true or false", lambda value: isinstance(value, bool))
_TEXT = Rule("text", lambda value: isinstance(value, str))
_LINE = Rule("one line of ASCII text", _one_line)
_LINES = Rule(
    "an object of names with one line of ASCII text each",
    lambda value: isinstance(value, dict) and all(map(_one_line, [*value, *value.values()])),
)
_POSITIVE = Rule("a number above 0", lambda value: _number(value, int, float) and 0 < value < math.inf)
_SECONDS = Rule("a number from 0", lambda value: _number(value, int, float) and 0 <= value < math.inf)
_OFFSET = Rule("a number", lambda value: _number(value, int, float) and math.isfinite(value))
_RETRY_AFTER = Rule(
    "a whole number from 0, or one line of ASCII text",
    lambda value: _whole(0).allows(value) or _one_line(value),
)

# How the seconds that a token has left appear in the answer.
EXPIRES_IN_AS: Mapping[str, Callable[[int, Knobs], dict[str, Any]]] = {
    "number": lambda seconds, _: {"expires_in": seconds},
    "string": lambda seconds, _: {"expires_in": str(seconds)},
    "missing": lambda _seconds, _knobs: {},
    "raw": lambda _, knobs: {"expires_in": knobs.expires_in_raw},
}


def _setting(default: object, rule: Rule) -> Any:  # noqa: ANN401 - as dataclasses.field, whose place it takes
    return field(default=default, metadata={"rule": rule})


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """How the sandbox behaves where the reference leaves it open."""

    lifetime_seconds: float = _setting(3599, _POSITIVE)
    expires_in_as: str = _setting("number", _choice(tuple(EXPIRES_IN_AS)))
    expires_in_raw: object = _setting(None, _ANYTHING)
    issue: str = _setting("new", _choice(("new", "same", "same-extended", "new-kills-old")))
    """Whether a client's living token is left alone, handed out again (with a longer life), or killed."""
    token_type: object = _setting("Bearer", _ANYTHING)
    """None: leave it out."""
    refresh_token: bool = _setting(default=False, rule=_FLAG)
    """Whether client_credentials gets one; the other grants always do."""
    error_shape: str = _setting("code", _choice(tuple(ERROR_SHAPES)))
    scope_in_answer: bool = _setting(default=False, rule=_FLAG)
    logout_ends: str = _setting("token", _choice(("token", "client", "nothing")))
    """Whether logout ends that token, every token of its client, or nothing although it says so."""
    clock_ahead_seconds: float = _setting(0, _OFFSET)
    """By how much the Date header of each answer is ahead of the sandbox's clock."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong with the next requests of one operation.

    A dropped or replaced answer means that the operation had no effect, unless ``when`` is "after": then it
    took effect and only its answer was lost. A delay alone, a cut answer or an extra header leave the
    operation itself as it is.
    """

    operation: str = field(metadata={"rule": _choice(tuple(OPERATIONS))})
    times: int | None = _setting(None, _or_null(_whole(1)))
    """How many requests it hits; None: all until it is cleared."""
    when: str = _setting("before", _choice(("before", "after")))
    delay_seconds: float | None = _setting(None, _or_null(_SECONDS))
    drop: bool = _setting(default=False, rule=_FLAG)
    """Close the connection without an answer."""
    status: int | None = _setting(None, _or_null(_whole(200, 599)))
    body: str | None = _setting(None, _or_null(_TEXT))
    content_type: str | None = _setting(None, _or_null(_LINE))
    headers: Mapping[str, str] | None = _setting(None, _or_null(_LINES))
    retry_after: int | str | None = _setting(None, _or_null(_RETRY_AFTER))
    truncate_bytes: int | None = _setting(None, _or_null(_whole(0)))
    """Keep only so many bytes of the answer, with a Content-Length that fits."""
    html: bool = _setting(default=False, rule=_FLAG)
    """An HTML page in place of the answer, with 200 unless there is a status."""

    def left_over(self) -> list[Fault]:
        """Return what remains of it after one request: itself, once less of it, or nothing."""
        if self.times is None:
            return [self]
        return [replace(self, times=self.times - 1)] if self.times > 1 else []

    @property
    def replaces(self) -> bool:
        """Whether another answer takes the place of the real one."""
        return self.html or self.status is not None or self.body is not None

    @property
    def acts(self) -> bool:
        """Whether the operation takes effect in spite of this fault."""
        return self.when == "after" or not (self.drop or self.replaces)

    def disguise(self, real: Answer) -> Answer:
        """Turn the real answer into the one that the client gets to see."""
        seen = self._replacement(real) if self.replaces else real
        retry = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return replace(
            seen,
            body=seen.body[: self.truncate_bytes],
            content_type=self.content_type or seen.content_type,
            headers={**(self.headers or {}), **retry},
        )

    def _replacement(self, real: Answer) -> Answer:
        text, kind = (HTML_PAGE, "text/html") if self.html else (self.body or "", "text/plain")
        return replace(
            real,
            status=self.status or 200,
            body=text.encode(),
            content_type=f"{kind}; charset=utf-8",
        )


_EFFECTS = tuple(each.name for each in fields(Fault) if each.name not in {"operation", "times", "when"})
_EXCLUDED: Mapping[str, frozenset[str]] = {
    "drop": frozenset(_EFFECTS) - {"drop", "delay_seconds"},
    "html": frozenset({"body", "content_type"}),
}


def _given(value: object) -> bool:
    # By identity: 0 seconds, 0 bytes and an empty body are values too.
    return value is not None and value is not False


def _check_effects(fault: Fault) -> None:
    """Refuse a fault without an effect, or with effects that exclude each other."""
    effects = {name for name in _EFFECTS if _given(getattr(fault, name))}
    if not effects:
        raise BadSettingError(f"Fault needs at least one of {', '.join(_EFFECTS)}.")
    for effect in sorted(effects & _EXCLUDED.keys()):
        clash = sorted(effects & _EXCLUDED[effect])
        if clash:
            raise BadSettingError(f"Fault cannot have {effect} together with {', '.join(clash)}.")


def _checked(kind: type[Knobs | Fault], given: Mapping[str, object]) -> dict[str, Any]:
    """Return the fields as they are, or say which one is wrong and what it takes."""
    name = kind.__name__
    rules: dict[str, Rule] = {each.name: each.metadata["rule"] for each in fields(kind)}
    required = {each.name for each in fields(kind) if each.default is MISSING}
    for missing in sorted(required - given.keys()):
        raise BadSettingError(f"{name} needs {missing}: {rules[missing].wanted}.")
    for key, value in given.items():
        if key not in rules:
            raise BadSettingError(f"{name} has no field {key!r}; it has {', '.join(rules)}.")
        if not rules[key].allows(value):
            raise BadSettingError(f"{name}: {key} must be {rules[key].wanted}.")
    return dict(given)


# --- What Telenor keeps and decides ---------------------------------------------------------------------


def _random() -> str:
    return secrets.token_urlsafe(32)


def short_id(access_token: str) -> str:
    """Name a token without telling it."""
    return hashlib.sha256(access_token.encode()).hexdigest()[:8]


class Order(NamedTuple):
    """A token request that has passed every check."""

    client_id: str
    grant: str
    scope: str
    placed_at: float


@dataclass(kw_only=True)
class Token:
    """An access token and what became of it; times are epoch seconds."""

    value: str = field(repr=False)
    order: Order
    expires_at: float
    ended_at: float | None = None
    ended_as: str | None = None
    requests: int = 0
    refused: int = 0

    def status(self, now: float) -> str:
        """Say whether it is live, and if not, why."""
        return self.ended_as or ("live" if now < self.expires_at else "expired")

    def end(self, now: float, how: str) -> None:
        """Kill it before its time."""
        self.ended_at, self.ended_as = now, how

    def view(self, now: float) -> dict[str, Any]:
        """Show everything but the value."""
        status = self.status(now)
        return {
            "client_id": self.order.client_id,
            "grant": self.order.grant,
            "scope": self.order.scope,
            "issued_at": self.order.placed_at,
            "expires_at": self.expires_at,
            "ended_at": self.expires_at if status == "expired" else self.ended_at,
            "status": status,
            "requests": self.requests,
            "refused": self.refused,
        }


class Voucher(NamedTuple):
    """What an authorization code or a refresh token, each good for one use, entitles to."""

    grant: str
    client_id: str
    scopes: frozenset[str]


# The grants that are paid with a voucher: the form field that carries it, and the refusal of a bad one.
VOUCHER_GRANTS: Mapping[str, tuple[str, ApiError]] = {
    "authorization_code": ("code", ApiError.AUTHORIZATION_CODE),
    "refresh_token": ("refresh_token", ApiError.REFRESH_TOKEN),
}
GRANTS = frozenset({"client_credentials", "password", *VOUCHER_GRANTS})
# Not "code": that asks for an authorization code, which the token endpoint does not hand out.
RESPONSE_TYPES = frozenset({"token"})


@dataclass(frozen=True)
class Answer:
    """An HTTP answer before it is sent, and the token that it is about."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    token: Token | None = None

    @classmethod
    def of(cls, content: object, token: Token | None = None, status: int = 200) -> Answer:
        """Send text as text and anything else as JSON."""
        if isinstance(content, str):
            return cls(status, content.encode(), "text/plain; charset=utf-8", token=token)
        return cls(status, json.dumps(content).encode(), token=token)


# Of an operation that a fault kept from acting; the fault drops or replaces it.
_NO_ANSWER = Answer(status=503)


class RefusalError(Exception):
    """One of the documented errors, and the token that it is about."""

    def __init__(self, reason: ApiError, token: Token | None = None) -> None:
        super().__init__(reason.message)
        self.reason = reason
        self.token = token


def _basic_credentials(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    try:
        pair = base64.b64decode(encoded.strip(), validate=True).decode()
    except ValueError:  # neither base64 nor UTF-8 has another kind
        raise RefusalError(ApiError.HEADER) from None
    client_id, colon, secret = pair.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise RefusalError(ApiError.HEADER)
    return client_id, secret


def _check_condition(client: Client) -> None:
    for flag, error in CLIENT_CHECKS.items():
        if not getattr(client, flag):
            raise RefusalError(error)


def _permitted_grant(client: Client, form: Mapping[str, str]) -> str:
    grant = form.get("grant_type", "")
    if grant not in GRANTS:
        raise RefusalError(ApiError.GRANT_TYPE)
    if grant not in client.grants:
        raise RefusalError(ApiError.GRANT_NOT_ALLOWED)
    return grant


def _check_redirection(client: Client, form: Mapping[str, str]) -> None:
    # The reference lists neither parameter, so leaving them out is right and only a wrong one is refused.
    if form.get("response_type", "token") not in RESPONSE_TYPES:
        raise RefusalError(ApiError.RESPONSE_TYPE)
    if form.get("redirect_uri", client.redirect_uri) != client.redirect_uri:
        raise RefusalError(ApiError.REDIRECT_URI)


def _granted_scope(allowed: frozenset[str], form: Mapping[str, str]) -> str:
    asked = frozenset(form.get("scope", "").split())
    if not asked <= allowed:
        raise RefusalError(ApiError.SCOPE)
    return " ".join(sorted(asked or allowed))


class _Authority:
    """Clients, tokens and the rules of the reference; the caller holds the lock."""

    def __init__(self, clients: Mapping[str, Client], clock: Callable[[], float], new_token: Callable[[], str]) -> None:
        self.knobs = Knobs()
        self.tokens: dict[str, Token] = {}
        self.protected = {"accepted": 0, "refused": 0}
        self._clients = clients
        self._clock = clock
        self._new_token = new_token
        self._vouchers = {
            code: Voucher("authorization_code", client_id, client.scopes)
            for client_id, client in clients.items()
            for code in client.codes
        }
        self._operations: Mapping[str, Callable[[str, Mapping[str, str]], Answer]] = {
            "token": self._create_token,
            "logout": self._logout,
            "incidents": self._incidents,
        }
        self._issuers: Mapping[str, Callable[[Order], Token]] = {
            "new": self._mint,
            "same": self._same_or_mint,
            "same-extended": self._extend_or_mint,
            "new-kills-old": self._kill_and_mint,
        }

    def perform(self, operation: str, authorization: str, form: Mapping[str, str]) -> Answer:
        """Do what was asked, or refuse in the shape of the moment."""
        try:
            return self._operations[operation](authorization, form)
        except RefusalError as refusal:
            content = ERROR_SHAPES[self.knobs.error_shape](refusal.reason)
            return Answer.of(content, refusal.token, refusal.reason.status)

    def issue_code(self, client_id: str) -> str:
        """Hand out an authorization code, as if a user had just consented."""
        return self._new_voucher(Voucher("authorization_code", client_id, self._clients[client_id].scopes))

    def _new_voucher(self, voucher: Voucher) -> str:
        value = _random()
        self._vouchers[value] = voucher
        return value

    def _create_token(self, authorization: str, form: Mapping[str, str]) -> Answer:
        client_id, client = self._authenticated(authorization)
        _check_condition(client)
        grant = _permitted_grant(client, form)
        _check_redirection(client, form)
        payment, scopes = self._entitlement(Voucher(grant, client_id, client.scopes), form)
        scope = _granted_scope(scopes, form)
        self._vouchers.pop(payment, None)  # not earlier: a refused request spends nothing
        order = Order(client_id, grant, scope, self._clock())
        token = self._issuers[self.knobs.issue](order)
        return Answer.of(self._document(token, order), token)

    def _authenticated(self, authorization: str) -> tuple[str, Client]:
        client_id, secret = _basic_credentials(authorization)
        client = self._clients.get(client_id)
        if client is None:
            raise RefusalError(ApiError.CLIENT_ID)
        if secret != client.secret:
            raise RefusalError(ApiError.CREDENTIALS)
        return client_id, client

    def _entitlement(self, claim: Voucher, form: Mapping[str, str]) -> tuple[str, frozenset[str]]:
        """Return what the grant is paid with (nothing, or a voucher) and the scopes that it gives."""
        if claim.grant in VOUCHER_GRANTS:
            name, error = VOUCHER_GRANTS[claim.grant]
            payment = form.get(name, "")
            voucher = self._vouchers.get(payment)
            if voucher is None or (voucher.grant, voucher.client_id) != (claim.grant, claim.client_id):
                raise RefusalError(error)
            return payment, voucher.scopes
        if claim.grant == "password" and USERS.get(form.get("username", "")) != form.get("password", ""):
            raise RefusalError(ApiError.CREDENTIALS)
        return "", claim.scopes

    def _document(self, token: Token, order: Order) -> dict[str, Any]:
        knobs = self.knobs
        # Rounded first: epoch seconds are floats, and the difference of two is off by a hair.
        seconds = int(round(token.expires_at - order.placed_at, 3))
        document = {"access_token": token.value, **EXPIRES_IN_AS[knobs.expires_in_as](seconds, knobs)}
        if knobs.token_type is not None:
            document["token_type"] = knobs.token_type
        if knobs.refresh_token or order.grant != "client_credentials":
            voucher = Voucher("refresh_token", order.client_id, frozenset(order.scope.split()))
            document["refresh_token"] = self._new_voucher(voucher)
        if knobs.scope_in_answer:
            document["scope"] = order.scope
        return document

    def _mint(self, order: Order) -> Token:
        value = self._new_token()
        token = Token(value=value, order=order, expires_at=order.placed_at + self.knobs.lifetime_seconds)
        self.tokens[value] = token
        return token

    def _same_or_mint(self, order: Order) -> Token:
        same = (token for token in self._live(order.client_id) if token.order.scope == order.scope)
        return next(same, None) or self._mint(order)

    def _extend_or_mint(self, order: Order) -> Token:
        token = self._same_or_mint(order)
        token.expires_at = max(token.expires_at, order.placed_at + self.knobs.lifetime_seconds)
        return token

    def _kill_and_mint(self, order: Order) -> Token:
        for token in self._live(order.client_id):
            token.end(order.placed_at, "killed")
        return self._mint(order)

    def _live(self, client_id: str) -> list[Token]:
        now = self._clock()
        mine = (token for token in self.tokens.values() if token.order.client_id == client_id)
        return [token for token in mine if token.status(now) == "live"]

    def _logout(self, authorization: str, _form: Mapping[str, str]) -> Answer:
        token = self._live_bearer(authorization)
        if not self._clients[token.order.client_id].logout_ok:
            raise RefusalError(ApiError.INTERNAL, token)
        ended: Mapping[str, Sequence[Token]] = {"token": [token], "client": self._live(token.order.client_id)}
        for each in ended.get(self.knobs.logout_ends, ()):
            each.end(self._clock(), "revoked")
        return Answer.of("OK!", token)

    def _incidents(self, authorization: str, _form: Mapping[str, str]) -> Answer:
        try:
            token = self._live_bearer(authorization)
        except RefusalError as refusal:
            self.protected["refused"] += 1
            if refusal.token:
                refusal.token.refused += 1
            raise
        self.protected["accepted"] += 1
        token.requests += 1
        return Answer.of(INCIDENTS, token)

    def _live_bearer(self, authorization: str) -> Token:
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() != "bearer" or not value.strip():
            raise RefusalError(ApiError.HEADER)
        token = self.tokens.get(value.strip())
        if token is None or token.status(self._clock()) != "live":
            raise RefusalError(ApiError.ACCESS_TOKEN, token)
        return token


# --- What was seen --------------------------------------------------------------------------------------

_SCHEMES = {"basic": "Basic", "bearer": "Bearer", "": ""}
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization"})
_OPEN_FIELDS = frozenset({"grant_type", "scope", "redirect_uri", "response_type"})


@dataclass(frozen=True)
class Received:
    """A request as it came in, without what is secret in it."""

    operation: str
    headers: Mapping[str, str]
    """Names in lower case; of Authorization only the scheme."""
    form_keys: tuple[str, ...]
    form: Mapping[str, str]
    """The fields that hold no secret."""

    @classmethod
    def of(cls, operation: str, sent: Request) -> Received:
        """Take down a request."""
        headers = {name.lower(): value for name, value in sent.headers}
        for name in _SECRET_HEADERS & headers.keys():
            headers[name] = _SCHEMES.get(headers[name].partition(" ")[0].lower(), "other")
        open_fields = {name: value for name, value in sent.form.items() if name in _OPEN_FIELDS}
        return cls(operation, headers, tuple(sent.form), open_fields)


class _Journal:
    """Received requests, answers by status, and events; the caller holds the lock."""

    def __init__(self) -> None:
        self.requests: deque[Received] = deque(maxlen=HISTORY)
        self.events: deque[list[Any]] = deque(maxlen=HISTORY)
        self.counters: Mapping[str, Counter[str]] = {operation: Counter() for operation in OPERATIONS}

    def note(self, now: float, operation: str, outcome: int | str, token: Token | None) -> None:
        """Count an answer and remember which token it was about."""
        self.counters[operation][str(outcome)] += 1
        self.events.append([now, operation, outcome, short_id(token.value) if token else None])


# --- The server -----------------------------------------------------------------------------------------


def _hang_up(sent: Request) -> Response:
    # Shut down, not closed: werkzeug looks at the socket once more, and closes it itself.
    with suppress(OSError):  # the client may have gone first
        sent.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    return Response()


def _json_response(document: object, status: int = 200) -> Response:
    return Response(json.dumps(document) + "\n", status, content_type="application/json")


def _fields_sent() -> dict[str, Any]:
    # Forced, because curl -d calls everything a form.
    document = request.get_json(force=True, silent=True)
    if not isinstance(document, dict):
        raise BadSettingError("The body must be one JSON object.")
    return document


class TelenorSandbox:
    """The sandbox on a port of this machine, for as long as the ``with`` block lasts.

    ``clock`` gives epoch seconds and decides when tokens expire; ``sleep`` is what delays wait with;
    ``new_token`` makes the values of access tokens.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        clients: Mapping[str, Client] | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        new_token: Callable[[], str] = _random,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._new_authority = partial(
            _Authority, SEEDED_CLIENTS if clients is None else dict(clients), clock, new_token
        )
        self._lock = threading.Lock()
        self._server = LoopbackServer(self._app(), port)
        self.reset()

    def __enter__(self) -> Self:
        """Listen, and serve in a thread."""
        self._server.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop listening; an answer that is still delayed is not waited for."""
        self._server.__exit__(*exception)

    @property
    def url(self) -> str:
        """Where it is reached, without a slash at the end."""
        return self._server.url

    @property
    def requests(self) -> list[Received]:
        """The last requests to the API, oldest first."""
        with self._lock:
            return list(self._journal.requests)

    def is_live(self, access_token: str) -> bool:
        """Say whether the API would accept this token now."""
        with self._lock:
            token = self._authority.tokens.get(access_token)
            return token is not None and token.status(self._clock()) == "live"

    def issue_code(self, client_id: str) -> str:
        """Hand out an authorization code, as if a user had just consented."""
        with self._lock:
            return self._authority.issue_code(client_id)

    def state(self) -> dict[str, Any]:
        """Show every token by its short id, the counters and the last events; no secrets."""
        with self._lock:
            now = self._clock()
            tokens = self._authority.tokens.values()
            return {
                "tokens": {short_id(token.value): token.view(now) for token in tokens},
                "counters": {name: dict(counter) for name, counter in self._journal.counters.items()},
                "protected": dict(self._authority.protected),
                "events": [list(event) for event in self._journal.events],
            }

    def fault(self, /, **given: Any) -> dict[str, Any]:  # noqa: ANN401 - checked one by one
        """Break something; the fields are those of `Fault`."""
        fault = Fault(**_checked(Fault, given))
        _check_effects(fault)
        with self._lock:
            self._faults.append(fault)
        return asdict(fault)

    def faults(self) -> list[dict[str, Any]]:
        """List the faults that are still to come, in their order."""
        with self._lock:
            return [asdict(fault) for fault in self._faults]

    def clear_faults(self) -> None:
        """Mend everything."""
        with self._lock:
            self._faults.clear()

    def knobs(self, /, **given: Any) -> dict[str, Any]:  # noqa: ANN401 - checked one by one
        """Turn the given knobs, which are those of `Knobs`, and show all of them."""
        changes = _checked(Knobs, given)
        with self._lock:
            self._authority.knobs = replace(self._authority.knobs, **changes)
            return asdict(self._authority.knobs)

    def reset(self) -> None:
        """Forget tokens, faults, knobs and everything seen."""
        with self._lock:
            self._authority = self._new_authority()
            self._journal = _Journal()
            self._faults: list[Fault] = []

    def _app(self) -> Flask:
        app = Flask("telenor-sandbox", static_folder=None)
        for operation, (method, path) in OPERATIONS.items():
            app.add_url_rule(path, operation, partial(self._serve, operation), methods=[method])
        for (method, name), act in self._controls().items():
            view = partial(self._control, act)
            app.add_url_rule(f"/_sandbox/{name}", f"{method} {name}", view, methods=[method])
        return app

    def _controls(self) -> Mapping[tuple[str, str], Callable[[], object]]:
        return {
            ("POST", "faults"): lambda: self.fault(**_fields_sent()),
            ("GET", "faults"): self.faults,
            ("DELETE", "faults"): self.clear_faults,
            ("PATCH", "knobs"): lambda: self.knobs(**_fields_sent()),
            ("GET", "knobs"): self.knobs,
            ("GET", "state"): self.state,
            ("POST", "reset"): self.reset,
        }

    def _control(self, act: Callable[[], object]) -> Response:
        try:
            result = act()
        except BadSettingError as error:
            return _json_response({"error": str(error)}, 400)
        return Response(status=204) if result is None else _json_response(result)

    def _serve(self, operation: str) -> Response:
        fault = self._arrived(operation)
        if fault.when == "before":
            self._delay(fault)
        answer = self._decided(operation, fault)
        if fault.when == "after":
            self._delay(fault)
        if fault.drop:
            return _hang_up(request)
        headers = {"Date": self._date(), **answer.headers}
        return Response(answer.body, answer.status, headers, content_type=answer.content_type)

    def _date(self) -> str:
        with self._lock:
            return formatdate(self._clock() + self._authority.knobs.clock_ahead_seconds, usegmt=True)

    def _arrived(self, operation: str) -> Fault:
        """Take the request down, and use up the first fault that waits for it."""
        received = Received.of(operation, request)  # reads the body, which a slow client may hold back
        with self._lock:
            self._journal.requests.append(received)
            for index, fault in enumerate(self._faults):
                if fault.operation == operation:
                    self._faults[index : index + 1] = fault.left_over()
                    return fault
        return Fault(operation=operation)

    def _delay(self, fault: Fault) -> None:
        if fault.delay_seconds:
            self._sleep(fault.delay_seconds)

    def _decided(self, operation: str, fault: Fault) -> Answer:
        """Act unless the fault prevents it, and put on record what the client gets to see."""
        authorization = request.headers.get("Authorization", "")
        with self._lock:
            real = _NO_ANSWER
            if fault.acts:
                real = self._authority.perform(operation, authorization, request.form)
            seen = fault.disguise(real)
            self._journal.note(self._clock(), operation, "dropped" if fault.drop else seen.status, seen.token)
        return seen


# --- From a terminal ------------------------------------------------------------------------------------

BANNER = """\
Telenor sandbox on {url}

  client_id      {client_id}
  client_secret  {client_secret} (for this sandbox only)

  Get a token       curl -u {client_id}:{client_secret} -d grant_type=client_credentials {url}/oauth/v2/token
  Turn a knob       curl -X PATCH -d '{{"lifetime_seconds": 60}}' {url}/_sandbox/knobs
  Start an outage   curl -d '{{"operation": "token", "drop": true}}' {url}/_sandbox/faults
  End it            curl -X DELETE {url}/_sandbox/faults
  See what happens  curl {url}/_sandbox/state

Ctrl-C ends it."""


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m infra.local.telenor_sandbox",
        description="Stand in for Telenor's API on this machine, until Ctrl-C or SIGTERM.",
        epilog="While it runs, POST /_sandbox/faults breaks something, PATCH /_sandbox/knobs changes how it "
        "behaves (GET lists the knobs), GET /_sandbox/state shows every token, and POST /_sandbox/reset "
        "starts afresh. Nothing is kept when it ends.",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=DEFAULT_PORT,
        help="port to listen on, at 127.0.0.1 only; 0 takes a free one (default: %(default)s)",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sandbox in the foreground."""
    arguments = _arguments(argv)
    for number in (signal.SIGINT, signal.SIGTERM):  # both: a shell starts its background jobs deaf to Ctrl-C
        signal.signal(number, signal.default_int_handler)
    with suppress(KeyboardInterrupt), TelenorSandbox(port=arguments.port) as sandbox:
        banner = BANNER.format(url=sandbox.url, client_id=DEMO_CLIENT_ID, client_secret=DEMO_CLIENT_SECRET)
        print(banner, flush=True)  # noqa: T201 - this is what a terminal is for
        threading.Event().wait()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
