"""Shows the demo while it runs: a picture that moves on a terminal, a line for each thing that happens elsewhere."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

from rich.live import Live

from infra.local.picture import Axis, happenings, picture
from infra.local.verdict import View

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Self

    from rich.console import Console

    from infra.local.verdict import Count, Strike

# Of the picture, beside tokens and faults: title, axis, legend and consumers, with the empty lines between them.
_OTHER_ROWS = 13

_LATE_SECONDS = 1


class Screen:
    """Shows what it is told, and the lines of a log where there is one to follow."""

    def __init__(self, console: Console, axis: Axis, log_path: Path | None = None) -> None:
        self._console = console
        self._axis = axis
        self._log = log_path.open(encoding="utf-8", errors="replace") if log_path else io.StringIO()
        is_moving = console.is_terminal and not log_path
        self._live = Live(console=console, auto_refresh=False, transient=True) if is_moving else None
        self._last = View(at=axis.begin)
        self._told: set[str] = set()

    def __enter__(self) -> Self:
        """Begin to draw."""
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the terminal as it was."""
        if self._live:
            self._live.stop()
        self._log.close()

    def show(self, view: View, counts: Sequence[Count], strikes: Sequence[Strike]) -> None:
        """Show how things are now."""
        if view.at > self._axis.begin + self._axis.seconds + _LATE_SECONDS:
            self.tell_once("the time is up: waiting for the last fault, and for a killed run's token to expire")
        if self._live:
            rows = max(1, self._console.height - _OTHER_ROWS - len(strikes))
            self._live.update(picture(view, counts, strikes, self._axis, rows), refresh=True)
            return
        for line in happenings(self._last, view):
            self.tell(line)
        for strike in strikes:
            self.tell_once(f"fault set up: {strike.name}")
            if strike.evidence is not None:
                self.tell_once(f"fault struck: {strike.name}: {strike.evidence}")
        self._console.out(self._log.read(), end="", highlight=False)
        self._last = view

    def tell_once(self, line: str) -> None:
        """Tell something that has not been told."""
        if line not in self._told:
            self._told.add(line)
            self.tell(line)

    def tell(self, line: str) -> None:
        """Tell something in a line, with the time."""
        seconds = time.time() - self._axis.begin
        self._console.print(f"{seconds:6.1f} s  {line}", markup=False, highlight=False, soft_wrap=True)
