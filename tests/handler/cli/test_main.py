"""The commands, their output and their exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import pytest

from handler import app
from tests.handler.cli.conftest import InterruptingClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.handler.cli.conftest import Terminal
    from tests.world import World


pytestmark = pytest.mark.usefixtures("local")


def run_python(
    world: World, *arguments: str, stdout: int = subprocess.PIPE, cwd: Path | None = None, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run Python in a separate process."""
    done = subprocess.run(  # noqa: S603  our own words
        [sys.executable, "-W", "error", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        cwd=cwd,
        env=os.environ | environ,
    )
    world.seen.streams += [done.stdout or "", done.stderr]
    return done


# Runs


def test_the_module_runs(world: World) -> None:
    done = run_python(world, "-m", "handler", "--local", "renew")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["reason"] == "no-current-version"


def test_output_into_a_pipe_has_no_colours(world: World) -> None:
    done = run_python(world, "-m", "handler", "--local", "status", TERM="xterm-256color", COLUMNS="80")
    assert (done.returncode, done.stderr) == (3, "")
    assert "\x1b" not in done.stdout
    assert "no value: no token has been published yet" in done.stdout


def test_a_process_whose_pipe_is_closed_ends_quietly(world: World, closed_pipe: TextIO) -> None:
    done = run_python(world, "-m", "handler", "--local", "status", "--json", stdout=closed_pipe.fileno())
    assert (done.returncode, done.stderr) == (3, "")


@pytest.fixture
def closed_pipe() -> Iterator[TextIO]:
    reader, writer = os.pipe()
    os.close(reader)
    # Closing flushes, as the interpreter does at its exit.
    with os.fdopen(writer, "w") as stream:
        yield stream


@pytest.fixture
def full_disk() -> Iterator[TextIO]:
    with Path("/dev/full").open("w") as stream:
        yield stream


OUTPUTS: list[tuple[list[str], int]] = [
    *((["--local", "status", "--json"], 3), (["--local", "status"], 3), (["--local", "status", "--watch"], 0)),
    *((["--local", "status", "--json", "--watch"], 0), (["--local", "renew"], 0)),
    *((["--local", "emergency", "--yes"], 0), (["--local", "doctor", "--yes"], 0), (["--help"], 0), (["--version"], 0)),
    (["--print-completion", "bash"], 0),
]


@pytest.mark.parametrize(("arguments", "status"), OUTPUTS)
def test_a_closed_pipe_is_not_an_error(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, closed_pipe: TextIO, arguments: list[str], status: int
) -> None:
    if "--watch" in arguments:
        monkeypatch.setattr(app, "clock", clock := InterruptingClock(waits=2))
    monkeypatch.setattr(sys, "stdout", closed_pipe)
    ran = terminal.run(*arguments)
    assert (ran.status, "stdout" in ran.err) == (status, False)
    assert "--watch" not in arguments or not clock.slept


@pytest.mark.parametrize("arguments", [arguments for arguments, _ in OUTPUTS])
def test_a_stdout_that_cannot_be_written_is_a_sentence_and_ends_with_1(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, full_disk: TextIO, arguments: list[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", full_disk)
    ran = terminal.run(*arguments)
    assert ran.status == 1
    assert ran.err.splitlines()[-1].startswith("stdout cannot be written (No space left on device)")


@pytest.mark.parametrize("stderr", ["closed_pipe", "full_disk"])
def test_a_stderr_that_cannot_be_written_stops_no_emergency(
    world: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, stderr: str
) -> None:
    world.run()
    # A retry is a warning.
    world.telenor.fault(operation="token", status=503, times=1)
    monkeypatch.setattr(sys, "stderr", request.getfixturevalue(stderr))
    assert terminal.run("--local", "emergency", typed="yes\n").json["outcome"] == "rotated"
    assert world.live() == 1


def test_an_emergency_that_leaves_a_token_alive_says_so_whatever_stdout_takes(
    world: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, full_disk: TextIO
) -> None:
    world.run()
    world.telenor.fault(operation="logout", status=503)
    monkeypatch.setattr(sys, "stdout", full_disk)
    ran = terminal.run("--local", "emergency", "--yes")
    assert ran.status == 1
    assert [line.partition(" ")[0] for line in ran.err.splitlines()[-3:]] == ["1", "Done:", "To"]


def test_a_process_without_stdout_and_stderr_runs(
    world: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert terminal.run("--local", "emergency", "--yes").status == 0
    assert terminal.run("--version").status == 0
    assert world.is_current_live()


def test_the_result_goes_to_stdout_and_the_log_to_stderr(world: World, terminal: Terminal) -> None:
    ran = terminal.run("--local", "renew")
    assert ran.status == 0
    assert ran.json["outcome"] == "rotated"
    assert uuid.UUID(ran.json["version_id"])
    assert ran.err == ""
    assert "run ended" in terminal.run("--local", "--verbose", "renew").err
    assert world.is_current_live()


@pytest.mark.parametrize("command", ["renew", "status", "emergency", "doctor"])
@pytest.mark.parametrize("missing", ["TOKEN_SECRET_ID", "GRACE_SECONDS", "SCHEDULE_MINUTES"])
def test_a_missing_setting_is_named_instead_of_defaulted(
    world: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, command: str, missing: str
) -> None:
    before = world.aws.calls()
    monkeypatch.delenv(missing)
    ran = terminal.run("--local", command)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(f"{missing} is not set")
    assert world.aws.calls() == before


@pytest.mark.parametrize("command", ["renew", "doctor"])
def test_an_unusable_credentials_secret_exits_with_2(world: World, terminal: Terminal, command: str) -> None:
    world.put_credentials('{"username": "CANARY", "password": "CANARY"}')
    ran = terminal.run("--local", command)
    assert ran.status == 2
    assert "Connect ID" in ran.err.splitlines()[-1]


# Environment


def test_without_rich_status_explains_how_to_install_it_and_json_works(world: World) -> None:
    code = "import sys; sys.modules['rich'] = None; from handler.cli.main import main; sys.exit(main())"
    done = run_python(world, "-c", code, "--local", "status")
    assert (done.returncode, done.stdout) == (2, "")
    assert "make cli" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert json.loads(run_python(world, "-c", code, "--local", "status", "--json").stdout)["state"] == "no-value"


def test_a_profile_overrides_other_credentials_in_the_environment(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("CANARY")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/of-the-pod")
    (tmp_path / "config").write_text("[profile there]\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    ran = terminal.run("--local", "--profile", "there", "status", "--json")
    assert (ran.status, ran.err.rstrip().endswith("log in again")) == (1, True)


def test_an_unknown_profile_exits_with_2(terminal: Terminal) -> None:
    ran = terminal.run("--local", "status", "--json", "--profile", "nowhere")
    assert (ran.status, len(ran.err.splitlines())) == (2, 1)
    assert "profile (nowhere) could not be found" in ran.err


@pytest.mark.parametrize("arguments", [["--region", "eu-west-1", "status"], ["status", "--region", "eu-west-1"]])
def test_the_region_option_may_precede_or_follow_the_command(terminal: Terminal, arguments: list[str]) -> None:
    # The secret is in another region, so it is not found.
    ran = terminal.run("--local", *arguments, "--json")
    assert ran.status == 2
    assert "there is no token secret telenor/token in eu-west-1" in ran.err


def test_retiring_a_local_job_is_refused(world: World, terminal: Terminal) -> None:
    world.run()
    ran = terminal.run("--local", "retire", "--yes")
    assert (ran.status, world.issued()) == (2, 1)


def test_the_script_runs_in_a_folder_with_another_handler_module(world: World, tmp_path: Path) -> None:
    """The script's own folder is the first of `sys.path`; `python -m handler` would run the folder's handler.py."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "handler.py").write_text("raise SystemExit('another handler')\n")
    script = tmp_path / "telenor-token"
    target = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]["scripts"]["telenor-token"]
    module, _, function = target.partition(":")
    script.write_text(f"import sys; from {module} import {function}; sys.exit({function}())\n")
    arguments = str(script), "--local", "status", "--json"
    done = run_python(world, *arguments, cwd=tmp_path / "work", PYTHONPATH=str(Path.cwd()))
    assert json.loads(done.stdout)["state"] == "no-value"
