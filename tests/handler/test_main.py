"""The same job from a terminal."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import pytest

from handler import __main__ as terminal
from handler import app

if TYPE_CHECKING:
    from tests.conftest import World


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["handler", *arguments])
    return terminal.main()


def test_the_result_is_on_stdout_and_the_log_is_not(
    world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch) == 0
    captured = capfd.readouterr()
    world.seen.streams += captured
    result = json.loads(captured.out)
    assert result["outcome"] == "rotated"
    assert uuid.UUID(result["version_id"])
    assert "run ended" in captured.err
    assert world.is_current_live()


def test_an_action_is_taken(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [run(monkeypatch, action) for action in ("renew-if-due", "rotate-now", "rotate-and-revoke-now")] == [0] * 3
    assert world.issued() == 3
    assert world.live() == 1


def test_a_failed_run_exits_with_1_and_its_sentence(
    world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    world.put_credentials("{}")
    assert run(monkeypatch) == 1
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "CREDENTIALS_SECRET_ID" in captured.err


def test_an_unknown_action_exits_with_2(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit) as leaving:
        run(monkeypatch, "rotate")
    assert leaving.value.code == 2


def test_it_runs_as_a_module_of_its_own(world: World) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "handler", "rotate-now"], capture_output=True, text=True, check=False
    )
    world.seen.streams += [done.stdout, done.stderr]
    assert done.returncode == 0
    assert json.loads(done.stdout)["reason"] == "forced"
    assert app.logger is not None
