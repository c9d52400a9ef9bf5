"""`python -m handler` in a separate process."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import World


@pytest.fixture(autouse=True)
def _named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert world.labels() == {}
    monkeypatch.setenv("GRACE_SECONDS", "600")
    monkeypatch.setenv("SCHEDULE_MINUTES", "5")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  our own words
        [sys.executable, "-W", "error", "-m", "handler", "--local", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "80"},
    )


def test_it_runs_as_a_module(world: World) -> None:
    done = run("renew")
    world.seen.streams += [done.stdout, done.stderr]
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["reason"] == "no-current-version"


def test_the_module_exits_with_the_commands_status(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert world.labels() == {}
    monkeypatch.setattr(sys, "argv", ["handler", "--local", "status", "--json"])
    with pytest.raises(SystemExit) as leaving:
        runpy.run_module("handler", run_name="__main__")
    assert leaving.value.code == 3


def test_output_into_a_pipe_has_no_colours(world: World) -> None:
    done = run("status")
    world.seen.streams += [done.stdout, done.stderr]
    assert (done.returncode, done.stderr) == (3, "")
    assert "\x1b" not in done.stdout
    assert "no value: no token has been published yet" in done.stdout
