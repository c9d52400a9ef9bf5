"""What is deployed, as far as its dashboard shows it: the body, the alarms, and what the names in them stand for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.infra.alarms.cloudwatch import Alarm
from tests.infra.dashboard.day import Day, live
from tests.infra.dashboard.widgets import View

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from tests.infra.alarms.template import Stack


@dataclass(frozen=True)
class Deployed:
    """A job with its dashboard. Another body than the template's can be drawn just so."""

    body: Mapping[str, Any]
    alarms: Mapping[str, tuple[str, Alarm]]
    """Name and alarm, by ARN."""
    environ: Mapping[str, str]
    function: str
    queue: str
    log_group: str
    events: Sequence[Mapping[str, str]] = ({},)
    """What the schedules send, one for each client."""

    @classmethod
    def of(cls, stack: Stack) -> Deployed:
        """Read a stack of template.yaml, whose resources go by their names in it."""
        (dashboard,) = stack.resources("AWS::CloudWatch::Dashboard").values()
        (function,) = stack.resources("AWS::Serverless::Function").items()
        alarms = stack.resources("AWS::CloudWatch::Alarm").items()
        return cls(
            body=json.loads(dashboard["DashboardBody"]),
            alarms={f"{name}.Arn": (properties["AlarmName"], Alarm.of(properties)) for name, properties in alarms},
            environ={name: str(value) for name, value in function[1]["Environment"]["Variables"].items()},
            function=function[0],
            queue="UndeliveredQueue.QueueName",
            log_group=function[1]["LoggingConfig"]["LogGroup"],
        )

    def seen(
        self,
        begin: datetime,
        end: datetime,
        outages: Sequence[tuple[float, float]] = (),
        before: timedelta = timedelta(0),
    ) -> View:
        """Live until the end, and return what is seen of it from `begin` on; the job has begun some time before."""
        day = Day(
            self.environ,
            self.function,
            self.queue,
            (begin - before).timestamp(),
            end.timestamp(),
            outages,
            self.events,
        )
        return View(live(day), self.alarms, self.log_group, begin.timestamp(), end.timestamp())
