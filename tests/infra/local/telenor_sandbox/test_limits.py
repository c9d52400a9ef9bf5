"""Quota, spike arrest, and a gateway that learns of tokens too late, all on the sandbox's clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from infra.local.telenor_sandbox import short_id

if TYPE_CHECKING:
    from tests.infra.local.telenor_sandbox.conftest import Visitor


# Quota and spike arrest


@pytest.mark.parametrize(
    ("dialect", "quota", "spike"),
    [
        ("reference", 42901, 42902),
        ("gateway", 42901, 42902),
        ("apigee", "policies.ratelimit.QuotaViolation", "policies.ratelimit.SpikeArrestViolation"),
        ("rfc6749", None, None),
    ],
)
def test_both_limits_are_named_by_the_dialect(visitor: Visitor, dialect: str, quota: object, spike: object) -> None:
    visitor.sandbox.knobs(dialect=dialect, quota_requests=1, spike_arrest_seconds=1)
    assert visitor.ask().status_code == 200
    refused = [visitor.ask()]
    visitor.clock.advance(1)
    refused.append(visitor.ask())
    assert [answer.status_code for answer in refused] == [429, 429]
    for answer, word in zip(refused, (spike, quota), strict=True):
        assert answer.text == "" if word is None else str(word) in answer.text
        assert "Retry-After" not in answer.headers


@pytest.mark.parametrize(
    ("knobs", "wait"),
    [({"spike_arrest_seconds": 2}, "2"), ({"quota_requests": 1, "quota_seconds": 90}, "90")],
    ids=["spike arrest", "quota"],
)
def test_a_limit_can_say_when_and_keeps_its_word(visitor: Visitor, knobs: dict[str, Any], wait: str) -> None:
    visitor.sandbox.knobs(**knobs, limits_say_when=True)
    visitor.token()
    answer = visitor.ask()
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, wait)
    visitor.clock.advance(float(wait) - 1)
    assert visitor.ask().headers["Retry-After"] == "1"
    visitor.clock.advance(1)
    assert visitor.ask().status_code == 200


def test_a_quota_begins_anew_when_its_time_is_over(visitor: Visitor) -> None:
    visitor.sandbox.knobs(quota_requests=2, quota_seconds=60)
    assert [visitor.ask().status_code for _ in range(3)] == [200, 200, 429]
    visitor.clock.advance(60)
    assert [visitor.ask().status_code for _ in range(3)] == [200, 200, 429]


def test_logouts_are_counted_by_themselves_and_incidents_not_at_all(visitor: Visitor) -> None:
    visitor.sandbox.knobs(quota_requests=1)
    token = visitor.token()
    assert [visitor.incidents(token).status_code for _ in range(3)] == [200] * 3
    assert visitor.logout(token).status_code == 200
    assert visitor.logout(token).status_code == 429


def test_a_request_over_a_limit_issues_nothing(visitor: Visitor) -> None:
    visitor.sandbox.knobs(quota_requests=0)
    assert visitor.ask().status_code == 429
    assert visitor.sandbox.state()["tokens"] == {}


# What the protected resource hears too late


@pytest.mark.parametrize("seconds", [0, 1, 180])
def test_a_revoked_token_lives_on_at_its_resource(visitor: Visitor, seconds: float) -> None:
    visitor.sandbox.knobs(revocation_lags_seconds=seconds)
    token = visitor.token()
    visitor.logout(token)
    assert not visitor.sandbox.is_live(token)
    assert visitor.sandbox.state()["tokens"][short_id(token)]["status"] == "revoked"
    if seconds:
        visitor.clock.advance(seconds - 0.5)
        assert visitor.sandbox.is_accepted(token)
        assert visitor.incidents(token).status_code == 200
        assert visitor.logout(token).status_code == 401
        visitor.clock.advance(0.5)
    assert not visitor.sandbox.is_accepted(token)
    assert visitor.incidents(token).status_code == 401


def test_a_lag_does_not_outlast_the_tokens_own_expiry(visitor: Visitor) -> None:
    visitor.sandbox.knobs(lifetime_seconds=60, revocation_lags_seconds=180)
    token = visitor.token()
    visitor.logout(token)
    visitor.clock.advance(60)
    assert visitor.incidents(token).status_code == 401


def test_a_lag_is_no_longer_than_three_minutes(visitor: Visitor) -> None:
    answer = visitor.control("PATCH", "knobs", {"revocation_lags_seconds": 181})
    assert answer.json()["error"] == "Knobs revocation_lags_seconds: must be less than or equal to 180."


def test_a_new_token_is_refused_for_its_first_moments(visitor: Visitor) -> None:
    visitor.sandbox.knobs(new_token_lags_seconds=2)
    token = visitor.token()
    assert visitor.sandbox.is_live(token)
    assert not visitor.sandbox.is_accepted(token)
    assert visitor.incidents(token).status_code == 401
    visitor.clock.advance(2)
    assert visitor.incidents(token).status_code == 200


def test_a_token_can_be_approved_again_after_it_was_dead(visitor: Visitor) -> None:
    visitor.sandbox.knobs(approved_again_after_seconds=30)
    token = visitor.token()
    visitor.logout(token)
    visitor.clock.advance(29)
    assert visitor.incidents(token).status_code == 401
    visitor.clock.advance(1)
    assert visitor.incidents(token).status_code == 200
    assert visitor.sandbox.state()["tokens"][short_id(token)]["ended_at"] is None
    visitor.sandbox.knobs(approved_again_after_seconds=None)
    assert visitor.logout(token).status_code == 200
    visitor.clock.advance(3600)
    assert visitor.incidents(token).status_code == 401


def test_what_is_approved_again_still_expires(visitor: Visitor) -> None:
    visitor.sandbox.knobs(lifetime_seconds=60, approved_again_after_seconds=30)
    token = visitor.token()
    visitor.logout(token)
    visitor.clock.advance(60)
    assert visitor.sandbox.state()["tokens"][short_id(token)]["status"] == "expired"
    assert visitor.incidents(token).status_code == 401
