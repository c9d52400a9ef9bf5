"""The command line, and its help."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handler.cli import arguments
from handler.cli.arguments import parse

if TYPE_CHECKING:
    from tests.handler.cli.conftest import Terminal
    from tests.handler.cli.deployed_aws import DeployedAws

COMMANDS = ("status", "renew", "rotate", "emergency", "retire", "doctor")


@pytest.mark.parametrize(
    ("arguments", "command", "profile", "region"),
    [
        *((["--profile", "p", "renew"], "renew", "p", None), (["--region", "r", "rotate"], "rotate", None, "r")),
        (["emergency", "--region", "r", "--profile", "p"], "emergency", "p", "r"),
        (["--region", "first", "status", "--region", "last"], "status", None, "last"),
    ],
)
def test_account_options_may_precede_or_follow_the_command(
    arguments: list[str], command: str, profile: str | None, region: str | None
) -> None:
    read = parse(arguments)
    assert (read.command, read.profile, read.region) == (command, profile, region)


def test_jobs_named_before_and_after_the_command_are_all_kept() -> None:
    first, event = ["--stack", "a", "--client", "y"], '{"client": "x"}'
    read = parse([*first, "status", "--stack", "b", "--function", "c", "--local", "--client", event])
    assert (read.stacks, read.functions, read.clients) == (["a", "b"], ["c"], ["y", {"client": "x"}])
    assert read.local
    assert parse(["--verbose", "renew", "--local"]).verbose


def test_the_version_is_the_checkouts_or_the_packages(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    version = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]["version"]
    ran = terminal.run("--version")
    assert (ran.status, ran.out) == (0, f"telenor-token {version}\n")
    monkeypatch.setattr(arguments, "_PYPROJECT", tmp_path / "none")
    monkeypatch.setattr("importlib.metadata.version", lambda name: f"9.9 of {name}")
    assert terminal.run("--version").out == "telenor-token 9.9 of telenor-token\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_every_command(terminal: Terminal, shell: str) -> None:
    ran = terminal.run("--print-completion", shell)
    assert ran.status == 0
    assert all(word in ran.out for word in ("telenor-token", *COMMANDS))


def test_completion_without_its_library_is_refused(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert terminal.run("--print-completion", "bash").status == 2


@pytest.mark.parametrize(("file", "typed"), [("telenor-token", "telenor-token"), ("__main__.py", "python -m handler")])
def test_the_help_names_the_command_that_was_typed(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, file: str, typed: str
) -> None:
    monkeypatch.setattr(sys, "argv", [f"/somewhere/{file}"])
    assert terminal.run("--help").out.startswith(f"usage: {typed} ")


@pytest.mark.parametrize(
    ("arguments", "seconds"), [([], None), (["--watch"], 5), (["--watch", "1"], 1), (["--watch", "2.5"], 2.5)]
)
def test_watching_defaults_to_every_five_seconds(arguments: list[str], seconds: float | None) -> None:
    assert parse(["status", *arguments]).watch == seconds


@pytest.mark.parametrize(
    "arguments",
    [
        *(["rotate-now"], ["--watch"], ["status", "--watch", "0.5"], ["status", "--watch", "soon"]),
        *(["status", "--watch", "nan"], ["status", "--yes"], ["renew", "--json"], [], ["--stack", "x"], ["--local"]),
        *(["status", "--client", "Acme & Co"], ["status", "--client", "[]"], ["status", "--client", "{}"]),
        *(["status", "--stack", ""], ["emergency", "--yes", "--function", ""]),
        ["emergency", "--yes", "--stack", "telenor-token", "--profile", ""],
        ["emergency", "--yes", "--stack", "telenor-token", "--region", " "],
    ],
)
def test_wrong_arguments_end_with_2_and_invoke_nothing(
    deployed: DeployedAws, terminal: Terminal, arguments: list[str]
) -> None:
    ran = terminal.run(*arguments)
    assert (ran.status, "usage: " in ran.err) == (2, True)
    assert not deployed.calls


@pytest.mark.parametrize("command", [[], *([command] for command in COMMANDS)])
def test_help_fits_80_columns(terminal: Terminal, command: list[str]) -> None:
    ran = terminal.run(*command, "--help")
    assert ran.status == 0
    assert 0 < max(map(len, ran.out.splitlines())) <= 80
