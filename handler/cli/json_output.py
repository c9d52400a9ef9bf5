"""Prints status and diagnosis as JSON, for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler.cli import job_status, standard_streams
from handler.cli.doctor import diagnosis

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from handler.cli.doctor.diagnosis import Diagnosis
    from handler.cli.doctor.observations import Observations
    from handler.cli.job import Job
    from handler.cli.job_status import Status


class JsonOutput:
    """The output with `--json`: one line for each job, or the diagnosis."""

    def show_status(self, seen: Sequence[tuple[Job, Status]], failures: Sequence[str], _at: datetime) -> bool:
        """Print the status of jobs. Return False if nobody reads it."""
        for failure in failures:
            standard_streams.print_stderr(failure)
        return all(
            standard_streams.print_json({"job": job.name, "client": job.settings.client, **job_status.as_json(each)})
            for job, each in seen
        )

    def show_wait(self, waited: timedelta) -> None:
        """Print nothing."""

    def show_diagnosis(self, observations: Observations, found: Diagnosis) -> None:
        """Print the observations and the diagnosis."""
        standard_streams.print_json(diagnosis.as_json(observations, found))
