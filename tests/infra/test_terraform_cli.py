"""Where Terraform and its provider are found, and what is said where they are not. A script stands in for Terraform."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from infra import terraform_check, terraform_cli
from infra.terraform_cli import MissingError

if TYPE_CHECKING:
    from pathlib import Path

    from infra.terraform_cli import Terraform

PROVIDER = "terraform-provider-aws_v5.100.0_x5"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the home of a machine with nothing on it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    own = [directory for directory in terraform_cli._PLUGIN_DIRECTORIES if directory.startswith("~")]  # noqa: SLF001
    monkeypatch.setattr(terraform_cli, "_PLUGIN_DIRECTORIES", own)
    (tmp_path / "bin").mkdir()
    return tmp_path


def install(home: Path, script: str) -> None:
    program = home / "bin" / "terraform"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def found() -> Terraform:
    return terraform_cli.find.__wrapped__()


def test_a_machine_without_terraform_says_so(home: Path) -> None:
    assert home.is_dir()
    with pytest.raises(MissingError, match="Terraform is not on this machine: install"):
        found()


@pytest.mark.parametrize(
    "file", [f"host/hashicorp/aws/5.100.0/linux_amd64/{PROVIDER}", f"host/hashicorp/aws/{PROVIDER}.zip"]
)
def test_a_mirror_is_found_by_the_providers_file(home: Path, file: str) -> None:
    provider = home / ".terraform.d" / "plugins" / file
    provider.parent.mkdir(parents=True)
    provider.touch()
    install(home, f'echo "$@" >> {home}/said')
    terraform = found()
    assert terraform.mirror == home / ".terraform.d" / "plugins"
    assert f"-plugin-dir={terraform.mirror}" in (home / "said").read_text()


def test_without_a_mirror_the_registry_is_asked(home: Path) -> None:
    install(home, f'echo "$@" >> {home}/said')
    assert found().mirror is None
    assert "-plugin-dir" not in (home / "said").read_text()


def test_a_provider_that_cannot_be_had_is_told_with_terraforms_reason(home: Path) -> None:
    install(home, 'printf "\\n│ Error: Failed to query available\\n│ provider packages\\n" >&2; exit 1')
    with pytest.raises(MissingError, match=r"neither from the registry .* Failed to query available provider packages"):
        found()


def test_a_configuration_file_that_is_not_there_is_not_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(home, f'echo "${{TF_CLI_CONFIG_FILE-unset}}" >> {home}/said')
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(home / "terraformrc"))
    found()
    (home / "terraformrc").touch()
    found()
    assert (home / "said").read_text().splitlines() == ["unset", str(home / "terraformrc")]


def test_what_cannot_be_checked_is_skipped_in_capitals(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def missing() -> Terraform:
        raise MissingError("Terraform is not on this machine")

    monkeypatch.setattr(terraform_check, "find", missing)
    assert terraform_check.main() == 0
    told = capfd.readouterr().out
    assert told == told.upper()
    assert "WAS NOT CHECKED: TERRAFORM IS NOT ON THIS MACHINE" in told
