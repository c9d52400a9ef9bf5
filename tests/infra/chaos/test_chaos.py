"""The handler keeps its promises under chaos, and broken variants do not."""

from __future__ import annotations

import pytest

from infra.chaos.__main__ import Tally, main, run
from infra.chaos.broken_variants import BROKEN_VARIANTS

CONCURRENCY = 6
SEED = 200


@pytest.mark.long
def test_the_handler_keeps_its_promises_in_a_chaos() -> None:
    tally = run(seed=SEED, seconds=60, concurrency=CONCURRENCY, experiments=CONCURRENCY)
    assert tally.violations == []
    assert tally.runs > 100
    assert tally.killed
    assert tally.rollbacks
    assert {"GetSecretValue", "PutSecretValue", "DescribeSecret", "token", "logout"} <= tally.faults.keys()


@pytest.mark.long
@pytest.mark.parametrize(
    ("variant", "promise"), [("refusal-is-certain", "P3"), ("any-401-means-dead", "P2"), ("no-comparison", "P3")]
)
def test_a_broken_variant_is_caught(variant: str, promise: str) -> None:
    """The machine decides how runs interleave, so experiments go on until one shows it."""

    def is_caught(tally: Tally) -> bool:
        return promise in {violation.promise for _, violation in tally.violations}

    assert is_caught(run(seed=SEED, seconds=600, concurrency=CONCURRENCY, variant=variant, until=is_caught))


def test_every_broken_variant_has_its_test() -> None:
    assert BROKEN_VARIANTS.keys() == {"refusal-is-certain", "any-401-means-dead", "no-comparison"}


def test_a_chaos_without_time_shows_nothing_and_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--seconds", "0", "--seed", "7"]) == 1
    assert "seed              7" in capfd.readouterr().out
