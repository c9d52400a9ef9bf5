"""The drawing of status: readable in 80 columns, without colour, and in ASCII."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from rich.console import Console

from handler.cli.job_status import status_of
from handler.cli.rich_output import draw_status
from handler.ledger import Entry, Ledger
from tests.handler.cli.test_job_status import POLICY, T0, entry

LEDGER = Ledger(entry("9d1c4b02", 0), (entry("3fa85f64", -30), entry("77e0c1d2", 1)))

PICTURE = """\
acme (telenor-token)                                     2026-11-23 22:06:00 UTC

fresh: renewed within 14 min, by 22:20:00

current 9d1c4b02: expires in 54 min
  ███████──────────────────────────────────────────────────────────░░░░░░░░░░░░░
  ╵ published 22:00:00      ╵ renewed by 22:20:00   grace 22:50:00 ╵
         ▲ now 22:06:00                                       expires 23:00:00 ╵
  █ elapsed  ─ left  ░ left, but less than the grace period of 10 min

superseded
  3fa85f64  █████████░░░░░░░  in its grace period, revoked in 4 min
  77e0c1d2  █░░░░░░░░░░░░░░░  newer than current (rolled back), grace period
                              starts with the next run, expires in 55 min
"""


def drawn(
    ledger: Ledger | None, minutes: float, *, width: int = 80, encoding: str = "utf-8", is_tty: bool = False
) -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, width=width, force_terminal=is_tty, no_color=not is_tty, legacy_windows=False)
    console.print(draw_status(status_of(ledger, POLICY, T0 + timedelta(minutes=minutes)), "telenor-token", "acme"))
    file.flush()
    file.seek(0)
    return "\n".join(line.rstrip() for line in file.read().splitlines()) + "\n"


def test_status_is_drawn_as_expected() -> None:
    assert drawn(LEDGER, 6) == PICTURE


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
@pytest.mark.parametrize("minutes", [0, 0.1, 15, 29, 31, 45, 55, 59.99, 61, 10_000])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_drawing_fits_any_time_and_width(width: int, minutes: float, encoding: str) -> None:
    text = drawn(LEDGER, minutes, width=width, encoding=encoding)
    assert all(len(line) <= width for line in text.splitlines())
    assert "\x1b" not in text


@pytest.mark.parametrize("minutes", [0, 6, 31, 59.99])
def test_the_legend_names_each_mark_once(minutes: float) -> None:
    text = drawn(LEDGER, minutes)
    marks = ("╵ published 22:00:00", "╵ renewed by 22:20:00", "▲", "now 22:", "grace 22:50:00 ╵", "expires 23:00:00 ╵")
    assert {name: text.count(name) for name in marks} == dict.fromkeys(marks, 1)


def test_now_is_not_marked_on_an_expired_tokens_timeline() -> None:
    text = drawn(LEDGER, 61)
    assert "now" not in text
    assert "current 9d1c4b02: expired" in text


@pytest.mark.parametrize(
    ("ledger", "says"),
    [
        *((None, "marked for deletion"), (Ledger(None), "no value")),
        (Ledger(Entry("9d1c4b02-0000")), "not in the ledger"),
        (Ledger(Entry("9d1c4b02-0000", labels=("x",)), (Entry("old-0000", labels=("x",)),)), "cannot be read"),
    ],
)
def test_a_token_without_known_times_is_described_in_words(ledger: Ledger | None, says: str) -> None:
    assert says in drawn(ledger, 0)


def test_only_a_terminal_gets_colours() -> None:
    assert "\x1b[" in drawn(LEDGER, 6, is_tty=True)
