"""MiniStack 1.5.33 with what this deployment rests on and it lacks. Runs in the environment of MiniStack.

Each correction says what AWS does. They reach into MiniStack's own names, so its version is pinned; a name that is gone
ends this with an error.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import Any

from ministack import app
from ministack.core import iam_actions
from ministack.services import eventbridge, scheduler, secretsmanager
from ministack.services.cloudformation import provisioners

_BAD_REQUEST = 400


def know_resource_policies() -> None:
    """AWS::SecretsManager::ResourcePolicy: its CloudFormation does not know it; its API does, and enforces it."""

    def create(_logical_id: str, properties: dict[str, Any], _stack: str) -> tuple[str, dict[str, str]]:
        policy = properties["ResourcePolicy"]
        text = policy if isinstance(policy, str) else json.dumps(policy)
        body = {"SecretId": properties["SecretId"], "ResourcePolicy": text}
        status, _, answer = secretsmanager._put_resource_policy(body)  # noqa: SLF001  see the module's docstring
        if status >= _BAD_REQUEST:
            raise ValueError(f"AWS::SecretsManager::ResourcePolicy failed: {answer!r}")
        arn = json.loads(answer)["ARN"]
        return arn, {"Id": arn}

    def update(
        _physical_id: str, _old: dict[str, Any], new: dict[str, Any], stack: str, logical_id: str = ""
    ) -> tuple[str, dict[str, str]]:
        return create(logical_id, new, stack)

    def delete(physical_id: str, _properties: dict[str, Any]) -> None:
        secretsmanager._delete_resource_policy({"SecretId": physical_id})  # noqa: SLF001

    provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::ResourcePolicy"] = {  # noqa: SLF001
        "create": create,
        "update": update,
        "delete": delete,
    }


def know_the_version_stage() -> None:
    """The condition key secretsmanager:VersionStage: AWS sets it for calls that name a label."""
    original = iam_actions.request_tag_context

    def with_version_stage(service: str, action: str, body: bytes | str | None, *rest: object) -> dict[str, Any]:
        context: dict[str, Any] = original(service, action, body, *rest)
        if service == "secretsmanager":
            label = json.loads(body or b"{}").get("VersionStage")
            if isinstance(label, str):
                context = {**context, "secretsmanager:VersionStage": label}
        return context

    iam_actions.request_tag_context = with_version_stage


def let_minutes_pass_quickly(seconds_a_minute: float) -> None:
    """The scheduler's own ticks, only sooner: a rate of one minute comes round in a few seconds."""
    original = eventbridge._parse_rate_seconds  # noqa: SLF001

    def quick(expression: str) -> float | None:
        seconds = original(expression)
        return None if seconds is None else seconds * seconds_a_minute / 60

    eventbridge._parse_rate_seconds = quick  # noqa: SLF001
    scheduler._SCHEDULE_TICK_INTERVAL = 1.0  # noqa: SLF001


def end_with_the_parent() -> None:
    """End when whoever started this is gone, also if it was killed: its end of the pipe closes then."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    end_with_the_parent()
    know_resource_policies()
    know_the_version_stage()
    let_minutes_pass_quickly(float(os.environ["SECONDS_A_MINUTE"]))
    app.main()
