"""A job on an authorization server other than Telenor's: RFC 6749 and RFC 7009, over real sockets."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import TYPE_CHECKING

import pytest

from handler.credentials import Credentials, KnownCredentials
from handler.error_responses import OAUTH_ERROR_CODES
from handler.errors import ErrorCode, RotationError, SecretsManagerRefusedError, ServerError, ServerRefusedError
from handler.server_protocols import OAuthProtocol
from tests.leak_detector import CANARY, CLIENT_ID, CLIENT_SECRET

if TYPE_CHECKING:
    from infra.local.oauth_server import OAuthServer
    from tests.world import World

GRACE = {"seconds": 660}
EMERGENCY = "rotate-and-revoke-now"


def test_a_superseded_token_is_revoked_after_its_grace(job: World, server: OAuthServer) -> None:
    job.run()
    replaced = job.rotate()
    assert server.is_active(replaced)
    job.clock.advance(**GRACE)
    result = job.run()
    assert (len(result["revoked"]), result["pending_revocations"]) == (1, 0)
    assert (server.is_active(replaced), server.is_active(job.token())) == (False, True)
    path, form, _ = server.requests[-1]
    assert (path, form) == ("/revoke", {"token": replaced, "token_type_hint": "access_token"})


def test_client_id_and_secret_are_form_encoded_before_basic(job: World, server: OAuthServer) -> None:
    pair = ("app:x y/1", f"{CANARY}+&=%")
    server.clients[pair[0]] = pair[1]
    job.put_client(*pair)
    job.run()
    _, form, authorization = server.requests[-1]
    assert b64decode(authorization.removeprefix("Basic ")) == f"app%3Ax+y%2F1:{CANARY}%2B%26%3D%25".encode()
    assert form == {"grant_type": "client_credentials"}


def test_client_id_and_secret_can_be_sent_in_the_form(
    job: World, server: OAuthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIENT_AUTHENTICATION", "client_secret_post")
    job.run()
    _, form, authorization = server.requests[-1]
    assert authorization == ""
    assert form == {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}


def test_parameters_and_the_scope_go_into_the_token_request(
    job: World, server: OAuthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_PARAMETERS", "audience=https%3A%2F%2Fapi.example.com&tenant=a+b")
    monkeypatch.setenv("TELENOR_SCOPE", "one two")
    job.run()
    assert server.requests[-1][1] == {
        "grant_type": "client_credentials",
        "scope": "one two",
        "audience": "https://api.example.com",
        "tenant": "a b",
    }


# The client


def test_after_a_mistyped_secret_the_previous_credentials_also_revoke(job: World, server: OAuthServer) -> None:
    job.run()
    job.put_client(CLIENT_ID, f"{CANARY}-mistyped")
    replaced = job.rotate()
    assert job.seen.metrics()["CredentialsFallback"] == 1
    job.clock.advance(**GRACE)
    # Not due, so nothing in this run has shown which secret is valid.
    assert job.run()["outcome"] == "not-due"
    assert not server.is_active(replaced)


def test_a_token_of_a_replaced_client_is_revoked_with_its_own_credentials(job: World, server: OAuthServer) -> None:
    job.run()
    server.clients["other"] = f"{CANARY}-other"
    job.put_client("other", f"{CANARY}-other")
    replaced = job.rotate()
    job.clock.advance(**GRACE)
    job.run()
    assert not server.is_active(replaced)
    assert job.document()["client_id"] == "other"


def test_a_token_of_a_deleted_client_stays_until_it_expires(job: World, server: OAuthServer) -> None:
    job.run()
    for name in ("second", "third"):
        server.clients[name] = f"{CANARY}-{name}"
        job.put_client(name, f"{CANARY}-{name}")
    replaced = job.rotate()
    job.clock.advance(**GRACE)
    result = job.run()
    assert (result["revoked"], result["pending_revocations"]) == ([], 1)
    assert job.seen.codes() == ["client-replaced"]
    assert server.is_active(replaced)
    assert "/revoke" not in {path for path, _, _ in server.requests}
    job.clock.advance(seconds=3600)
    assert job.run()["pending_revocations"] == 0


def test_an_unusable_credentials_secret_does_not_fail_a_run_that_only_revokes(job: World, server: OAuthServer) -> None:
    job.run()
    replaced = job.rotate()
    job.put_credentials("{}")
    job.clock.advance(**GRACE)
    assert job.run()["outcome"] == "not-due"
    # The token was requested with the credentials under AWSPREVIOUS.
    assert not server.is_active(replaced)


def test_unreadable_credentials_do_not_count_as_a_replaced_client(job: World) -> None:
    job.run()
    job.rotate()
    job.put_credentials("{}")
    job.put_credentials("[]")
    job.clock.advance(**GRACE)
    assert job.run()["pending_revocations"] == 1
    assert {line.get("cause") for line in job.seen.log()} >= {ErrorCode.CREDENTIALS_UNUSABLE}


@pytest.mark.parametrize(
    ("error", "code"),
    [(None, "client-replaced"), (SecretsManagerRefusedError("no version"), "secrets-manager-refused")],
)
def test_without_the_credentials_of_a_token_nothing_is_sent(error: RotationError | None, code: str) -> None:
    known = KnownCredentials([Credentials("x", f"{CANARY}-secret")], error)
    protocol = OAuthProtocol("https://id.example/token", "https://id.example/revoke", "client_secret_basic")
    with pytest.raises(ServerError) as failure:
        next(protocol.revocation_requests(f"{CANARY}-token", "another", lambda: known))
    assert failure.value.error_code == code


@pytest.mark.parametrize("word", ["unauthorized_client", "access_denied", ""])
def test_any_401_of_the_token_endpoint_rejects_the_client(job: World, server: OAuthServer, word: str) -> None:
    server.failures["/token"] = (401, json.dumps({"error": word}))
    with pytest.raises(RotationError) as failure:
        job.run()
    assert failure.value.error_code == ErrorCode.CREDENTIALS_REFUSED
    assert [path for path, _, _ in server.requests] == ["/token"]


# Failing or missing revocation


@pytest.mark.parametrize(
    ("response", "cause", "count"),
    [
        pytest.param((400, '{"error": "unsupported_token_type"}'), ErrorCode.REVOCATION_UNSUPPORTED, 1, id="type"),
        pytest.param((200, "<html><form></form></html>"), ErrorCode.ANSWER_UNKNOWN, 1, id="login page"),
        pytest.param((200, '{"error": "invalid_request"}'), ErrorCode.REQUEST_MALFORMED, 1, id="error in a 200"),
        pytest.param((404, ""), ErrorCode.ANSWER_UNKNOWN, 1, id="not found"),
        pytest.param((401, '{"error": "invalid_token"}'), ErrorCode.CREDENTIALS_REFUSED, 1, id="401"),
        pytest.param((503, ""), ErrorCode.LOGOUT_ENDPOINT_OUT, 5, id="outage"),
    ],
)
def test_a_token_that_was_not_revoked_stays_in_the_ledger(
    job: World, server: OAuthServer, response: tuple[int, str], cause: ErrorCode, count: int
) -> None:
    job.run()
    job.rotate()
    job.clock.advance(**GRACE)
    server.failures["/revoke"] = response
    result = job.run()
    assert (result["outcome"], result["revoked"], result["pending_revocations"]) == ("not-due", [], 1)
    failures = [(line["error_code"], line["cause"]) for line in job.seen.log() if "superseded_version_id" in line]
    assert failures == [(cause if cause == ErrorCode.REVOCATION_UNSUPPORTED else "revocation-failed", cause)]
    assert len([path for path, _, _ in server.requests if path == "/revoke"]) == count


def test_a_server_without_revocation_keeps_superseded_tokens_until_they_expire(
    job: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REVOCATION_URL", "none")
    job.run()
    job.rotate()
    job.clock.advance(**GRACE)
    result = job.run()
    assert (result["outcome"], result["pending_revocations"]) == ("not-due", 1)
    assert (job.seen.metrics()["RevocationFailed"], job.seen.metrics()["RevocationsPending"]) == (0, 0)
    assert job.seen.codes() == []


def test_a_full_ledger_of_a_server_without_revocation_gives_up_the_oldest_token(
    job: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REVOCATION_URL", "none")
    for _ in range(17):
        job.run("rotate-now")
    metrics = job.seen.metrics()
    assert (metrics["RevocationAbandoned"], metrics["RevocationFailed"]) == (1, 0)


def test_an_emergency_at_a_server_without_revocation_publishes_and_fails(
    job: World, server: OAuthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REVOCATION_URL", "none")
    job.run()
    leaked = job.token()
    with pytest.raises(ServerRefusedError) as failure:
        job.run(EMERGENCY)
    assert failure.value.error_code == ErrorCode.REVOCATION_UNSUPPORTED
    assert job.token() != leaked
    assert "/revoke" not in {path for path, _, _ in server.requests}


def test_messages_about_another_server_do_not_name_telenor(job: World, server: OAuthServer) -> None:
    words = ["unknown_word", *OAUTH_ERROR_CODES]
    responses = [
        *((400, json.dumps({"error": word})) for word in words),
        *((200, body) for body in ("", '{"error": "invalid_scope"}')),
        *((status, "") for status in (302, 401, 418, 429, 503)),
        (200, json.dumps({"access_token": f"{CANARY}-x", "token_type": "mac"})),
        (200, json.dumps({"access_token": f"{CANARY}-x", "expires_in": 0})),
    ]
    for response in responses:
        server.failures["/token"] = response
        with pytest.raises(RotationError):
            job.run()
    assert "authorization server" in job.seen.messages()
    assert "Telenor" not in job.seen.messages()


def test_a_requests_repr_hides_its_secrets(server: OAuthServer) -> None:
    protocol = OAuthProtocol(server.token_url, server.revocation_url, "client_secret_post")
    pair = Credentials("x", f"{CANARY}-secret")
    known = KnownCredentials([pair], None)
    revocations = protocol.revocation_requests(f"{CANARY}-token", "x", lambda: known)
    requests = [protocol.token_request(pair, None), *revocations]
    assert [CANARY in str(request.form) for request in requests] == [True, True]
    assert CANARY not in repr(requests)
