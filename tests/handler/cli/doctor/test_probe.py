"""The observations of doctor and the tokens that it leaves behind, in every mode of the sandbox."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from handler import app
from infra.local.secrets_manager_faults import CallFault, Meanwhile
from tests.handler.cli.conftest import InterruptingClock
from tests.leak_detector import CLIENT_ID, CLIENT_SECRET

if TYPE_CHECKING:
    from pathlib import Path

    from tests.handler.cli.conftest import Terminal
    from tests.handler.cli.deployed_aws import DeployedAws
    from tests.world import World


pytestmark = pytest.mark.usefixtures("local")


def answers_of(document: dict[str, Any]) -> dict[str, bool | None]:
    """Return the answers to doctor's yes/no questions, by short names."""
    return {
        "new": document["second_request_gives_new_token"],
        "longer": document["same_token_gets_longer_life"],
        "lives": document["old_token_lives_on"],
        "ends": document["logout_ends_token"],
        "others": document["logout_ends_other_tokens"],
        "harmed": document["published_token_ended"],
    }


def results_of(document: dict[str, Any]) -> str:
    """Return the results of P1 to P6 as signs: + holds, ? holds if, ! at risk."""
    signs = {"holds": "+", "holds-if": "?", "at-risk": "!"}
    return "".join(signs[promise["verdict"]] for promise in document["promises"][:6])


def because(document: dict[str, Any], name: str) -> str:
    return next(str(promise["because"]) for promise in document["promises"] if promise["name"].startswith(name))


