"""P7 with numbers: when the page rings in trouble, and that it does not in a healthy month.

`make alarms`, or `python -m tests.infra.alarms.paging_margins`, prints the least margin for each schedule and grace.
"""

from __future__ import annotations

import itertools
import math
import os
import random
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

from infra.template import Parameter
from tests.infra.alarms.cloudwatch import EVALUATED_EVERY, Alarm, CloudWatch, State
from tests.infra.alarms.job_model import LATEST_START, Fate, Job, Run, Settings
from tests.infra.alarms.template import Template

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    Margin = tuple[float, str]
    """For how many seconds before the first consumer has less than the grace the page has rung, and in what case."""

HOUR, DAY, MONTH = 3600, 86_400, 30 * 86_400
LATEST_METRIC = 60  # how late a metric may arrive

# What a token's life of an hour can be less by: it is counted from before the request, in whole seconds.
LIVES = (3600, 3570)

TEMPLATE = Template.read()
_GRACE = Parameter("GraceSeconds", TEMPLATE.parameter("GraceSeconds"))

SCHEDULES = [int(minutes) for minutes in TEMPLATE.parameter("ScheduleMinutes")["AllowedValues"]]
"""The minutes between two runs that the template accepts."""

GRACES = [0, 1, 59, 300, 599, 600, 601, 900, 1199, 1200]
"""Graces that the template accepts, its least and its most among them; none above an hour's third."""
assert [grace for grace in (-1, *GRACES, GRACES[-1] + 1) if _GRACE.accepts(str(grace))] == GRACES
assert GRACES[-1] <= HOUR // 3

_FRACTIONS = (0.001, 0.33, 0.4, 0.5, 0.6, 0.75, 0.999)
_LATENESS = {
    "on time": (0,),
    "a minute late": (LATEST_START,),
    "late by turns": (0, LATEST_START),
    "late by turns, the other way round": (LATEST_START, 0),
    "by thirds": (0, 30, 59, 17),
}


def page(minutes: int, grace: int, *, fills_nothing: bool = False) -> Alarm:
    """Return the alarm that pages, as it is deployed with these parameters."""
    stack = TEMPLATE.deployed(ScheduleMinutes=str(minutes), GraceSeconds=grace)
    return Alarm.of(stack.resources("AWS::CloudWatch::Alarm")["TokenExpiryAlarm"], fills_nothing=fills_nothing)


def _runs(settings: Settings, phase: float, lateness: Sequence[float], fates: Iterable[Fate]) -> Iterator[Run]:
    for number, fate in enumerate(fates):
        yield Run(phase + number * settings.period + lateness[number % len(lateness)], fate)


def first_due(settings: Settings, lateness: Sequence[float]) -> int:
    """Return which run renews the token that the first one has published."""
    return next(
        number
        for number, run in enumerate(_runs(settings, 0, lateness, itertools.repeat(Fate.WELL)))
        if settings.is_due(run.at - lateness[0])
    )


def trouble(begins: int, kind: Sequence[Fate]) -> Iterator[Fate]:
    """Yield the fates of runs that all fail from one on, in different ways in turn."""
    yield from itertools.repeat(Fate.WELL, begins)
    yield from itertools.cycle(kind)


TROUBLES: dict[str, tuple[Fate, ...]] = {
    "runs fail": (Fate.FAILS,),
    "no runs": (Fate.LOST,),
    "runs time out": (Fate.TIMES_OUT,),
    "runs fail or are lost by turns": (Fate.LOST, Fate.FAILS),
    "runs are lost or fail by turns": (Fate.FAILS, Fate.LOST),
}


def margin(
    alarm: Alarm,
    settings: Settings,
    fates: Iterable[Fate],
    lateness: Sequence[float],
    phase: float,
    arrives_after: float,
) -> float:
    """Return for how long before the first consumer has less than the grace the page has rung, in seconds.

    The token is the one that the first run publishes, and no other follows it. Minus infinity where nothing rings.
    CloudWatch looks in the last second of each minute, which makes the page as late as can be.
    """
    cloudwatch = CloudWatch()
    (metric,) = alarm.metrics
    # What was before: readings that are good, for as long as the alarm may look back.
    back = (alarm.rule.evaluation_periods + 5) * alarm.period // settings.period + 2
    for number in range(back, 0, -1):
        at = phase - number * settings.period
        cloudwatch.put(metric, at, settings.life, at + arrives_after)
    job = Job(settings)
    begin = phase + lateness[0]
    broken_at = begin + settings.life - settings.grace
    watched_until = broken_at + HOUR / 2
    runs = list(itertools.takewhile(lambda run: run.at < watched_until, _runs(settings, phase, lateness, fates)))
    told = list(job.live(runs))
    assert [each.has_published for each in told].count(True) == 1
    for each in told:
        cloudwatch.put(metric, each.at, each.seconds_until_expiry, each.at + arrives_after)
    # All was well until the last run that was; that it does not ring then is false_pages' to show.
    begin = next(run.at for run in runs if run.fate is not Fate.WELL) - settings.period
    first = begin - begin % EVALUATED_EVERY + EVALUATED_EVERY - 1
    rung = (at for at, state in cloudwatch.changes(alarm, first, watched_until) if state is State.ALARM)
    return broken_at - next(rung, math.inf)


