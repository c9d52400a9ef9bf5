"""What each example did, printed at the end of the tests."""

from __future__ import annotations

from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Tally:
    """Counts of one example in one scenario. A request that was answered 401 and sent again counts twice."""

    scenario: str
    example: str
    rotations: int
    calls: int
    failed: int
    requests: int
    refused: int
    reads: int


_TALLIES = pytest.StashKey[list[Tally]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TALLIES] = []


@pytest.fixture
def tallies(pytestconfig: pytest.Config) -> list[Tally]:
    """Return the list to put them on."""
    return pytestconfig.stash[_TALLIES]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the counts as tables, one a scenario."""
    tallies = config.stash[_TALLIES]
    for scenario in dict.fromkeys(tally.scenario for tally in tallies):
        terminalreporter.section(scenario)
        terminalreporter.write_line(
            f"{'example':26}{'rotations':>10}{'calls':>8}{'failed':>8}{'requests':>10}{'401s':>6}{'reads':>7}"
        )
        for tally in (each for each in tallies if each.scenario == scenario):
            terminalreporter.write_line(
                f"{tally.example:26}{tally.rotations:10}{tally.calls:8,}{tally.failed:8}{tally.requests:10,}"
                f"{tally.refused:6}{tally.reads:7}"
            )
