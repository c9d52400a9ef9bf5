"""The checker finds broken promises in what both servers record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import boto3
import pytest
import requests
from botocore.config import Config

from infra.local.fast_clock import FastClock
from infra.local.telenor_sandbox import DEMO_CLIENT_ID, DEMO_CLIENT_SECRET
from infra.promises.checker import violations
from infra.promises.history import History, RunRecord
from infra.promises.instrumented_servers import ObservedRun
from infra.promises.local_servers import LocalServers
from infra.promises.random_faults import RandomFaults
from infra.promises.recorded_job import RecordedJob

if TYPE_CHECKING:
    from collections.abc import Iterator

GRACE_SECONDS = 600


class Clock(FastClock):
    """A clock that only the test moves."""

    now_at = 1_000_000.0

    def time(self) -> float:
        return Clock.now_at


class Runs:
    """Publishes and revokes like the job, or wrongly."""

    def __init__(self, job: RecordedJob) -> None:
        self._job, self._url = job, f"{job.servers.telenor.url}/worker/oauth/v2"
        self._client = boto3.client("secretsmanager", config=Config(user_agent_extra="app/worker"))

    def ask(self) -> requests.Response:
        data = {"grant_type": "client_credentials"}
        return requests.post(f"{self._url}/token", data, auth=(DEMO_CLIENT_ID, DEMO_CLIENT_SECRET), timeout=5)

    def publish(self) -> str:
        record = RunRecord(name="run", request_id="run", action="rotate-now", began_at=Clock.now_at)
        self._job.servers.runs["worker"] = ObservedRun(self._job.history, record, RandomFaults())
        token = str(self.ask().json()["access_token"])
        text = json.dumps({"access_token": token, "expires_at": int(Clock.now_at + 3600)})
        labels = ["AWSCURRENT", f"LIVE_{Clock.now_at}"]
        self._client.put_secret_value(SecretId=self._job.secret_id, SecretString=text, VersionStages=labels)
        return token

    def unlabel(self, token: str) -> None:
        (version,) = (version for version, value in self._job.history.values.items() if value == token)
        (label,) = self._job.history.states[-1].stages[version] - {"AWSCURRENT", "AWSPREVIOUS"}
        self._client.update_secret_version_stage(
            SecretId=self._job.secret_id, VersionStage=label, RemoveFromVersionId=version
        )

    def logout(self, token: str) -> None:
        requests.get(f"{self._url}/logout", headers={"Authorization": f"Bearer {token}"}, timeout=5).raise_for_status()

    def broken(self) -> set[str]:
        self._job.history.ended_at = Clock.now_at
        return {violation.promise for violation in violations(self._job.history)}


@pytest.fixture
def runs() -> Iterator[Runs]:
    history = History(GRACE_SECONDS)
    with LocalServers(Clock()) as servers, RecordedJob(servers, "job", history, {}, run_seconds=1) as job:
        servers.telenor.knobs(lifetime_seconds=3600)
        yield Runs(job)


def test_each_broken_promise_is_found_in_the_records(runs: Runs) -> None:
    first = runs.publish()
    Clock.now_at += 900
    second = runs.publish()
    Clock.now_at += GRACE_SECONDS
    runs.logout(first)
    third = runs.publish()
    assert runs.broken() == set()
    runs.unlabel(second)
    assert runs.broken() == {"P2"}
    Clock.now_at += GRACE_SECONDS / 3
    runs.logout(second)
    assert runs.broken() == {"P2", "P1"}
    runs.logout(third)
    assert runs.broken() == {"P2", "P1", "P3", "P5"}


def test_a_request_outside_of_a_run_is_refused(runs: Runs) -> None:
    assert runs.ask().status_code == 503
    runs.publish()
    assert runs.ask().status_code == 200
