"""Values: the document that consumers read, and other content of the secret."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest

from handler.credentials import Credentials
from handler.model import SecretVersion, Token, is_access_token
from tests.leak_detector import CANARY

T0 = datetime(2026, 11, 23, 21, 30, tzinfo=UTC)
BYTE_ORDER_MARK = "\ufeff"


def stored(content: str) -> SecretVersion:
    return SecretVersion("version", is_current=True, is_tracked=False, content=content)


@pytest.mark.parametrize(("scope", "scope_field"), [(None, {}), ("incidents.read", {"scope": "incidents.read"})])
def test_the_document_is_an_oauth_response_with_whole_seconds(scope: str | None, scope_field: dict[str, str]) -> None:
    token = Token(CANARY, "Bearer", T0, T0 + timedelta(seconds=3599), scope)
    assert json.loads(token.document()) == scope_field | {
        "access_token": CANARY,
        "token_type": "Bearer",
        "expires_in": 3599,
        "expires_at": 1795469400 + 3599,
        "issued_at": 1795469400,
    }


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", "null", "no JSON", '{"access_token": ""}', '{"access_token": 5}', "[" * 50_000, '{"a": 1'],
)
def test_invalid_token_documents_have_no_token(content: str) -> None:
    assert stored(content).access_token is None


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("a/b", id="as it is"),
        pytest.param(" a/b\n", id="with spaces around it"),
        pytest.param("Authorization: Bearer a/b", id="as a header"),
        pytest.param("access_token=a/b&expires_in=1", id="as a form"),
        pytest.param('"a/b"', id="as a JSON string"),
        pytest.param('"a\\/b"', id="as a JSON string with escapes"),
        pytest.param('["x", "a/b"]', id="in a list"),
        pytest.param('{"token": "a/b"}', id="under another name"),
        pytest.param('{"token": {"value": ["a\\u002fb"]}}', id="deeply nested, with escapes"),
        pytest.param('{"a\\u002fb": null}', id="as the name of a field"),
        pytest.param('{"header": "Bearer a\\u002fb"}', id="within a text, with escapes"),
        pytest.param('{"access_token": ["a\\/b"]}', id="in an invalid document"),
        pytest.param('{"access_token": "a\\u002fb"}', id="in a document, with escapes"),
        pytest.param(f'{BYTE_ORDER_MARK}{{"access_token": "a\\u002fb"}}', id="after a byte order mark"),
        pytest.param(f'{BYTE_ORDER_MARK}["a\\/b"]', id="nested, after a byte order mark"),
        pytest.param(b"\x00\xffa/b\x80".decode("utf-8", errors="replace"), id="among bytes"),
        "access_token=a%2Fb&token_type=Bearer",
    ],
)
def test_a_token_is_recognised_in_any_content(content: str) -> None:
    assert stored(content).contains_token("a/b")


@pytest.mark.parametrize(
    "content",
    [
        *("", "a-b", json.dumps({"access_token": "other"}), '{"a": 5, "b": [null, true, 1.5], "c": "a-b"}'),
        "[" * 50_000,
        pytest.param(base64.b64encode(b"a/b").decode(), id="as base64, which no consumer reads as a token"),
        pytest.param('{"access_token": "other", "old": "a/b"}', id="beside the token that consumers read"),
    ],
)
def test_another_token_is_not_recognised(content: str) -> None:
    assert not stored(content).contains_token("a/b")


@pytest.mark.parametrize("value", [None, True, "1795469400", -1, 10**15, float("nan"), float("inf"), 1, []])
def test_an_invalid_time_is_none(value: object) -> None:
    content = stored(json.dumps({"access_token": "x", "expires_at": value, "issued_at": value}))
    assert (content.expires_at, content.issued_at) == (None, None)


def test_a_byte_order_mark_before_the_document_is_ignored() -> None:
    document = json.dumps({"access_token": CANARY, "expires_at": 1795469400, "issued_at": 1795469400.5})
    value = stored(BYTE_ORDER_MARK + document)
    assert (value.access_token, value.expires_at, value.issued_at) == (CANARY, T0, T0 + timedelta(seconds=0.5))


@pytest.mark.parametrize(
    ("value", "is_one"), [("abc.-_~+/=", True), ("", False), ("a b", False), ("a\n", False), (5, False)]
)
def test_a_token_must_fit_into_a_header(value: object, is_one: bool) -> None:
    assert is_access_token(value) is is_one


def test_a_repr_hides_secrets() -> None:
    assert CANARY not in repr([Token(CANARY, "Bearer", T0, T0), stored(CANARY), Credentials("id", CANARY)])
