"""What follows from what was seen, where the sandbox does not go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from handler.model import Ledger, Policy
from handler.terminal.diagnosis import (
    Findings,
    Verdict,
    VerifyUrl,
    as_json,
    diagnosis,
    logout_ends,
    logout_ends_others,
    old_lives_on,
    published_ended,
)
from handler.terminal.status import status_of

POLICY = Policy(timedelta(seconds=600), 0.5, timedelta(minutes=5))
STATUS = status_of(Ledger(None), POLICY, datetime(2026, 11, 23, 22, tzinfo=UTC))


def seen(**findings: bool | None) -> Findings:
    """Return what was seen of two different tokens."""
    found = Findings(is_new=True, obtained=2, life=timedelta(hours=1), has_published=True)
    for name, value in findings.items():
        setattr(found, name, value)
    return found


@pytest.mark.parametrize(
    ("findings", "lives"),
    [
        # VERIFY_URL counts for more than what logout says.
        ({"first_accepted": True, "second_accepted": True, "first_logout": False, "second_logout": True}, True),
        ({"first_accepted": False, "second_accepted": True, "first_logout": True, "first_logout_again": False}, False),
        # Where it refuses the newest token too, it tells nothing about the old one.
        ({"first_accepted": False, "second_accepted": False}, None),
        ({"first_accepted": False, "second_accepted": None}, None),
        # One answer of logout alone proves nothing.
        ({"first_logout": True}, None),
        ({"first_logout": True, "first_logout_again": None}, None),
        ({"first_logout": True, "first_logout_again": True, "second_logout": True}, None),
        ({"first_logout": False}, None),
        ({"first_logout": False, "second_logout": False}, None),
        ({"first_logout": False, "second_logout": None}, None),
        ({"first_logout": None, "second_logout": True, "second_logout_again": False}, None),
        ({"first_logout": True, "first_logout_again": False}, True),
        ({"first_logout": False, "second_logout": True}, False),
    ],
)
def test_whether_the_old_token_lives_on(findings: dict[str, bool | None], lives: bool | None) -> None:
    assert old_lives_on(seen(**findings)) is lives


@pytest.mark.parametrize(
    ("findings", "ends"),
    [
        ({}, None),
        ({"first_logout": True}, None),
        ({"first_logout": True, "first_logout_again": True}, None),
        ({"first_logout": True, "first_logout_again": False}, True),
        ({"first_logout": False, "second_logout": True, "second_logout_again": False}, True),
        ({"first_accepted": True, "first_logout": True, "first_accepted_after": False}, True),
        ({"first_accepted": True, "first_logout": True, "first_accepted_after": True}, False),
        # Also where logout refuses it the second time: the API itself still takes it.
        (
            {
                "first_accepted": True,
                "first_logout": True,
                "first_accepted_after": True,
                "first_logout_again": False,
            },
            False,
        ),
        ({"second_accepted": True, "second_logout": True, "second_accepted_after": True}, False),
    ],
)
def test_whether_logout_ends_a_token(findings: dict[str, bool | None], ends: bool | None) -> None:
    assert logout_ends(seen(**findings)) is ends


@pytest.mark.parametrize(
    ("findings", "others"),
    [
        ({"first_logout": True, "first_logout_again": False, "second_logout": True}, False),
        ({"first_logout": True, "first_logout_again": False, "second_logout": False}, True),
        ({"first_logout": True, "first_logout_again": False, "second_logout": None}, None),
        # The old one was dead before: nothing follows for the others.
        ({"first_logout": False, "second_logout": True, "second_logout_again": False}, None),
        (
            {
                "first_accepted": True,
                "second_accepted": True,
                "first_logout": True,
                "second_accepted_after_first": False,
            },
            True,
        ),
        (
            {
                "first_accepted": True,
                "second_accepted": True,
                "first_logout": None,
                "second_accepted_after_first": False,
            },
            None,
        ),
    ],
)
def test_whether_logout_ends_other_tokens(findings: dict[str, bool | None], others: bool | None) -> None:
    assert logout_ends_others(seen(**findings)) is others


@pytest.mark.parametrize(
    ("findings", "ended"),
    [
        ({"has_published": False, "first_logout": False, "second_logout": True}, False),
        ({"published_before": False}, False),
        ({"published_before": True, "published_after": False}, True),
        ({"published_before": True, "published_after": True, "first_logout": False, "second_logout": True}, False),
        ({"published_before": True, "published_after": None}, None),
        ({"first_logout": False, "second_logout": True}, True),
        ({"first_logout": True, "first_logout_again": False, "second_logout": False}, True),
        ({"first_logout": True, "first_logout_again": False, "second_logout": True}, False),
        ({"first_logout": True, "first_logout_again": False}, None),
        ({"obtained": 0, "is_refused": True}, False),
        ({"obtained": 0}, None),
    ],
)
def test_whether_the_published_token_was_ended(findings: dict[str, bool | None], ended: bool | None) -> None:
    assert published_ended(seen(**findings)) is ended


def test_every_question_has_an_answer_and_every_promise_a_verdict_when_nothing_is_known() -> None:
    found = diagnosis(Findings(), STATUS)
    assert all(answer.words for answer in found.answers)
    assert [promise.name[:2] for promise in found.promises] == ["P1", "P2", "P3", "P4", "P5", "P6"]
    assert as_json(Findings(), found)["old_token_lives_on"] is None


def test_several_risks_are_all_told() -> None:
    found = seen(first_logout=False, second_logout=True)
    found.life, found.verify_url = timedelta(seconds=900), VerifyUrl.REFUSES_FRESH
    p1, *_, p6 = diagnosis(found, STATUS).promises
    assert (p1.verdict, p6.verdict) == (Verdict.AT_RISK, Verdict.AT_RISK)
    assert p1.because.count(";") == 1
    assert p6.because.count(";") == 1
