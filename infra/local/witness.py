"""What both servers have seen, put together. Rests on nothing that the handler says of itself."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from infra.local.telenor_sandbox import short_id
from infra.local.verdict import SeenToken, View

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

    from infra.local.story import Story
    from infra.local.telenor_sandbox import TelenorSandbox


class Witness:
    """Looks at the sandbox and at the token secret, and remembers when it saw what."""

    def __init__(
        self, sandbox: TelenorSandbox, secrets: SecretsManagerClient, token_secret_id: str, story: Story
    ) -> None:
        self._sandbox = sandbox
        self._story = story
        self._secrets = secrets
        self._secret_id = token_secret_id
        self._lock = threading.Lock()
        self._values: dict[str, str] = {}
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
            now = self._story.time()
            tokens = {}
            for name, seen in sorted(state["tokens"].items(), key=lambda item: item[1]["issued_at"]):
                token = _token(name, seen)
                if (version_id := versions.pop(name, None)) is not None:
                    token = self._published(token, version_id, stages[version_id], now)
                    token = replace(token, created_at=self._story.time_of(created[version_id]))
                tokens[name] = token
            self._last = View(
                at=now,
                tokens=tokens,
                unknown_versions=tuple(versions.values()),
                once_forgotten=self._last.forgotten,
                served=state["protected"]["accepted"],
                refused=state["protected"]["refused"],
                answers=state["counters"],
            )
            return self._last

    def is_clean(self, log: str) -> bool:
        """Tell whether no published token is in a text."""
        return not any(value in log for value in self._values.values())

    def _value(self, version_id: str) -> str:
        """Read a version once: what it holds never changes."""
        if version_id not in self._values:
            answer = self._secrets.get_secret_value(SecretId=self._secret_id, VersionId=version_id)
            self._values[version_id] = json.loads(answer["SecretString"])["access_token"]
        return self._values[version_id]

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
