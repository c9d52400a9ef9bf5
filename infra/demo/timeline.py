"""Renders the timeline: one bar for each token, the faults above, the consumers below.

Without a terminal, a line for each event. Times are simulated.
"""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from infra.demo import settings
from infra.demo.checks import Count, FaultRecord, Phase, Results, SeenToken, View, checks, exit_status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.console import RenderableType


class Space(NamedTuple):
    """How much room there is to draw in."""

    columns: int
    rows: int

    @property
    def is_small(self) -> bool:
        """Whether the timeline leaves out optional parts."""
        return self.columns < _FULL_COLUMNS or self.rows < _FULL_ROWS

    @property
    def bar_columns(self) -> int:
        """What is left for a bar between a name and a note."""
        return max(_MIN_BAR_COLUMNS, min(self.columns, _MAX_COLUMNS) - _NAME_COLUMNS - _NOTE_COLUMNS - 2)


PAGE = Space(110, 120)
"""The size without a terminal, and of a saved picture."""

_FULL_COLUMNS, _FULL_ROWS = 100, 34
_MAX_COLUMNS = 130
_NAME_COLUMNS = 18
_NOTE_COLUMNS = 14
_MIN_BAR_COLUMNS = 24
_CACHE_COLUMNS, _COUNT_COLUMNS = 23, 36
_TICKS = 6
_STATUSES = ("revoked", "expired", "live")
_FAULT = "fault"
_LOST = "lost"

# A colour to see it by, and a sign to tell it by where there are no colours.
_STYLES = {
    Phase.UNPUBLISHED: ("bright_black", "."),
    Phase.CURRENT: ("green", "█"),
    Phase.IN_GRACE: ("yellow", "▒"),
    Phase.UNTRACKED: ("red", "!"),
    _LOST: ("red", "?"),
    _FAULT: ("magenta", "x"),
}


# The words of the notes that explain themselves to nobody, while they are to be seen.
_NOT_PROVEN = "not proven yet"
_SPARE = "spare"
_GLOSSARY = {
    _LOST: "a killed run obtained it, so nobody can revoke it; it expires by itself",
    _SPARE: "the other delivery published its token, so this one was revoked at once",
    _NOT_PROVEN: "the fault is active, and the servers' records do not show it yet",
}


class Span(NamedTuple):
    """A stretch of time, in epoch seconds, and what it was."""

    begin: float
    end: float
    what: str


@dataclass(frozen=True)
class Axis:
    """The time that the timeline shows."""

    begin: float
    seconds: float

    def cells(self, spans: Sequence[Span], columns: int) -> list[str]:
        """Return what each column shows. A span too short for a column of its own shows where nothing else does."""
        cells = [""] * columns
        for span in spans:
            for column in range(self._column(span.begin, columns), self._column(span.end, columns)):
                cells[column] = span.what
        for span in spans:
            column = min(self._column(span.begin, columns), columns - 1)
            cells[column] = cells[column] or span.what
        return cells

    def _column(self, at: float, columns: int) -> int:
        return min(columns, max(0, round((at - self.begin) / self.seconds * columns)))


def spans(token: SeenToken, now: float, *, is_lost: bool = False) -> list[Span]:
    """Return what a token has been through."""
    end = now if token.ended_at is None else token.ended_at
    published_at = end if token.published_at is None else min(token.published_at, end)
    superseded_at = end if token.superseded_at is None else min(token.superseded_at, end)
    stretches = [
        Span(token.issued_at, published_at, _LOST if is_lost else Phase.UNPUBLISHED),
        Span(published_at, superseded_at, Phase.CURRENT),
        Span(superseded_at, end, Phase.UNTRACKED if token.phase is Phase.UNTRACKED else Phase.IN_GRACE),
    ]
    return [span for span in stretches if span.end > span.begin]


def token_events(before: View, after: View, lost: Sequence[str] = ()) -> Iterator[str]:
    """Return a line for each thing that happened to tokens between two looks, in order."""
    return (line for _, line in timed_events(before, after, lost))


