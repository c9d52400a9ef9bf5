"""Runs of a deployed job that has credentials: revocation by the schedule, and emergencies."""

from __future__ import annotations

import time

from infra.local.telenor_sandbox import short_id
from tests.e2e.job import Job, until


def rotate(job: Job) -> tuple[str, float]:
    """Force a rotation; return the superseded token, and when it was superseded."""
    superseded = job.token()
    result = job.invoke(action="rotate-now")
    assert (result["outcome"], result["reason"]) == ("rotated", "forced")
    assert job.telenor.is_live(superseded)
    return superseded, time.time()


def check_grace(job: Job, superseded: str, superseded_at: float) -> None:
    """Wait until the schedule revokes the superseded token, and compare its lifetime with the grace."""
    until("a scheduled run that revokes it", lambda: not job.telenor.is_live(superseded))
    revoked_at = job.telenor.state()["tokens"][short_id(superseded)]["ended_at"]
    assert revoked_at - superseded_at >= job.grace_seconds - 1
    until("its label is removed", lambda: job.tracked() == {job.current_version()})
    assert job.telenor.is_live(job.token())


def test_the_schedule_revokes_a_superseded_token_after_its_grace(job: Job) -> None:
    check_grace(job, *rotate(job))


def test_an_emergency_rotation_revokes_the_leaked_token_at_once(job: Job) -> None:
    leaked = job.token()
    assert job.invoke(action="rotate-and-revoke-now")["outcome"] == "rotated"
    assert not job.telenor.is_live(leaked)
    job.wait_for_one_active_token()


def test_an_emergency_of_a_second_client_keeps_the_first_clients_token(job: Job, second_job: Job) -> None:
    assert second_job.outputs["FunctionName"].startswith("telenor-token-second-")
    before = job.tracked()
    assert second_job.invoke(action="rotate-and-revoke-now")["client"] == "second"
    assert job.telenor.is_live(job.token())
    assert job.telenor.is_live(second_job.token())
    assert job.token() != second_job.token()
    assert not second_job.tracked() & (before | job.tracked())
