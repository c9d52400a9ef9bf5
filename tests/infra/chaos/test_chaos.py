"""The chaos itself: the handler comes through it, and designs that are wrong do not."""

from __future__ import annotations

import pytest

from infra.chaos.__main__ import main, run
from infra.chaos.designs import DESIGNS

# Episodes in which each wrong design shows, whatever the machine makes of their order.
EPISODES = 6
SEED = 200


def test_the_handler_keeps_its_promises_in_a_chaos() -> None:
    tally = run(seed=SEED, seconds=60, at_once=EPISODES, episodes=EPISODES)
    assert tally.violations == []
    assert tally.runs > 100
    assert tally.killed
    assert tally.hands
    assert {"GetSecretValue", "PutSecretValue", "DescribeSecret", "token", "logout"} <= tally.faults.keys()


@pytest.mark.parametrize(
    ("design", "promise"), [("refusal-is-certain", "P3"), ("any-401-means-dead", "P2"), ("no-comparison", "P3")]
)
def test_a_wrong_design_is_caught(design: str, promise: str) -> None:
    tally = run(seed=SEED, seconds=60, at_once=EPISODES, episodes=EPISODES, design=design)
    assert promise in {violation.promise for _, violation in tally.violations}


def test_every_wrong_design_has_its_test() -> None:
    assert DESIGNS.keys() == {"refusal-is-certain", "any-401-means-dead", "no-comparison"}


def test_a_chaos_without_time_shows_nothing_and_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--seconds", "0", "--seed", "7"]) == 1
    assert "seed              7" in capfd.readouterr().out
