"""The documents' commands are typed as they are, and each one's end is reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from infra.docs import Command
from infra.e2e.commands import ELSEWHERE, HAPPENED, commands, type_in

if TYPE_CHECKING:
    from pathlib import Path


def typed(directory: Path, *lines: str) -> list[tuple[int, str]]:
    aws = directory / "real aws"
    aws.write_text('#!/bin/sh\necho "$@"\n', encoding="utf-8")
    aws.chmod(0o755)
    shown = [Command("made-up.md", number, text) for number, text in enumerate(lines, 1)]
    ran = type_in(shown, directory, {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, aws)
    assert [each.command for each in ran] == shown
    return [(each.exit_code, each.printed) for each in ran]


def test_each_command_ends_by_itself_and_its_variables_stay(tmp_path: Path) -> None:
    assert typed(
        tmp_path, "WHO='you  there'", 'echo "$WHO" \\\n  again', "cat nothing 2>/dev/null", "(exit 7)", "pwd"
    ) == [
        (0, ""),
        (0, "you  there again\n"),
        (1, ""),
        (7, ""),
        (0, f"{tmp_path}\n"),
    ]


def test_a_command_that_ends_the_shell_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="ended at command 2 of 3"):
        typed(tmp_path, "true", "exit 0", "true")


def test_the_aws_cli_goes_to_the_emulator_alone(tmp_path: Path) -> None:
    assert typed(tmp_path, "aws sqs purge-queue") == [(0, "--endpoint-url http://127.0.0.1:1 sqs purge-queue\n")]


@pytest.mark.parametrize("start", [*ELSEWHERE, *HAPPENED])
def test_each_exception_is_for_a_command_that_a_document_has(start: str) -> None:
    assert [command for command in commands() if command.text.startswith(start)]
