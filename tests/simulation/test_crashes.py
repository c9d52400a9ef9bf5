"""Every crash and every fault of one run: whatever happens, the next scheduled runs put everything right."""

from __future__ import annotations

import pytest

from tests.simulation.explore import begin, crashes_and_faults
from tests.simulation.scenarios import MORE_SCENARIOS, SCENARIOS


@pytest.mark.parametrize("scenario", [*SCENARIOS, *MORE_SCENARIOS])
def test_no_single_crash_or_fault_breaks_a_promise(scenario: str) -> None:
    explored = crashes_and_faults(scenario)
    assert explored.violations == []
    assert explored.crash_points
    assert explored.faults


@pytest.mark.parametrize("scenario", ["first_run", "reissued"])
def test_no_two_faults_of_one_run_break_a_promise(scenario: str) -> None:
    assert crashes_and_faults(scenario, faults=2).violations == []


def test_a_token_is_given_up_loudly_also_where_the_answer_about_its_label_is_lost() -> None:
    world, action = begin("ledger_full")
    report = world.run(action, fates=[None, None, None, None, "503", "lost-after"])
    assert report.revocations_abandoned == 1


def test_a_token_that_two_versions_hold_keeps_its_grace_also_where_an_answer_is_lost_and_the_next_read_lags() -> None:
    world, action = begin("same_token_and_then_another")
    world.run(action, fates=[None, None, None, None, "lost-after", None, "stale"])


def test_no_fate_of_the_write_and_of_the_two_calls_that_look_for_it_breaks_a_promise() -> None:
    explored = crashes_and_faults("first_run", faults=3, begin_at="PutSecretValue")
    assert explored.violations == []
    assert explored.faults
