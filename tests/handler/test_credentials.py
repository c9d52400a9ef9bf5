"""Valid credentials documents, and common mistakes."""

from __future__ import annotations

import json

import pytest

from handler.credentials import Credentials, credentials_from
from handler.errors import InvalidInputError

GOOD = {"client_id": "client-ø", "client_secret": "CANARY-æ"}


@pytest.mark.parametrize(
    "content",
    [
        *(json.dumps(GOOD), json.dumps(GOOD, ensure_ascii=False, indent=2)),
        pytest.param("\ufeff" + json.dumps(GOOD), id="after a byte order mark, as Windows editors write"),
        pytest.param(json.dumps(GOOD | {"username": "kari", "note": 5}), id="with another field"),
    ],
)
def test_valid_credentials_are_parsed(content: str) -> None:
    assert credentials_from(content) == Credentials("client-ø", "CANARY-æ")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        *(("", "JSON object"), ("CANARY", "JSON object"), ("[]", "JSON object"), ('"CANARY"', "JSON object")),
        *(("[" * 50_000, "JSON object"), ("{}", "client_id"), ('{"client_id": "x"}', "client_secret")),
        ('{"client_id": "", "client_secret": "CANARY"}', "client_id"),
        ('{"client_id": 5, "client_secret": "CANARY"}', "client_id"),
        ('{"client_id": "x", "client_secret": ["CANARY"]}', "client_secret"),
        ('{"client_id": "x", "client_secret": "CANARY\\n"}', "client_secret"),
        ('{"client_id": " x", "client_secret": "CANARY"}', "client_id"),
        ('{"client_id": "x", "client_secret": "CAN\\u0000ARY"}', "client_secret"),
        ('{"username": "kari", "password": "CANARY"}', "Connect ID and Min Bedrift"),
        ('{"client_id": "x", "password": "CANARY"}', "Connect ID and Min Bedrift"),
        ('{"client_secret": "CANARY", "username": "kari"}', "Connect ID and Min Bedrift"),
        ('{"password": "CANARY"}', "Connect ID and Min Bedrift"),
    ],
)
def test_other_content_is_refused_with_the_expected_format_and_not_repeated(content: str, says: str) -> None:
    with pytest.raises(InvalidInputError, match=rf"CREDENTIALS_SECRET_ID.*{says}") as refusal:
        credentials_from(content)
    assert refusal.value.error_code == "credentials-unusable"
    assert "CANARY" not in str(refusal.value)
    # Incomplete credentials are not mistaken for a user name and password.
    assert ("Connect ID" in str(refusal.value)) is ("username" in content or "password" in content)


@pytest.mark.parametrize("name", ["client_id", "client_secret"])
@pytest.mark.parametrize("index", [0, 3, 6])
@pytest.mark.parametrize(
    "character",
    [*"\0\n\xa0\xad\u200b\u200d\u2066\u2800\u3164\ud800\u180b\ufe0f\ufeff\U000e0041\U000e0100\ufffd"],
    ids=ascii,
)
def test_an_invisible_character_is_named_by_its_code_point_and_place(name: str, index: int, character: str) -> None:
    value = "CANARY"[:index] + character + "CANARY"[index:]
    with pytest.raises(InvalidInputError) as refusal:
        credentials_from(json.dumps(GOOD | {name: value}))
    assert refusal.value.error_code == "credentials-unusable"
    assert {name, f"U+{ord(character):04X}", str(index)} <= set(str(refusal.value).replace(",", "").split())
    assert "CANARY" not in str(refusal.value)
    assert value not in str(refusal.value)


@pytest.mark.parametrize("value", ["CANARY with blanks", "CANARY-ø-€-漢", "e\u0301", "👍"])
def test_visible_characters_are_accepted(value: str) -> None:
    assert credentials_from(json.dumps(GOOD | {"client_secret": value})).client_secret == value
