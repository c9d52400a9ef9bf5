"""What runs do, started by the schedule, by new credentials and by hand."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from infra.e2e.story import Story, live, until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

METRICS = {
    "TokenRotated",
    "TokenRevoked",
    "TokenReissued",
    "RotationFailed",
    "RevocationFailed",
    "RevocationAbandoned",
    "RevocationsPending",
    "CredentialsFallback",
    "SecondsUntilExpiry",
}


def ended(story: Story) -> list[Mapping[str, Any]]:
    """Return the summary line of each run."""
    return [record for record in story.stack.records() if "outcome" in record]


def failed_runs(story: Story) -> list[Mapping[str, Any]]:
    """Return the summary lines of the runs that have failed."""
    return [record for record in ended(story) if record["outcome"] == "failed"]


def the_schedule_finds_the_placeholder(story: Story) -> None:
    """Nothing is invoked by hand: each tick fails once, with the sentence, and Lambda does not run it again."""
    says = story.without_credentials
    took = until("a tick that says what to put", lambda: any(says in line for line in story.stack.messages()))
    metrics = story.stack.metrics()[0]
    assert metrics["RotationFailed"] == 1, metrics
    assert metrics["SecondsUntilExpiry"] == 0, metrics
    state = story.telenor.state()
    asked = sum(state["counters"]["token"].values())
    # Each request of another client, if there is one, has got its token.
    assert asked == len(state["tokens"]), "a token was asked for without credentials"
    assert not story.tokens(), "a token was asked for with another client's credentials"
    sentence = next(line for line in story.stack.messages() if says in line)
    story.show("no credentials", f"a tick after {took:.0f} s: {sentence[:90]}…; RotationFailed 1, SecondsUntilExpiry 0")

    until("four failing ticks", lambda: len(failed_runs(story)) >= 4)  # noqa: PLR2004  Lambda would have run one again
    ids = [record["function_request_id"] for record in failed_runs(story)]
    assert len(ids) == len(set(ids)), f"Lambda has run a failing event again: {ids}"
    story.show("no retries", f"{len(ids)} failing ticks, each run once: as many request ids")


def new_credentials_are_tried_at_once(story: Story) -> None:
    """Put into the secret, a wrong pair is logged within seconds, and the right one gives a token within seconds."""
    took = put_credentials(story, "not-" + story.client_secret)
    refusal = forced(story)[-1]
    assert refusal["outcome"] == "failed", refusal
    code = refusal.get("error_code")
    assert code == "credentials-refused", refusal
    story.show("a wrong pair", f"logged {took:.0f} s after it was put, by the event and not by a tick: {code}")

    took = put_credentials(story, story.client_secret)
    assert forced(story)[-1]["outcome"] == "rotated", forced(story)[-1]
    assert story.telenor.is_live(story.token())
    story.show("first token", f"{took:.0f} s after the right pair was put, by the event and not by a tick")

    took = put_credentials(story, "mistyped-" + story.client_secret)
    assert forced(story)[-1]["outcome"] == "rotated", forced(story)[-1]
    # A run logs its summary before its metrics.
    until("its metric", lambda: sum(each["CredentialsFallback"] for each in story.stack.metrics()) >= 1)
    current, previous = credentials_versions(story)
    runs = len(forced(story))
    story.client("secretsmanager").update_secret_version_stage(
        SecretId=story.stack.outputs["CredentialsSecretArn"],
        VersionStage="AWSCURRENT",
        MoveToVersionId=previous,
        RemoveFromVersionId=current,
    )
    until("a run with the pair before", lambda: len(forced(story)) > runs)
    assert story.stack.metrics()[-1]["CredentialsFallback"] == 0, story.stack.metrics()[-1]
    story.show("a mistyped pair", "the one before goes on, CredentialsFallback 1; 0 when AWSCURRENT is moved back")


def put_credentials(story: Story, client_secret: str, *, reason: str = "forced") -> float:
    """Put credentials; return the seconds until a run has ended for this reason."""
    runs = len(ended_for(story, reason))
    story.client("secretsmanager").put_secret_value(
        SecretId=story.stack.outputs["CredentialsSecretArn"],
        SecretString=json.dumps({"client_id": story.client_id, "client_secret": client_secret}),
    )
    return until("a run with the new credentials", lambda: len(ended_for(story, reason)) > runs)


def credentials_versions(story: Story) -> tuple[str, str]:
    """Return the credentials secret's current and previous version."""
    described = story.client("secretsmanager").describe_secret(SecretId=story.stack.outputs["CredentialsSecretArn"])
    by_label = {label: version for version, labels in described["VersionIdsToStages"].items() for label in labels}
    return by_label["AWSCURRENT"], by_label["AWSPREVIOUS"]


def forced(story: Story) -> list[Mapping[str, Any]]:
    """Return the summary lines of the runs that had to rotate now."""
    return ended_for(story, "forced")


def ended_for(story: Story, reason: str) -> list[Mapping[str, Any]]:
    """Return the summary lines of the runs with this reason."""
    return [record for record in ended(story) if record.get("reason") == reason]


def a_superseded_token_has_its_grace(story: Story) -> None:
    """rotate-now by hand; the previous token lives through its grace, and the schedule revokes it."""
    previous = story.token()
    result = story.stack.invoke({"action": "rotate-now"})
    rotated_at = time.time()
    assert (result.get("outcome"), result.get("reason")) == ("rotated", "forced"), result
    assert story.telenor.is_live(previous), "the previous token did not live through its grace"
    until("a scheduled run that revokes it", lambda: not story.telenor.is_live(previous))
    lived = time.time() - rotated_at
    assert lived >= story.grace_seconds - 1, f"it was revoked after {lived:.1f} s of {story.grace_seconds} s"
    until("its label is removed", lambda: story.tracked() == {result["version_id"]})
    assert story.telenor.is_live(story.token())
    story.show("grace", f"rotate-now; the previous token was revoked by the schedule {lived:.0f} s later")


def a_leak_is_ended_at_once(story: Story) -> None:
    """rotate-and-revoke-now leaves one token alive."""
    leaked = story.token()
    result = story.stack.invoke({"action": "rotate-and-revoke-now"})
    assert result.get("outcome") == "rotated", result
    assert not story.telenor.is_live(leaked)
    until("one token is alive", lambda: live(story) == 1)
    story.show("leak", f"rotate-and-revoke-now; revoked {len(result['revoked'])}, one token alive")


def nothing_leaks_and_every_metric_is_there(story: Story) -> None:
    """The deployed log group, and what the emulator printed, hold no secret; no run sends a counter that is zero."""
    lines = story.stack.log()
    text = "\n".join(lines) + story.stack.emulator.log.read_text(errors="replace")
    for secret in (story.client_secret, *story.minted):
        assert secret not in text, "a secret is in the log"
    for metrics in story.stack.metrics():
        assert {"SecondsUntilExpiry"} <= metrics.keys() <= METRICS, f"a run's metrics are {sorted(metrics)}"
        assert all(metrics[name] for name in metrics.keys() - {"SecondsUntilExpiry"}), f"a counter is zero: {metrics}"
    runs = len(story.stack.metrics())
    story.show(
        "log",
        f"{len(lines)} lines, {runs} runs, each with SecondsUntilExpiry; {len(story.minted)} tokens, none there",
    )
