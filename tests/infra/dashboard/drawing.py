"""Draws a dashboard: `python -m tests.infra.dashboard.drawing FILE`, with its widgets on stdin.

Runs in an environment that has matplotlib and nothing else of what this project needs.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from matplotlib import dates, patches
from matplotlib import pyplot as plt

from tests.charts import save

# Of one cell of the dashboard's grid, in inches.
_WIDTH, _HEIGHT = 0.55, 0.44
_COLUMNS = 24
_POINTS = 72

_INK, _FAINT, _RULE, _PAGE = "#16191f", "#5f6b7a", "#d5dbdb", "#f2f3f3"
_STATES = {"OK": "#1d8102", "ALARM": "#d13212", "INSUFFICIENT_DATA": "#879596"}
# CloudWatch's own for metrics without one.
_COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b")
_SIZE, _SMALL_SIZE, _TABLE_SIZE = 8, 7, 6.5

# The height that a graph's title, times and legend take, in inches.
_AROUND = 0.95

# What a letter of the monospaced font is wide, in its size.
_LETTER = 0.602

# A request's id, and what it is told by.
_ID_LENGTH, _SHORT_ID_LENGTH = 36, 9


def main() -> None:
    """Draw the dashboard on stdin into the file that the first argument names, as SVG."""
    dashboard, path = json.load(sys.stdin), Path(sys.argv[1])
    rows = max(widget["y"] + widget["height"] for widget in dashboard["widgets"])
    chart = plt.figure(figsize=(_COLUMNS * _WIDTH, rows * _HEIGHT), facecolor=_PAGE)
    for widget in dashboard["widgets"]:
        _KINDS[widget["kind"]](_Card(chart, widget, rows), widget, dashboard)
    save(chart, path)


class _Card:
    """One widget's place, and its title."""

    def __init__(self, chart: Any, widget: dict[str, Any], rows: int) -> None:
        self.chart = chart
        self._rows = rows
        gap = 0.06
        self.width = widget["width"] * _WIDTH - 2 * gap
        self.height = widget["height"] * _HEIGHT - 2 * gap
        self._left = widget["x"] * _WIDTH + gap
        self._top = widget["y"] * _HEIGHT + gap
        chart.add_artist(
            patches.Rectangle(
                self._at(0, self.height),
                *self._sized(self.width, self.height),
                facecolor="white",
                edgecolor=_RULE,
                zorder=-1,
            )
        )
        if widget["title"]:
            # Bold letters are wider, by a tenth or so.
            fitting = (self.width - 0.2) * _POINTS / (len(widget["title"]) * _LETTER * 1.1)
            self.write(0.1, 0.2, widget["title"], size=min(_SIZE, fitting), weight="bold")

    def _sized(self, width: float, height: float) -> tuple[float, float]:
        return width / (_COLUMNS * _WIDTH), height / (self._rows * _HEIGHT)

    def _at(self, right: float, down: float) -> tuple[float, float]:
        right, down = self._sized(self._left + right, self._top + down)
        return right, 1 - down

    def write(self, right: float, down: float, text: str, **how: Any) -> None:
        """Write at inches from the upper left corner; `down` is where the letters stand."""
        self.chart.text(*self._at(right, down), text, **{"color": _INK, "size": _SIZE, "parse_math": False, **how})

    def box(self, right: float, down: float, width: float, height: float, colour: str) -> None:
        """Fill a rectangle whose upper left corner is there."""
        self.chart.add_artist(
            patches.Rectangle(self._at(right, down + height), *self._sized(width, height), facecolor=colour)
        )

    def axes(self, right: float, down: float, width: float, height: float) -> Any:
        """Return axes for this rectangle."""
        return self.chart.add_axes((*self._at(right, down + height), *self._sized(width, height)))


def _text(card: _Card, widget: dict[str, Any], dashboard: dict[str, Any]) -> None:
    card.write(0.1, 0.33, widget["heading"], size=13, weight="bold")
    card.write(card.width - 0.1, 0.33, dashboard["note"], ha="right", color=_FAINT)
    card.write(0.1, 0.6, widget["text"], color=_FAINT)


