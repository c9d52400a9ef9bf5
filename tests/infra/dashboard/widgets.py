"""A dashboard's body, and what each of its widgets shows of what CloudWatch has seen.

Amazon CloudWatch User Guide, "Dashboard body structure and syntax".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from markdown_it import MarkdownIt

from tests.handler.test_report import COUNTS
from tests.infra.alarms.cloudwatch import Metric, Query, State
from tests.infra.dashboard.insights import ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.infra.alarms.cloudwatch import Alarm
    from tests.infra.dashboard.day import Seen

_PLACE = ("x", "y", "width", "height")


class NothingToShowError(LookupError):
    """A widget names a metric, an alarm or a log that is not there, or asks what cannot be answered."""


@dataclass(frozen=True)
class View:
    """What there is to show: what CloudWatch has seen, alarms by their ARN, and the time from and until."""

    seen: Seen
    alarms: Mapping[str, tuple[str, Alarm]]
    log_group: str
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Line:
    """One metric of a widget, with its options."""

    metric: Metric
    options: Mapping[str, Any]


def lines(properties: Mapping[str, Any]) -> Iterator[Line]:
    """Yield the metrics of a widget; a dot stands for what is above it."""
    above: list[str] = []
    for entry in properties["metrics"]:
        words = [each for each in entry if isinstance(each, str)]
        above = [above[place] if each == "." else each for place, each in enumerate(words)]
        namespace, name, *rest = above
        options = next((each for each in entry if isinstance(each, dict)), {})
        yield Line(Metric(namespace, name, frozenset(zip(rest[::2], rest[1::2], strict=True))), options)


def drawings(body: Mapping[str, Any], view: View) -> list[dict[str, Any]]:
    """Return what to draw, a widget after the other. Raises NothingToShowError, which names the widget."""
    return [
        {
            **{name: widget[name] for name in _PLACE},
            "title": widget["properties"].get("title", ""),
            **_content(widget, view),
        }
        for widget in body["widgets"]
    ]


def _content(widget: Mapping[str, Any], view: View) -> dict[str, Any]:
    properties = widget["properties"]
    try:
        return _KINDS[widget["type"]](properties, view)
    except ValueError as error:
        raise NothingToShowError(f"the widget {properties.get('title')!r}: {error}") from error


def _text(properties: Mapping[str, Any], _view: View) -> dict[str, Any]:
    tokens = [token for token in MarkdownIt().parse(properties["markdown"]) if token.type == "inline"]
    heading, *paragraphs = ["".join(part.content for part in token.children or []) for token in tokens]
    return {"kind": "text", "heading": heading, "text": " ".join(paragraphs)}


def _graph(properties: Mapping[str, Any], view: View) -> dict[str, Any]:
    known = _known(view.seen.cloudwatch.metrics)
    drawn = []
    for line in lines(properties):
        if line.metric not in known:
            dimensions = ", ".join(f"{name} {value}" for name, value in sorted(line.metric.dimensions))
            raise ValueError(f"nothing puts out {line.metric.namespace} {line.metric.name} of {dimensions}")
        options = {**properties, **line.options}
        period = options["period"]
        count = int((view.end - view.begin) // period)
        series = view.seen.cloudwatch.series(Query("", line.metric, options["stat"]), period, count, view.end)
        points = [(view.begin + place * period, value) for place, value in enumerate(series) if value is not None]
        drawn.append(_line(line.options.get("label", line.metric.name), points, line.options))
    annotations = properties.get("annotations", {}).get("horizontal", [])
    return {"kind": "graph", "lines": drawn, "annotations": annotations}


def _known(put: set[Metric]) -> set[Metric]:
    """Return what was put, and the counters of the same clients: one that is zero all day is not put."""
    clients = [metric for metric in put if metric.name == "SecondsUntilExpiry"]
    return put | {Metric(each.namespace, name, each.dimensions) for each in clients for name in COUNTS}


def _line(label: str, points: list[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    return {"label": label, "points": points, "colour": options.get("color"), "axis": options.get("yAxis", "left")}


def _alarms(properties: Mapping[str, Any], view: View) -> dict[str, Any]:
    shown = []
    for arn in properties["alarms"]:
        if arn not in view.alarms:
            raise ValueError(f"there is no alarm {arn}")
        name, alarm = view.alarms[arn]
        changes = list(view.seen.cloudwatch.changes(alarm, view.begin, view.end))
        since, state = changes[-1] if changes else (None, State.OK)
        shown.append({"name": name, "state": state, "since": since and f"{datetime.fromtimestamp(since, UTC):%H:%M}"})
    return {"kind": "alarms", "alarms": shown}


def _log(properties: Mapping[str, Any], view: View) -> dict[str, Any]:
    source, _, query = properties["query"].partition("|")
    if source.strip() != f"SOURCE '{view.log_group}'":
        raise ValueError(f"{source.strip()} is not the function's log")
    answer = ask(query, view.seen.log, view.begin, view.end)
    if properties["view"] == "table":
        return {"kind": "table", "columns": answer.columns, "rows": [[*map(_cell, row)] for row in answer.rows]}
    # The first column is what it is grouped by: the time.
    drawn = [
        _line(column, [(row[0], row[place]) for row in answer.rows], {})
        for place, column in enumerate(answer.columns[1:], 1)
    ]
    return {"kind": "graph", "lines": drawn, "annotations": []}


def _cell(value: object) -> str:
    # Of all numbers in the log only a time is so large.
    if isinstance(value, float) and value > 1e9:
        return f"{datetime.fromtimestamp(value, UTC):%m-%d %H:%M:%S}"
    return "" if value is None else str(value)


_KINDS: dict[str, Callable[[Mapping[str, Any], View], dict[str, Any]]] = {
    "text": _text,
    "metric": _graph,
    "alarm": _alarms,
    "log": _log,
}
