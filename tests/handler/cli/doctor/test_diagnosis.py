"""Diagnoses from observations that the sandbox cannot produce."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from handler.cli.doctor.diagnosis import (
    Rating,
    as_json,
    diagnosis,
    logout_ends,
    logout_ends_others,
    old_stays_active,
    published_ended,
)
from handler.cli.doctor.observations import (
    Observations,
    Published,
    ServerFormat,
    Survey,
    TokenResult,
    TokenTest,
    VerifyUrl,
    Watch,
)
from handler.cli.job_status import status_of
from handler.ledger import Ledger
from tests.handler.cli.test_job_status import POLICY, T0

STATUS = status_of(Ledger(None), POLICY, T0)

UNTRIED = TokenResult()
ACTIVE = Watch()
INACTIVE = Watch(timedelta(seconds=3))


def seen(old: TokenResult = UNTRIED, new: TokenResult = UNTRIED, **token_test: Any) -> Observations:
    """Return observations about two different tokens while a token is published."""
    given: dict[str, Any] = {
        "is_new": True,
        "obtained": 2,
        "lifetime": timedelta(hours=1),
        "verify_url": VerifyUrl.CONCLUSIVE,
    } | token_test
    return Observations(
        Survey(published=Published(), verify_url=VerifyUrl.CONCLUSIVE), token_test=TokenTest(old=old, new=new, **given)
    )


@pytest.mark.parametrize(
    ("old", "new", "lives"),
    [
        # VERIFY_URL overrides the responses of logout.
        (TokenResult(accepted=True, logout=False), TokenResult(logout=True), True),
        (TokenResult(accepted=False, logout=True, logout_again=False), TokenResult(), False),
        # A single response of logout proves nothing.
        (TokenResult(logout=True), TokenResult(), None),
        (TokenResult(logout=True, logout_again=True), TokenResult(logout=True), None),
        (TokenResult(logout=False), TokenResult(), None),
        (TokenResult(logout=False), TokenResult(logout=False), None),
        (TokenResult(), TokenResult(logout=True, logout_again=False), None),
        (TokenResult(logout=True, logout_again=False), TokenResult(), True),
        (TokenResult(logout=False), TokenResult(logout=True), False),
    ],
)
def test_whether_the_old_token_stays_active(old: TokenResult, new: TokenResult, lives: bool | None) -> None:
    assert old_stays_active(seen(old, new)) is lives


@pytest.mark.parametrize(
    ("old", "new", "ends"),
    [
        *((TokenResult(), TokenResult(), None), (TokenResult(logout=True), TokenResult(), None)),
        (TokenResult(logout=True, logout_again=True), TokenResult(), None),
        (TokenResult(logout=True, logout_again=False), TokenResult(), True),
        (TokenResult(logout=False), TokenResult(logout=True, logout_again=False), True),
        (TokenResult(logout=True, watch=INACTIVE), TokenResult(), True),
        # Even if logout rejects it the second time: the API still accepts it.
        (TokenResult(logout=True, logout_again=False, watch=ACTIVE), TokenResult(), False),
        (TokenResult(logout=True, watch=INACTIVE), TokenResult(logout=True, watch=ACTIVE), False),
    ],
)
def test_whether_logout_revokes_a_token(old: TokenResult, new: TokenResult, ends: bool | None) -> None:
    assert logout_ends(seen(old, new)) is ends


@pytest.mark.parametrize(
    ("old", "new", "others"),
    [
        (TokenResult(logout=True, logout_again=False), TokenResult(logout=True), False),
        (TokenResult(logout=True, logout_again=False), TokenResult(logout=False), True),
        (TokenResult(logout=True, logout_again=False), TokenResult(), None),
        # The old token was inactive before, so this says nothing about other tokens.
        (TokenResult(logout=False), TokenResult(logout=True, logout_again=False), None),
        # If logout accepts any token, only a token that is still accepted was certainly not revoked.
        (TokenResult(accepted=True, logout=True, logout_again=True), TokenResult(logout=True, watch=ACTIVE), False),
        (TokenResult(accepted=True, logout=True, logout_again=True), TokenResult(logout=True, watch=INACTIVE), None),
    ],
)
def test_whether_logout_revokes_other_tokens(old: TokenResult, new: TokenResult, others: bool | None) -> None:
    assert logout_ends_others(seen(old, new)) is others


OLD_REVOKED = TokenResult(logout=False), TokenResult(logout=True)
SEPARATE = TokenResult(logout=True, logout_again=False), TokenResult(logout=True)
ALL_REVOKED = TokenResult(logout=True, logout_again=False), TokenResult(logout=False)


@pytest.mark.parametrize(
    ("found", "ended"),
    [
        (replace(seen(*OLD_REVOKED), survey=Survey()), False),
        (
            replace(
                seen(*OLD_REVOKED), survey=Survey(published=Published(accepted=False), verify_url=VerifyUrl.CONCLUSIVE)
            ),
            False,
        ),
        (seen(published_accepted=False), True),
        # A gateway's cache may accept an inactive token.
        *((seen(*OLD_REVOKED, published_accepted=True), True), (seen(*ALL_REVOKED, published_accepted=True), True)),
        *((seen(published_accepted=True), None), (seen(*OLD_REVOKED), True), (seen(*ALL_REVOKED), True)),
        *((seen(*SEPARATE), False), (seen(TokenResult(logout=True, logout_again=False)), None)),
        *((seen(obtained=0, failure="refused", is_refused=True), False), (seen(obtained=0, failure="no answer"), None)),
        (seen(obtained=0), False),
    ],
)
def test_whether_the_published_token_was_revoked(found: Observations, ended: bool | None) -> None:
    assert published_ended(found) is ended


@pytest.mark.parametrize(
    ("seconds", "rating", "says"),
    [(3599, Rating.HOLDS, "24 min"), (2340, Rating.AT_RISK, "39 min"), (840, Rating.AT_RISK, "14 min")],
)
def test_the_lifetime_is_compared_with_grace_and_schedule(seconds: int, rating: Rating, says: str) -> None:
    p1, *_ = diagnosis(seen(*SEPARATE, lifetime=timedelta(seconds=seconds)), STATUS).guarantees
    assert (p1.rating, says in p1.because) == (rating, True)


@pytest.mark.parametrize(
    ("ahead_seconds", "rating", "says"),
    [
        (4, Rating.HOLDS, "agrees with the server's to within 5 s"),
        (90, Rating.HOLDS_IF, "this machine's is 1 min 30 s ahead of the server's"),
        (-90, Rating.HOLDS_IF, "this machine's is 1 min 30 s behind the server's"),
    ],
)
def test_a_clock_difference_is_reported_and_becomes_a_condition(ahead_seconds: int, rating: Rating, says: str) -> None:
    server_format = ServerFormat(clock_ahead=timedelta(seconds=ahead_seconds))
    found = diagnosis(replace(seen(*SEPARATE), server_format=server_format), STATUS)
    assert {answer.about: answer.words for answer in found.answers}["the clock"] == says
    assert found.guarantees[0].rating is rating


def test_without_any_observations_every_question_and_every_promise_still_has_a_result() -> None:
    found = diagnosis(Observations(), STATUS)
    assert all(answer.words for answer in found.answers)
    assert [promise.name[:2] for promise in found.guarantees] == ["P1", "P2", "P3", "P4", "P5", "P6", "P7"]
    assert found.guarantees[-1].rating is Rating.HOLDS_IF
    assert diagnosis(seen(*SEPARATE), STATUS).guarantees[-1].rating is Rating.HOLDS
    assert all(promise.because for promise in found.guarantees)
    assert as_json(Observations(), found)["old_token_lives_on"] is None


def test_several_risks_are_all_reported() -> None:
    found = seen(*OLD_REVOKED, lifetime=timedelta(seconds=1500), verify_url=VerifyUrl.REFUSES_FRESH)
    p1, *_, p6, p7 = diagnosis(found, STATUS).guarantees
    assert {p1.rating, p6.rating, p7.rating} == {Rating.AT_RISK}
    assert p1.because.count(";") == 1
    assert p6.because.count(";") == 1
