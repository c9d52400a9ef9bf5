"""What a deployment comes to, in words that SAM's translation and Terraform's state share.

A fact is a name such as `role: KeepTheLedger` and a value. Whatever a side says and nobody has read is a fault: what a
comparison overlooks it cannot compare.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Facts = dict[str, Any]


@dataclass(slots=True)
class Resource:
    """What one resource says, and what of it nobody has read."""

    name: str
    values: Mapping[str, Any]
    unread: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.unread = set(self.values)

    def read(self, *names: str) -> Any:
        """Return a value, by its path; None where there is none."""
        self.unread.discard(names[0])
        value: Any = self.values
        for name in names:
            value = (value or {}).get(name)
        return value


def plain(value: Any, identifiers: Mapping[str, str]) -> Any:
    """Return a value in its plainest form: no order, nothing empty, a list of one as that one, common names."""
    if isinstance(value, dict):
        members = {key: plain(each, identifiers) for key, each in value.items()}
        return {key: each for key, each in sorted(members.items()) if each not in (None, {}, [])}
    if isinstance(value, list | set | tuple):
        items = sorted((plain(each, identifiers) for each in value), key=repr)
        return items[0] if len(items) == 1 else items
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        # AWS, "AWS JSON policy elements: Principal": an account's id is short for this ARN.
        return f"arn:aws:iam::{value}:root" if re.fullmatch("[0-9]{12}", value) else identifiers.get(value, value)
    return value


def statements(where: str, documents: Iterable[Any], identifiers: Mapping[str, str]) -> Facts:
    """Return the statements of policies, each by its Sid; by its actions where it has none."""
    facts: Facts = {}
    for document in documents:
        policy = json.loads(document) if isinstance(document, str) else document
        for statement in policy["Statement"]:
            said = {key: value for key, value in statement.items() if key != "Sid"}
            name = f"{where}: {statement.get('Sid') or plain(statement['Action'], {})}"
            if name in facts:
                raise ValueError(f"two statements of {name}")
            facts[name] = plain(said, identifiers)
    return facts


def drawn(body: str, identifiers: Mapping[str, str]) -> Facts:
    """Return what a dashboard shows, wherever it stands: metrics, the graces' lines and alarms."""
    metrics, lines, alarms = set(), set(), set()
    for widget in json.loads(body)["widgets"]:
        said = widget["properties"]
        previous: list[Any] = []
        for row in said.get("metrics", []):
            words = [word for word in row if isinstance(word, str)]
            previous = [old if word == "." else word for word, old in zip(words, previous or words, strict=False)]
            metrics.add(" ".join(identifiers.get(word, word) for word in previous))
        lines |= {line["value"] for line in said.get("annotations", {}).get("horizontal", [])}
        alarms |= {identifiers.get(alarm, alarm) for alarm in said.get("alarms", [])}
    return {
        "dashboard: metrics": sorted(metrics),
        "dashboard: lines": sorted(lines),
        "dashboard: alarms": sorted(alarms),
    }