def timed_events(before: View, after: View, lost: Sequence[str] = ()) -> list[tuple[float, str]]:
    """Return what happened to tokens between two looks, in the order of the servers' times."""
    found = []
    for name, token in after.tokens.items():
        was = before.tokens.get(name)
        if was is None:
            found.append((token.issued_at, f"token {name} issued"))
        if token.version_id and (was is None or was.version_id is None):
            # Secrets Manager's whole seconds can lie before the token itself.
            published_at = max(token.issued_at, token.issued_at if token.created_at is None else token.created_at)
            found.append((published_at, f"token {name} published"))
        if not token.is_live and (was is None or was.is_live):
            note = ", as nobody knew of it" if name in lost else ""
            found.append((after.at if token.ended_at is None else token.ended_at, f"token {name} {token.status}{note}"))
    return sorted(found, key=itemgetter(0))


def timeline(
    view: View, counts: Sequence[Count], records: Sequence[FaultRecord], axis: Axis, space: Space = PAGE
) -> Group:
    """Draw everything that there is room for: of the tokens, the last."""
    columns = space.bar_columns
    notes = [_fault_note(record) for record in records]
    lost = {record.lost_token for record in records}
    tokens = list(view.tokens.values())
    head = _title(view, axis, space)
    # Twice, since what is explained depends on what is shown, and the other way round.
    for _ in range(2):
        shown = [*notes, *(_note(token, is_lost=token.short_id in lost) for token in tokens)]
        foot = [_legend(space), *_glossary(shown), *_consumers(counts, space)]
        room = space.rows - len(head) - len(foot) - len(records) - _OTHER_ROWS
        tokens = tokens[-max(1, room) :]
    grid = _grid(_NAME_COLUMNS, columns, None)
    grid.add_row("", _scale(axis, columns), "")
    for record, note in zip(records, notes, strict=True):
        span = Span(record.began_at, record.ended_at or view.at, _FAULT)
        grid.add_row(Text(record.name, style="magenta"), _bar([span], axis, columns), note)
    for token in tokens:
        name = Text(f"token {token.short_id}", style="dim" if not token.is_live else "")
        is_lost = token.short_id in lost
        grid.add_row(name, _bar(spans(token, view.at, is_lost=is_lost), axis, columns), _note(token, is_lost=is_lost))
    return Group(*head, "", grid, "", *foot)


# The scale, and the empty lines above and below the bars; the last row of a terminal stays free.
_OTHER_ROWS = 4


def summary_table(results: Results) -> Table:
    """Render the counted figures."""
    view = results.view
    table = _grid(20, None)
    calls = ", ".join(f"{count} {operation}" for operation, count in sorted(results.calls.items()))
    for name, figure in (
        ("rotations", f"{len(view.published)}"),
        ("tokens", f"{len(view.tokens)} issued: " + ", ".join(f"{view.count(end)} {end}" for end in _STATUSES)),
        ("consumer requests", f"{view.served + view.refused:,}, {view.refused} refused"),
        ("the job's AWS calls", calls),
        *((record.name, record.evidence or "had no effect") for record in results.fault_records),
    ):
        table.add_row(Text(name, style="bold"), figure)
    return table


def checks_table(results: Results) -> Group:
    """Render the result of each check."""
    table = _grid(20, None)
    for claim, holds in checks(results):
        table.add_row(Text("yes", style="green") if holds else Text("NO", style="bold red"), claim)
    good = exit_status(results) == 0
    last = Text("All promises held.", style="bold green") if good else Text("A promise was broken.", style="bold red")
    return Group(table, "", last)


