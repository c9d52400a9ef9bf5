"""Each test is a promise that renewing once broke: when a token is renewed, and what is noticed in between."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.auth import HTTPBasicAuth

from handler.errors import RotationError
from tests.conftest import CLIENT_ID, CLIENT_SECRET

if TYPE_CHECKING:
    from tests.conftest import World

INCIDENTS = "/service-tickets/v2/incidents"


def set_all(monkeypatch: pytest.MonkeyPatch, **settings: object) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))


def keep_schedule(world: World, minutes: float, schedule_minutes: float = 5) -> list[dict[str, Any]]:
    """Run on schedule for a time; none of the runs may fail."""
    answers = []
    began_at = world.clock.now()
    for number in range(int(minutes / schedule_minutes)):
        due_at = began_at + timedelta(minutes=number * schedule_minutes)
        world.clock.advance(seconds=max(0.0, (due_at - world.clock.now()).total_seconds()))
        answers.append(world.run())
    return answers


# When: by hand, from the formula


@pytest.mark.parametrize(
    ("lifetime", "settings", "due_after"),
    [
        # Not before 840; needed at 3599 - 600 - 1140 = 1859; a third is 1188; at = 840 + 300 + 60 = 1200; less 360.
        pytest.param(3599, {}, 840, id="the defaults and an hour"),
        # A third of two hours is 2376, and needed at 5460: less 360.
        pytest.param(7200, {}, 2016, id="the defaults and two hours"),
        # Not before 600, needed before the beginning: at = 600 + 300 + 60 = 960; less 360.
        pytest.param(900, {}, 600, id="a quarter of an hour"),
        # Needed at 3600 - 1200 - (180 + 240) = 1980; the latitude is half a minute: less 90.
        pytest.param(
            3600,
            {"GRACE_SECONDS": 1200, "SCHEDULE_MINUTES": 1, "RENEW_AT_FRACTION": 0.9},
            1890,
            id="needed before its share is used",
        ),
        # Half of the life is 1800, needed at 3000: less two minutes and the one that Scheduler may be late.
        pytest.param(
            3600,
            {"GRACE_SECONDS": 0, "SCHEDULE_MINUTES": 2, "RENEW_AT_FRACTION": 0.5},
            1620,
            id="without a grace at half its life",
        ),
        # Needed at -1140, at = 840 + 360 = 1200, for a grace as long as the template would never take it.
        pytest.param(3600, {"GRACE_SECONDS": 3600}, 840, id="a grace as long as the life"),
        # Needed at 86400 - 600 - (3 x 3600 + 240) = 74760; a third is 28512; less an hour and a minute.
        pytest.param(86_400, {"SCHEDULE_MINUTES": 60}, 24_852, id="a day, looked at every hour"),
    ],
)
def test_a_token_is_renewed_in_the_last_run_before_its_time(
    world: World, monkeypatch: pytest.MonkeyPatch, lifetime: int, settings: dict[str, float], due_after: int
) -> None:
    set_all(monkeypatch, **settings)
    world.telenor.knobs(lifetime_seconds=lifetime)
    first = world.run()["version_id"]
    world.clock.advance(seconds=due_after - 2)
    assert (world.run()["outcome"], world.run()["version_id"]) == ("not-due", first)
    world.clock.advance(seconds=4)
    assert world.run()["outcome"] == "rotated"


def test_with_the_defaults_a_token_of_an_hour_is_renewed_every_fifteen_minutes(world: World) -> None:
    outcomes = [answer["outcome"] for answer in keep_schedule(world, 50)]
    assert outcomes == ["rotated", *["not-due", "not-due", "rotated"] * 3]


def test_a_run_that_is_missed_is_made_good_by_the_next(world: World) -> None:
    world.run()
    world.clock.advance(minutes=25)
    assert world.run()["outcome"] == "rotated"


@pytest.mark.parametrize("settings", [{}, {"GRACE_SECONDS": "900", "SCHEDULE_MINUTES": "2"}])
@pytest.mark.parametrize("phase", range(1, 35, 3))
def test_a_reader_has_the_grace_through_an_outage_of_the_slack_whenever_it_begins(
    world: World, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], phase: int
) -> None:
    """The slack: what is left of an hour at the time of renewal, less the grace, a period and a minute."""
    set_all(monkeypatch, **settings)
    grace, period = int(settings.get("GRACE_SECONDS", 600)), 60 * int(settings.get("SCHEDULE_MINUTES", 5))
    # At = the later of the floor + period + 60 and the earlier of 3600 - grace - 3 periods - 240 and 1188.
    floor = 840 if period == 300 else 900
    outage_tolerance = 3600 - max(floor + period + 60, min(3360 - grace - 3 * period, 1188)) - grace - period - 60
    world.telenor.knobs(lifetime_seconds=3600)
    began_at, elapsed, least = world.clock.now(), 0, 3600.0
    outage = range(60 * phase + 1, 60 * phase + 1 + outage_tolerance)
    while elapsed <= outage.stop + period:
        world.clock.advance(seconds=max(0.0, elapsed - (world.clock.now() - began_at).total_seconds()))
        if elapsed:
            least = min(least, world.document()["expires_at"] - world.clock.now().timestamp())
        world.telenor.clear_faults()
        if elapsed in outage:
            world.telenor.fault(operation="token", status=503, retry_after=600)
        try:
            world.run()
        except RotationError:
            assert elapsed in outage
        elapsed += period
    assert least >= grace


# How often


@pytest.mark.parametrize(
    ("lifetime", "settings"),
    [
        pytest.param(900, {}, id="a short life"),
        pytest.param(3600, {"GRACE_SECONDS": "3300"}, id="a long grace"),
        pytest.param(1200, {"GRACE_SECONDS": "1200", "RENEW_AT_FRACTION": "0.01"}, id="everything at its worst"),
    ],
)
def test_a_day_of_the_worst_settings_stays_within_the_quota_of_versions(
    world: World, monkeypatch: pytest.MonkeyPatch, lifetime: int, settings: dict[str, str]
) -> None:
    set_all(monkeypatch, **settings)
    world.telenor.knobs(lifetime_seconds=lifetime)
    answers = keep_schedule(world, 26 * 60)
    # Ninety-six a day for a life above 22.5 minutes, and what two thirds of the life allow below.
    least_seconds = min(840, lifetime * 2 / 3)
    assert sum(answer["outcome"] == "rotated" for answer in answers) <= 26 * 3600 / least_seconds + 1
    assert world.is_current_live()


def test_settings_that_cannot_hold_the_grace_are_warned_of_in_each_run_that_publishes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRACE_SECONDS", "3300")
    for _ in range(2):
        world.run("rotate-now")
        world.clock.advance(minutes=1)
    assert world.seen.codes().count("settings-cannot-hold") == 2


def test_settings_that_hold_the_grace_are_not_warned_of(world: World) -> None:
    world.run()
    assert world.seen.codes() == []


# A token that somebody else has killed


@pytest.fixture
def verified(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Try tokens at a protected resource, and renew them late, so that being dead is the only reason before that."""
    set_all(monkeypatch, VERIFY_URL=f"{world.telenor.url}{INCIDENTS}", RENEW_AT_FRACTION=0.5)
    return world


