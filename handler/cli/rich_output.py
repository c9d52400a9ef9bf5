"""Draws status and diagnosis. The only file that imports rich; `main.py` imports it on demand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

from rich.console import Console, ConsoleOptions, Group
from rich.live import Live
from rich.measure import Measurement
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from handler.cli.doctor.diagnosis import Rating
from handler.cli.doctor.observations import WATCH
from handler.cli.job_status import (
    UNUSABLE,
    Ending,
    Status,
    ending_of,
    headline,
    is_run_missing,
    runs_in_words,
    warnings_of,
)
from handler.cli.standard_streams import print_stdout, printable, unwritable
from handler.cli.time_format import duration, instant

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from rich.console import RenderableType, RenderResult
    from rich.progress import TaskID

    from handler.cli.doctor.diagnosis import Diagnosis
    from handler.cli.doctor.observations import Observations
    from handler.cli.job import Job
    from handler.cli.job_status import Superseded
    from handler.ledger import Entry

_DEFAULT_WIDTH = 80
_WIDEST_BAR = 100
_SMALL_BAR = 16
_INDENT = 2
_NO_STYLE = ""

_ELAPSED, _LEFT, _LAST = "elapsed", "left", "last"

# A sign for each part, for terminals without colours; the second is for ASCII terminals.
_SIGNS = {_ELAPSED: ("█", "#"), _LEFT: ("─", "-"), _LAST: ("░", "~"), "mark": ("╵", "'"), "now": ("▲", "^")}
_STYLES = {_ELAPSED: "green", _LEFT: "green", _LAST: "yellow"}
_RATING_STYLES = {Rating.HOLDS: "green", Rating.HOLDS_IF: "yellow", Rating.AT_RISK: "bold red"}


class Stretch(NamedTuple):
    """A part of a bar, up to a time."""

    what: str
    end: datetime


class Mark(NamedTuple):
    """A time below a bar, with its name."""

    name: str
    at: datetime


@dataclass(frozen=True)
class Bar:
    """A stretch of time from `begin` on, over the whole width. Each mark has a label below the bar."""

    begin: datetime
    stretches: Sequence[Stretch]
    marks: Sequence[Mark] = ()
    columns: int = _WIDEST_BAR
    now: datetime | None = None

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the bar over the available width."""
        columns, is_ascii = min(options.max_width, self.columns), options.ascii_only
        bar, begin = Text(), 0
        for stretch in self.stretches:
            end = self._column(stretch.end, columns)
            bar.append(_SIGNS[stretch.what][is_ascii] * (end - begin), style=_STYLES[stretch.what])
            begin = max(begin, end)
        yield bar
        yield from self._labels(columns, is_ascii=is_ascii)

    def __rich_measure__(self, _console: Console, options: ConsoleOptions) -> Measurement:
        """Return the width."""
        return Measurement(1, min(options.max_width, self.columns))

    def _labels(self, columns: int, *, is_ascii: bool) -> list[Text]:
        lines: list[str] = []
        for mark in sorted(self.marks, key=lambda mark: mark.at):
            column = min(self._column(mark.at, columns), columns - 1)
            sign = _SIGNS["now" if mark.name == "now" else "mark"][is_ascii]
            words = f"{mark.name} {instant(mark.at, self.now or mark.at)}"
            # To the right of its mark, or to the left if the line is too short.
            fits = column + len(words) + 2 <= columns
            label = f"{sign} {words}" if fits else f"{words} {sign}"
            begin = column if fits else max(0, column + 1 - len(label))
            free = next((n for n, line in enumerate(lines) if len(line) + (len(line) > 0) <= begin), len(lines))
            if free == len(lines):
                lines.append("")
            lines[free] = lines[free].ljust(begin) + label
        return [Text(line, no_wrap=True, overflow="crop") for line in lines]

    def _column(self, at: datetime, columns: int) -> int:
        end = self.stretches[-1].end
        share = (at - self.begin) / (end - self.begin) if end > self.begin else 1.0
        return min(columns, max(0, math.floor(share * columns)))


