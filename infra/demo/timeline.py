"""Renders the timeline: one bar for each token, the faults above, the consumers below. Times are simulated."""

from __future__ import annotations

import io
import math
import re
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console, ConsoleDimensions, Group
from rich.table import Table
from rich.text import Text

from infra.demo import settings
from infra.demo.token_states import Phase, SeenToken, TokenStates

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import RenderableType

    from infra.demo.consumers import Count
    from infra.demo.faults import FaultRecord


PAGE = ConsoleDimensions(110, 120)
"""The size without a terminal, and of a saved picture."""

_MAX_COLUMNS = 130
_NAME_COLUMNS = 18
_NOTE_COLUMNS = 16
_MIN_BAR_COLUMNS = 24
_CACHE_COLUMNS = 28
_TICKS = 6
# The scale, and the empty lines above and below the bars; the last row of a terminal stays free.
_OTHER_ROWS = 4
_FAULT = "fault"
_LOST = "lost, run killed"

# A colour, and a sign for terminals without colours.
_STYLES = {
    Phase.UNPUBLISHED: ("bright_black", "."),
    Phase.CURRENT: ("green", "█"),
    Phase.IN_GRACE: ("yellow", "▒"),
    _LOST: ("red", "?"),
    _FAULT: ("magenta", "x"),
}


class Axis(NamedTuple):
    """The time that the timeline shows."""

    begin: float
    seconds: float


def _spans(token: SeenToken, now: float, *, is_lost: bool) -> list[tuple[float, float, str]]:
    """Return the phases of a token: begin and end of each in epoch seconds, and its name."""
    end = now if token.ended_at is None else token.ended_at
    published_at = min(token.published_at or end, end)
    superseded_at = min(token.superseded_at or end, end)
    stretches = [
        (token.issued_at, published_at, _LOST if is_lost else Phase.UNPUBLISHED),
        (published_at, superseded_at, Phase.CURRENT),
        (superseded_at, end, Phase.IN_GRACE),
    ]
    return [(begin, end, what) for begin, end, what in stretches if end > begin]


def timeline(
    states: TokenStates,
    counts: Sequence[Count],
    records: Sequence[FaultRecord],
    axis: Axis,
    space: ConsoleDimensions = PAGE,
) -> Group:
    """Draw the timeline, with as many of the last tokens as fit."""
    columns = max(_MIN_BAR_COLUMNS, min(space.width, _MAX_COLUMNS) - _NAME_COLUMNS - _NOTE_COLUMNS - 2)
    elapsed = hours(min(max(0.0, states.at - axis.begin), axis.seconds))
    title = Text.assemble(("One shared token, kept valid", "bold"), f"   {elapsed} of {hours(axis.seconds)} h")
    lost = {record.lost_token for record in records}
    has_active = any(name in lost and token.is_live for name, token in states.tokens.items())
    if states.at > axis.begin + axis.seconds and (has_active or not all(record.ended_at for record in records)):
        title.append("   waiting for the last fault", "dim")
    head, foot = [title, *scale_of_time()], [_legend(), *_consumers(counts)]
    room = space.height - len(head) - len(foot) - len(records) - _OTHER_ROWS
    grid = columns_of(_NAME_COLUMNS, columns, None)
    grid.add_row("", _scale(axis, columns), "")
    for record in records:
        bar = _bar([(record.began_at, record.ended_at or states.at, _FAULT)], axis, columns)
        note = "not proven yet" if record.evidence is None else "took effect"
        grid.add_row(Text(record.name, style="magenta"), bar, Text(note, style="magenta"))
    for token in list(states.tokens.values())[-max(1, room) :]:
        is_lost = token.short_id in lost
        name = Text(f"token {token.short_id}", style="" if token.is_live else "dim")
        bar = _bar(_spans(token, states.at, is_lost=is_lost), axis, columns)
        grid.add_row(name, bar, _note(token, is_lost=is_lost))
    return Group(*head, "", grid, "", *foot)


