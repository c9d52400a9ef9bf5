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


@pytest.mark.parametrize("name", ["client_id", "client_secret"])
@pytest.mark.parametrize(
    ("value", "code_point", "index"),
    [
        ("CAN\u200bARY", "U+200B", 3),
        ("\ufeffCANARY", "U+FEFF", 0),
        ("CANARY\u200d", "U+200D", 6),
        ("CANARY\n", "U+000A", 6),
        ("CAN\x00ARY", "U+0000", 3),
        ("CANARY\xa0", "U+00A0", 6),
        ("C\u00adANARY", "U+00AD", 1),
        ("CANARY\u2066", "U+2066", 6),
        ("CAN\u2800ARY", "U+2800", 3),
        ("CAN\u3164ARY", "U+3164", 3),
        ("CAN\ufe0fARY", "U+FE0F", 3),
        ("CAN\U000e0041ARY", "U+E0041", 3),
        ("\ud800CANARY", "U+D800", 0),
    ],
)
def test_a_character_that_nobody_sees_is_named_by_its_code_point_and_place(
    name: str, value: str, code_point: str, index: int
) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        credentials_from(json.dumps(GOOD | {name: value}))
    assert refusal.value.error_code == "credentials-unusable"
    assert {name, code_point, str(index)} <= set(str(refusal.value).replace(",", "").split())
    assert "CANARY" not in str(refusal.value)
    assert value not in str(refusal.value)


@pytest.mark.parametrize("value", ["CANARY with blanks", "CANARY-ø-€-漢", "e\u0301", "👍"])
def test_what_people_can_see_is_taken(value: str) -> None:
    assert credentials_from(json.dumps(GOOD | {"client_secret": value})).client_secret == value
