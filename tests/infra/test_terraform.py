"""Terraform finds nothing wrong with the module; and where Terraform and its provider are found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from infra import terraform_cli
from infra.terraform_cli import MODULE, MissingError, copied, find

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """Copy the module, so that Terraform leaves nothing behind in it."""
    # The examples name the artifact, and no check reads it.
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "telenor-token.zip").touch()
    return copied(MODULE, tmp_path / "infra" / "terraform")


@pytest.mark.terraform
@pytest.mark.parametrize(
    ("directory", "command"),
    [
        (".", "fmt -check -diff -recursive"),
        (".", "validate -no-color"),
        *((f"examples/{path.name}", "validate -no-color") for path in sorted((MODULE / "examples").iterdir())),
        (".", "test -no-color"),
    ],
)
def test_terraform_finds_nothing_wrong(module: Path, directory: str, command: str) -> None:
    try:
        terraform = find()
    except MissingError as missing:
        pytest.skip(str(missing))
    terraform.init(module / directory)
    done = terraform.run(module / directory, *command.split(), timeout=900, check=False)
    assert not done.returncode, done.stdout + done.stderr


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the home of a machine with nothing on it, on which a script stands in for Terraform."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("TF_CLI_CONFIG_FILE", raising=False)
    monkeypatch.setattr(terraform_cli, "_MIRRORS", tmp_path / "opt")
    monkeypatch.setattr(terraform_cli, "find", find.__wrapped__)
    return tmp_path


def install(home: Path, script: str) -> None:
    (home / "terraform").write_text(f"#!/bin/sh\n{script}\n")
    (home / "terraform").chmod(0o755)


@pytest.mark.usefixtures("home")
def test_a_machine_without_terraform_says_so() -> None:
    with pytest.raises(MissingError, match="Terraform is not on this machine: install"):
        terraform_cli.find()


@pytest.mark.parametrize("mirror", ["opt/plugins", None])
def test_a_mirror_comes_before_the_registry(home: Path, mirror: str | None) -> None:
    if mirror:
        (home / mirror / "registry.terraform.io").mkdir(parents=True)
    install(home, f'echo "$@" >> {home}/said')
    assert terraform_cli.find().mirror == (home / mirror if mirror else None)
    assert (f"-plugin-dir={home}/opt/plugins" in (home / "said").read_text()) == bool(mirror)


def test_a_provider_that_cannot_be_had_is_told_with_terraforms_reason(home: Path) -> None:
    install(home, 'printf "\\n│ Error: Failed to query available\\n│ provider packages\\n" >&2; exit 1')
    with pytest.raises(MissingError, match=r"neither from the registry .* Failed to query available provider packages"):
        terraform_cli.find()


def test_a_configuration_file_that_is_not_there_is_not_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(home, f'echo "${{TF_CLI_CONFIG_FILE-unset}}" >> {home}/said')
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(home / "terraformrc"))
    terraform_cli.find()
    (home / "terraformrc").touch()
    terraform_cli.find()
    assert (home / "said").read_text().splitlines() == ["unset", str(home / "terraformrc")]
