"""Shows the demo while it runs: a picture that moves on a terminal, a line for each thing that happens elsewhere."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.live import Live

from infra.local.picture import PAGE, Axis, Space, happenings, hours, picture, scale_of_time
from infra.local.verdict import View

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Self

    from rich.console import Console

    from infra.local.story import Story
    from infra.local.verdict import Count, Strike

_LATE_SECONDS = 180


class Stage:
    """Shows what it is told, and the lines of a log where there is one to follow."""

    def __init__(self, console: Console, axis: Axis, story: Story, log_path: Path | None = None) -> None:
        self._console = console
        self._axis = axis
        self._story = story
        self._log = log_path.open(encoding="utf-8", errors="replace") if log_path else io.StringIO()
        is_moving = console.is_terminal and not log_path
        self._live = Live(console=console, auto_refresh=False, transient=True) if is_moving else None
        self._last = View(at=axis.begin)
        self._told: set[str] = set()

    def __enter__(self) -> Self:
        """Show the live picture, or the scale of time where nothing can move."""
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

    def show(self, view: View, counts: Sequence[Count], strikes: Sequence[Strike]) -> None:
        """Show how things are now."""
        if view.at > self._axis.begin + self._axis.seconds + _LATE_SECONDS:
            self.tell_once("the time is up: waiting for the last fault, and for a killed run's token to expire")
        if self._live:
            self._live.update(picture(view, counts, strikes, self._axis, space_of(self._console)), refresh=True)
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
        """Tell something in a line, with the time of the story."""
        at = hours(self._story.time() - self._axis.begin)
        self._console.print(f"{at} h  {line}", markup=False, highlight=False, soft_wrap=True)


def space_of(console: Console) -> Space:
    """Return how much room there is."""
    return Space(console.width, console.height) if console.is_terminal else PAGE
