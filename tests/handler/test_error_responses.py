"""Parsing of errors: each error in each format, in any position, and responses without a known error."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from handler.error_responses import (
    ERROR_KINDS,
    ErrorFormat,
    is_html,
    is_retryable,
    is_transient,
    parse_error,
    reports_error,
)
from handler.transport import Response
from infra.local.telenor_sandbox import ERROR_SHAPES, ApiError
from infra.local.telenor_sandbox import ErrorKind as Kind
from infra.local.telenor_sandbox.knobs_and_faults import Knobs
from infra.local.telenor_sandbox.response_formats import ResponseFormats
from tests.leak_detector import CANARY

NOW = datetime(2026, 11, 23, 21, 30, tzinfo=UTC)


def response(status: int, body: object, **headers: str) -> Response:
    text = body if isinstance(body, str) else json.dumps(body)
    return Response(status, NOW, NOW, {name.replace("_", "-"): value for name, value in headers.items()}, text)


def code_of(status: int, body: object, **headers: str) -> str:
    return parse_error(response(status, body, **headers)).kind.code


def fault(name: str) -> object:
    return {"fault": {"faultstring": "some text", "detail": {"errorcode": name}}}


# The same error has the same code in every format

# The code of each of the sandbox's errors: in Telenor's numbers, Apigee's names and RFC 6749's codes. The sandbox has
# its table from the same sources, independent of the job's.
CODES = {
    Kind.GRANT_TYPE: ("request-malformed", "grant-not-allowed", "request-malformed"),
    Kind.GRANT_NOT_ALLOWED: ("grant-not-allowed", "grant-not-allowed", "grant-not-allowed"),
    Kind.CLIENT_HEADER: ("authorization-missing", "request-malformed", "credentials-refused"),
    Kind.CLIENT_ID: ("credentials-refused", "credentials-refused", "credentials-refused"),
    Kind.CREDENTIALS: ("credentials-refused", "credentials-refused", "credentials-refused"),
    Kind.CLIENT_DATA: ("credentials-refused", "credentials-refused", "credentials-refused"),
    Kind.NOT_APPROVED: ("app-not-approved", "app-not-approved", "grant-not-allowed"),
    Kind.BASIC_NOT_ALLOWED: ("basic-not-allowed", "basic-not-allowed", "grant-not-allowed"),
    Kind.SCOPE: ("scope-refused", "scope-refused", "scope-refused"),
    # Apigee returns the same code for an inactive token.
    Kind.BEARER_HEADER: ("authorization-missing", "token-dead", "answer-unknown"),
    Kind.TOKEN_INVALID: ("token-dead", "token-dead", "token-dead"),
    Kind.TOKEN_EXPIRED: ("token-dead", "token-dead", "token-dead"),
    Kind.PRODUCT: ("api-product-missing", "api-product-missing", "scope-refused"),
    Kind.RESOURCE: ("resource-unknown", "resource-unknown", "answer-unknown"),
    Kind.NOT_FOUND: ("resource-unknown", "resource-unknown", "answer-unknown"),
    Kind.QUOTA: ("rate-quota", "rate-quota", "telenor-out"),
    Kind.SPIKE_ARREST: ("rate-spike", "rate-spike", "telenor-out"),
    Kind.INTERNAL: ("telenor-internal", "telenor-out", "telenor-internal"),
}


RNG = Random(0)  # noqa: S311  no test uses what it draws


@pytest.mark.parametrize(("error_format", "column"), [("reference", 0), ("gateway", 0), ("apigee", 1), ("rfc6749", 2)])
@pytest.mark.parametrize("kind", Kind)
def test_an_error_has_its_code_in_each_format(kind: Kind, error_format: Any, column: int) -> None:
    refusal = ResponseFormats(Knobs(error_format=error_format, variations=False), RNG).refusal(kind)
    assert code_of(refusal.status, refusal.body.decode(), **refusal.headers) == CODES[kind][column]


@pytest.mark.parametrize(
    ("code", "status", "body"),
    [
        ("authorization-missing", 401, fault("oauth.v2.FailedToResolveAPIKey")),
        ("address-not-allowed", 403, fault("accesscontrol.IPDeniedAccess")),
        ("token-dead", 401, fault("keymanagement.service.access_token_not_approved")),
        *(("token-dead", 404, {"code": 2}), ("resource-unknown", 404, {"code": 4042000})),
        ("app-attributes-invalid", 500, {"code": 16}),
        *(("request-foreign", 401, {"code": code}) for code in (4, 7)),
        *(("request-foreign", 403, {"code": code}) for code in (12, 15)),
        *(("telenor-internal", 500, {"code": code}) for code in (50002, 50003, 500100)),
        ("telenor-internal", 503, {"error": "temporarily_unavailable"}),
    ],
)
def test_further_errors_have_their_codes(code: str, status: int, body: object) -> None:
    assert code_of(status, body) == code


@pytest.mark.parametrize("error", ApiError)
@pytest.mark.parametrize("shape", [shape for shape in ERROR_SHAPES if shape != "none"])
def test_every_error_of_the_reference_is_parsed_in_any_shape(error: ApiError, shape: str) -> None:
    parsed = parse_error(response(error.status, ERROR_SHAPES[shape](error.code, error.message)))
    assert (parsed.format, parsed.matched) == (ErrorFormat.REFERENCE, str(error.code))
    assert (error.status, error.code) in parsed.kind.reference


def test_the_table_has_exactly_the_errors_of_the_reference() -> None:
    known = [row for kind in ERROR_KINDS for row in kind.reference]
    assert sorted(known) == sorted((error.status, error.code) for error in ApiError)


def test_each_code_of_a_format_has_one_meaning() -> None:
    for column in ("reference", "gateway", "apigee", "oauth"):
        matched = [code for kind in ERROR_KINDS for code in getattr(kind, column)]
        assert len(matched) == len(set(matched))


# The position of a code


STANDING: dict[tuple[ErrorFormat, str], tuple[str, ...]] = {
    (ErrorFormat.GATEWAY, "40108"): (
        *('{"a": {"b": [{"c": {"d": {"code": 40108}}}]}}', '{"code": 401, "errors": [{"code": "40108"}]}'),
        *('{"errorCode": "40108"}', '{"error-code":40108}', "<error><code>40108</code></error>"),
        *('<error code="40108"/>', "errorCode=40108&message=no", "Error code 40108 - Invalid client id or secret"),
        *('upstream said: "{\\"code\\": 40108}"', "\ufeff  code: 40108", '{"error": "40108"}'),
        *('{"statusCode": 40108, "text": "no"}', '{"errors": [{"id": 40108}], "at": 40199}'),
        *('{"fault": {"faultstring": "40108"}}', "Error 40108: Invalid client id or secret"),
        "message=40108+Invalid+client",
        *(f'{{"code"{" " * blanks}:{" " * blanks}40108}}' for blanks in (9, 30)),
    ),
    (ErrorFormat.OAUTH, "invalid_client"): (
        *('{"status": 401, "details": {"error": "invalid_client"}}', '{"code": "invalid_client"}'),
        *("<OAuth><error>invalid_client</error></OAuth>", "error=invalid_client&error_description=no"),
        "Error: invalid_client",
        *(f'{{"error"{" " * blanks}:"invalid_client"}}' for blanks in (9, 30)),
    ),
    (ErrorFormat.APIGEE, "invalid_client"): ('{"ErrorCode": "invalid_client", "Error": "no"}',),
    (ErrorFormat.APIGEE, "oauth.v2.InvalidClientIdentifier"): ("Fault: oauth.v2.InvalidClientIdentifier.",),
}


@pytest.mark.parametrize(
    ("error_format", "code", "body"), [(*found, body) for found, bodies in STANDING.items() for body in bodies]
)
def test_a_code_is_found_in_json_xml_a_form_and_text(error_format: ErrorFormat, code: str, body: str) -> None:
    parsed = parse_error(response(401, body))
    assert (parsed.kind.code, parsed.format, parsed.matched) == ("credentials-refused", error_format, code)


@pytest.mark.parametrize("name", sorted(name for kind in ERROR_KINDS for name in kind.apigee))
def test_each_apigee_code_counts_with_and_without_its_prefixes(name: str) -> None:
    expected = next(kind.code for kind in ERROR_KINDS if name in kind.apigee)
    other = name.replace("keymanagement.service.", "oauth.v2.")
    for matched in (name, f"steps.{name}", other, f"steps.{other}"):
        assert (code_of(403, fault(matched)), parse_error(response(403, fault(matched))).matched) == (expected, matched)


# Responses in two formats, or in none

BEARER = 'Bearer error="invalid_token"'
NO_PRODUCT = "keymanagement.service.InvalidAPICallAsNoApiProductMatchFound"
NEW = "keymanagement.service.something_new"


def apigee_challenge(name: str) -> str:
    """Return the challenge that Apigee sends with every error."""
    return f'Bearer realm="null",error="invalid_token",error_description="{name}: in words"'


@pytest.mark.parametrize(
    ("body", "challenge", "code"),
    [
        ("", BEARER, "token-dead"),
        ("", 'Bearer realm="telenor", error="invalid_token", error_description="expired"', "token-dead"),
        *(("", "Basic realm=x, Bearer error=invalid_token", "token-dead"), ("", "Bearer", "answer-unknown")),
        ("", 'Basic realm="error=invalid_token"', "answer-unknown"),
        ("", 'Basic error="invalid_token"', "answer-unknown"),
        # A code in the body takes precedence, even if it is unknown.
        *(({"code": 99}, BEARER, "answer-unknown"), ({"code": 401}, BEARER, "token-dead")),
        ("<html>Unauthorized</html>", BEARER, "token-dead"),
        # A number alone may be an id, beside a stated code.
        ({"errorCode": 6, "transaction": 40105}, "", "authorization-missing"),
        ("Error code 5 - Not authorized (ref 40108)", "", "app-not-approved"),
        ({"code": 401, "message": "40105 Invalid access token"}, "", "token-dead"),
        # Apigee's own code takes precedence.
        *((body, apigee_challenge(NO_PRODUCT), "api-product-missing") for body in ("", fault(NO_PRODUCT))),
        *((body, apigee_challenge(NEW), "answer-unknown") for body in ("", fault(NEW))),
    ],
)
def test_the_error_of_a_bearer_challenge_counts(body: object, challenge: str, code: str) -> None:
    assert code_of(401, body, WWW_Authenticate=challenge) == code


def test_an_unknown_gateway_code_does_not_mean_that_a_token_is_inactive() -> None:
    parsed = parse_error(response(401, {"code": 40199, "error": "invalid_token"}))
    assert (parsed.kind.code, parsed.format, parsed.matched) == ("answer-unknown", ErrorFormat.GATEWAY, "40199")


@pytest.mark.parametrize(
    ("status", "body", "is_asked_again"),
    [
        pytest.param(400, {"error": "server_error"}, False, id="400 is permanent with any code"),
        pytest.param(401, {"code": 50001}, False, id="401 is permanent with any code"),
        pytest.param(403, {"code": 42902}, False, id="403 is permanent with any code"),
        pytest.param(429, {"code": 40108}, True, id="429 is transient with any code"),
        pytest.param(499, {"error": "invalid_client"}, True, id="499 is transient with any code"),
        pytest.param(502, {"code": 40102}, False, id="the code decides for a 502"),
        pytest.param(501, {"error": "temporarily_unavailable"}, False, id="a 501 is permanent"),
        pytest.param(505, {"code": 50001}, False, id="a 505 is permanent"),
        pytest.param(500, {"code": 16}, False, id="the code decides for a 500"),
        pytest.param(404, {"code": 40401}, False, id="the code decides for other statuses"),
        pytest.param(418, {"error": "temporarily_unavailable"}, True, id="the code decides for others, transient"),
    ],
)
def test_the_status_decides_whether_a_retry_may_help(status: int, body: object, *, is_asked_again: bool) -> None:
    assert is_retryable(status, parse_error(response(status, body)).kind) is is_asked_again


@pytest.mark.parametrize(
    ("status", "body"),
    [
        *((401, {"status": 401, "message": "zip code 2 missing"}), (401, {"code": 2.5}), (401, ""), (401, "\x00\xff")),
        *((401, {"code": 401}), (401, {"code": 3}), (401, {"statusCode": 22}), (401, {"code": None})),
        *((401, {"error": "denied"}), (401, {"message": "invalid_token"}), (401, {"last_error": "invalid_token"})),
        *((401, "decoder 22"), (401, "ref 140108, 40108.5, 1.40108, 40108-a, a40108, 40199"), (403, {"id": 40108})),
        *((401, "<html><title>401</title>Error 2</html>"), (403, {"code": 22}), (404, "<html>nothing here</html>")),
        *((401, {"errorCode": 77, "request": 40105}), (302, "")),
    ],
)
def test_an_error_in_no_known_format_is_unknown(status: int, body: object) -> None:
    parsed = parse_error(response(status, body))
    assert (parsed.kind.code, parsed.format, parsed.matched) == ("answer-unknown", None, None)
    assert not parsed.kind.is_retryable


@pytest.mark.parametrize(
    ("status", "is_retryable"),
    [
        *((status, True) for status in (408, 421, 425, 429, 499)),
        *((status, True) for status in (500, 502, 503, 504, 507, 509, 520, 530, 598, 599)),
        *((status, False) for status in (200, 302, 400, 401, 403, 404, 405, 410, 418, 422, 424, 426, 498)),
        *((status, False) for status in (501, 505, 600, 999)),
    ],
)
def test_an_unknown_error_is_retryable_if_its_status_is(status: int, is_retryable: bool) -> None:
    assert parse_error(response(status, "<html>Sorry</html>")).kind.is_retryable is is_retryable
    assert is_transient(status) is is_retryable


def test_only_codes_from_the_table_are_shown() -> None:
    parsed = parse_error(response(401, fault(f"oauth.v2.{CANARY}")))
    assert (parsed.format, parsed.matched) == (ErrorFormat.APIGEE, None)
    assert CANARY not in repr(parsed)
    assert CANARY not in repr(response(401, CANARY, Set_Cookie=CANARY))


# A 200 with an error


@pytest.mark.parametrize(
    ("body", "code", "matched"),
    [
        ({"error": "invalid_client"}, "credentials-refused", "invalid_client"),
        ({"ErrorCode": "invalid_client", "Error": "ClientId is Invalid"}, "credentials-refused", "invalid_client"),
        ({"error": "server_error"}, "telenor-internal", "server_error"),
        (
            fault("steps.oauth.v2.InvalidClientIdentifier"),
            "credentials-refused",
            "steps.oauth.v2.InvalidClientIdentifier",
        ),
        *((fault("steps.jwt.something_new"), "answer-unknown", None), ({"code": 42901}, "rate-quota", "42901")),
        ({"code": 40199}, "answer-unknown", "40199"),
        ({"message": "Invalid access token", "id": 40105}, "token-dead", "40105"),
        *(({"code": 6}, "authorization-missing", "6"), ({"code": 22}, "credentials-refused", "22")),
        pytest.param({"code": 2}, "answer-unknown", "2", id="a number with a meaning for each status"),
        *(({"code": 99}, "answer-unknown", "99"), ({"status": 500, "code": 500}, "answer-unknown", "500")),
        *(({"error": "denied"}, "answer-unknown", None), ({"Errors": [{"reason": "no"}]}, "answer-unknown", None)),
        ({"data": {"error": "denied"}}, "answer-unknown", None),
        ([{"response": {"ErrorCode": "E12", "Error": "x"}}], "answer-unknown", None),
        ({"response": fault("protocol.http.Bad")}, "answer-unknown", None),
        ("status=1&error=denied", "answer-unknown", None),
        ({"errorMessage": "Task timed out", "errorType": "Timeout"}, "answer-unknown", None),
        ({"error_description": "denied"}, "answer-unknown", None),
        *(({"ExceptionMessage": "denied"}, "answer-unknown", None), ({"code": -1}, "answer-unknown", "-1")),
        ([{"errorCode": 0}, {"errorCode": "E12"}], "answer-unknown", None),
        *(({"code": 0, "error": "denied"}, "answer-unknown", None), ({"faultcode": "Server"}, "answer-unknown", None)),
        ("<ErrorResponse>no</ErrorResponse>", "answer-unknown", None),
        ("<Exception>no</Exception>", "answer-unknown", None),
        *(("Error: Invalid access token", "answer-unknown", None), ("{error:'nope'}", "answer-unknown", None)),
        *(("<error>no</error>", "answer-unknown", None), ("<soap:Fault>no</soap:Fault>", "answer-unknown", None)),
        ("<SOAP-ENV:Fault>no</SOAP-ENV:Fault>", "answer-unknown", None),
        ("<!DOCTYPE html><title>Log in</title>", "answer-unknown", None),
        *(("\ufeff \n<HTML lang=no>", "answer-unknown", None), ('<form action="/login">', "answer-unknown", None)),
    ],
)
def test_a_200_with_an_error_is_not_a_success(body: object, code: str, matched: str | None) -> None:
    contradicting = response(200, body)
    parsed = parse_error(contradicting)
    assert reports_error(contradicting, parsed)
    assert (parsed.kind.code, parsed.matched) == (code, matched)


def test_a_200_with_problem_details_is_not_a_success() -> None:
    problem = response(200, {"title": "Unauthorized"}, Content_Type="application/problem+json")
    assert reports_error(problem, parse_error(problem))


@pytest.mark.parametrize(
    "body",
    [
        *("OK!", "", "OK\n", {}, {"status": "revoked"}, {"code": 0}, {"code": 200, "message": "OK"}, {"code": "20000"}),
        *({"error": None, "errors": [], "fault": False}, {"errorCode": 200}),
        *({"error_code": "00", "errorMessage": None}, "<status>OK</status>", "null", "errorCode=0&errorMessage=OK"),
        *({"errorCode": 0, "errorMessage": "Success"}, {"code": 200, "error_description": "no error"}),
        *("<r><errorCode>0</errorCode><message>OK</message></r>", "<r><errors/><errorMessage/></r>"),
        *({"message": "OK!", "node": "10.0.0.1:50001"}, {"code": 0, "request": 50001}),
    ],
)
def test_a_200_without_an_error_is_a_success(body: object) -> None:
    plain = response(200, body, Content_Type="text/html")
    assert not reports_error(plain, parse_error(plain))
    assert not is_html(plain)


# Limits of parsing


@pytest.mark.parametrize(("characters", "code"), [(8192, "token-dead"), (8193, "answer-unknown")])
def test_at_most_8_kib_of_a_header_are_parsed(characters: int, code: str) -> None:
    assert code_of(401, "", WWW_Authenticate=" Bearer error=invalid_token".rjust(characters, "x")) == code


def test_parsing_a_long_text_is_fast() -> None:
    """Each regular expression gets 64 KiB of malicious input; a slow one would hang here."""
    pieces = ["error ", "error_code=", "code=a_", "a_", "oauth.v2.", "oauth.v2.-", "Bearer ", "Bearer error="]
    pieces += ["code''''''''", "code ", "<", "<!doctype ", "<x:", '\\"', "code" + " " * 63]
    for piece in pieces:
        for status in (200, 401):
            contradicting = response(status, piece * (65_536 // len(piece)), WWW_Authenticate=piece * 10_000)
            reports_error(contradicting, parse_error(contradicting))
    nested = response(200, '{"errorCode":' * 900 + "1" + "}" * 900)
    assert reports_error(nested, parse_error(nested))
