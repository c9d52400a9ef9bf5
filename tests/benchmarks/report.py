"""Writes docs/benchmarks.md: the figures of a run in report.md.j2, which explains them."""

from __future__ import annotations

import re
import textwrap
from functools import partial
from pathlib import Path
from statistics import median

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tests.benchmarks import costs
from tests.benchmarks.rotation_strategies import GRACE, OVERWRITE_OFTEN, THIS_JOB
from tests.benchmarks.simulated_month import CACHE_SECONDS, REQUEST_EVERY_SECONDS

STARTUP_GOAL = 1.05
NOT_DUE_GOAL = 1.28


def document(**figures: object) -> str:
    """Return the whole document."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701  it writes Markdown, from our own figures
    )
    templates.filters |= {"fixed": _fixed, "median": median}
    text = templates.get_template("report.md.j2").render(
        figures,
        costs=costs,
        cheapest_of=partial(min, key=costs.running_cost),
        startup_goal=STARTUP_GOAL,
        not_due_goal=NOT_DUE_GOAL,
        cache_seconds=CACHE_SECONDS,
        request_every_seconds=REQUEST_EVERY_SECONDS,
        grace=GRACE,
        this_job=THIS_JOB.name,
        overwrite_often=OVERWRITE_OFTEN.name,
    )
    return "\n\n".join(_wrapped(block) for block in re.split(r"\n{2,}", text.strip())) + "\n"


def _fixed(number: float, digits: int = 0) -> str:
    return f"{number:,.{digits}f}"


def _wrapped(block: str) -> str:
    """Wrap a paragraph; leave other blocks unchanged."""
    if block.startswith(("#", "|")):
        return block
    return textwrap.fill(" ".join(block.split()), 120, break_long_words=False, break_on_hyphens=False)
