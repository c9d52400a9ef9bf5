"""P7 in numbers: how early TokenExpiryAlarm fires if runs fail, and whether it fires in a healthy month.

`make alarms` prints the least margin for each schedule and grace.
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

from infra.load_template import load
from infra.stack_parameters import Parameter
from tests.infra.alarms.cloudwatch import EVALUATED_EVERY, Alarm, CloudWatch, State
from tests.infra.alarms.job_model import LATEST_START, Job, Run, RunOutcome, Settings
from tests.infra.resolved_template import stack_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    Margin = tuple[float, str]
    """How many seconds before the first consumer has less than the grace the alarm fires, and in which case."""

HOUR, DAY, MONTH = 3600, 86_400, 30 * 86_400
LATEST_METRIC = 60  # how many seconds late a metric may arrive

# A lifetime of an hour can be a little shorter: it counts from before the request, in whole seconds.
LIFETIMES = (3600, 3570)

TEMPLATE = load()
_GRACE = Parameter("GraceSeconds", TEMPLATE["Parameters"]["GraceSeconds"])

SCHEDULES = [int(minutes) for minutes in TEMPLATE["Parameters"]["ScheduleMinutes"]["AllowedValues"]]
"""The minutes between two runs that the template accepts."""

GRACES = [0, 1, 59, 300, 599, 600, 601, 900, 1199, 1200]
"""Graces that the template accepts, including its minimum and maximum; none above a third of an hour."""
assert [grace for grace in (-1, *GRACES, GRACES[-1] + 1) if _GRACE.accepts(str(grace))] == GRACES
assert GRACES[-1] <= HOUR // 3

_FRACTIONS = (0.001, 0.33, 0.4, 0.5, 0.6, 0.75, 0.999)
_LATENESS = {
    "on time": (0,),
    "a minute late": (LATEST_START,),
    "odd runs late": (0, LATEST_START),
    "even runs late": (LATEST_START, 0),
    "late by 0, 30, 59 and 17 s in turn": (0, 30, 59, 17),
}


def expiry_alarm(minutes: int, grace: int, *, fills_nothing: bool = False) -> Alarm:
    """Return TokenExpiryAlarm as it is deployed with these parameters."""
    stack = stack_of(TEMPLATE, ScheduleMinutes=str(minutes), GraceSeconds=grace)
    return Alarm.of(stack.resources("AWS::CloudWatch::Alarm")["TokenExpiryAlarm"], fills_nothing=fills_nothing)


def _runs(settings: Settings, phase: float, lateness: Sequence[float], outcomes: Iterable[RunOutcome]) -> Iterator[Run]:
    for number, outcome in enumerate(outcomes):
        yield Run(phase + number * settings.period + lateness[number % len(lateness)], outcome)


def first_due(settings: Settings, lateness: Sequence[float]) -> int:
    """Return the number of the run that renews the first run's token."""
    return next(
        number
        for number, run in enumerate(_runs(settings, 0, lateness, itertools.repeat(RunOutcome.SUCCEEDS)))
        if settings.is_due(run.at - lateness[0])
    )


def failing_outcomes(begins: int, kind: Sequence[RunOutcome]) -> Iterator[RunOutcome]:
    """Yield outcomes that are all failures from run `begins` on, of the given kinds in turn."""
    yield from itertools.repeat(RunOutcome.SUCCEEDS, begins)
    yield from itertools.cycle(kind)


FAILURES: dict[str, tuple[RunOutcome, ...]] = {
    "runs fail": (RunOutcome.FAILS,),
    "no runs": (RunOutcome.LOST,),
    "runs time out": (RunOutcome.TIMES_OUT,),
    "runs are lost and fail in turn": (RunOutcome.LOST, RunOutcome.FAILS),
    "runs fail and are lost in turn": (RunOutcome.FAILS, RunOutcome.LOST),
}


