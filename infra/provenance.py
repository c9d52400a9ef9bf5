"""Writes the provenance of a release: `python -m infra.provenance VERSION FILE…`. `make release` runs it.

The file is an in-toto statement with SLSA provenance: the SHA-256 of each file, and the commit they were built from.
With a key, OpenSSH signs it. docs/security.md says how to check both.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import re
import subprocess
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra import artifact

if TYPE_CHECKING:
    from collections.abc import Sequence

# `ssh-keygen -Y verify` needs it too.
NAMESPACE = "file"


class ProvenanceError(Exception):
    """The provenance of the files cannot be stated."""


def released_commit(version: str) -> str:
    """Return the commit of a version that is checked out without changes. Raises ProvenanceError."""
    head = _git("rev-parse", "HEAD")
    if _git("rev-parse", f"refs/tags/v{version}^{{commit}}") != head:
        raise ProvenanceError(f"the tag v{version} is not the checked-out commit")
    if changes := _git("status", "--porcelain"):
        raise ProvenanceError(f"git status is not empty, so no commit says what was built: {changes}")
    return head


def source_uri(remote: str) -> str | None:
    """Return the URI of a remote without credentials; None for a local path."""
    found = re.fullmatch(r"(?:(?:https|ssh)://(?:[^@/]*@)?|[^@/:]+@)([A-Za-z0-9.-]+)(?::[0-9]+(?=/)|:)?/?(.+)", remote)
    return f"git+https://{found[1]}/{found[2]}" if found else None


def statement(version: str, commit: str, source: str | None, files: Sequence[Path]) -> dict[str, Any]:
    """Return the in-toto statement (v1) with SLSA's provenance (v1) as its predicate."""
    dependency = {"digest": {"gitCommit": commit}, "name": f"v{version}"}
    if source:
        dependency["uri"] = f"{source}@refs/tags/v{version}"
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": file.name, "digest": {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()}} for file in files
        ],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:telenor-token:make-release",
                "externalParameters": {"version": version},
                # Other versions build other bytes from the same sources.
                "internalParameters": {
                    "python": platform.python_version(),
                    "python313": artifact.lambdas_python()[1] or None,
                    "zlib": zlib.ZLIB_RUNTIME_VERSION,
                },
                "resolvedDependencies": [dependency],
            },
            "runDetails": {"builder": {"id": "urn:telenor-token:maintainer"}},
        },
    }


def sign(file: Path, key: Path) -> None:
    """Write the signature of a file to a file with the suffix `.sig`. Raises ProvenanceError."""
    signature = file.with_name(f"{file.name}.sig")
    signature.unlink(missing_ok=True)
    command = ["/usr/bin/env", "ssh-keygen", "-Y", "sign", "-q", "-n", NAMESPACE, "-f", str(key), str(file)]
    # Not captured: it may ask for the key's passphrase.
    if subprocess.run(command, check=False).returncode or not signature.exists():  # noqa: S603  our own words
        raise ProvenanceError(f"ssh-keygen could not sign with {key}")


def _git(*arguments: str) -> str:
    done = subprocess.run(  # noqa: S603  our own words
        ["/usr/bin/env", "git", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ProvenanceError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def main(argv: Sequence[str] | None = None) -> int:
    """Write the provenance of a version's files beside the first; 2 if that is refused."""
    parser = argparse.ArgumentParser(prog="python -m infra.provenance", description=__doc__)
    parser.add_argument("version")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--key", type=Path, help="OpenSSH's private key, or the public one of a key in the agent")
    arguments = parser.parse_args(argv)
    file: Path = arguments.files[0].with_name(f"telenor-token-{arguments.version}.provenance.json")
    try:
        commit = released_commit(arguments.version)
        remotes = _git("remote").split()
        source = source_uri(_git("remote", "get-url", "origin")) if "origin" in remotes else None
        content = statement(arguments.version, commit, source, arguments.files)
        file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        if arguments.key:
            sign(file, arguments.key)
    except (ProvenanceError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