def _graph(card: _Card, widget: dict[str, Any], dashboard: dict[str, Any]) -> None:
    has_right = any(line["axis"] == "right" for line in widget["lines"])
    left = card.axes(0.45, 0.35, card.width - (0.85 if has_right else 0.65), card.height - _AROUND)
    axes = {"left": left, "right": left.twinx() if has_right else left}
    drawn = []
    for number, line in enumerate(widget["lines"]):
        of = axes[line["axis"]]
        colour = line["colour"] or _COLOURS[number % len(_COLOURS)]
        times = [_time(at) for at, _ in line["points"]]
        drawn += of.plot(
            times, [value for _, value in line["points"]], color=colour, label=line["label"], linewidth=1.2
        )
    _annotate(left, widget["annotations"])
    for of in set(axes.values()):
        of.set_ylim(0, max(1, of.get_ylim()[1]) * 1.05)
        of.tick_params(labelsize=_SMALL_SIZE, colors=_FAINT, length=2)
        of.spines[:].set_visible(False)
        of.yaxis.set_major_locator(plt.MaxNLocator(4, integer=True))
    left.set_xlim(_time(dashboard["begin"]), _time(dashboard["end"]))
    left.xaxis.set_major_locator(dates.HourLocator(byhour=range(0, 24, 3)))
    left.xaxis.set_major_formatter(dates.DateFormatter("%H:%M", tz=UTC))
    left.grid(visible=True, color=_RULE, linewidth=0.5)
    letters = sum(len(line["label"]) + 5 for line in widget["lines"])
    lines = -(-letters * _LETTER * _SMALL_SIZE // (card.width * _POINTS))
    left.legend(
        handles=drawn,
        fontsize=_SMALL_SIZE,
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(0, -0.24 / (card.height - _AROUND)),
        ncols=-(-len(drawn) // lines),
        handlelength=1,
        columnspacing=1.2,
        borderpad=0,
        borderaxespad=0,
    )


def _annotate(axes: Any, annotations: list[dict[str, Any]]) -> None:
    for annotation in annotations:
        axes.axhline(annotation["value"], color=annotation["color"], linewidth=1)
        if annotation.get("fill") == "below":
            axes.axhspan(0, annotation["value"], color=annotation["color"], alpha=0.12, linewidth=0)
        axes.annotate(
            f"{annotation['label']} {annotation['value']}",
            (0, annotation["value"]),
            xycoords=axes.get_yaxis_transform(),
            xytext=(4, 4),
            textcoords="offset points",
            color=annotation["color"],
            size=_SMALL_SIZE,
        )


def _alarms(card: _Card, widget: dict[str, Any], _dashboard: dict[str, Any]) -> None:
    height = (card.height - 0.35) / len(widget["alarms"])
    for number, alarm in enumerate(widget["alarms"]):
        down = 0.3 + number * height
        card.box(0.1, down, 0.62, height - 0.06, _STATES[alarm["state"]])
        middle = down + height / 2
        card.write(0.41, middle, alarm["state"], color="white", weight="bold", size=_SMALL_SIZE, ha="center")
        card.write(0.82, middle, alarm["name"])
        if alarm["since"]:
            card.write(card.width - 0.1, middle, f"since {alarm['since']}", ha="right", color=_FAINT)


def _table(card: _Card, widget: dict[str, Any], _dashboard: dict[str, Any]) -> None:
    line, letter = _TABLE_SIZE * 1.5 / _POINTS, _TABLE_SIZE * _LETTER / _POINTS
    fitting = int((card.height - 0.5) / line)
    rows = [widget["columns"], *widget["rows"][:fitting]]
    widths = _widths(rows, int((card.width - 0.2) / letter))
    for number, row in enumerate(rows):
        right, how = 0.1, {"weight": "bold", "color": _FAINT} if number == 0 else {}
        for cell, width in zip(row, widths, strict=True):
            card.write(right, 0.45 + number * line, _cut(cell, width), family="monospace", size=_TABLE_SIZE, **how)
            right += (width + 2) * letter
    left = len(widget["rows"]) - fitting
    if not widget["rows"] or left > 0:
        text = f"and {left} more" if widget["rows"] else "none"
        card.write(card.width - 0.1, 0.2, text, ha="right", color=_FAINT)


def _widths(rows: list[list[str]], room: int) -> list[int]:
    """Return how many letters each column gets: ids give first, then the widest, until all fit."""
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    room -= 2 * (len(widths) - 1)
    for place, (_, *cells) in enumerate(columns):
        if sum(widths) > room and cells and {len(cell) for cell in cells} == {_ID_LENGTH}:
            widths[place] = _SHORT_ID_LENGTH
    while sum(widths) > room:
        widths[widths.index(max(widths))] -= 1
    return widths


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


_KINDS = {"text": _text, "graph": _graph, "alarms": _alarms, "table": _table}

if __name__ == "__main__":
    main()