def save_svg(path: Path, *parts: RenderableType) -> None:
    """Save the parts as an SVG that loads nothing."""
    console = Console(
        record=True,
        file=io.StringIO(),
        width=PAGE.width,
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
    )
    console.print(*parts, sep="\n")
    svg = console.export_svg(title="python -m infra.demo")
    # rich loads a font from the web; any fixed-width font does as well.
    svg = re.sub(r"@font-face \{.*?\}\s*|<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace")
    # Otherwise librsvg trims the spaces around each piece of text.
    svg = svg.replace("<svg ", '<svg xml:space="preserve" ', 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(svg, encoding="utf-8")


def scale_of_time() -> list[Text]:
    """Return the scale of the simulated time, in lines that fit on any terminal."""
    life, grace, schedule = (
        f"{seconds / 60:.0f} min ({seconds / settings.SPEED:.2g} s)"
        for seconds in (settings.LIFETIME_SECONDS, settings.GRACE_SECONDS, settings.SCHEDULE_SECONDS)
    )
    lines = (
        f"A second stands for {settings.SPEED / 60:.0f} minutes. The job runs every {schedule}. A token is",
        f"valid for {life}; once superseded, its grace period is {grace}.",
    )
    return [Text(line, style="dim") for line in lines]


def hours(seconds: float) -> str:
    """Format a simulated time as hours and minutes."""
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02}"


def columns_of(*widths: int | None) -> Table:
    """Return a table without lines. A column with a width does not wrap."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    for width in widths:
        grid.add_column(width=width, no_wrap=width is not None)
    return grid


def _scale(axis: Axis, columns: int) -> Text:
    step = math.ceil(axis.seconds / _TICKS / 600) * 600
    plain = " " * columns
    for second in range(0, int(axis.seconds), step):
        label = hours(second)
        column = round(second / axis.seconds * columns)
        plain = (plain[:column] + label + plain[column + len(label) :])[:columns]
    return Text(plain, style="dim")


def _bar(spans: Sequence[tuple[float, float, str]], axis: Axis, columns: int) -> Text:
    """Draw spans. A span shorter than a column is drawn only in an empty column."""
    cells = [""] * columns
    for begins_at, ends_at, what in spans:
        begin, end = (round((at - axis.begin) / axis.seconds * columns) for at in (begins_at, ends_at))
        for column in range(max(0, begin), min(columns, end)):
            cells[column] = what
        first = min(max(0, begin), columns - 1)
        cells[first] = cells[first] or what
    text = Text()
    for cell in cells:
        colour, sign = _STYLES.get(cell, ("", " "))
        text.append(sign, style=f"{colour} on {colour}" if colour else "")
    return text


def _note(token: SeenToken, *, is_lost: bool) -> Text:
    phase = token.phase
    if is_lost:
        return Text("lost" if token.is_live else f"lost, {phase}", style="red")
    if phase is Phase.REVOKED and token.published_at is None:
        return Text(f"surplus, {phase}", style="dim")
    return Text(phase, style=_STYLES[phase][0] if phase in _STYLES else "dim")


def _legend() -> Text:
    text = Text()
    for what, (colour, sign) in _STYLES.items():
        text.append(sign * 2, style=f"{colour} on {colour}")
        text.append(f" {what}   ", style="dim")
    return text


def _consumers(counts: Sequence[Count]) -> list[Text]:
    """Render a line for the consumers of each cache."""
    lines = []
    for cache in dict.fromkeys(count.cache for count in counts):
        mine = [count for count in counts if count.cache == cache]
        refused, failed = sum(count.refused for count in mine), sum(count.failed for count in mine)
        unserved = (f"{refused} refused, {failed} failed", "bold red" if refused or failed else "green")
        served = sum(count.served for count in mine)
        lines.append(Text.assemble(f"{cache:{_CACHE_COLUMNS}}{served:>7,} served  ", unserved))
    return lines
