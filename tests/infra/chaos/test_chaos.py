"""The chaos itself: the handler comes through it, and designs that are wrong do not."""

from __future__ import annotations

import pytest

from infra.chaos.__main__ import Tally, main, run
from infra.chaos.designs import DESIGNS

AT_ONCE = 6
SEED = 200


@pytest.mark.long
def test_the_handler_keeps_its_promises_in_a_chaos() -> None:
    tally = run(seed=SEED, seconds=60, at_once=AT_ONCE, episodes=AT_ONCE)
    assert tally.violations == []
    assert tally.runs > 100
    assert tally.killed
    assert tally.hands
    assert {"GetSecretValue", "PutSecretValue", "DescribeSecret", "token", "logout"} <= tally.faults.keys()


@pytest.mark.long
@pytest.mark.parametrize(
    ("design", "promise"), [("refusal-is-certain", "P3"), ("any-401-means-dead", "P2"), ("no-comparison", "P3")]
)
def test_a_wrong_design_is_caught(design: str, promise: str) -> None:
    """The machine decides how runs interleave, so episodes go on until it shows; some minutes are more than enough."""

    def is_caught(tally: Tally) -> bool:
        return promise in {violation.promise for _, violation in tally.violations}

    assert is_caught(run(seed=SEED, seconds=600, at_once=AT_ONCE, design=design, until=is_caught))


def test_every_wrong_design_has_its_test() -> None:
    assert DESIGNS.keys() == {"refusal-is-certain", "any-401-means-dead", "no-comparison"}


def test_a_chaos_without_time_shows_nothing_and_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--seconds", "0", "--seed", "7"]) == 1
    assert "seed              7" in capfd.readouterr().out
