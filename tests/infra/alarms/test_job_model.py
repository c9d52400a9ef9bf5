"""The model of the job that the alarm tests use renews when the handler does."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from handler import decisions
from handler.ledger import Ledger, new_entry
from handler.model import Action, Policy
from tests.infra.alarms.expiry_alarm_timing import GRACES, SCHEDULES
from tests.infra.alarms.job_model import Settings

BEGIN = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("minutes", "grace", "fraction"), list(itertools.product(SCHEDULES, GRACES, (0.001, 0.25, 0.33, 0.5, 0.75, 0.999)))
)
def test_the_model_renews_when_the_handler_does(minutes: int, grace: int, fraction: float) -> None:
    policy = Policy(timedelta(seconds=grace), fraction, timedelta(minutes=minutes))
    for lifetime in (3600, 3570, 900):
        settings = Settings(minutes * 60, grace, fraction, lifetime)
        ledger = Ledger(new_entry("v" * 36, BEGIN, BEGIN + timedelta(seconds=lifetime)))
        for age in range(0, lifetime, 29):
            now = BEGIN + timedelta(seconds=age)
            due, _ = decisions.is_renewal_due(ledger, policy, now, Action.RENEW_IF_DUE, "r" * 36)
            assert due == settings.is_due(age), age
