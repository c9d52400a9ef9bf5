"""What a person sees: a bar a token on one axis of time, the faults above, the consumers below.

Without a terminal: a line for each thing that happens.
"""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from infra.local.verdict import Account, Count, Phase, Strike, Token, View, exit_status, findings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.console import RenderableType

SVG_COLUMNS = 110
_NAME_COLUMNS = 20
_BAR_COLUMNS = 66
_TICKS = 6
_ENDS = ("revoked", "expired", "live")
_FAULT = "fault"
_LOST = "lost"

# A colour to see it by, and a sign to tell it by where there are no colours.
_LOOKS = {
    Phase.UNPUBLISHED: ("bright_black", "."),
    Phase.CURRENT: ("green", "█"),
    Phase.IN_GRACE: ("yellow", "▒"),
    Phase.UNTRACKED: ("red", "!"),
    _LOST: ("red", "?"),
    _FAULT: ("magenta", "x"),
}


class Span(NamedTuple):
    """A stretch of time, in epoch seconds, and what it was."""

    begin: float
    end: float
    what: str


@dataclass(frozen=True)
class Axis:
    """The time that the picture shows."""

    begin: float
    seconds: float

    def cells(self, spans: Sequence[Span], columns: int = _BAR_COLUMNS) -> list[str]:
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


def spans(token: Token, now: float, *, is_lost: bool = False) -> list[Span]:
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


def happenings(before: View, after: View, lost: Sequence[str] = ()) -> Iterator[str]:
    """Tell what has happened to tokens between two looks, a line each."""
    for name, token in after.tokens.items():
        was = before.tokens.get(name)
        if was is None:
            yield f"token {name} issued"
        if token.version_id and (was is None or was.version_id is None):
            yield f"token {name} published"
        if not token.is_live and (was is None or was.is_live):
            yield f"token {name} {token.status}{', as nobody knew of it' if name in lost else ''}"


def picture(view: View, counts: Sequence[Count], strikes: Sequence[Strike], axis: Axis, rows: int = 100) -> Group:
    """Draw everything; `rows` is how many tokens there is room for."""
    lost = {strike.lost_token for strike in strikes}
    grid = _grid(_NAME_COLUMNS, _BAR_COLUMNS, None)
    grid.add_row("", _scale(axis), "")
    for strike in strikes:
        span = Span(strike.began_at, strike.ended_at or view.at, _FAULT)
        grid.add_row(Text(strike.name, style="magenta"), _bar([span], axis), _struck(strike))
    for token in list(view.tokens.values())[-rows:]:
        name = Text(f"token {token.short_id}", style="dim" if not token.is_live else "")
        is_lost = token.short_id in lost
        grid.add_row(name, _bar(spans(token, view.at, is_lost=is_lost), axis), _note(token, is_lost=is_lost))
    return Group(_title(view, axis), "", grid, "", _legend(), "", _consumers(counts))


def summary(account: Account) -> Group:
    """Draw the figures and the verdict."""
    view = account.view
    figures = _grid(20, None)
    calls = ", ".join(f"{count} {operation}" for operation, count in sorted(account.calls.items()))
    for name, figure in (
        ("rotations", f"{len(view.published)}"),
        ("tokens", f"{len(view.tokens)} issued: " + ", ".join(f"{view.count(end)} {end}" for end in _ENDS)),
        ("consumer requests", f"{view.served + view.refused:,}, {view.refused} refused"),
        ("the job's AWS calls", calls),
        *((strike.name, strike.evidence or "did not strike") for strike in account.strikes),
    ):
        figures.add_row(Text(name, style="bold"), figure)
    verdict = _grid(20, None)
    for claim, holds in findings(account):
        verdict.add_row(Text("yes", style="green") if holds else Text("NO", style="bold red"), claim)
    good = exit_status(account) == 0
    last = Text("All promises held.", style="bold green") if good else Text("A promise was broken.", style="bold red")
    return Group(figures, "", verdict, "", last)


def save_svg(path: Path, *parts: RenderableType) -> None:
    """Save what is drawn as a picture that loads nothing from elsewhere."""
    console = Console(
        record=True,
        file=io.StringIO(),
        width=SVG_COLUMNS,
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
    )
    console.print(*parts, sep="\n")
    # rich names a font on the web; whatever fixed-width font the reader has will do.
    code_format = re.sub(r"@font-face \{\{.*?\}\}\s*|<!--.*?-->\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    code_format = code_format.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace")
    path.parent.mkdir(parents=True, exist_ok=True)
    console.save_svg(str(path), title="python -m infra.local", code_format=code_format)


def _grid(*widths: int | None) -> Table:
    grid = Table.grid(padding=(0, 1, 0, 0))
    for width in widths:
        grid.add_column(width=width, no_wrap=width is not None)
    return grid


def _title(view: View, axis: Axis) -> Text:
    elapsed = min(max(0.0, view.at - axis.begin), axis.seconds)
    return Text.assemble(
        ("One token, kept fresh for everybody who needs it", "bold"),
        f"   {elapsed:.0f} of {axis.seconds:.0f} s   {view.served:,} requests served, ",
        (f"{view.refused} refused", "bold red" if view.refused else "bold green"),
    )


def _scale(axis: Axis) -> Text:
    step = math.ceil(axis.seconds / _TICKS / 5) * 5
    plain = " " * _BAR_COLUMNS
    for second in range(0, int(axis.seconds), step):
        label = f"{second} s"
        column = round(second / axis.seconds * _BAR_COLUMNS)
        plain = (plain[:column] + label + plain[column + len(label) :])[:_BAR_COLUMNS]
    return Text(plain, style="dim")


def _bar(stretches: Sequence[Span], axis: Axis) -> Text:
    text = Text()
    for cell in axis.cells(stretches):
        colour, sign = _LOOKS.get(cell, ("", " "))
        text.append(sign, style=f"{colour} on {colour}" if colour else "")
    return text


def _struck(strike: Strike) -> Text:
    return Text("not proven yet") if strike.evidence is None else Text("struck", style="magenta")


def _note(token: Token, *, is_lost: bool) -> Text:
    phase = token.phase
    if is_lost:
        return Text(_LOST if token.is_live else f"{_LOST}, {phase}", style="red")
    if phase is Phase.REVOKED and token.version_id is None:
        return Text("spare, revoked", style="dim")
    return Text(phase, style=_LOOKS[phase][0] if phase in _LOOKS else "dim")


def _legend() -> Text:
    text = Text(" " * (_NAME_COLUMNS + 1))
    for what, (colour, sign) in _LOOKS.items():
        if what != Phase.UNTRACKED:
            text.append(sign * 2, style=f"{colour} on {colour}")
            text.append(f" {what}   ", style="dim")
    return text


def _consumers(counts: Sequence[Count]) -> Table:
    grid = _grid(_NAME_COLUMNS, _BAR_COLUMNS // 2, _BAR_COLUMNS // 2)
    caches = list(dict.fromkeys(count.cache for count in counts))
    grid.add_row("consumers", *caches)
    by_cache = ([count for count in counts if count.cache == cache] for cache in caches)
    for row in zip(*by_cache, strict=True):
        grid.add_row(Text(f"cached for {row[0].cache_seconds} s", style="dim"), *map(_served, row))
    return grid


def _served(count: Count) -> Text:
    return Text.assemble(
        f"{count.served:>6,} served  ",
        (f"{count.refused} refused", "bold red" if count.refused else "green"),
        f"  {count.failed} failed" if count.failed else "",
    )