class RichOutput:
    """Output to stdout. Without a terminal and without COLUMNS it is 80 columns wide.

    `is_watch` redraws in place on a terminal, and otherwise prints each status below the last.
    """

    def __init__(self, *, is_watch: bool = False) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False)
        if not self._console.width:
            # With COLUMNS=0 rich draws nothing.
            self._console.width = _DEFAULT_WIDTH
        is_live = is_watch and self._console.is_terminal
        self._live = Live(console=self._console, auto_refresh=False) if is_live else None
        self._end = "\n" if is_watch else ""
        self._wait: tuple[Progress, TaskID] | None = None

    def __enter__(self) -> Self:
        """Start to redraw in place, for a watch on a terminal."""
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Keep the last drawing."""
        self._end_wait()
        if self._live:
            self._live.stop()

    def show_status(self, seen: Sequence[tuple[Job, Status]], failures: Sequence[str], at: datetime) -> bool:
        """Draw the status of a job, or a table of several, and the failures. Return False if nobody reads it."""
        parts: list[RenderableType] = []
        if len(seen) > 1:
            parts.append(draw_table(seen))
        elif seen:
            ((job, status),) = seen
            parts.append(draw_status(status, job.name, job.settings.client))
        parts += [Text(printable(f"{at:%Y-%m-%d %H:%M:%S} UTC  {each}"), style="red") for each in failures]
        return self._show(Group(*parts))

    def show_wait(self, waited: timedelta) -> None:
        """Draw a progress bar on stderr, if that is a terminal."""
        if self._wait is None:
            console = Console(stderr=True)
            columns = TextColumn("tried again for"), BarColumn(), TextColumn("{task.completed:.0f} s")
            bar = Progress(*columns, console=console, disable=not console.is_terminal)
            self._wait = bar, bar.add_task("", total=WATCH.total_seconds())
            bar.start()
        bar, task = self._wait
        bar.update(task, completed=waited.total_seconds())

    def show_diagnosis(self, _observations: Observations, found: Diagnosis) -> None:
        """Draw the observations of doctor."""
        self._end_wait()
        self._show(draw_diagnosis(found))

    def _end_wait(self) -> None:
        if self._wait is not None:
            self._wait[0].stop()
        self._wait = None

    def _show(self, drawn: RenderableType) -> bool:
        try:
            if self._live:
                self._live.update(drawn, refresh=True)
                return True
            # rich writes an empty text even so.
            with self._console.capture() as capture:
                self._console.print(drawn)
        except OSError as error:
            raise unwritable(error) from error
        # rich pads lines with blanks.
        lines = [line.rstrip() for line in capture.get().splitlines()]
        return print_stdout("\n".join([*lines, self._end]))


def draw_table(seen: Sequence[tuple[Job, Status]]) -> Group:
    """Draw a line for each job, and the problems below."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("job", "state", "renewed by", "expires in", "superseded", "last run"):
        table.add_column(name, overflow="fold")
    trouble: list[RenderableType] = []
    for job, status in seen:
        current, last = status.current, status.last_run
        left = current.expires_at - status.at if current and current.expires_at else None
        table.add_row(
            Text(job.name, style="bold"),
            Text(status.state, style=_colour(status)),
            instant(status.renews_at, status.at) if status.renews_at else "",
            duration(left) if left else "",
            str(len(status.superseded)),
            f"{instant(last.at, status.at)} {last.outcome}" if last else "",
        )
        if status.state in UNUSABLE or status.needs_attention:
            lines = [headline(status), *([words] if (words := runs_in_words(status)) else []), *warnings_of(status)]
            trouble.append(Text(f"{job.name}: {'; '.join(lines)}", style=_colour(status)))
    at = Text(f"{seen[0][1].at:%Y-%m-%d %H:%M:%S} UTC", style="dim", justify="right")
    return Group(at, table, *(["", *trouble] if trouble else []))


def _colour(status: Status) -> str:
    return "bold red" if status.state in UNUSABLE else "yellow" if status.needs_attention else "green"


def draw_status(status: Status, job_name: str, client: str) -> Group:
    """Draw the status of one job."""
    title = Table.grid(expand=True, padding=(0, 2))
    title.add_column(overflow="fold")
    title.add_column(justify="right", no_wrap=True)
    name = client if client == job_name else f"{client} ({job_name})"
    title.add_row(Text(name, style="bold"), Text(f"{status.at:%Y-%m-%d %H:%M:%S} UTC", style="dim"))
    parts: list[RenderableType] = [title, "", Text(headline(status), style=_colour(status))]
    if words := runs_in_words(status):
        is_trouble = status.failed_runs or is_run_missing(status)
        parts.append(Text(words, style="yellow" if is_trouble else "dim"))
    parts += [Text(warning, style="yellow") for warning in warnings_of(status)]
    if status.accepted is not None:
        parts.append(Text(f"VERIFY_URL {'accepts' if status.accepted else 'rejects'} the current token", style="dim"))
    if status.current is not None:
        parts += ["", *_current(status)]
    if status.superseded:
        parts += ["", _heading("superseded"), _superseded(status.superseded, status)]
    return Group(*parts)


