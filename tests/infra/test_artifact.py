"""The contents of the artifact."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from infra import artifact

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create a checkout with one tracked module of the job."""
    root = tmp_path / "checkout"
    write(root / "handler" / "app.py", "")
    write(root / ".gitignore", "credentials.json\n")
    git(root, "init", "--quiet")
    git(root, "add", ".")
    monkeypatch.setattr(artifact, "ROOT", root)
    return root


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["/usr/bin/env", "git", "-C", root, *arguments], check=True)  # noqa: S603


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def packed(directory: Path) -> set[str]:
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture
def built(tmp_path: Path) -> Path:
    directory = tmp_path / "built"
    for name in ("handler/app.py", "requests/api.py", "requests-2.34.2.dist-info/METADATA"):
        write(directory / name, f"# {name}\n")
    return directory


def test_the_lock_file_installs_what_the_handler_imports() -> None:
    locked = (artifact.ROOT / "requirements.txt").read_text(encoding="utf-8")
    bundled = artifact.bundled_requirements(locked)
    names = {line.partition("==")[0] for line in bundled.splitlines() if "==" in line}
    assert names >= {"aws-lambda-powertools", "requests", "tenacity", "urllib3", "jmespath"}
    assert not names & artifact.FROM_THE_RUNTIME
    assert bundled.count("--hash=") >= len(names)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("charset_normalizer/md.cpython-313-x86_64-linux-gnu.so", "is compiled"),
        ("handler/__pycache__/app.cpython-313.pyc", "is bytecode that Lambda's Python would not use"),  # no hash in it
        ("handler/__pycache__/app.cpython-312.pyc", "is bytecode that Lambda's Python would not use"),
        ("handler/app.pyc", "is bytecode that Lambda's Python would not use"),
        *(("boto3/session.py", "does not belong here"), ("tests/test_app.py", "does not belong here")),
        *(("rich/console.py", "does not belong here"), ("handler/__main__.py", "does not belong here")),
        *(("handler/cli/cli.py", "does not belong here"), ("handler/credentials.json", "does not belong here")),
    ],
)
def test_forbidden_content_is_named(built: Path, name: str, says: str) -> None:
    write(built / name, "x")
    assert f"{name} {says}" in artifact.faults(built)


def test_the_artifact_contains_the_job_without_the_command_line(tmp_path: Path) -> None:
    artifact.copy_handler(tmp_path)
    kept = {path.name for path in (artifact.ROOT / "handler").glob("*.py")} - {"__main__.py"}
    assert packed(tmp_path) == {f"handler/{name}" for name in kept}
    assert "app.py" in kept


def test_files_that_git_ignores_are_not_packed(checkout: Path, tmp_path: Path) -> None:
    write(checkout / "handler" / "app.py", "changed = True\n")
    write(checkout / "handler" / "credentials.json", "{}")
    artifact.copy_handler(tmp_path / "artifact")
    assert packed(tmp_path / "artifact") == {"handler/app.py"}
    assert (tmp_path / "artifact" / "handler" / "app.py").read_text() == "changed = True\n"


@pytest.mark.parametrize(
    ("name", "tracked", "there"),
    [
        *(("handler/data.json", True, True), ("handler/policies/data.json", True, True)),
        *(("handler/new.py", False, True), ("handler/gone.py", True, False)),
    ],
)
def test_anything_but_a_tracked_module_is_refused(
    checkout: Path, tmp_path: Path, name: str, tracked: bool, there: bool
) -> None:
    write(checkout / name, "{}")
    if tracked:
        git(checkout, "add", ".")
    if not there:
        (checkout / name).unlink()
    with pytest.raises(artifact.ArtifactError, match=name):
        artifact.copy_handler(tmp_path / "artifact")


@pytest.mark.parametrize("name", ["cli/data.txt", "cli/new.py", "__main__.py"])
def test_the_command_line_may_contain_other_files(checkout: Path, tmp_path: Path, name: str) -> None:
    write(checkout / "handler" / name, "")
    artifact.copy_handler(tmp_path / "untracked")
    git(checkout, "add", ".")
    artifact.copy_handler(tmp_path / "tracked")
    assert packed(tmp_path / "untracked") == packed(tmp_path / "tracked") == {"handler/app.py"}


