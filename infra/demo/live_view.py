"""Shows the demo while it runs: a live timeline on a terminal, a line for each event elsewhere."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.live import Live

from infra.demo.timeline import PAGE, Axis, Space, hours, scale_of_time, timeline
from infra.demo.view import View, events

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from rich.console import Console

    from infra.demo.checks import Count, FaultRecord

_LATE_SECONDS = 180


class LiveView:
    """Shows each view, and what is new in a folder of logs if there is one to follow."""

    def __init__(self, console: Console, axis: Axis, logs: Path | None = None) -> None:
        self._console = console
        self._axis = axis
        self._logs = logs
        is_moving = console.is_terminal and not logs
        self._live = Live(console=console, auto_refresh=False, transient=True) if is_moving else None
        self._last = View(at=axis.begin)
        self._printed: set[str] = set()
        self._shown = Counter[Path]()

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

    def show(self, view: View, counts: Sequence[Count], fault_records: Sequence[FaultRecord]) -> None:
        """Show how things are now."""
        before, self._last = self._last, view
        if view.at > self._axis.begin + self._axis.seconds + _LATE_SECONDS:
            self._print_once("the time is up: waiting for the last fault, and for a killed run's token to expire")
        if self._live:
            self._live.update(timeline(view, counts, fault_records, self._axis, space_of(self._console)), refresh=True)
            return
        for _, line in events(before, view):
            self._print_once(line)
        for record in fault_records:
            self._print_once(f"fault set up: {record.name}")
            if record.evidence is not None:
                self._print_once(f"fault took effect: {record.name}: {record.evidence}")
        for path in sorted(self._logs.glob("*.log")) if self._logs else ():
            log = path.read_text(encoding="utf-8", errors="replace")
            self._console.out(log[self._shown[path] :], end="", highlight=False)
            self._shown[path] = len(log)

    def _print_once(self, line: str) -> None:
        """Print a line with the simulated time, once."""
        if line not in self._printed:
            self._printed.add(line)
            at = hours(self._last.at - self._axis.begin)
            self._console.print(f"{at} h  {line}", markup=False, highlight=False, soft_wrap=True)


def space_of(console: Console) -> Space:
    """Return how much room there is."""
    return Space(console.width, console.height) if console.is_terminal else PAGE
