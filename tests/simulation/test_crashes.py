"""Every crash and fault of one run: the job recovers by itself."""

from __future__ import annotations

import pytest

from tests.simulation.model_checker import begin, crashes_and_faults
from tests.simulation.scenarios import ALL_SCENARIOS
from tests.simulation.stepped_run import Run


@pytest.mark.parametrize("scenario", ALL_SCENARIOS)
def test_no_single_crash_or_fault_breaks_a_promise(scenario: str) -> None:
    explored = crashes_and_faults(scenario)
    assert explored.violations == []
    assert explored.crash_points
    assert explored.faults


def run_stopped_before(scenario: str, until: str) -> Run:
    """Return a run that stops just before a call."""
    run = Run(*begin(scenario))
    while run.pending not in {until, None}:
        run.step()
    return run


def test_an_abandoned_token_is_counted_even_if_the_response_to_its_label_removal_is_lost() -> None:
    run = run_stopped_before("ledger_full", until="logout")
    run.step("503")
    run.step("lost-after")
    assert run.finish().revocations_abandoned == 1


def test_a_token_in_two_versions_keeps_its_grace_despite_a_lost_response_and_a_stale_read() -> None:
    run = run_stopped_before("same_token_and_then_another", until="PutSecretValue")
    for fault in ("lost-after", None, "stale"):
        run.step(fault)
    run.finish()
    run.world.check()
