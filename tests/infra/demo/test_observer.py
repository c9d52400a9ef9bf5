"""The observer's history, over real servers, lets the checker find what breaks a promise."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import requests

from infra.demo import settings
from infra.demo.observer import Observer
from infra.local.fast_clock import FastClock
from infra.local.secrets_manager import LocalSecretsManager
from infra.local.telenor_sandbox import DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, TelenorSandbox
from infra.promises.checker import violations

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "token"


class Clock(FastClock):
    """A clock that a test moves."""

    now_at = 1_000_000.0

    def time(self) -> float:
        return Clock.now_at


class Job:
    """Publishes and revokes as the job does, or wrongly."""

    def __init__(self, sandbox: TelenorSandbox, client: Any, observer: Observer) -> None:
        self._sandbox, self.client, self.observer = sandbox, client, observer

    def publish(self) -> tuple[str, str]:
        """Return the version and the token."""
        answer = requests.post(
            f"{self._sandbox.url}/oauth/v2/token",
            auth=(DEMO_CLIENT_ID, DEMO_CLIENT_SECRET),
            data={"grant_type": "client_credentials"},
            timeout=5,
        ).json()
        document = {"access_token": answer["access_token"], "expires_at": int(Clock.now_at + 3600)}
        put = self.client.put_secret_value(
            SecretId=SECRET, SecretString=json.dumps(document), VersionStages=["AWSCURRENT", f"LIVE_{Clock.now_at}"]
        )
        return put["VersionId"], answer["access_token"]

    def logout(self, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        requests.get(f"{self._sandbox.url}/oauth/v2/logout", headers=headers, timeout=5).raise_for_status()

    def pass_time(self, seconds: float) -> None:
        self.observer.look()
        Clock.now_at += seconds
        self.observer.look()

    def broken(self) -> set[str]:
        self.observer.look()
        return {violation.promise for violation in violations(self.observer.history())}


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Iterator[Job]:
    clock = Clock.begin(1)
    with LocalSecretsManager() as aws, TelenorSandbox(clock=clock.time) as sandbox:
        for name, value in aws.environment.items():
            monkeypatch.setenv(name, value)
        sandbox.knobs(lifetime_seconds=settings.LIFETIME_SECONDS)
        client = boto3.client("secretsmanager")
        client.create_secret(Name=SECRET)
        yield Job(sandbox, client, Observer(sandbox, client, SECRET, clock))


def test_a_job_that_keeps_its_promises_breaks_none(job: Job) -> None:
    _, old = job.publish()
    job.pass_time(900)
    job.publish()
    job.pass_time(settings.GRACE_SECONDS)
    job.logout(old)
    assert job.broken() == set()


def test_a_logout_within_the_grace_breaks_p1(job: Job) -> None:
    _, old = job.publish()
    job.pass_time(900)
    job.publish()
    job.pass_time(settings.GRACE_SECONDS / 3)
    job.logout(old)
    assert job.broken() == {"P1"}


def test_a_logout_of_the_current_token_breaks_p3_and_p5(job: Job) -> None:
    _, token = job.publish()
    job.pass_time(60)
    job.logout(token)
    assert job.broken() == {"P3", "P5"}


def test_a_live_token_that_loses_its_label_breaks_p2(job: Job) -> None:
    version, _ = job.publish()
    label = f"LIVE_{Clock.now_at}"
    job.pass_time(900)
    job.publish()
    job.pass_time(60)
    assert job.broken() == set()
    stages = {
        each["VersionId"]: each["VersionStages"]
        for each in job.client.list_secret_version_ids(SecretId=SECRET)["Versions"]
    }
    assert label in stages[version]
    job.client.update_secret_version_stage(SecretId=SECRET, VersionStage=label, RemoveFromVersionId=version)
    assert job.broken() == {"P2"}