def let_another_party_get_a_token(world: World) -> None:
    """Request a token for the same client, as somebody does whose tokens kill each other's."""
    world.telenor.knobs(issue="new-kills-old")
    answer = requests.post(
        f"{world.telenor.url}/oauth/v2/token",
        auth=HTTPBasicAuth(CLIENT_ID.encode(), CLIENT_SECRET.encode()),
        data={"grant_type": "client_credentials"},
        timeout=5,
    )
    assert answer.status_code == 200
    assert not world.is_current_live()


def test_a_killed_token_is_noticed_and_replaced_as_soon_as_a_quarter_of_an_hour_has_passed(verified: World) -> None:
    first = verified.run()["version_id"]
    let_another_party_get_a_token(verified)
    verified.clock.advance(minutes=5)
    assert verified.run()["outcome"] == "not-due"
    assert verified.seen.metrics()["SecondsUntilExpiry"] == 0
    verified.clock.advance(minutes=8, seconds=58)
    assert verified.run()["version_id"] == first
    verified.clock.advance(seconds=4)
    result = verified.run()
    assert (result["outcome"], result["reason"]) == ("rotated", "not-accepted")
    assert verified.is_current_live()
    assert verified.seen.metrics()["SecondsUntilExpiry"] > 3500


def test_a_token_that_is_killed_later_is_replaced_by_the_next_run(verified: World) -> None:
    verified.run()
    verified.clock.advance(minutes=17)
    assert verified.run()["outcome"] == "not-due"
    let_another_party_get_a_token(verified)
    verified.clock.advance(minutes=5)
    assert verified.run()["reason"] == "not-accepted"
    assert verified.is_current_live()


def test_two_parties_whose_tokens_kill_each_others_stay_within_the_quota(verified: World) -> None:
    rotated = 0
    for _ in range(4 * 12):
        rotated += verified.run()["outcome"] == "rotated"
        let_another_party_get_a_token(verified)
        verified.clock.advance(minutes=5, seconds=1)
    assert 10 <= rotated <= 16


def test_a_dead_token_that_is_handed_out_again_fails_the_run(verified: World) -> None:
    first = verified.run()["version_id"]
    verified.telenor.knobs(issue="same")
    verified.telenor.fault(operation="incidents", status=401, body='{"code": 2}')
    verified.clock.advance(minutes=16)
    with pytest.raises(RotationError):
        verified.run()
    assert list(verified.labels()) == [first]
    assert (verified.seen.metrics()["RotationFailed"], verified.seen.metrics()["SecondsUntilExpiry"]) == (1, 0)


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 404}, {"status": 429}, {"drop": True}])
def test_an_answer_that_does_not_refuse_the_published_token_changes_nothing(
    verified: World, fault: dict[str, Any]
) -> None:
    verified.run()
    verified.clock.advance(minutes=16)
    verified.telenor.fault(operation="incidents", **fault)
    assert verified.run()["outcome"] == "not-due"
    assert verified.seen.metrics()["SecondsUntilExpiry"] == 3599 - 960


def test_a_run_that_is_not_due_tries_the_published_token_once(verified: World) -> None:
    verified.run()
    before = [request.operation for request in verified.telenor.requests].count("incidents")
    verified.run()
    assert [request.operation for request in verified.telenor.requests].count("incidents") == before + 1
