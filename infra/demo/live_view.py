"""Shows the demo while it runs: a live timeline on a terminal, a line for each event elsewhere."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.live import Live

from infra.demo.checks import View
from infra.demo.timeline import PAGE, Axis, Space, hours, scale_of_time, timeline, token_events

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Self

    from rich.console import Console

    from infra.demo.checks import Count, FaultRecord
    from infra.local.fast_clock import FastClock

_LATE_SECONDS = 180


class LiveView:
    """Shows each view, and the lines of a log if there is one to follow."""

    def __init__(self, console: Console, axis: Axis, clock: FastClock, log_path: Path | None = None) -> None:
        self._console = console
        self._axis = axis
        self._clock = clock
        self._log = log_path.open(encoding="utf-8", errors="replace") if log_path else io.StringIO()
        is_moving = console.is_terminal and not log_path
        self._live = Live(console=console, auto_refresh=False, transient=True) if is_moving else None
        self._last = View(at=axis.begin)
        self._printed: set[str] = set()

    def __enter__(self) -> Self:
        """Show the live timeline, or the scale of time where nothing can move."""
        if self._live:
            self._live.start()
        else:
            self._console.print(*scale_of_time(), "", sep="\n")
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the terminal as it was."""
        if self._live:
            self._live.stop()
        self._log.close()

    def show(self, view: View, counts: Sequence[Count], fault_records: Sequence[FaultRecord]) -> None:
        """Show how things are now."""
        if view.at > self._axis.begin + self._axis.seconds + _LATE_SECONDS:
            self.print_once("the time is up: waiting for the last fault, and for a killed run's token to expire")
        if self._live:
            self._live.update(timeline(view, counts, fault_records, self._axis, space_of(self._console)), refresh=True)
            return
        for line in token_events(self._last, view):
            self.print_line(line)
        for record in fault_records:
            self.print_once(f"fault set up: {record.name}")
            if record.evidence is not None:
                self.print_once(f"fault took effect: {record.name}: {record.evidence}")
        self._console.out(self._log.read(), end="", highlight=False)
        self._last = view

    def print_once(self, line: str) -> None:
        """Print a line once."""
        if line not in self._printed:
            self._printed.add(line)
            self.print_line(line)

    def print_line(self, line: str) -> None:
        """Print a line with the simulated time."""
        at = hours(self._clock.time() - self._axis.begin)
        self._console.print(f"{at} h  {line}", markup=False, highlight=False, soft_wrap=True)


def space_of(console: Console) -> Space:
    """Return how much room there is."""
    return Space(console.width, console.height) if console.is_terminal else PAGE
