"""The handler keeps its promises under chaos, and broken variants do not."""

from __future__ import annotations

import pytest

from infra.chaos.__main__ import main, run
from infra.chaos.broken_variants import BROKEN_VARIANTS

CONCURRENCY = 6
SEED = 200


@pytest.mark.long
def test_the_handler_keeps_its_promises_under_chaos() -> None:
    played = run(seed=SEED, seconds=60, concurrency=CONCURRENCY, experiments=CONCURRENCY)
    assert [each.violations for each in played] == [[]] * CONCURRENCY
    runs = [run for each in played for run in each.history.runs]
    assert len(runs) > 100
    assert any(run.is_killed for run in runs)
    assert any(state.by is None for each in played for state in each.history.states)
    faults = {operation for run in runs for operation in run.faults}
    assert {"GetSecretValue", "PutSecretValue", "DescribeSecret", "token", "logout"} <= faults


@pytest.mark.long
@pytest.mark.parametrize("variant", BROKEN_VARIANTS)
def test_a_broken_variant_is_caught(variant: str) -> None:
    """The machine's scheduling decides how runs interleave, so experiments repeat until one detects the variant."""
    promise = BROKEN_VARIANTS[variant][0]
    played = run(seed=SEED, seconds=600, concurrency=CONCURRENCY, variant=variant, until_broken=promise)
    assert promise in {violation.promise for each in played for violation in each.violations}


def test_chaos_without_time_reports_that_nothing_was_tested(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--seconds", "0", "--seed", "7"]) == 1
    assert "seed              7" in capfd.readouterr().out
