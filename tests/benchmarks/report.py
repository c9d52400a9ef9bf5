"""docs/benchmarks.md: the numbers of a run, set into report.md.j2, which says what they mean for an operator."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tests.benchmarks import prices
from tests.benchmarks.simulated_month import CACHE_SECONDS, REQUEST_EVERY_SECONDS
from tests.benchmarks.strategies import GRACE, OVERWRITE_OFTEN, THIS_JOB

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.benchmarks.artifact_size import Package
    from tests.benchmarks.run_cost import Kind
    from tests.benchmarks.simulated_month import Month, Outages
    from tests.benchmarks.startup import Start

STARTUP_GOAL = 1.05
NOT_DUE_GOAL = 1.28


@dataclass(frozen=True)
class Origin:
    """Where the numbers come from."""

    date: str
    commit: str
    command: str
    machine: str


@dataclass(frozen=True)
class Comparison:
    """The results of all strategies with the same outages."""

    title: str
    outages: Outages
    months: Sequence[Month]

    def of(self, strategy: str) -> Month:
        """Return the results of one strategy."""
        return next(month for month in self.months if month.strategy == strategy)


@dataclass(frozen=True)
class Results:
    """Everything that was measured."""

    origin: Origin
    starts: Mapping[str, Start]
    kinds: Sequence[Kind]
    packages: Sequence[Package]
    zipped_bytes: int
    rotation_peak_kib: float
    within: Comparison
    beyond: Comparison


def document(results: Results) -> str:
    """Return the whole document."""
    return _set(
        "report.md.j2",
        **vars(results),
        cheapest_of=partial(min, key=prices.running_cost),
        startup_goal=STARTUP_GOAL,
        not_due_goal=NOT_DUE_GOAL,
        cache_seconds=CACHE_SECONDS,
        request_every_seconds=REQUEST_EVERY_SECONDS,
        grace=GRACE,
        this_job=THIS_JOB.name,
        overwrite_often=OVERWRITE_OFTEN.name,
    )


def _set(template: str, **figures: object) -> str:
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701  it writes Markdown, from our own figures
    )
    templates.filters["fixed"] = _fixed
    text = templates.get_template(template).render(figures, prices=prices)
    return "\n\n".join(_wrapped(block) for block in re.split(r"\n{2,}", text.strip())) + "\n"


def _fixed(number: float, digits: int = 0) -> str:
    return f"{number:,.{digits}f}"


def _wrapped(block: str) -> str:
    """Wrap a paragraph; what else there is stays as it is."""
    if block.startswith(("#", "|", "![")):
        return block
    return textwrap.fill(" ".join(block.split()), 120, break_long_words=False, break_on_hyphens=False)
