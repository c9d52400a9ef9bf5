"""The provenance of a release, and its verification by a user."""

from __future__ import annotations

import hashlib
import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from infra import provenance

if TYPE_CHECKING:
    from pathlib import Path


def run(*command: object, stdin: bytes = b"") -> str:
    done = subprocess.run(list(map(str, ("/usr/bin/env", *command))), check=True, input=stdin, capture_output=True)  # noqa: S603
    return done.stdout.decode().strip()


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create a checkout with a tagged version, and return its zip file."""
    monkeypatch.chdir(tmp_path)
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "somebody")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "somebody@example.com")
    (tmp_path / ".gitignore").write_text("/build/\n")
    run("git", "init", "--quiet")
    run("git", "add", ".")
    run("git", "commit", "--quiet", "--message", "A release")
    run("git", "tag", "--annotate", "--message", "1.2.3", "v1.2.3")
    packed = tmp_path / "build" / "telenor-token-1.2.3.zip"
    packed.parent.mkdir()
    packed.write_bytes(b"the artifact")
    return packed


def read(release: Path) -> str:
    return release.with_name("telenor-token-1.2.3.provenance.json").read_text()


def test_the_statement_names_each_file_and_the_commit_and_is_the_same_each_time(release: Path) -> None:
    bill = release.with_name("telenor-token-1.2.3.cdx.json")
    bill.write_text("{}")
    assert provenance.main(["1.2.3", str(release), str(bill)]) == 0
    text = read(release)
    assert provenance.main(["1.2.3", str(release), str(bill)]) == 0
    assert read(release) == text
    statement = json.loads(text)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert statement["subject"] == [
        {"name": file.name, "digest": {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()}}
        for file in (release, bill)
    ]
    definition = statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {"version": "1.2.3"}
    commit = run("git", "rev-parse", "HEAD")
    assert definition["resolvedDependencies"] == [{"name": "v1.2.3", "digest": {"gitCommit": commit}}]
    assert statement["predicate"]["runDetails"]["builder"]["id"]


@pytest.mark.parametrize(
    ("remote", "uri"),
    [
        ("https://example.com/a/token.git", "git+https://example.com/a/token.git"),
        ("https://somebody:secret@example.com/a/token.git", "git+https://example.com/a/token.git"),
        ("git@example.com:a/token.git", "git+https://example.com/a/token.git"),
        ("ssh://git@example.com:2222/a/token.git", "git+https://example.com/a/token.git"),
        *(("/home/somebody/token", None), ("../token", None)),
    ],
)
def test_the_source_is_a_url_without_credentials(release: Path, remote: str, uri: str | None) -> None:
    run("git", "remote", "add", "origin", remote)
    assert provenance.main(["1.2.3", str(release)]) == 0
    (dependency,) = json.loads(read(release))["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert dependency.get("uri") == (f"{uri}@refs/tags/v1.2.3" if uri else None)
    assert "secret" not in read(release)


@pytest.mark.parametrize(
    "fault",
    [
        *(("touch", "new.py"), ("git", "commit", "--quiet", "--allow-empty", "--message", "Go on")),
        *(("git", "tag", "--delete", "v1.2.3"), ("rm", "build/telenor-token-1.2.3.zip")),
    ],
)
def test_an_incomplete_or_untagged_release_is_refused(
    release: Path, fault: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    run(*fault)
    assert provenance.main(["1.2.3", str(release)]) == 2
    assert "Traceback" not in capfd.readouterr().err
    assert not list(release.parent.glob("*.provenance.json"))


def test_openssh_verifies_the_signature_and_no_other_statement(release: Path) -> None:
    key = release.parent / "key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
    signers = release.parent / "allowed_signers"
    signers.write_text(f"release@example.com {key.with_suffix('.pub').read_text()}")
    for _ in range(2):  # the second signature takes the place of the first
        assert provenance.main(["1.2.3", str(release), "--key", str(key)]) == 0
    file = release.with_name("telenor-token-1.2.3.provenance.json")
    verify = [
        *("ssh-keygen", "-Y", "verify", "-f", signers, "-I", "release@example.com"),
        *("-n", provenance.NAMESPACE, "-s", f"{file}.sig"),
    ]
    run(*verify, stdin=file.read_bytes())
    with pytest.raises(subprocess.CalledProcessError):
        run(*verify, stdin=file.read_bytes() + b" ")


def test_a_missing_key_is_refused(release: Path) -> None:
    assert provenance.main(["1.2.3", str(release), "--key", "/nowhere/key"]) == 2
