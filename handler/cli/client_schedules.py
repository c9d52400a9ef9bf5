"""The schedules of a deployed function in EventBridge Scheduler: each has the event of one client.

The Terraform module names a client's schedule `<function>-<client>`. CloudFormation names a stack's schedule after the
stack, so this module finds it by its target.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from handler.cli import aws, aws_errors
from handler.errors import RotationError
from handler.safe_json import json_object

if TYPE_CHECKING:
    from collections.abc import Iterator


class ClientSchedules:
    """The schedules that start one function. Every method raises AccessError or UsageError."""

    def __init__(self, function_name: str, function_arn: str, region: str | None) -> None:
        self._function_name = function_name
        self._function_arn = function_arn
        self._region = region

    def event_of(self, client: str) -> dict[str, object] | None:
        """Return the event of a client by its name, or None if no schedule starts the function for it."""
        schedule = self._schedule_of(client)
        event = schedule and _event(schedule)
        return event if event and event.get("client") == client else None

    def events(self) -> tuple[list[dict[str, object]], list[RotationError]]:
        """Return the events of all clients, sorted by the clients' names, and why other schedules cannot be read."""
        events: list[dict[str, object]] = []
        errors: list[RotationError] = []
        for each in self._all():
            try:
                schedule = self._get(**each)
            except RotationError as error:
                errors.append(error)
                continue
            event = schedule and _event(schedule)
            events += [event] if event and "client" in event else []
        return sorted(events, key=lambda event: str(event["client"])), errors

    def disable(self, client: str | None) -> list[str]:
        """Disable a client's schedule, or all without a client. Return their names."""
        schedules = [self._get(**each) for each in self._all()] if client is None else [self._schedule_of(client)]
        names = []
        for schedule in filter(None, schedules):
            name = str(schedule["Name"])
            if schedule.get("State") != "DISABLED":
                with aws_errors.explained(f"schedule {name}", self._region):
                    scheduler = self._client()
                    # UpdateSchedule unsets every field that the call leaves out (AWS, "UpdateSchedule").
                    fields = scheduler.meta.service_model.operation_model("UpdateSchedule").input_shape.members
                    kept = {field: schedule[field] for field in fields if field in schedule}
                    scheduler.update_schedule(**kept | {"State": "DISABLED"})
            names.append(name)
        return names

    def _schedule_of(self, client: str) -> dict[str, Any] | None:
        return self._get(Name=f"{self._function_name}-{client}")

    def _get(self, **which: str) -> dict[str, Any] | None:
        """Return a schedule, or None if there is none or it starts something else."""
        scheduler = self._client()
        with aws_errors.explained(f"schedule {which['Name']}", self._region):
            try:
                schedule: dict[str, Any] = which | scheduler.get_schedule(**which)
            except scheduler.exceptions.ResourceNotFoundException:
                return None
            return schedule if schedule["Target"]["Arn"] == self._function_arn else None

    def _all(self) -> Iterator[dict[str, str]]:
        """Yield the name and the group of each schedule of the function."""
        with aws_errors.explained(f"the schedules of function {self._function_name}", self._region):
            for found in self._client().get_paginator("list_schedules").paginate().search("Schedules[]"):
                if found["Target"]["Arn"] == self._function_arn:
                    yield {"Name": found["Name"], "GroupName": found["GroupName"]}

    def _client(self) -> Any:  # noqa: ANN401  as aws.client
        return aws.client("scheduler", self._region)


def _event(schedule: dict[str, Any]) -> dict[str, object] | None:
    return json_object(schedule["Target"].get("Input", ""))