def save_svg(path: Path, *parts: RenderableType) -> None:
    """Save the parts as an SVG that loads nothing."""
    console = Console(
        record=True,
        file=io.StringIO(),
        width=PAGE.columns,
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


def _grid(*widths: int | None) -> Table:
    grid = Table.grid(padding=(0, 1, 0, 0))
    for width in widths:
        grid.add_column(width=width, no_wrap=width is not None)
    return grid


def _title(view: View, axis: Axis, space: Space) -> list[Text]:
    elapsed = min(max(0.0, view.at - axis.begin), axis.seconds)
    title = Text.assemble(
        ("One shared token, kept valid", "bold"),
        f"   {hours(elapsed)} of {hours(axis.seconds)} h",
    )
    if not space.is_small:
        title.append(f"   {view.served:,} requests served, ")
        title.append(f"{view.refused} refused", "bold red" if view.refused else "bold green")
    return [title, *scale_of_time()]


def scale_of_time() -> list[Text]:
    """Say what a second stands for, in lines that fit on any terminal."""
    life, grace, schedule = (
        f"{seconds / 60:.0f} min ({seconds / settings.SPEED:.2g} s)"
        for seconds in (settings.LIFETIME_SECONDS, settings.GRACE_SECONDS, settings.SCHEDULE_SECONDS)
    )
    lines = (
        f"A second stands for {settings.SPEED / 60:.0f} minutes. A token is valid for {life}; once",
        f"superseded, it has a grace of {grace}. The job runs every {schedule}.",
    )
    return [Text(line, style="dim") for line in lines]


def hours(seconds: float) -> str:
    """Format a simulated time as hours and minutes."""
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02}"


def _scale(axis: Axis, columns: int) -> Text:
    step = math.ceil(axis.seconds / _TICKS / 600) * 600
    plain = " " * columns
    for second in range(0, int(axis.seconds), step):
        label = hours(second)
        column = round(second / axis.seconds * columns)
        plain = (plain[:column] + label + plain[column + len(label) :])[:columns]
    return Text(plain, style="dim")


def _bar(stretches: Sequence[Span], axis: Axis, columns: int) -> Text:
    text = Text()
    for cell in axis.cells(stretches, columns):
        colour, sign = _STYLES.get(cell, ("", " "))
        text.append(sign, style=f"{colour} on {colour}" if colour else "")
    return text


def _fault_note(record: FaultRecord) -> Text:
    return Text(_NOT_PROVEN) if record.evidence is None else Text("took effect", style="magenta")


def _note(token: SeenToken, *, is_lost: bool) -> Text:
    phase = token.phase
    if is_lost:
        return Text(_LOST if token.is_live else f"{_LOST}, {phase}", style="red")
    if phase is Phase.REVOKED and token.version_id is None:
        return Text(f"{_SPARE}, {phase}", style="dim")
    return Text(phase, style=_STYLES[phase][0] if phase in _STYLES else "dim")


def _legend(space: Space) -> Text:
    text = Text("" if space.is_small else " " * (_NAME_COLUMNS + 1))
    for what, (colour, sign) in _STYLES.items():
        if what != Phase.UNTRACKED:
            text.append(sign * 2, style=f"{colour} on {colour}")
            text.append(f" {what}   ", style="dim")
    return text


def _glossary(notes: Sequence[Text]) -> list[Text]:
    words = (word for word in _GLOSSARY if any(note.plain.startswith(word) for note in notes))
    return [Text(f"{word}: {_GLOSSARY[word]}", style="dim") for word in words]


def _consumers(counts: Sequence[Count], space: Space) -> list[Text]:
    caches = list(dict.fromkeys(count.cache for count in counts))
    by_cache = [[count for count in counts if count.cache == cache] for cache in caches]
    if space.is_small:
        return [Text.assemble(f"{cache:28}", _served(*mine)) for cache, mine in zip(caches, by_cache, strict=True)]
    heads = "".join(f"{cache:{_COUNT_COLUMNS}}" for cache in caches)
    lines = [Text(), Text(f"{'consumers, cached for':{_CACHE_COLUMNS}}{heads}")]
    for row in zip(*by_cache, strict=True):
        name = Text(f"{row[0].cache_seconds * settings.SPEED / 60:>14.0f} min", style="dim")
        name.pad_right(_CACHE_COLUMNS - len(name))
        lines.append(Text.assemble(name, *map(_served, row)))
    return lines


def _served(*counts: Count) -> Text:
    served, refused, failed = (sum(getattr(each, name) for each in counts) for name in ("served", "refused", "failed"))
    text = Text.assemble(
        f"{served:>6,} served  ",
        (f"{refused} refused", "bold red" if refused else "green"),
        f"  {failed} failed" if failed else "",
    )
    text.pad_right(max(0, _COUNT_COLUMNS - len(text)))
    return text
