"""The command line, and its help."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from handler.cli.arguments import parse

if TYPE_CHECKING:
    from tests.handler.cli.conftest import Terminal


@pytest.mark.parametrize(
    ("arguments", "command", "profile", "region"),
    [
        ([], "renew", None, None),
        (["--profile", "p"], "renew", "p", None),
        (["--region", "r", "rotate"], "rotate", None, "r"),
        (["emergency", "--region", "r", "--profile", "p"], "emergency", "p", "r"),
        (["--region", "first", "status", "--region", "last"], "status", None, "last"),
    ],
)
def test_the_account_counts_before_and_after_the_command(
    arguments: list[str], command: str, profile: str | None, region: str | None
) -> None:
    read = parse(arguments)
    assert (read.command, read.profile, read.region) == (command, profile, region)


def test_no_job_gets_lost_that_is_named_before_the_command_or_after_it() -> None:
    read = parse(
        ["--stack", "a", "status", "--stack", "b", "--function", "c", "--local", "--client", '{"client": "x"}']
    )
    assert (read.stacks, read.functions, read.clients, read.local) == (["a", "b"], ["c"], [{"client": "x"}], True)
    assert parse(["--local", "--verbose"]).verbose


@pytest.mark.parametrize(
    ("arguments", "seconds"), [([], None), (["--watch"], 5), (["--watch", "1"], 1), (["--watch", "2.5"], 2.5)]
)
def test_watching_is_every_five_seconds_unless_told_otherwise(arguments: list[str], seconds: float | None) -> None:
    assert parse(["status", *arguments]).watch == seconds


@pytest.mark.parametrize(
    "arguments",
    [
        ["rotate-now"],
        ["--watch"],
        ["status", "--watch", "0.5"],
        ["status", "--watch", "soon"],
        ["status", "--watch", "nan"],
        ["status", "--yes"],
        ["renew", "--json"],
        ["status", "--client", "acme"],
        ["status", "--client", "[]"],
        ["status", "--client", "{}"],
    ],
)
def test_wrong_arguments_end_with_2(terminal: Terminal, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        terminal.run(*arguments)
    assert leaving.value.code == 2


@pytest.mark.parametrize("command", [[], ["status"], ["renew"], ["rotate"], ["emergency"], ["doctor"]])
def test_help_fits_80_columns(terminal: Terminal, command: list[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        terminal.run(*command, "--help")
    assert leaving.value.code == 0
    help_lines = terminal.seen.streams[-2].splitlines()
    assert help_lines
    assert max(map(len, help_lines)) <= 80
