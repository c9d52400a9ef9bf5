"""The observations of doctor on another authorization server, with and without VERIFY_URL."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from infra.local.secrets_manager_faults import CallFault
from tests.handler.cli.doctor.test_probe import NEW, SAME, answers_of, results_of
from tests.leak_detector import CLIENT_ID, CLIENT_SECRET

if TYPE_CHECKING:
    from pathlib import Path

    from infra.local.oauth_server import OAuthServer
    from tests.handler.cli.conftest import Terminal
    from tests.world import World

pytestmark = pytest.mark.usefixtures("local")

UNKNOWN = NEW | {"lives": None, "ends": None, "others": None, "harmed": None}


@pytest.mark.parametrize(
    ("server_does", "answers", "signs"),
    [
        pytest.param({}, NEW, "++++++", id="RFC 7009"),
        pytest.param({"issues": "same"}, SAME, "!?++++", id="the same token"),
        pytest.param(
            {"issues": "one-at-a-time"},
            NEW | {"lives": False, "others": None, "harmed": True},
            "!++++!",
            id="one token at a time",
        ),
        pytest.param({"revokes": "nothing"}, NEW | {"ends": False}, "+!++++", id="200 that revokes nothing"),
    ],
)
def test_with_verify_url_doctor_detects_how_the_server_behaves(
    job: World,
    server: OAuthServer,
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
    server_does: dict[str, Any],
    answers: dict[str, bool | None],
    signs: str,
) -> None:
    monkeypatch.setenv("VERIFY_URL", server.resource_url)
    job.run()
    job.clock.advance(minutes=10)
    for name, value in server_does.items():
        setattr(server, name, value)
    ran = terminal.doctor()
    assert answers_of(ran.json) == answers
    assert results_of(ran.json) == signs
    assert server.is_active(job.token())
    assert "Telenor" not in ran.out + ran.err


def test_without_verify_url_a_200_proves_nothing(job: World, terminal: Terminal) -> None:
    job.run()
    ran = terminal.doctor()
    assert answers_of(ran.json) == UNKNOWN
    assert "VERIFY_URL" in ran.json["answers"]["logout"]


def test_with_a_file_the_made_up_token_is_revoked_with_its_credentials(
    job: World, terminal: Terminal, tmp_path: Path
) -> None:
    job.run()
    file = tmp_path / "credentials.json"
    file.write_text(json.dumps({"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}), encoding="utf-8")
    denied = CallFault(operation="GetSecretValue", code="AccessDeniedException")
    for _ in range(3):
        job.aws.fault(denied, secret_id="telenor/credentials")
    # Without the file a permission is missing, which says nothing about the server.
    ran = terminal.doctor()
    assert (ran.status, results_of(ran.json)[1]) == (1, "?")
    ran = terminal.doctor("--credentials", str(file))
    assert (ran.status, results_of(ran.json)[1]) == (0, "?")


def test_without_a_revocation_endpoint_the_published_token_is_not_replaced(
    job: World, server: OAuthServer, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REVOCATION_URL", "none")
    monkeypatch.setenv("VERIFY_URL", server.resource_url)
    job.run()
    before = job.aws.calls()["PutSecretValue"]
    ran = terminal.doctor()
    assert job.aws.calls()["PutSecretValue"] == before
    assert (ran.json["answers"]["after a logout"], results_of(ran.json)[2]) == ("nothing is revoked", "+")


@pytest.mark.parametrize("revocation", ["unsupported", "none"])
def test_a_server_that_revokes_no_access_tokens_is_detected(
    job: World, server: OAuthServer, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, revocation: str
) -> None:
    if revocation == "none":
        monkeypatch.setenv("REVOCATION_URL", "none")
    else:
        server.revokes = "unsupported"
    job.run()
    ran = terminal.doctor()
    assert ran.status == 4
    assert ran.json["tokens_left"] == 2
    assert "access tokens" in ran.json["answers"]["logout"]


@pytest.mark.parametrize("revocation", ["none", "reached"])
@pytest.mark.parametrize("is_verified", [False, True])
def test_where_the_token_endpoint_is_not_reached_nothing_is_asked_and_nothing_rotates(
    job: World,
    server: OAuthServer,
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
    revocation: str,
    is_verified: bool,
) -> None:
    job.run()
    if revocation == "none":
        monkeypatch.setenv("REVOCATION_URL", "none")
    if is_verified:
        monkeypatch.setenv("VERIFY_URL", server.resource_url)
    before = job.aws.calls()["PutSecretValue"]
    monkeypatch.setenv("TOKEN_URL", "http://127.0.0.1:1/token")
    ran = terminal.doctor()
    assert (ran.status, ran.out) == (1, "")
    assert "cannot be reached from here, so no token was requested" in ran.err
    assert "rotates" not in ran.err
    assert job.aws.calls()["PutSecretValue"] == before
