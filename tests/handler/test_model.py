"""Values: what consumers get to read, and what a hand may have put there."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from handler.model import Entry, Ledger, StoredValue, Token, is_access_token, json_object
from tests.conftest import CANARY

T0 = datetime(2026, 11, 23, 21, 30, tzinfo=UTC)


def stored(content: str) -> StoredValue:
    return StoredValue("version", is_current=True, content=content)


def test_the_document_is_a_standard_token_with_whole_seconds() -> None:
    token = Token(CANARY, "Bearer", T0, T0 + timedelta(seconds=3599))
    assert json.loads(token.document()) == {
        "access_token": CANARY,
        "token_type": "Bearer",
        "expires_in": 3599,
        "expires_at": 1795469400 + 3599,
        "issued_at": 1795469400,
    }


def test_the_document_has_a_scope_where_one_was_asked_for() -> None:
    assert json.loads(Token(CANARY, "Bearer", T0, T0, "incidents.read").document())["scope"] == "incidents.read"


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", "null", "no JSON", '{"access_token": ""}', '{"access_token": 5}', "[" * 50_000, '{"a": 1'],
)
def test_what_is_no_token_document_has_no_token(content: str) -> None:
    assert stored(content).access_token is None


@pytest.mark.parametrize("content", [CANARY, f'{{"token": "{CANARY}"}}', f"access_token={CANARY}&expires_in=1"])
def test_a_token_that_a_hand_has_put_there_in_another_shape_is_recognised(content: str) -> None:
    assert stored(content).holds(CANARY)


def test_a_token_that_json_writes_otherwise_is_recognised() -> None:
    assert stored('{"access_token": "a\\u002fb"}').holds("a/b")


def test_another_token_is_not_recognised() -> None:
    assert not stored(json.dumps({"access_token": CANARY})).holds("other")


@pytest.mark.parametrize("value", [None, True, "1795469400", -1, 10**15, float("nan"), float("inf"), 1, []])
def test_a_time_that_is_none_is_no_time(value: object) -> None:
    assert stored(json.dumps({"access_token": "x", "expires_at": value, "issued_at": value})).expires_at is None


def test_times_are_read() -> None:
    value = stored(json.dumps({"expires_at": 1795469400, "issued_at": 1795469400.5}))
    assert (value.expires_at, value.issued_at) == (T0, T0 + timedelta(seconds=0.5))


@pytest.mark.parametrize(
    ("value", "is_one"), [("abc.-_~+/=", True), ("", False), ("a b", False), ("a\n", False), (5, False)]
)
def test_a_token_is_what_fits_into_a_header(value: object, is_one: bool) -> None:
    assert is_access_token(value) is is_one


@pytest.mark.parametrize("text", ["[1]", "5", '"x"', "", "{", "[" * 100_000])
def test_only_an_object_is_an_object(text: str) -> None:
    assert json_object(text) is None


def test_nothing_secret_shows_in_a_repr() -> None:
    assert CANARY not in repr(Token(CANARY, "Bearer", T0, T0)) + repr(stored(CANARY))


LABELLED = Entry("old", T0, T0, ("LIVE_old",))


def test_a_superseded_version_stays_in_the_ledger_if_it_has_a_label() -> None:
    new = Entry("new", T0, T0, ("LIVE_new",))
    assert Ledger(LABELLED).superseded_by(new) == Ledger(new, (LABELLED,))
    assert Ledger(Entry("unlabelled")).superseded_by(new) == Ledger(new)
    assert Ledger(None).superseded_by(new) == Ledger(new)


def test_an_entry_is_found_by_its_version() -> None:
    ledger = Ledger(Entry("current"), (LABELLED,))
    assert (ledger.find("old"), ledger.find("current"), ledger.find("other")) == (LABELLED, Entry("current"), None)


def test_a_version_that_is_published_again_is_in_the_ledger_once() -> None:
    assert Ledger(Entry("new", labels=("LIVE_new",)), (LABELLED,)).superseded_by(LABELLED) == Ledger(
        LABELLED, (Entry("new", labels=("LIVE_new",)),)
    )


def test_a_label_is_updated_where_its_version_is() -> None:
    bare = Entry("old")
    assert Ledger(bare).updated(LABELLED) == Ledger(LABELLED)
    assert Ledger(None, (bare,)).updated(LABELLED) == Ledger(None, (LABELLED,))
    assert Ledger(Entry("current")).updated(LABELLED) == Ledger(Entry("current"))
