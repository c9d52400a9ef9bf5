"""What doctor finds, and what it leaves behind, in every mode of the sandbox."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from handler import app
from infra.local.secrets_manager import CallFault, Meanwhile
from infra.local.telenor_sandbox import ERROR_SHAPES
from tests.conftest import CLIENT_ID, CLIENT_SECRET, FakeClock

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import World
    from tests.handler.cli.conftest import Terminal
    from tests.handler.cli.deployed_aws import DeployedAws


pytestmark = pytest.mark.usefixtures("local")


def told(document: dict[str, Any]) -> dict[str, bool | None]:
    """Return the answers to the questions of yes and no, by short names."""
    return {
        "new": document["second_request_gives_new_token"],
        "longer": document["same_token_gets_longer_life"],
        "lives": document["old_token_lives_on"],
        "ends": document["logout_ends_token"],
        "others": document["logout_ends_other_tokens"],
        "harmed": document["published_token_ended"],
    }


def verdicts(document: dict[str, Any]) -> str:
    """Return the verdicts of P1 to P6, one sign each: + holds, ? holds if, ! at risk."""
    signs = {"holds": "+", "holds-if": "?", "at-risk": "!"}
    return "".join(signs[promise["verdict"]] for promise in document["promises"][:6])


def because(document: dict[str, Any], name: str) -> str:
    return next(str(promise["because"]) for promise in document["promises"] if promise["name"].startswith(name))


@pytest.fixture
def verify_url(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERIFY_URL", f"{world.telenor.url}/service-tickets/v2/incidents")


NEW = {"new": True, "longer": None, "lives": True, "ends": True, "others": False, "harmed": False}
SAME = {"new": False, "longer": False, "lives": None, "ends": None, "others": None, "harmed": False}
NOTHING = {"new": True, "longer": None, "lives": None, "ends": None, "others": None, "harmed": None}

MODES: list[tuple[dict[str, Any], dict[str, bool | None], str]] = [
    ({"issue": "new"}, NEW, "++++++"),
    ({"issue": "same"}, SAME, "!?++++"),
    ({"issue": "same-extended"}, SAME | {"longer": True}, "+?++++"),
    ({"issue": "new-kills-old"}, NEW | {"lives": False, "others": None, "harmed": True}, "!++++!"),
    ({"logout_ends": "client"}, NEW | {"others": True, "harmed": True}, "!+!+++"),
    (
        {"issue": "new-kills-old", "logout_ends": "client"},
        NEW | {"lives": False, "others": None, "harmed": True},
        "!++++!",
    ),
]


@pytest.mark.parametrize(("knobs", "answers", "signs"), MODES)
@pytest.mark.parametrize("is_verified", [False, True])
def test_each_way_of_issuing_and_logging_out_is_found_out(
    world: World,
    terminal: Terminal,
    request: pytest.FixtureRequest,
    knobs: dict[str, Any],
    answers: dict[str, bool | None],
    signs: str,
    is_verified: bool,
) -> None:
    if is_verified:
        request.getfixturevalue("verify_url")
    world.run()
    world.clock.advance(minutes=10)
    world.telenor.knobs(**knobs)
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert told(ran.json) == answers
    assert verdicts(ran.json) == signs
    assert ran.status == (4 if "!" in signs else 0)
    assert ran.json["verify_url"] == ("tells-live-from-dead" if is_verified else "not-set")
    # Also where asking has ended the published token: --yes has rotated then.
    assert world.is_current_live()
    assert ran.json["tokens_left"] == 0
    assert world.live() == 1
    assert len(world.labels()) == (2 if answers["harmed"] else 1)


@pytest.mark.parametrize(("issue", "signs"), [("new", "++++++"), ("same", "!+++++"), ("same-extended", "++++++")])
def test_without_a_published_token_it_harms_nobody_and_leaves_nothing(
    world: World, terminal: Terminal, issue: str, signs: str
) -> None:
    world.telenor.knobs(issue=issue)
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert told(ran.json)["ends"] is True
    assert verdicts(ran.json) == signs
    assert "No published token is alive" in " ".join(ran.err.split())
    assert world.live() == 0
    assert world.labels() == {}


def test_a_logout_that_ends_nothing_is_found_out_where_the_token_is_used(
    world: World, terminal: Terminal, verify_url: None
) -> None:
    assert verify_url is None
    world.run()
    world.telenor.knobs(logout_ends="nothing")
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert told(ran.json) == NEW | {"ends": False}
    assert verdicts(ran.json) == "+!++++"
    assert ran.json["tokens_left"] == 2
    assert world.live() == 3


def test_what_logout_does_not_tell_is_said_to_be_unknown(world: World, terminal: Terminal) -> None:
    world.run()
    world.telenor.knobs(logout_ends="nothing")
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert told(ran.json) == NOTHING
    assert verdicts(ran.json) == "???++?"
    assert ran.json["tokens_left"] is None
    assert "VERIFY_URL would tell" in ran.json["answers"]["the old token"]
    # Whether the published token lives is unknown, so that --yes has rotated.
    assert ran.status == 0
    assert len(world.tracked()) == 2


@pytest.mark.parametrize("times", [None, 9])
def test_a_logout_that_fails_is_told_and_tried_again_at_the_end(
    world: World, terminal: Terminal, times: int | None
) -> None:
    # Five attempts with the made-up token, one for each of the four probes.
    world.run()
    world.telenor.fault(operation="logout", status=503, times=times)
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert told(ran.json) == NOTHING
    assert "logout answered 503" in ran.json["answers"]["logout"]
    assert verdicts(ran.json) == "?!?++?"
    assert ran.json["tokens_left"] == (2 if times is None else 0)


def test_a_logout_that_refuses_every_token_is_told(world: World, terminal: Terminal) -> None:
    world.run()
    world.telenor.fault(operation="logout", status=401, body='{"code": 2}')
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert told(ran.json) == NOTHING
    assert "refuses tokens that were just issued" in ran.json["answers"]["logout"]
    assert verdicts(ran.json) == "?!?++?"
    assert ran.json["tokens_left"] == 2


def test_a_logout_that_takes_a_made_up_token_is_no_obstacle(world: World, terminal: Terminal) -> None:
    world.run()
    world.telenor.fault(operation="logout", status=200, body="OK!", times=1)
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert told(ran.json) == NEW
    assert ran.json["error"]["code"] == 2


# What answers look like


@pytest.mark.parametrize(
    ("shape", "media_type", "code", "code_at"),
    [
        ("code", "application/json", 2, "code"),
        ("text", "text/plain", 2, "text"),
    ],
)
def test_the_shape_of_an_error_is_shown(
    world: World, terminal: Terminal, shape: str, media_type: str, code: int | None, code_at: str | None
) -> None:
    assert shape in ERROR_SHAPES
    world.telenor.knobs(error_shape=shape)
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    error = ran.json["error"]
    assert (error["status"], error["media_type"], error["code"], error["code_at"]) == (401, media_type, code, code_at)
    assert told(ran.json) == NEW


def test_no_value_of_an_answer_is_shown(world: World, terminal: Terminal) -> None:
    echo = '{"code": 2, "message": "CANARY-token is not valid", "CANARY-1": "CANARY", "type": ["CANARY"], "at": null}'
    world.telenor.fault(operation="logout", status=401, body=echo, content_type="CANARY!", times=1)
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    error = ran.json["error"]
    assert error["fields"] == {"code": "number", "message": "string", "type": "array", "at": "null"}
    assert error["media_type"] is None


@pytest.mark.parametrize(
    ("knobs", "fields"),
    [
        ({}, {"access_token": "string", "expires_in": "number", "token_type": "string"}),
        (
            {"refresh_token": True, "scope_in_answer": True},
            {
                "access_token": "string",
                "expires_in": "number",
                "token_type": "string",
                "refresh_token": "string",
                "scope": "string",
            },
        ),
    ],
)
def test_the_shape_of_a_tokens_answer_is_shown(
    world: World, terminal: Terminal, knobs: dict[str, Any], fields: dict[str, str]
) -> None:
    world.telenor.knobs(**knobs, variations=False)
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert ran.json["token_answer"]["fields"] == fields
    assert ran.status == 0


# Life and clock


@pytest.mark.parametrize(
    ("seconds", "verdict", "says"),
    [
        (3599, "+", "an outage of up to 24 min hurts nobody"),
        (3000, "+", "an outage of up to 14 min hurts nobody"),
        (2340, "!", "a life of 39 min is too short for GRACE_SECONDS and SCHEDULE_MINUTES"),
        (840, "!", "a life of 14 min makes the job write more often than Secrets Manager can keep"),
    ],
)
def test_the_life_is_held_against_the_grace_and_the_schedule(
    world: World, terminal: Terminal, seconds: int, verdict: str, says: str
) -> None:
    world.telenor.knobs(lifetime_seconds=seconds)
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert verdicts(ran.json) == f"{verdict}+++++"
    assert says in because(ran.json, "P1")
    assert ran.json["life_seconds"] == seconds


def test_the_life_of_a_token_that_is_handed_out_again_is_counted_from_its_issue(
    world: World, terminal: Terminal
) -> None:
    world.telenor.knobs(issue="same")
    world.run()
    world.clock.advance(minutes=55)
    assert terminal.run("--local", "doctor", "--json", "--yes").json["life_seconds"] == 3599


def test_a_life_that_telenor_does_not_tell_is_said_to_be_assumed(world: World, terminal: Terminal) -> None:
    world.telenor.knobs(expires_in_as="missing", issue="same-extended")
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert ran.json["answers"]["a token's life"].startswith("15 min is assumed, as the server sends no expires_in")
    assert told(ran.json)["longer"] is None


@pytest.mark.parametrize(
    ("ahead_seconds", "says"),
    [
        (4, "agrees with the server's to within 5 s"),
        (90, "this machine's is 1 min 30 s behind the server's"),
        (-90, "this machine's is 1 min 30 s ahead of the server's"),
    ],
)
def test_the_clock_is_held_against_telenors(world: World, terminal: Terminal, ahead_seconds: float, says: str) -> None:
    world.telenor.knobs(clock_ahead_seconds=ahead_seconds)
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert abs(ran.json["clock_ahead_seconds"] + ahead_seconds) <= 0.5
    assert ran.json["answers"]["the clock"].startswith(says[:30])
    assert verdicts(ran.json) == ("++++++" if abs(ahead_seconds) < 5 else "?+++++")


def test_a_clock_that_is_not_told_is_no_finding(world: World, terminal: Terminal) -> None:
    world.telenor.fault(operation="logout", status=401, body='{"code": 2}', headers={"Date": "soon"})
    assert terminal.run("--local", "doctor", "--json", "--yes").json["clock_ahead_seconds"] is None


# VERIFY_URL


def test_a_verify_url_that_accepts_anything_is_told_and_not_relied_on(
    world: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERIFY_URL", f"{world.telenor.url}/_sandbox/state")
    world.run()
    world.telenor.knobs(issue="new-kills-old")
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert ran.json["verify_url"] == "accepts-a-made-up-token"
    assert told(ran.json)["harmed"] is True


def test_a_verify_url_that_refuses_every_token_puts_publication_at_risk(
    world: World, terminal: Terminal, verify_url: None
) -> None:
    world.run()
    assert verify_url is None
    world.telenor.fault(operation="incidents", status=403)
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert ran.json["verify_url"] == "refuses-a-new-token"
    assert told(ran.json) == NEW
    assert verdicts(ran.json) == "+++++!"


@pytest.mark.parametrize("fault", [{"status": 500}, {"drop": True}])
def test_a_verify_url_that_says_nothing_is_told_and_not_relied_on(
    world: World, terminal: Terminal, verify_url: None, fault: dict[str, Any]
) -> None:
    assert verify_url is None
    world.telenor.fault(operation="incidents", **fault)
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert ran.json["verify_url"] == "no-clear-answer"
    assert told(ran.json) == NEW


def test_a_published_token_that_is_dead_already_is_told(world: World, terminal: Terminal, verify_url: None) -> None:
    assert verify_url is None
    world.run()
    world.telenor.reset()
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert verdicts(ran.json) == "!+++++"
    assert "VERIFY_URL refuses the published token" in because(ran.json, "P1")
    assert told(ran.json)["harmed"] is False


# Where no token can be had


def test_wrong_credentials_are_a_finding(world: World, terminal: Terminal) -> None:
    world.run()
    world.put_credentials('{"client_id": "client-ø", "client_secret": "CANARY-wrong"}')
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert "Connect ID and Min Bedrift" in because(ran.json, "P1")
    assert verdicts(ran.json) == "!??++?"
    assert told(ran.json)["harmed"] is False
    assert ran.status == 4
    assert world.is_current_live()


@pytest.mark.parametrize(
    "trouble",
    [{"expires_in_as": "raw", "expires_in_raw": "soon"}, {"token_type": "MAC"}, {"lifetime_seconds": 0.5}],
)
def test_tokens_that_nobody_can_use_are_ended_too(world: World, terminal: Terminal, trouble: dict[str, Any]) -> None:
    world.run()
    world.telenor.knobs(**trouble)
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert ran.status == 4
    assert "no token can be had" in because(ran.json, "P1")
    assert ran.json["tokens_obtained"] >= 1
    assert world.live() == 1
    assert world.is_current_live()


def test_an_outage_of_the_token_endpoint_is_a_finding(world: World, terminal: Terminal) -> None:
    world.run()
    world.telenor.fault(operation="token", drop=True)
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert told(ran.json)["harmed"] is None
    assert because(ran.json, "P1").startswith("no token can be had: no answer from 127.0.0.1")
    assert len(world.labels()) == 1, "a rotation would fail too"


@pytest.mark.parametrize("requests", [1, 2])
def test_an_outage_in_between_leaves_no_token_behind(world: World, terminal: Terminal, requests: int) -> None:
    world.telenor.knobs(issue="same")
    for _ in range(requests):
        world.telenor.fault(operation="token", delay_seconds=0.001, times=1)
    world.telenor.fault(operation="token", status=503)
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert told(ran.json)["new"] is (None if requests == 1 else False)
    assert ran.json["tokens_left"] == 0
    assert world.live() == 0


# What must never happen


@pytest.mark.parametrize("before", range(1, 8))
def test_a_token_that_a_run_publishes_meanwhile_is_not_logged_out(
    world: World, terminal: Terminal, before: int
) -> None:
    world.telenor.knobs(issue="same")
    world.aws.fault(Meanwhile(operation="DescribeSecret", happens=lambda: world.run("rotate-now")), after=before)
    ran = terminal.run("--local", "doctor", "--yes")
    assert ran.status in {0, 4}
    if world.labels():
        assert world.is_current_live()


def test_a_superseded_token_that_is_handed_out_again_is_not_logged_out(world: World, terminal: Terminal) -> None:
    first = world.run()["version_id"]
    world.telenor.knobs(issue="new")
    second = world.run("rotate-now")["version_id"]
    world.telenor.knobs(issue="same")  # gives out the oldest that lives
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert "1 left alone" in ran.json["answers"]["tokens"]
    assert world.is_live(first)
    assert world.is_live(second)


@pytest.mark.parametrize("operation", ["DescribeSecret", "GetSecretValue"])
def test_nothing_is_logged_out_that_cannot_be_compared(world: World, terminal: Terminal, operation: str) -> None:
    world.run()
    good = {"DescribeSecret": 1, "GetSecretValue": 3}[operation]
    world.aws.fault(CallFault(operation=operation, code="AccessDeniedException"), times=99, after=good)
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert ran.json["tokens_left"] == 2
    assert [request.operation for request in world.telenor.requests].count("logout") == 1  # the made-up token's
    assert world.live() == 3


def test_a_token_that_cannot_be_read_in_its_answer_is_counted(world: World, terminal: Terminal) -> None:
    world.telenor.fault(operation="token", body="", when="after")
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert (world.live(), ran.json["tokens_left"]) == (5, 5)


class InterruptedClock(FakeClock):
    """Ctrl-C, as soon as somebody waits."""

    def sleep(self, seconds: float) -> None:
        raise KeyboardInterrupt(f"{seconds} s are too long")


def test_ctrl_c_leaves_no_token_behind(world: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    world.telenor.knobs(issue="same")
    monkeypatch.setattr(app, "clock", InterruptedClock())
    assert terminal.run("--local", "doctor", "--yes").status == 130
    assert (world.issued(), world.live()) == (1, 0)


# Asking first


def test_it_does_not_ask_telenor_while_a_token_is_published_and_nobody_can_say_yes(
    world: World, terminal: Terminal
) -> None:
    world.run()
    ran = terminal.run("--local", "doctor")
    assert ran.status == 2
    assert "A token is published and active" in " ".join(ran.err.split())
    assert "add --yes" in ran.err
    assert world.issued() == 1


@pytest.mark.parametrize("typed", ["no\n", "\n", "y\n", "\x04"])
def test_anything_but_yes_is_no(world: World, terminal: Terminal, typed: str) -> None:
    world.run()
    ran = terminal.run("--local", "doctor", typed=typed)
    assert ran.status == 1
    assert "Nothing was done." in ran.err
    assert world.issued() == 1


def test_it_has_the_job_replace_a_published_token_that_it_has_ended(world: World, terminal: Terminal) -> None:
    world.run()
    world.telenor.knobs(issue="new-kills-old")
    ran = terminal.run("--local", "doctor", typed="yes\n")
    assert ran.status == 4
    assert "The published token was ended, so the job rotates." in ran.err
    assert world.is_current_live()


def test_a_replacement_that_fails_is_said_loudly(world: World, terminal: Terminal) -> None:
    world.run()
    world.telenor.knobs(issue="new-kills-old")
    world.aws.fault(CallFault(operation="PutSecretValue", code="AccessDeniedException"))
    ran = terminal.run("--local", "doctor", "--yes")
    assert ran.status == 4
    assert "THE PUBLISHED TOKEN WAS ENDED AND IS NOT REPLACED: run `rotate` until it ends with 0." in ran.err


def test_ctrl_c_has_the_job_replace_what_may_have_been_ended(
    world: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run()
    world.telenor.knobs(issue="new-kills-old")
    monkeypatch.setenv("VERIFY_URL", f"{world.telenor.url}/service-tickets/v2/incidents")
    monkeypatch.setattr(app, "clock", InterruptedClock())
    ran = terminal.run("--local", "doctor", "--yes")
    assert ran.status == 130
    assert "may have been ended, so the job rotates" in ran.err


@pytest.mark.parametrize(
    ("issue", "says"),
    [("new", "VERIFY_URL still accepts superseded"), ("new-kills-old", "and then this ends the published one")],
)
def test_a_superseded_token_hints_at_what_asking_would_do(
    world: World, terminal: Terminal, verify_url: None, issue: str, says: str
) -> None:
    assert verify_url is None
    world.telenor.knobs(issue=issue)
    world.run()
    world.run("rotate-now")
    ran = terminal.run("--local", "doctor", typed="no\n")
    assert says in " ".join(ran.err.split())
    assert world.is_current_live()


def test_a_superseded_token_whose_grace_is_over_hints_at_nothing(
    world: World, terminal: Terminal, verify_url: None
) -> None:
    assert verify_url is None
    world.run()
    world.run("rotate-now")
    world.clock.advance(minutes=11)
    assert "superseded" not in terminal.run("--local", "doctor", typed="no\n").err


def test_a_schedule_that_does_not_run_puts_self_healing_at_risk(world: World, terminal: Terminal) -> None:
    world.run()
    world.clock.advance(minutes=45)
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert verdicts(ran.json) == "++++!+"


# In whose words Telenor speaks


@pytest.mark.parametrize(
    ("dialect", "told_as", "words"),
    [
        ("reference", "reference", "the codes of the API reference"),
        ("gateway", "gateway", "the gateway's own codes"),
        ("apigee", "apigee", "Apigee's own words"),
        ("rfc6749", "oauth", "RFC 6749"),
    ],
)
def test_each_dialect_is_named_and_understood(
    world: World, terminal: Terminal, dialect: str, told_as: str, words: str
) -> None:
    world.run()
    world.telenor.knobs(error_format=dialect)
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert ran.json["dialect"] == told_as
    assert words in ran.json["answers"]["the dialect"]
    assert told(ran.json) == NEW
    assert ran.status == 0


def test_errors_in_no_dialect_are_said_to_be_unknown(world: World, terminal: Terminal) -> None:
    world.telenor.knobs(error_shape="none")
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert ran.json["dialect"] == "none-known"
    assert "look like none that this job knows" in ran.json["answers"]["the dialect"]


# Revocation that lags


@pytest.mark.parametrize("lag_seconds", [0, 12, 180])
def test_a_lag_of_revocation_is_measured_and_is_no_failure(
    world: World, terminal: Terminal, verify_url: None, lag_seconds: float
) -> None:
    assert verify_url is None
    world.run()
    world.telenor.knobs(revocation_lags_seconds=lag_seconds)
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert (told(ran.json)["ends"], verdicts(ran.json)) == (True, "++++++")
    assert lag_seconds <= ran.json["revocation_lag_seconds"] <= lag_seconds + 5
    assert ("tried again every few seconds" in " ".join(ran.err.split())) is (lag_seconds > 0)
    assert world.live() == 1


def test_a_token_that_is_accepted_for_longer_than_any_cache_keeps_it_is_a_failure(
    world: World, terminal: Terminal, verify_url: None
) -> None:
    assert verify_url is None
    world.run()
    world.telenor.knobs(logout_ends="nothing")
    began_at = world.clock.now()
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert (told(ran.json)["ends"], ran.json["revocation_lag_seconds"]) == (False, None)
    assert 200 <= (world.clock.now() - began_at).total_seconds() < 230


def test_a_token_that_is_accepted_again_after_it_was_dead_is_told(
    world: World, terminal: Terminal, verify_url: None
) -> None:
    assert verify_url is None
    world.run()
    world.telenor.knobs(approved_again_after_seconds=4)
    ran = terminal.run("--local", "doctor", "--json", "--yes")
    assert ran.json["accepted_again_after_logout"] is True
    assert "ACCEPTED AGAIN" in ran.json["answers"]["after a logout"]
    assert (verdicts(ran.json)[1], ran.status) == ("!", 4)


def test_the_newer_token_is_not_tried_before_its_logout(world: World, terminal: Terminal, verify_url: None) -> None:
    """A gateway that has seen a token keeps it in its cache, and would show a lag that the revocation has not."""
    assert verify_url is None
    world.run()
    before = len(world.telenor.requests)
    terminal.run("--local", "doctor", "--json", "--yes")
    asked = [request.operation for request in world.telenor.requests[before:]]
    first_logout = asked.index("logout", asked.index("token"))
    # The made-up token, the published one, and the older of the two that were asked for.
    assert asked[:first_logout].count("incidents") == 3


def test_a_gateway_that_learns_late_of_a_new_token_does_not_make_it_dead(
    world: World, terminal: Terminal, verify_url: None
) -> None:
    assert verify_url is None
    world.run()
    world.clock.advance(minutes=1)
    world.telenor.knobs(new_token_lags_seconds=3)
    assert told(terminal.run("--local", "doctor", "--json", "--yes").json) == NEW


# What this identity may do


def test_without_the_credentials_it_asks_for_nothing_and_says_so(world: World, terminal: Terminal) -> None:
    world.run()
    denied = CallFault(operation="GetSecretValue", code="AccessDeniedException")
    world.aws.fault(denied, secret_id="telenor/credentials")
    ran = terminal.run("--local", "doctor", "--json")
    assert (ran.status, world.issued()) == (1, 1)
    assert "doctor cannot ask for tokens, for want of the client credentials" in " ".join(ran.err.split())
    assert len(ran.json["cannot"]) == 1
    assert ran.json["dialect"] == "reference"


def test_credentials_from_a_file_stand_for_a_secret_that_may_not_be_read(
    world: World, terminal: Terminal, tmp_path: Path
) -> None:
    world.run()
    file = tmp_path / "credentials.json"
    file.write_text(json.dumps({"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}), encoding="utf-8")
    denied = CallFault(operation="GetSecretValue", code="AccessDeniedException")
    world.aws.fault(denied, secret_id="telenor/credentials")
    ran = terminal.run("--local", "doctor", "--json", "--yes", "--credentials", str(file))
    assert (ran.status, ran.json["tokens_obtained"], ran.json["cannot"]) == (0, 2, [])


@pytest.mark.parametrize("content", [None, b"nonsense", b"\xff", b"{}"])
def test_a_file_that_holds_no_credentials_is_refused_before_anything_is_asked(
    world: World, terminal: Terminal, tmp_path: Path, content: bytes | None
) -> None:
    world.run()
    file = tmp_path / "credentials.json"
    if content is not None:
        file.write_bytes(content)
    ran = terminal.run("--local", "doctor", "--yes", "--credentials", str(file))
    assert (ran.status, ran.out, world.issued()) == (2, "", 1)
    assert "the file of --credentials" in ran.err


def test_where_the_job_may_not_be_started_nothing_is_asked_for(
    deployed: DeployedAws, world: World, terminal: Terminal
) -> None:
    deployed.run({})
    deployed.denied.add("lambda:InvokeFunction")
    ran = terminal.run("doctor", "--stack", "telenor-token", "--yes", "--json")
    assert (ran.status, world.issued(), world.is_current_live()) == (1, 1, True)
    assert "lambda:InvokeFunction" in " ".join(ran.json["cannot"])


def test_the_repair_goes_through_the_function(deployed: DeployedAws, world: World, terminal: Terminal) -> None:
    deployed.run({})
    world.telenor.knobs(issue="new-kills-old")
    before = world.aws.calls()
    ran = terminal.run("doctor", "--stack", "telenor-token", "--yes", "--json")
    assert ran.status == 4
    assert deployed.events[1:] == [{"action": "rotate-now"}]
    assert (world.aws.calls() - before)["PutSecretValue"] == 1
    assert world.is_current_live()


def test_where_telenor_is_not_reached_nothing_is_asked(
    world: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("TELENOR_BASE_URL", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        ran = terminal.run("--local", "doctor", "--yes", "--json")
    assert (ran.status, ran.out) == (1, "")
    assert "the authorization server is not reached from here, so nothing was asked" in ran.err
    assert world.issued() == 1