@pytest.fixture
def verify_url(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERIFY_URL", f"{world.telenor.url}/service-tickets/v2/incidents")


verifying = pytest.mark.usefixtures("verify_url")

NEW = {"new": True, "longer": None, "lives": True, "ends": True, "others": False, "harmed": False}
SAME = {"new": False, "longer": False, "lives": None, "ends": None, "others": None, "harmed": False}
NOTHING = {"new": True, "longer": None, "lives": None, "ends": None, "others": None, "harmed": None}

REVOKES_OLD = NEW | {"lives": False, "others": None, "harmed": True}

# A fault or knobs of the sandbox, the answers, the results, and other fields. First those independent of VERIFY_URL.
Case = tuple[dict[str, Any], dict[str, bool | None], str, dict[str, Any]]
ALWAYS: list[Case] = [
    ({"issue": "new"}, NEW, "++++++", {}),
    ({"issue": "same"}, SAME, "!?++++", {}),
    ({"issue": "same-extended"}, SAME | {"longer": True}, "+?++++", {}),
    ({"issue": "new-revokes-old"}, REVOKES_OLD, "!++++!", {}),
    ({"logout_ends": "client"}, NEW | {"others": True, "harmed": True}, "!+!+++", {}),
    ({"issue": "new-revokes-old", "logout_ends": "client"}, REVOKES_OLD, "!++++!", {}),
    # The logout of doctor's made-up token.
    ({"operation": "logout", "status": 200, "body": "OK!", "times": 1}, NEW, "++++++", {}),
]
WITHOUT_VERIFY_URL: list[Case] = [
    ({"logout_ends": "nothing"}, NOTHING, "???++?", {"tokens_left": None}),
    ({"operation": "logout", "status": 503}, NOTHING, "?!?++?", {"tokens_left": 2}),
    # Five attempts with the made-up token and one for each of the four probes; the logouts at the end succeed.
    ({"operation": "logout", "status": 503, "times": 9}, NOTHING, "?!?++?", {"tokens_left": 0}),
    ({"operation": "logout", "status": 401, "body": '{"code": 2}'}, NOTHING, "?!?++?", {"tokens_left": 2}),
    ({"error_format": "gateway"}, NEW, "++++++", {"dialect": "gateway"}),
    ({"error_format": "apigee"}, NEW, "++++++", {"dialect": "apigee"}),
    ({"error_format": "rfc6749"}, NEW, "++++++", {"dialect": "oauth"}),
    ({"error_shape": "text"}, NEW, "++++++", {"dialect": "reference"}),
    ({"error_shape": "none"}, NOTHING, "?!?++?", {"dialect": "none-known"}),
    ({"clock_ahead_seconds": 90}, NEW, "?+++++", {"clock_ahead_seconds": pytest.approx(-90, abs=0.5)}),
]
AGAIN = NEW | {"others": None, "harmed": None}
WITH_VERIFY_URL: list[Case] = [
    ({"logout_ends": "nothing"}, NEW | {"ends": False}, "+!++++", {"revocation_lag_seconds": None, "tokens_left": 2}),
    ({"revocation_lags_seconds": 0}, NEW, "++++++", {"revocation_lag_seconds": pytest.approx(2.5, abs=2.5)}),
    ({"revocation_lags_seconds": 180}, NEW, "++++++", {"revocation_lag_seconds": pytest.approx(182.5, abs=2.5)}),
    ({"approved_again_after_seconds": 4}, AGAIN, "?!?+++", {"accepted_again_after_logout": True}),
    # A gateway that learns of a new token late does not make it inactive.
    ({"new_token_lags_seconds": 3}, NEW, "++++++", {}),
    ({"operation": "incidents", "status": 403}, NEW, "+++++!", {"verify_url": "refuses-a-new-token"}),
    ({"operation": "incidents", "status": 500}, NEW, "++++++", {"verify_url": "no-clear-answer"}),
    ({"operation": "incidents", "drop": True}, NEW, "++++++", {"verify_url": "no-clear-answer"}),
]


@pytest.mark.parametrize(
    ("is_verified", "server_does", "answers", "signs", "fields"),
    [(False, *case) for case in ALWAYS + WITHOUT_VERIFY_URL] + [(True, *case) for case in ALWAYS + WITH_VERIFY_URL],
)
def test_doctor_detects_how_the_server_behaves(
    world: World,
    terminal: Terminal,
    request: pytest.FixtureRequest,
    is_verified: bool,
    server_does: dict[str, Any],
    answers: dict[str, bool | None],
    signs: str,
    fields: dict[str, Any],
) -> None:
    if is_verified:
        request.getfixturevalue("verify_url")
    world.run()
    world.clock.advance(minutes=10)
    (world.telenor.fault if "operation" in server_does else world.telenor.knobs)(**server_does)
    ran = terminal.doctor()
    assert answers_of(ran.json) == answers
    assert results_of(ran.json) == signs
    assert ran.status == (4 if "!" in signs else 0)
    # Even if doctor's requests have revoked the published token, or may have: --yes has rotated then.
    assert world.is_current_live()
    assert len(world.labels()) == (1 if answers["harmed"] is False else 2)
    cleanup = world.live() - sum(map(world.is_live, world.tracked()))
    verify_url = "tells-live-from-dead" if is_verified else "not-set"
    expected = {"tokens_left": cleanup, "verify_url": verify_url} | fields
    assert {name: ran.json[name] for name in expected} == expected


@pytest.mark.parametrize(("issue", "signs"), [("new", "++++++"), ("same", "!+++++"), ("same-extended", "++++++")])
def test_without_a_published_token_doctor_leaves_no_token_behind(
    world: World, terminal: Terminal, issue: str, signs: str
) -> None:
    world.telenor.knobs(issue=issue)
    ran = terminal.doctor()
    assert answers_of(ran.json)["ends"] is True
    assert results_of(ran.json) == signs
    assert "No published token is active" in ran.words
    assert world.live() == 0
    assert world.labels() == {}


# The token response


def test_the_shape_of_the_token_response_is_shown(world: World, terminal: Terminal) -> None:
    world.telenor.knobs(refresh_token=True, variations=False)
    fields = dict.fromkeys(("access_token", "token_type", "refresh_token"), "string") | {"expires_in": "number"}
    assert terminal.doctor().json["token_answer"]["fields"] == fields


def test_the_lifetime_of_a_reissued_token_counts_from_its_first_issue(world: World, terminal: Terminal) -> None:
    world.telenor.knobs(issue="same")
    world.run()
    world.clock.advance(minutes=55)
    assert terminal.doctor().json["life_seconds"] == 3599


def test_an_assumed_lifetime_is_reported_as_assumed(world: World, terminal: Terminal) -> None:
    world.telenor.knobs(expires_in_as="missing", issue="same-extended")
    ran = terminal.doctor()
    assert ran.json["answers"]["a token's life"].startswith("15 min is assumed, since the server sends no expires_in")
    assert answers_of(ran.json)["longer"] is None


# VERIFY_URL


def test_a_verify_url_that_accepts_anything_is_reported_and_not_relied_on(
    world: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERIFY_URL", f"{world.telenor.url}/_sandbox/state")
    world.run()
    world.telenor.knobs(issue="new-revokes-old")
    ran = terminal.doctor()
    assert ran.json["verify_url"] == "accepts-a-made-up-token"
    assert answers_of(ran.json)["harmed"] is True


@verifying
def test_an_inactive_published_token_is_reported(world: World, terminal: Terminal) -> None:
    world.run()
    world.telenor.reset()
    ran = terminal.doctor()
    assert results_of(ran.json) == "!+++++"
    assert "VERIFY_URL rejects the published token" in because(ran.json, "P1")
    assert answers_of(ran.json)["harmed"] is False


# No token


def test_wrong_credentials_are_a_finding(world: World, terminal: Terminal) -> None:
    world.run()
    world.put_client(CLIENT_ID, "CANARY-wrong")
    ran = terminal.doctor()
    assert "Connect ID and Min Bedrift" in because(ran.json, "P1")
    assert results_of(ran.json) == "!??++?"
    assert answers_of(ran.json)["harmed"] is False
    assert ran.status == 4
    assert world.is_current_live()


@pytest.mark.parametrize(
    "trouble", [{"expires_in_as": "raw", "expires_in_raw": "soon"}, {"token_type": "MAC"}, {"lifetime_seconds": 0.5}]
)
def test_unusable_tokens_are_revoked_too(world: World, terminal: Terminal, trouble: dict[str, Any]) -> None:
    world.run()
    world.telenor.knobs(**trouble)
    ran = terminal.doctor()
    assert ran.status == 4
    assert "no usable token" in because(ran.json, "P1")
    assert ran.json["tokens_obtained"] >= 1
    assert world.live() == 1
    assert world.is_current_live()


def test_an_outage_of_the_token_endpoint_is_a_finding(world: World, terminal: Terminal) -> None:
    world.run()
    world.telenor.fault(operation="token", drop=True)
    ran = terminal.doctor()
    assert answers_of(ran.json)["harmed"] is None
    assert because(ran.json, "P1").startswith("no usable token: no answer from 127.0.0.1")
    assert len(world.labels()) == 1, "a rotation would fail too"


@pytest.mark.parametrize("requests", [1, 2])
def test_an_outage_between_two_requests_leaves_no_token_behind(world: World, terminal: Terminal, requests: int) -> None:
    world.telenor.knobs(issue="same")
    world.telenor.fault(operation="token", delay_seconds=0.001, times=requests)
    world.telenor.fault(operation="token", status=503)
    ran = terminal.doctor()
    assert answers_of(ran.json)["new"] is (None if requests == 1 else False)
    assert ran.json["tokens_left"] == 0
    assert world.live() == 0


# Tokens that must not be logged out


@pytest.mark.parametrize("before", range(1, 8))
def test_a_token_published_during_doctor_is_not_logged_out(world: World, terminal: Terminal, before: int) -> None:
    world.telenor.knobs(issue="same")
    world.aws.fault(Meanwhile(operation="DescribeSecret", happens=lambda: world.run("rotate-now")), after=before)
    assert terminal.doctor().status in {0, 4}
    if world.labels():
        assert world.is_current_live()


def test_a_reissued_superseded_token_is_not_logged_out(world: World, terminal: Terminal) -> None:
    first, second = world.supersede()
    world.telenor.knobs(issue="same")  # issues the oldest active token again
    assert "1 left active" in terminal.doctor().json["answers"]["tokens"]
    assert world.is_live(first)
    assert world.is_live(second)


@pytest.mark.parametrize(("operation", "good"), [("DescribeSecret", 1), ("GetSecretValue", 3)])
def test_a_token_that_cannot_be_compared_is_not_logged_out(
    world: World, terminal: Terminal, operation: str, good: int
) -> None:
    world.run()
    world.aws.fault(CallFault(operation=operation, code="AccessDeniedException"), times=99, after=good)
    assert terminal.doctor().json["tokens_left"] == 2
    assert [request.operation for request in world.telenor.requests].count("logout") == 1  # the made-up token's
    assert world.live() == 3


def test_a_token_that_cannot_be_parsed_from_its_response_is_counted(world: World, terminal: Terminal) -> None:
    world.telenor.fault(operation="token", body="", when="after")
    assert (terminal.doctor().json["tokens_left"], world.live()) == (5, 5)


def test_ctrl_c_leaves_no_token_behind(world: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    world.telenor.knobs(issue="same")
    monkeypatch.setattr(app, "clock", InterruptingClock())
    assert terminal.doctor().status == 130
    assert (world.issued(), world.live()) == (1, 0)


# Confirmation


def test_without_a_terminal_doctor_requests_nothing_if_a_token_is_published(world: World, terminal: Terminal) -> None:
    world.run()
    ran = terminal.run("--local", "doctor")
    assert ran.status == 2
    assert "A token is published and active" in ran.words
    assert "add --yes" in ran.err
    assert world.issued() == 1


@verifying
@pytest.mark.parametrize(
    ("issue", "minutes", "says"),
    [
        ("new", 1, "VERIFY_URL still accepts superseded"),
        ("new-revokes-old", 1, "this would revoke the published one"),
        # The grace of the superseded token is over.
        ("new", 11, "doctor never logs out a published token. Request"),
    ],
)
def test_the_confirmation_mentions_what_a_superseded_token_suggests(
    world: World, terminal: Terminal, issue: str, minutes: int, says: str
) -> None:
    world.telenor.knobs(issue=issue)
    world.supersede()
    world.clock.advance(minutes=minutes)
    ran = terminal.run("--local", "doctor", typed="no\n")
    assert says in ran.words
    assert (ran.status, world.issued(), world.is_current_live()) == (1, 2, True)


def test_the_job_replaces_a_published_token_that_doctor_revoked(world: World, terminal: Terminal) -> None:
    world.run()
    world.telenor.knobs(issue="new-revokes-old")
    ran = terminal.run("--local", "doctor", typed="yes\n")
    assert ran.status == 4
    assert "The published token was revoked, so the job rotates." in ran.err
    assert world.is_current_live()


def test_a_failed_replacement_is_reported_as_an_error(world: World, terminal: Terminal) -> None:
    world.run()
    world.telenor.knobs(issue="new-revokes-old")
    world.aws.fault(CallFault(operation="PutSecretValue", code="AccessDeniedException"))
    ran = terminal.doctor()
    assert ran.status == 4
    assert "THE PUBLISHED TOKEN WAS REVOKED, AND NO REPLACEMENT IS CONFIRMED: run `rotate`" in ran.err


@verifying
def test_after_ctrl_c_the_job_replaces_a_possibly_revoked_token(
    world: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run()
    world.telenor.knobs(issue="new-revokes-old")
    monkeypatch.setattr(app, "clock", InterruptingClock())
    world.telenor.fault(operation="logout", status=401, body='{"code": 6}')
    ran = terminal.doctor()
    assert (ran.status, "tokens not revoked: " in ran.err) == (130, True)
    assert "may have been revoked, so the job rotates" in ran.err


def test_a_schedule_that_does_not_run_puts_self_healing_at_risk(world: World, terminal: Terminal) -> None:
    world.run()
    world.clock.advance(minutes=45)
    assert results_of(terminal.doctor().json) == "++++!+"


# Delayed revocation


@verifying
def test_a_token_is_tried_after_logout_for_longer_than_a_gateway_caches_it(world: World, terminal: Terminal) -> None:
    world.run()
    world.telenor.knobs(logout_ends="nothing")
    # The token becomes due while doctor waits.
    world.clock.advance(minutes=19)
    began_at = world.clock.now()
    ran = terminal.doctor()
    assert ("tries it again every few seconds" in ran.words, results_of(ran.json)[4]) == (True, "+")
    assert 200 <= (world.clock.now() - began_at).total_seconds() < 230


@verifying
def test_the_newer_token_is_not_used_before_its_logout(world: World, terminal: Terminal) -> None:
    """A gateway caches a token that it has seen, which would show a delay that the revocation does not have."""
    world.run()
    before = len(world.telenor.requests)
    terminal.doctor()
    token_test = [request.operation for request in world.telenor.requests[before:]]
    first_logout = token_test.index("logout", token_test.index("token"))
    # The made-up token, the published one, and the older of the two requested ones.
    assert token_test[:first_logout].count("incidents") == 3


# Permissions


def test_without_credentials_doctor_requests_nothing_unless_a_file_has_them(
    world: World, terminal: Terminal, tmp_path: Path
) -> None:
    world.run()
    denied = CallFault(operation="GetSecretValue", code="AccessDeniedException")
    world.aws.fault(denied, secret_id="telenor/credentials")
    ran = terminal.doctor()
    assert (ran.status, world.issued()) == (1, 1)
    assert "doctor cannot request tokens, because it cannot read the client credentials" in ran.words
    assert (len(ran.json["cannot"]), ran.json["dialect"]) == (1, "reference")
    file = tmp_path / "credentials.json"
    file.write_text(json.dumps({"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}), encoding="utf-8")
    ran = terminal.doctor("--credentials", str(file))
    assert (ran.status, ran.json["tokens_obtained"], ran.json["cannot"]) == (0, 2, [])


@pytest.mark.parametrize("content", [None, b"nonsense", b"\xff", b"{}"])
def test_a_file_without_credentials_is_refused_before_any_request(
    world: World, terminal: Terminal, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "credentials.json"
    if content is not None:
        file.write_bytes(content)
    ran = terminal.doctor("--credentials", str(file))
    assert (ran.status, ran.out, world.issued()) == (2, "", 0)
    assert "the file of --credentials" in ran.err


def test_credentials_in_the_token_secret_are_refused_before_any_request(
    world: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One secret by its name and by its ARN."""
    monkeypatch.setenv("CREDENTIALS_SECRET_ID", world.client.describe_secret(SecretId="telenor/token")["ARN"])
    world.put(json.dumps({"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}))
    assert (terminal.doctor().status, world.issued()) == (2, 0)


def test_without_permission_to_invoke_the_job_doctor_requests_nothing(
    deployed: DeployedAws, world: World, terminal: Terminal
) -> None:
    deployed.run({})
    deployed.denied.add("lambda:InvokeFunction")
    ran = terminal.doctor(job=("--stack", "telenor-token"))
    assert (ran.status, world.issued(), world.is_current_live()) == (1, 1, True)
    assert "lambda:InvokeFunction" in " ".join(ran.json["cannot"])


def test_the_repair_invokes_the_function(deployed: DeployedAws, world: World, terminal: Terminal) -> None:
    deployed.run({})
    world.telenor.knobs(issue="new-revokes-old")
    before = world.aws.calls()
    assert terminal.doctor(job=("--stack", "telenor-token")).status == 4
    assert deployed.events[1:] == [{"action": "rotate-now"}]
    assert (world.aws.calls() - before)["PutSecretValue"] == 1
    assert world.is_current_live()


def test_an_unreachable_telenor_ends_doctor_before_any_token_request(
    world: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run()
    monkeypatch.setenv("TELENOR_BASE_URL", "http://127.0.0.1:1")
    ran = terminal.doctor()
    assert (ran.status, ran.out, world.issued()) == (1, "", 1)
    assert "the authorization server cannot be reached from here, so no token was requested" in ran.err
