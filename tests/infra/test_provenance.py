"""What a release says of where it comes from, and how a user checks it."""

from __future__ import annotations

import hashlib
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from infra import provenance

if TYPE_CHECKING:
    from pathlib import Path


def run(*command: object, stdin: bytes = b"") -> str:
    done = subprocess.run(list(map(str, ("/usr/bin/env", *command))), check=True, input=stdin, capture_output=True)  # noqa: S603
    return done.stdout.decode().strip()


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a checkout with a tagged version, and return its zip file."""
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


def written(release: Path) -> Path:
    return release.with_name("telenor-token-1.2.3.provenance.json")


def read(release: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(written(release).read_text())
    return content


def test_the_statement_names_each_file_and_the_commit(release: Path) -> None:
    bill = release.with_name("telenor-token-1.2.3.cdx.json")
    bill.write_text("{}")
    assert provenance.main(["1.2.3", str(release), str(bill)]) == 0
    statement = read(release)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert statement["subject"] == [
        {"name": file.name, "digest": {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()}}
        for file in (release, bill)
    ]
    definition = statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {"version": "1.2.3"}
    assert definition["resolvedDependencies"] == [
        {"name": "v1.2.3", "digest": {"gitCommit": run("git", "rev-parse", "HEAD")}}
    ]
    assert statement["predicate"]["runDetails"]["builder"]["id"]


def test_the_same_files_make_the_same_statement(release: Path) -> None:
    assert provenance.main(["1.2.3", str(release)]) == 0
    before = written(release).read_bytes()
    assert provenance.main(["1.2.3", str(release)]) == 0
    assert written(release).read_bytes() == before


@pytest.mark.parametrize(
    ("remote", "uri"),
    [
        ("https://example.com/a/token.git", "git+https://example.com/a/token.git"),
        ("https://somebody:secret@example.com/a/token.git", "git+https://example.com/a/token.git"),
        ("git@example.com:a/token.git", "git+https://example.com/a/token.git"),
        ("ssh://git@example.com:2222/a/token.git", "git+https://example.com/a/token.git"),
        ("/home/somebody/token", None),
        ("../token", None),
    ],
)
def test_the_source_is_a_url_without_credentials(release: Path, remote: str, uri: str | None) -> None:
    run("git", "remote", "add", "origin", remote)
    assert provenance.main(["1.2.3", str(release)]) == 0
    (dependency,) = read(release)["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert dependency.get("uri") == (f"{uri}@refs/tags/v1.2.3" if uri else None)
    assert "secret" not in written(release).read_text()


@pytest.mark.parametrize("fault", ["untracked", "changed", "another commit", "no tag", "no file"])
def test_what_no_commit_says_is_refused(release: Path, fault: str, capfd: pytest.CaptureFixture[str]) -> None:
    version = "1.2.3"
    match fault:
        case "untracked":
            (release.parent.parent / "new.py").touch()
        case "changed":
            (release.parent.parent / ".gitignore").write_text("/build/\n*.pyc\n")
        case "another commit":
            run("git", "commit", "--quiet", "--allow-empty", "--message", "Go on")
        case "no tag":
            version = "1.2.4"
        case _:
            release.unlink()
    assert provenance.main([version, str(release)]) == 2
    assert "Traceback" not in capfd.readouterr().err
    assert not list(release.parent.glob("*.provenance.json"))


def test_openssh_verifies_the_signature_and_no_other_statement(release: Path) -> None:
    key = release.parent / "key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
    signers = release.parent / "allowed_signers"
    signers.write_text(f"release@example.com {key.with_suffix('.pub').read_text()}")
    for _ in range(2):  # the second signature takes the place of the first
        assert provenance.main(["1.2.3", str(release), "--key", str(key)]) == 0
    verify = [
        *("ssh-keygen", "-Y", "verify", "-f", signers, "-I", "release@example.com"),
        *("-n", provenance.NAMESPACE, "-s", f"{written(release)}.sig"),
    ]
    run(*verify, stdin=written(release).read_bytes())
    with pytest.raises(subprocess.CalledProcessError):
        run(*verify, stdin=written(release).read_bytes() + b" ")


def test_a_key_that_is_not_there_is_refused(release: Path) -> None:
    assert provenance.main(["1.2.3", str(release), "--key", "/nowhere/key"]) == 2