def draw_diagnosis(diagnosis: Diagnosis) -> Group:
    """Draw the observations, and the rating of each guarantee."""
    answers = Table.grid(padding=(0, 2))
    answers.add_column(style="dim", no_wrap=True)
    answers.add_column()
    for answer in diagnosis.answers:
        answers.add_row(answer.about, Text(printable(answer.words)))
    guarantees = Table.grid(padding=(0, 2))
    guarantees.add_column(no_wrap=True)
    guarantees.add_column(no_wrap=True)
    guarantees.add_column()
    for guarantee in diagnosis.guarantees:
        rating = Text(guarantee.rating.replace("-", " "), style=_RATING_STYLES[guarantee.rating])
        guarantees.add_row(Text(guarantee.name), rating, Text(printable(guarantee.because)))
    return Group(
        _heading("behaviour of the server"), _indented(answers), "", _heading("guarantees"), _indented(guarantees)
    )


def _current(status: Status) -> list[RenderableType]:
    current = status.current
    if current is None or current.published_at is None or current.expires_at is None or status.renews_at is None:
        return [_heading(f"current {current.version_id if current else ''}")]
    now, expires_at = status.at, current.expires_at
    left = f"expires in {duration(expires_at - now)}" if now < expires_at else "expired"
    full_grace_until = max(current.published_at, expires_at - status.policy.grace)
    elapsed_until = min(max(now, current.published_at), expires_at)
    stretches = [
        Stretch(_ELAPSED, elapsed_until),
        Stretch(_LEFT, max(elapsed_until, full_grace_until)),
        Stretch(_LAST, expires_at),
    ]
    marks = [
        Mark("published", current.published_at),
        Mark("renewed by", status.renews_at),
        Mark("grace", full_grace_until),
        Mark("expires", expires_at),
    ]
    bar = Bar(current.published_at, stretches, [*marks, Mark("now", now)] if now < expires_at else marks, now=now)
    return [
        Text.assemble(_heading("current "), _short(current), f": {left}"),
        _indented(bar),
        _indented(_Legend(status.policy.grace)),
    ]


@dataclass(frozen=True)
class _Legend:
    grace: timedelta

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text.assemble(
            *((_SIGNS[_ELAPSED][options.ascii_only], _STYLES[_ELAPSED]), " elapsed  "),
            *((_SIGNS[_LEFT][options.ascii_only], _STYLES[_LEFT]), " left  "),
            *((_SIGNS[_LAST][options.ascii_only], _STYLES[_LAST]), " left, but less than the grace period of "),
            duration(self.grace),
        )


def _superseded(superseded: Sequence[Superseded], status: Status) -> Padding:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, width=_SMALL_BAR)
    table.add_column()
    for each in superseded:
        words = Text(ending_of(each, status.at), style="dim" if each.ending is Ending.EXPIRED else _NO_STYLE)
        table.add_row(_short(each.entry), _rest(each, status), words)
    return _indented(table)


def _rest(superseded: Superseded, status: Status) -> RenderableType:
    """Draw the time from when a token was superseded or published until it ends."""
    begin = superseded.entry.published_at
    if superseded.ending is Ending.IN_GRACE and status.current is not None:
        begin = status.current.published_at
    if begin is None or superseded.ends_at is None:
        return ""
    now = min(max(status.at, begin), superseded.ends_at)
    return Bar(begin, [Stretch(_ELAPSED, now), Stretch(_LAST, superseded.ends_at)], columns=_SMALL_BAR)


def _heading(text: str) -> Text:
    return Text(text, style="bold")


def _indented(drawn: RenderableType) -> Padding:
    return Padding(drawn, (0, 0, 0, _INDENT), expand=False)


def _short(entry: Entry) -> str:
    """Return the first eight characters of a version id."""
    return entry.version_id[:8]
