"""Combines what both servers recorded. Uses nothing that the handler reports."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from infra.demo import settings
from infra.demo.checks import SeenToken, View
from infra.local.telenor_sandbox import short_id
from infra.promises.history import History, Logout, RunRecord, State, Tolerances

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

    from infra.local.fast_clock import FastClock
    from infra.local.telenor_sandbox import TelenorSandbox

# An observation may come a real second after its event, and a logout waits for the next run.
_TOLERANCES = Tolerances(late=settings.SCHEDULE_SECONDS + 2.0 * settings.SPEED, recording=1.0 * settings.SPEED)


class Observer:
    """Reads the sandbox's state and the token secret, and keeps the time of each change."""

    def __init__(
        self, sandbox: TelenorSandbox, secrets: SecretsManagerClient, token_secret_id: str, clock: FastClock
    ) -> None:
        self._sandbox = sandbox
        self._clock = clock
        self._secrets = secrets
        self._secret_id = token_secret_id
        self._lock = threading.Lock()
        self._values: dict[str, str] = {}
        self._job = RunRecord(name="of the job", request_id="", action="", began_at=clock.time())
        self._history = History(settings.GRACE_SECONDS, settings.LIFETIME_SECONDS, _TOLERANCES)
        self._last = View(at=0)

    def look(self) -> View:
        """Take a look now."""
        with self._lock:
            # Telenor second, so that no token can be seen as published before it is seen as issued.
            listed = self._secrets.list_secret_version_ids(SecretId=self._secret_id, IncludeDeprecated=True)
            stages = {version["VersionId"]: version.get("VersionStages", []) for version in listed["Versions"]}
            created = {version["VersionId"]: version["CreatedDate"].timestamp() for version in listed["Versions"]}
            versions = {short_id(self._value(version_id)): version_id for version_id in stages}
            state = self._sandbox.state()
            now = self._clock.time()
            self._record({version_id: frozenset(labels) for version_id, labels in stages.items()}, now)
            tokens = {}
            for name, seen in sorted(state["tokens"].items(), key=lambda item: item[1]["issued_at"]):
                token = _token(name, seen)
                if (version_id := versions.pop(name, None)) is not None:
                    token = self._published(token, version_id, stages[version_id], now)
                    token = replace(token, created_at=self._clock.time_of(created[version_id]))
                tokens[name] = token
            self._last = View(
                at=now,
                tokens=tokens,
                unknown_versions=tuple(versions.values()),
                served=state["protected"]["accepted"],
                refused=state["protected"]["refused"],
                answers=state["counters"],
            )
            return self._last

    def history(self) -> History:
        """Return the history until the last look, with tokens by their short ids."""
        with self._lock:
            tokens = self._last.tokens.values()
            self._history.expires_at = {token.short_id: token.expires_at for token in tokens}
            self._history.logouts = [
                Logout(token.ended_at, token.short_id, self._job, None)
                for token in tokens
                if token.status == "revoked" and token.ended_at is not None
            ]
            self._history.ended_at = self._last.at
            return self._history

    def is_clean(self, log: str) -> bool:
        """Tell whether no published token is in a text."""
        return not any(value in log for value in self._values.values())

    def _value(self, version_id: str) -> str:
        """Read a version once: what it holds never changes."""
        if version_id not in self._values:
            answer = self._secrets.get_secret_value(SecretId=self._secret_id, VersionId=version_id)
            document = json.loads(answer["SecretString"])
            self._values[version_id] = document["access_token"]
            self._history.values[version_id] = short_id(document["access_token"])
            self._history.documented_until[version_id] = document["expires_at"]
        return self._values[version_id]

    def _record(self, stages: dict[str, frozenset[str]], now: float) -> None:
        states = self._history.states
        if stages and (not states or states[-1].stages != stages):
            states.append(State(now, self._job, stages))

    def _published(self, token: SeenToken, version_id: str, stages: list[str], now: float) -> SeenToken:
        before = self._last.tokens.get(token.short_id, token)
        is_current = "AWSCURRENT" in stages
        return replace(
            token,
            version_id=version_id,
            is_current=is_current,
            is_in_ledger=any(stage.startswith("LIVE_") for stage in stages),
            published_at=before.published_at or now,
            superseded_at=before.superseded_at or (None if is_current else now),
        )


def _token(name: str, seen: dict[str, Any]) -> SeenToken:
    return SeenToken(
        short_id=name,
        issued_at=seen["issued_at"],
        expires_at=seen["expires_at"],
        ended_at=seen["ended_at"],
        status=seen["status"],
    )
