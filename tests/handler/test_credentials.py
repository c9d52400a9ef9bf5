"""The credentials document, and what people put in its place."""

from __future__ import annotations

import json

import pytest

from handler.credentials import credentials_from
from handler.errors import InvalidInputError
from handler.model import Credentials

GOOD = {"client_id": "client-ø", "client_secret": "CANARY-æ"}


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(GOOD),
        json.dumps(GOOD, ensure_ascii=False, indent=2),
        pytest.param("\ufeff" + json.dumps(GOOD), id="after a byte order mark, as editors on Windows write it"),
        pytest.param(json.dumps(GOOD | {"username": "kari", "note": 5}), id="beside something else"),
    ],
)
def test_good_credentials_are_read(content: str) -> None:
    assert credentials_from(content) == Credentials("client-ø", "CANARY-æ")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "JSON object"),
        ("CANARY", "JSON object"),
        ("[]", "JSON object"),
        ('"CANARY"', "JSON object"),
        ("[" * 50_000, "JSON object"),
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
    ],
)
def test_other_content_is_refused_with_what_to_put_there_and_not_repeated(content: str, says: str) -> None:
    with pytest.raises(InvalidInputError, match=rf"CREDENTIALS_SECRET_ID.*{says}") as refusal:
        credentials_from(content)
    assert refusal.value.error_code == "credentials-unusable"
    assert "CANARY" not in str(refusal.value)


def test_half_of_the_credentials_is_not_taken_for_a_login() -> None:
    with pytest.raises(InvalidInputError) as refusal:
        credentials_from('{"client_id": "x"}')
    assert "Connect ID" not in str(refusal.value)