def margin(
    alarm: Alarm,
    settings: Settings,
    outcomes: Iterable[RunOutcome],
    lateness: Sequence[float],
    phase: float,
    arrives_after: float,
) -> float:
    """Return how many seconds before the first consumer has less than the grace the alarm fires.

    Only the first run publishes a token. Minus infinity if the alarm does not fire. CloudWatch evaluates in the last
    second of each minute, which makes the alarm as late as possible.
    """
    cloudwatch = CloudWatch()
    (metric,) = alarm.metrics
    # Good readings before the first run, for as long as the alarm may look back.
    back = (alarm.rule.evaluation_periods + 5) * alarm.period // settings.period + 2
    for number in range(back, 0, -1):
        at = phase - number * settings.period
        cloudwatch.put(metric, at, settings.lifetime, at + arrives_after)
    job = Job(settings)
    begin = phase + lateness[0]
    broken_at = begin + settings.lifetime - settings.grace
    watched_until = broken_at + HOUR / 2
    runs = list(itertools.takewhile(lambda run: run.at < watched_until, _runs(settings, phase, lateness, outcomes)))
    sent = list(job.simulate(runs))
    assert [each.has_published for each in sent].count(True) == 1
    for each in sent:
        cloudwatch.put(metric, each.at, each.seconds_until_expiry, each.at + arrives_after)
    # Evaluate from the last successful run on; false_alarms() checks that the alarm does not fire before that.
    begin = next(run.at for run in runs if run.outcome is not RunOutcome.SUCCEEDS) - settings.period
    first = begin - begin % EVALUATED_EVERY + EVALUATED_EVERY - 1
    alarmed_at = (at for at, state in cloudwatch.changes(alarm, first, watched_until) if state is State.ALARM)
    return broken_at - next(alarmed_at, math.inf)


def least_margin(
    minutes: int,
    grace: int,
    *,
    fractions: Sequence[float] = _FRACTIONS,
    lifetimes: Sequence[int] = LIFETIMES,
    phases: Sequence[float] = (0, 1, 59),
) -> Margin:
    """Try every failure, and return the smallest margin with its case."""
    return min(_margins(minutes, grace, fractions, lifetimes, phases))


def _margins(
    minutes: int, grace: int, fractions: Sequence[float], lifetimes: Sequence[int], phases: Sequence[float]
) -> Iterator[Margin]:
    alarm = expiry_alarm(minutes, grace)
    for lifetime, fraction, (when, lateness) in itertools.product(lifetimes, fractions, _LATENESS.items()):
        settings = Settings(minutes * 60, grace, fraction, lifetime)
        due = first_due(settings, lateness)
        begins = {1, max(1, due - 1), due}
        for begin, (what, kind), phase, after in itertools.product(
            sorted(begins), FAILURES.items(), phases, (0, LATEST_METRIC)
        ):
            how = f"{what} from run {begin} of {due} on, {when}, fraction {fraction}, {lifetime} s, at second {phase}"
            seconds = margin(alarm, settings, failing_outcomes(begin, kind), lateness, phase, after)
            yield seconds, f"{how}, metrics {after} s late"


def false_alarms(alarm: Alarm, settings: Settings, seed: int, seconds: int, lost_every: int = 40) -> list[float]:
    """Return when the alarm fires in healthy operation: runs and metrics up to a minute late, single runs lost."""
    dice = random.Random(seed)  # noqa: S311  to be repeated, not kept secret
    cloudwatch = CloudWatch()
    (metric,) = alarm.metrics
    phase = dice.uniform(0, 60)
    runs, was_lost = [], False
    for number in range(seconds // settings.period):
        is_lost = not was_lost and number > 0 and dice.random() < 1 / lost_every
        outcome = dice.choice((RunOutcome.LOST, RunOutcome.FAILS)) if is_lost else RunOutcome.SUCCEEDS
        # Mostly on time or as late as possible, which makes the longest gaps.
        late = dice.choice((0, 0, LATEST_START, dice.uniform(0, LATEST_START)))
        runs.append(Run(phase + number * settings.period + late, outcome))
        was_lost = is_lost
    for sent in Job(settings).simulate(sorted(runs, key=lambda run: run.at)):
        late = dice.choice((0, LATEST_METRIC, dice.uniform(0, LATEST_METRIC)))
        cloudwatch.put(metric, sent.at, sent.seconds_until_expiry, sent.at + late)
    begin = (alarm.rule.evaluation_periods + 5) * alarm.period
    changes = cloudwatch.changes(alarm, begin - begin % EVALUATED_EVERY + dice.uniform(0, 59), seconds - 2 * HOUR)
    return [at for at, state in changes if state is State.ALARM]


def _row(minutes: int, grace: int) -> tuple[bool, str]:
    seconds, how = least_margin(minutes, grace)
    alarm = expiry_alarm(minutes, grace)
    false_count = sum(
        len(false_alarms(alarm, Settings(minutes * 60, grace, fraction), seed, MONTH))
        for seed, fraction in enumerate((0.001, 0.33, 0.999))
    )
    return seconds > 0 and false_count == 0, f"| {minutes} min | {grace} s | {seconds:.0f} s | {false_count} | {how} |"


def main() -> int:
    """Print the table; return 1 if P7 does not hold."""
    began_at = time.monotonic()
    print("| schedule | grace | least margin | false alarms in 3 months | case of the least margin |")  # noqa: T201
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
