"""A dashboard's body: the metrics and the queries of its widgets, and the names in them that do not exist.

Amazon CloudWatch User Guide, "Dashboard body structure and syntax"; CloudWatch Logs User Guide, "Supported commands".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.infra.alarms.cloudwatch import Metric

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

_COMMANDS = {"fields", "filter", "sort", "stats", "limit"}
_WORDS = {"ispresent", "strcontains", "count", "sum", "max", "latest", "bin", "as", "by", "and", "in", "asc", "desc"}
_FIELDS_OF_AWS = {"@timestamp", "@logStream", "@message"}
_NAME = re.compile(r"[@A-Za-z_]\w*")
_LITERAL = re.compile(r"'[^']*'|\b\d+[mhd]?\b")


def metrics_of(properties: Mapping[str, Any]) -> Iterator[Metric]:
    """Yield the metrics of a widget; a dot repeats the word above it."""
    above: list[str] = []
    for entry in properties["metrics"]:
        words = [each for each in entry if isinstance(each, str)]
        above = [above[place] if each == "." else each for place, each in enumerate(words)]
        namespace, name, *rest = above
        yield Metric(namespace, name, frozenset(zip(rest[::2], rest[1::2], strict=True)))


def unknown_names(
    body: Mapping[str, Any], metrics: Collection[Metric], log_group: str, fields: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Yield the title of each widget that names an unknown metric, log group, command or field, and that name."""
    for widget in body["widgets"]:
        properties = widget["properties"]
        if widget["type"] == "metric":
            names = [metric.name for metric in metrics_of(properties) if metric not in metrics]
        elif widget["type"] == "log":
            names = list(_unknown_in_query(properties["query"], log_group, fields))
        else:
            continue
        yield from ((properties["title"], name) for name in names)


def _unknown_in_query(query: str, log_group: str, fields: Collection[str]) -> Iterator[str]:
    source, *commands = (part.strip() for part in query.split("|"))
    if source != f"SOURCE '{log_group}'":
        yield source
    known = _WORDS | _FIELDS_OF_AWS | set(fields)
    for text in commands:
        command, _, words = text.partition(" ")
        if command not in _COMMANDS:
            yield command
            continue
        known |= set(re.findall(r"\bas (\w+)", words))
        yield from (name for name in _NAME.findall(_LITERAL.sub("", words)) if name not in known)
