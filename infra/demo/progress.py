"""Shows the demo while it runs: a live timeline on a terminal, a line for each event elsewhere."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.live import Live

from infra.demo.timeline import PAGE, Axis, hours, scale_of_time, timeline
from infra.demo.token_states import TokenStates, events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console, ConsoleDimensions

    from infra.demo.consumers import Count
    from infra.demo.faults import FaultRecord

    Show = Callable[[TokenStates, Sequence[Count], Sequence[FaultRecord]], None]


@contextmanager
def progress(console: Console, axis: Axis, logs: Path | None = None) -> Iterator[Show]:
    """Yield a function that shows the present states, and new lines in a folder of logs, if given."""
    if console.is_terminal and not logs:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            yield lambda states, counts, faults: live.update(
                timeline(states, counts, faults, axis, size_of(console)), refresh=True
            )
        return
    last, printed, shown = TokenStates(at=axis.begin), set[str](), Counter[Path]()

    def show(states: TokenStates, _counts: Sequence[Count], fault_records: Sequence[FaultRecord]) -> None:
        nonlocal last
        lines = [line for _, line in events(last, states)]
        lines += [f"fault set up: {record.name}" for record in fault_records]
        lines += [f"fault took effect: {each.name}: {each.evidence}" for each in fault_records if each.evidence]
        for line in lines:
            if line not in printed:
                at = hours(states.at - axis.begin)
                console.print(f"{at} h  {line}", markup=False, highlight=False, soft_wrap=True)
        printed.update(lines)
        for path in sorted(logs.glob("*.log")) if logs else ():
            log = path.read_text(encoding="utf-8", errors="replace")
            console.out(log[shown[path] :], end="", highlight=False)
            shown[path] = len(log)
        last = states

    console.print(*scale_of_time(), "", sep="\n")
    yield show


def size_of(console: Console) -> ConsoleDimensions:
    """Return the size of the output."""
    return console.size if console.is_terminal else PAGE