def least_margin(
    minutes: int,
    grace: int,
    *,
    fractions: Sequence[float] = _FRACTIONS,
    lives: Sequence[int] = LIVES,
    phases: Sequence[float] = (0, 1, 59),
) -> Margin:
    """Try every trouble, and return what the page rang latest for."""
    return min(_margins(minutes, grace, fractions, lives, phases))


def _margins(
    minutes: int, grace: int, fractions: Sequence[float], lives: Sequence[int], phases: Sequence[float]
) -> Iterator[Margin]:
    alarm = page(minutes, grace)
    for life, fraction, (when, lateness) in itertools.product(lives, fractions, _LATENESS.items()):
        settings = Settings(minutes * 60, grace, fraction, life)
        due = first_due(settings, lateness)
        begins = {1, max(1, due - 1), due}
        for begin, (what, kind), phase, after in itertools.product(
            sorted(begins), TROUBLES.items(), phases, (0, LATEST_METRIC)
        ):
            how = f"{what} from run {begin} of {due} on, {when}, fraction {fraction}, life {life}, at second {phase}"
            seconds = margin(alarm, settings, trouble(begin, kind), lateness, phase, after)
            yield seconds, f"{how}, metrics {after} s late"


def false_pages(alarm: Alarm, settings: Settings, seed: int, seconds: int, lost_every: int = 40) -> list[float]:
    """Return when the page rings in a healthy time: runs and metrics up to a minute late, one run lost now and then."""
    dice = random.Random(seed)  # noqa: S311  to be repeated, not kept secret
    cloudwatch = CloudWatch()
    (metric,) = alarm.metrics
    phase = dice.uniform(0, 60)
    runs, was_lost = [], False
    for number in range(seconds // settings.period):
        is_lost = not was_lost and number > 0 and dice.random() < 1 / lost_every
        fate = dice.choice((Fate.LOST, Fate.FAILS)) if is_lost else Fate.WELL
        # On time or as late as can be more often than anything between: that makes the longest gaps.
        late = dice.choice((0, 0, LATEST_START, dice.uniform(0, LATEST_START)))
        runs.append(Run(phase + number * settings.period + late, fate))
        was_lost = is_lost
    for told in Job(settings).live(sorted(runs, key=lambda run: run.at)):
        late = dice.choice((0, LATEST_METRIC, dice.uniform(0, LATEST_METRIC)))
        cloudwatch.put(metric, told.at, told.seconds_until_expiry, told.at + late)
    begin = (alarm.rule.evaluation_periods + 5) * alarm.period
    changes = cloudwatch.changes(alarm, begin - begin % EVALUATED_EVERY + dice.uniform(0, 59), seconds - 2 * HOUR)
    return [at for at, state in changes if state is State.ALARM]


def _row(minutes: int, grace: int) -> tuple[bool, str]:
    seconds, how = least_margin(minutes, grace)
    alarm = page(minutes, grace)
    rung = sum(
        len(false_pages(alarm, Settings(minutes * 60, grace, fraction), seed, MONTH))
        for seed, fraction in enumerate((0.001, 0.33, 0.999))
    )
    return seconds > 0 and rung == 0, f"| {minutes} min | {grace} s | {seconds:.0f} s | {rung} | {how} |"


def main() -> int:
    """Print the table; 1 if P7 does not hold."""
    began_at = time.monotonic()
    print("| schedule | grace | the page is earlier by | false pages in 3 months | the least margin was when |")  # noqa: T201
    print("| --- | --- | --- | --- | --- |")  # noqa: T201
    holds = True
    with ProcessPoolExecutor(max(1, (os.cpu_count() or 2) - 1)) as pool:
        for row_holds, row in pool.map(_row, *zip(*itertools.product(SCHEDULES, GRACES), strict=True)):
            holds &= row_holds
            print(row, flush=True)  # noqa: T201
    print(f"\nP7 {'holds' if holds else 'DOES NOT HOLD'}. {time.monotonic() - began_at:.0f} s")  # noqa: T201
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