def test_outside_a_checkout_nothing_is_built(checkout: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(checkout / ".git")
    assert artifact.main([str(tmp_path / "artifact")]) == 1
    printed = capfd.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert not (tmp_path / "artifact").exists()


def test_a_missing_handler_and_a_large_artifact_are_named(built: Path) -> None:
    (built / "handler" / "app.py").unlink()
    (built / "large").write_bytes(os.urandom(artifact.ZIP_LIMIT_BYTES))
    faults = artifact.faults(built)
    assert len(faults) == 2
    assert "bytes zipped" in faults[0]
    assert "handler/app.py is missing" in faults


def test_the_same_content_gives_the_same_bytes_at_any_time(built: Path) -> None:
    before = artifact.zipped(built)
    os.utime(built / "handler" / "app.py", (0, 0))
    assert artifact.zipped(built) == before


def test_a_correct_artifact_is_packed_and_a_faulty_one_is_not(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = built.parent / "build" / "packed.zip"
    monkeypatch.setattr(artifact, "make", lambda _: None)
    assert artifact.main([str(built), "--zip", str(file)]) == 0
    assert file.read_bytes() == artifact.zipped(built)
    file.unlink()
    (built / "handler" / "app.py").unlink()
    assert artifact.main([str(built), "--zip", str(file)]) == 1
    assert not file.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["foreign"], "foreign is not empty: remove it, or name another directory"),
        *((["a-file"], "Not a directory: 'a-file'"), (["new", "--zip", "foreign"], "Is a directory: 'foreign'")),
    ],
)
def test_what_cannot_be_written_is_one_sentence(
    arguments: list[str], said: str, checkout: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(checkout.parent)
    write(checkout / "requirements.txt", "")
    write(checkout.parent / "foreign" / "notes.txt", "")
    write(checkout.parent / "a-file", "")
    assert artifact.main(arguments) == 1
    printed = capfd.readouterr().err.splitlines()
    assert said in printed[-1]
    assert packed(checkout.parent / "foreign") == {"notes.txt"}


def test_a_pip_that_fails_is_one_more_sentence(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write(checkout / "requirements.txt", "requests==2.34.2 \\\n    --hash=sha256:00\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert artifact.main([str(checkout.parent / "new")]) == 1
    printed = capfd.readouterr().err.splitlines()
    assert "requests==2.34.2" in printed[0]
    assert printed[-1].endswith("-m pip install failed: what it says stands above")


# Bytecode. Tests that need Lambda's Python are skipped without it; there a build reports that it has no bytecode.

PYTHON313, VERSION = artifact.lambdas_python()
needs_python313 = pytest.mark.skipif(not VERSION, reason="needs a Python 3.13: make PYTHON313=...")


@needs_python313
def test_bytecode_is_the_same_in_any_directory(built: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "some" / "where" / "else"
    shutil.copytree(built, elsewhere)
    assert artifact.add_bytecode(built)
    assert artifact.add_bytecode(elsewhere)
    assert artifact.zipped(built) == artifact.zipped(elsewhere)
    assert artifact.faults(built) == []
    write(built / "handler" / "config.py", "")
    assert artifact.faults(built) == [
        "handler/__pycache__/config.cpython-313.pyc is missing, so each cold start would compile its source"
    ]


@needs_python313
def test_lambdas_python_may_be_a_name_on_the_path(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "bin" / "python-of-lambda", f'#!/bin/sh\nexec "{shutil.which(PYTHON313)}" "$@"\n')
    (tmp_path / "bin" / "python-of-lambda").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYTHON313", "python-of-lambda")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert artifact.add_bytecode(built)


@needs_python313
def test_bytecode_is_used_without_checking_the_source(built: Path) -> None:
    write(built / "handler" / "app.py", "answer = 1\n")
    artifact.add_bytecode(built)
    write(built / "handler" / "app.py", "answer = 2\n")
    asked = "from handler import app; print(app.answer, app.__spec__.cached)"
    done = subprocess.run([PYTHON313, "-c", asked], cwd=built, capture_output=True, text=True, check=True)  # noqa: S603
    answer, cached = done.stdout.split()
    assert answer == "1"
    assert cached.endswith("app.cpython-313.pyc")


@pytest.mark.parametrize("python", ["/nowhere/python3.13", "true"])
def test_without_lambdas_python_there_is_no_bytecode(built: Path, python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON313", python)
    assert not artifact.add_bytecode(built)
    assert artifact.faults(built) == []
