"""The same request earns the same meaning in every dialect, in that dialect's own words.

What is expected here is written from the documents of each dialect: the API reference, the gateway's list of codes,
Apigee's own answers as they are documented and recorded, RFC 6749 and RFC 6750.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from infra.local.telenor_sandbox import DEMO_CLIENT_ID, ErrorKind, TelenorSandbox
from infra.local.telenor_sandbox.error_formats import TABLE
from tests.infra.local.telenor_sandbox.conftest import LIFETIME, START, FakeClock, Visitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

DIALECTS = ("reference", "gateway", "apigee", "rfc6749")


class Answer(NamedTuple):
    """A status and what says why: a code, a word, an `error`, or a challenge."""

    status: int
    why: int | str


class Case(NamedTuple):
    """A request, and how each dialect refuses it, in the order of `DIALECTS`."""

    what: str
    earn: Callable[[Visitor], requests.Response]
    answers: tuple[Answer, Answer, Answer, Answer]


def _basic_challenge(error: str) -> str:
    return f'{error}, Basic realm="telenor"'


def _bearer_challenge(error: str = "", text: str = "") -> str:
    return 'Bearer realm="telenor"' + (f', error="{error}", error_description="{text}"' if error else "")


def _expired(visitor: Visitor) -> str:
    token = visitor.token()
    visitor.clock.advance(LIFETIME)
    return token


def _revoked(visitor: Visitor) -> str:
    token = visitor.token()
    assert visitor.logout(token).ok
    return token


_BAD_CLIENT = _basic_challenge("invalid_client")
_UNKNOWN = Answer(500, "oauth.v2.InvalidClientIdentifier")
_INVALID = _bearer_challenge("invalid_token", "The access token is invalid")
_EXPIRED = _bearer_challenge("invalid_token", "The access token expired")
_UNCOVERED = _bearer_challenge("insufficient_scope", "The token does not cover this API")
_NO_PRODUCT = Answer(401, "keymanagement.service.InvalidAPICallAsNoApiProductMatchFound")
_BAD_TOKEN = (
    Answer(401, 2),
    Answer(401, 40105),
    Answer(401, "keymanagement.service.invalid_access_token"),
    Answer(401, _INVALID),
)
_OLD_TOKEN = (
    Answer(401, 2),
    Answer(401, 40106),
    Answer(401, "keymanagement.service.access_token_expired"),
    Answer(401, _EXPIRED),
)
_NO_TOKEN = (
    Answer(401, 6),
    Answer(401, 40102),
    Answer(401, "oauth.v2.InvalidAccessToken"),
    Answer(401, _bearer_challenge()),
)

CASES = (
    Case(
        "a token for an unknown client",
        lambda v: v.ask("nobody"),
        (Answer(401, 1), Answer(401, 40108), _UNKNOWN, Answer(401, _BAD_CLIENT)),
    ),
    Case(
        "a token for a wrong secret",
        lambda v: v.ask(secret="wrong"),
        (Answer(401, 22), Answer(401, 40108), _UNKNOWN, Answer(401, _BAD_CLIENT)),
    ),
    Case(
        "a token without a header",
        lambda v: v.call("token"),
        (Answer(401, 6), Answer(401, 40102), Answer(400, "invalid_request"), Answer(401, _BAD_CLIENT)),
    ),
    Case(
        "a token for an unknown grant",
        lambda v: v.ask(grant_type="implicit"),
        (
            Answer(400, 2),
            Answer(400, 2),
            Answer(500, "oauth.v2.UnSupportedGrantType"),
            Answer(400, "unsupported_grant_type"),
        ),
    ),
    Case(
        "a token for a client that is not approved",
        lambda v: v.ask("demo-not-approved"),
        (
            Answer(401, 5),
            Answer(401, 5),
            Answer(401, "keymanagement.service.invalid_client-app_not_approved"),
            Answer(400, "unauthorized_client"),
        ),
    ),
    Case(
        "a token for a client with incomplete data",
        lambda v: v.ask("demo-incomplete"),
        (Answer(401, 9), Answer(401, 9), Answer(401, 9), Answer(401, _BAD_CLIENT)),
    ),
    Case(
        "a token for a client that may use no Basic",
        lambda v: v.ask("demo-no-basic"),
        (Answer(401, 40107), Answer(401, 40107), Answer(401, 40107), Answer(400, "unauthorized_client")),
    ),
    Case(
        "a scope that is not granted",
        lambda v: v.ask(scope="admin"),
        (
            Answer(403, 8),
            Answer(403, 40301),
            Answer(403, "oauth.v2.InsufficientScope"),
            Answer(400, "invalid_scope"),
        ),
    ),
    Case(
        "a token of a broken backend",
        lambda v: v.ask("demo-broken-backend"),
        (
            Answer(500, 2),
            Answer(500, 50001),
            Answer(503, "messaging.adaptors.http.flow.ServiceUnavailable"),
            Answer(500, "server_error"),
        ),
    ),
    Case(
        "a token for a client with broken attributes",
        lambda v: v.ask("demo-broken-attributes"),
        (Answer(500, 16), Answer(500, 16), Answer(500, 16), Answer(500, "server_error")),
    ),
    Case("a logout of an unknown token", lambda v: v.logout("made-up"), _BAD_TOKEN),
    Case("a logout of a revoked token", lambda v: v.logout(_revoked(v)), _BAD_TOKEN),
    Case("a logout of an expired token", lambda v: v.logout(_expired(v)), _OLD_TOKEN),
    Case("a logout without a header", lambda v: v.call("logout"), _NO_TOKEN),
    Case(
        "a logout that no product covers",
        lambda v: v.logout(v.token("demo-no-product")),
        (Answer(401, 40103), Answer(401, 40103), _NO_PRODUCT, Answer(403, _UNCOVERED)),
    ),
    Case("incidents for a revoked token", lambda v: v.incidents(_revoked(v)), _BAD_TOKEN),
    Case("incidents for an expired token", lambda v: v.incidents(_expired(v)), _OLD_TOKEN),
    Case("incidents without a header", lambda v: v.call("incidents"), _NO_TOKEN),
    Case(
        "incidents that no product covers",
        lambda v: v.incidents(v.token("demo-no-product")),
        (Answer(401, 40103), Answer(401, 40103), _NO_PRODUCT, Answer(403, _UNCOVERED)),
    ),
    Case(
        "a path that there is not",
        lambda v: v.get("/oauth/v3/token"),
        (
            Answer(404, 40401),
            Answer(404, 40401),
            Answer(404, "messaging.adaptors.http.flow.ApplicationNotFound"),
            Answer(404, ""),
        ),
    ),
)


def read(answer: requests.Response) -> Answer:
    """Return the status and everything in the answer that says why."""
    document: dict[str, Any] = json.loads(answer.text) if answer.text else {}
    fault = document.get("fault", {}).get("detail", {}).get("errorcode")
    words = [document.get("code"), fault, document.get("ErrorCode"), document.get("error")]
    words.append(answer.headers.get("WWW-Authenticate"))
    found = [word for word in words if word is not None]
    return Answer(answer.status_code, found[0] if len(found) == 1 else ", ".join(map(str, found)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_refusal_is_said_in_the_words_of_the_dialect(visitor: Visitor, dialect: str, case: Case) -> None:
    visitor.sandbox.knobs(dialect=dialect, oddities=False)
    assert read(case.earn(visitor)) == case.answers[DIALECTS.index(dialect)]


@pytest.mark.parametrize(
    ("earn", "expected"),
    [
        (lambda v: v.ask("nobody"), Answer(401, "invalid_client")),
        (lambda v: v.ask(secret="wrong"), Answer(401, "invalid_client")),
        (lambda v: v.ask(grant_type="implicit"), Answer(400, "invalid_request")),
        (lambda v: v.ask(scope="admin"), Answer(400, "invalid_scope")),
        (lambda v: v.logout("made-up"), Answer(401, "keymanagement.service.invalid_access_token")),
    ],
    ids=["an unknown client", "a wrong secret", "an unknown grant", "a scope", "logout, which has one shape only"],
)
def test_apigee_has_another_shape_for_token_requests(
    visitor: Visitor, earn: Callable[[Visitor], requests.Response], expected: Answer
) -> None:
    visitor.sandbox.knobs(dialect="apigee", apigee_shape="ErrorCode")
    assert read(earn(visitor)) == expected


@pytest.mark.parametrize("shape", ["errorCode", "error_code", "error", "fault", "text"])
def test_the_gateways_codes_come_in_whatever_shape(visitor: Visitor, shape: str) -> None:
    visitor.sandbox.knobs(dialect="gateway", error_shape=shape)
    assert "40108" in visitor.ask(secret="wrong").text


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_meaning_can_be_made_to_come(visitor: Visitor, dialect: str) -> None:
    visitor.sandbox.knobs(dialect=dialect)
    for meaning in ErrorKind:
        visitor.sandbox.fault(operation="token", meaning=meaning.value, times=1)
        assert visitor.ask().status_code >= 400, meaning
    assert visitor.sandbox.state()["tokens"] == {}
    assert visitor.ask().status_code == 200


def test_a_meaning_can_come_after_the_operation_has_acted(visitor: Visitor) -> None:
    token = visitor.token()
    visitor.sandbox.fault(operation="logout", meaning="product", when="after", retry_after=3)
    answer = visitor.logout(token)
    assert (answer.status_code, answer.headers["Retry-After"]) == (401, "3")
    assert not visitor.sandbox.is_live(token)


def test_there_is_a_row_for_every_meaning() -> None:
    assert set(TABLE) == set(ErrorKind)


# What a token answer looks like

APIGEES = {
    "refresh_token_expires_in": "0",
    "api_product_list": "[Service Tickets, Products]",
    "api_product_list_json": ["Service Tickets", "Products"],
    "organization_name": "telenor",
    "developer.email": "developer@example.com",
    "token_type": "BearerToken",
    "client_id": DEMO_CLIENT_ID,
    "scope": "incidents.read incidents.write",
    "expires_in": "3599",
    "refresh_count": "0",
    "status": "approved",
}


def test_apigee_answers_with_all_that_its_policy_knows(visitor: Visitor) -> None:
    visitor.sandbox.knobs(dialect="apigee", oddities=False)
    document = visitor.ask().json()
    assert visitor.sandbox.is_live(document.pop("access_token"))
    assert len(document.pop("application_name")) == 36
    assert int(document.pop("issued_at")) == START * 1000
    assert document == APIGEES


@pytest.mark.parametrize(
    ("knobs", "expected"),
    [
        ({"token_type": "Bearer"}, ("Bearer", "3599")),
        ({"token_type": None}, (None, "3599")),
        ({"expires_in_as": "number"}, ("BearerToken", 3599)),
        ({"expires_in_as": "missing"}, ("BearerToken", None)),
    ],
)
def test_a_knob_goes_before_the_dialects_own_way(
    visitor: Visitor, knobs: dict[str, Any], expected: tuple[object, object]
) -> None:
    visitor.sandbox.knobs(dialect="apigee", **knobs)
    document = visitor.ask().json()
    assert (document.get("token_type"), document.get("expires_in")) == expected


def test_the_standards_answers_are_not_to_be_stored(visitor: Visitor) -> None:
    visitor.sandbox.knobs(dialect="rfc6749")
    for answer in (visitor.ask(), visitor.ask("nobody")):
        assert answer.headers["Cache-Control"] == "no-store"
    ended = visitor.logout(visitor.token())
    assert (ended.status_code, ended.content) == (200, b"")


# What means nothing


def _answers(clock: FakeClock, http: requests.Session, seed: int) -> list[str]:
    values = itertools.count()
    with TelenorSandbox(clock=clock, new_token=lambda: f"token-{next(values)}", seed=seed) as sandbox:
        visitor = Visitor(sandbox, http, clock)
        return [visitor.ask().text for _ in range(40)]


def test_answers_differ_in_what_means_nothing_and_the_same_seed_repeats_them(
    clock: FakeClock, http: requests.Session
) -> None:
    texts = _answers(clock, http, seed=7)
    assert texts == _answers(clock, http, seed=7) != _answers(clock, http, seed=8)
    documents = [json.loads(text) for text in texts]
    known = {"access_token", "expires_in", "token_type"}
    assert all(known <= document.keys() for document in documents)
    assert len({tuple(document) for document in documents}) > 20, "the order of fields"
    assert len({text.count(" ") for text in texts}) > 3, "the spacing"
    assert len(set().union(*documents) - known) > 3, "fields that nobody knows"


def test_errors_and_resources_differ_too(visitor: Visitor) -> None:
    token = visitor.token()
    assert len({visitor.ask(secret="wrong").text for _ in range(20)}) > 5
    assert len({visitor.incidents(token).text for _ in range(20)}) > 3


def _codes(visitor: Visitor) -> Iterator[int]:
    for _ in range(40):
        yield visitor.ask("demo-broken-backend").json()["code"]


def test_an_internal_error_has_several_numbers_at_the_gateway(visitor: Visitor) -> None:
    visitor.sandbox.knobs(dialect="gateway")
    assert set(_codes(visitor)) == {50001, 50002, 50003, 500100}
