"""Builds the Lambda artifact: the modules of handler/ that git tracks, and the pure-Python wheels that they need.

It has bytecode for Lambda's Python if the building machine has that Python. Without bytecode the artifact works too,
but every cold start compiles the sources, since Lambda's code folder is read-only. Builds with the same Pythons have
the same bytes.

`python -m infra.artifact DIRECTORY` builds it, as SAM does through the Makefile. `--zip FILE` packs it.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parent.parent

# Lambda's runtime has boto3 and its dependencies.
FROM_THE_RUNTIME = {"boto3", "botocore", "python-dateutil", "s3transfer", "six"}

# Parts of handler/ that the job does not import.
OF_THE_CLI = ("cli", "__main__.py")

ZIP_LIMIT_BYTES = 4_000_000

# template.yaml: Runtime. The folder is Lambda's: bytecode names its source, and this path does not depend on the
# building machine.
_PYTHON = "3.13"
_BYTECODE_TAG = f"cpython-{_PYTHON.replace('.', '')}"
_LAMBDA_FOLDER = "/var/task"

# PEP 552: bytes 4 to 7 of bytecode that names its source by hash and is used without a check of the source.
_UNCHECKED_HASH = (0b01).to_bytes(4, "little")

# The earliest time that a zip file can hold, in UTC.
_TIMESTAMP = 315_532_800


class ArtifactError(Exception):
    """No artifact was built; the message says why."""


def bundled_requirements(locked: str) -> str:
    """Return the locked requirements that go into the artifact."""
    blocks = re.findall(r"^\S+==.*\n(?:[ \t]+.*\n)*", locked, flags=re.MULTILINE)
    return "".join(block for block in blocks if block.partition("==")[0] not in FROM_THE_RUNTIME)


def make(directory: Path) -> None:
    """Fill a new or empty directory with the artifact. Raises ArtifactError, OSError and CalledProcessError."""
    if directory.exists() and any(directory.iterdir()):
        raise ArtifactError(f"{directory} is not empty: remove it, or name another directory")
    copy_handler(directory)
    with tempfile.TemporaryDirectory() as temporary:
        requirements = Path(temporary) / "requirements.txt"
        requirements.write_text(bundled_requirements((ROOT / "requirements.txt").read_text(encoding="utf-8")))
        subprocess.run(  # noqa: S603  our own words
            [
                *(sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-compile"),
                *("--no-deps", "--require-hashes", "--requirement", str(requirements), "--target", str(directory)),
                # Wheels without compiled files, for any Python on any processor.
                *("--only-binary", ":all:", "--platform", "any", "--implementation", "py", "--abi", "none"),
                *("--python-version", _PYTHON),
            ],
            check=True,
        )
    # Scripts, and the lists of them, contain the path of the installing Python.
    shutil.rmtree(directory / "bin", ignore_errors=True)
    for name in ("RECORD", "direct_url.json"):
        for listed in directory.glob(f"*.dist-info/{name}"):
            listed.unlink()
    if not add_bytecode(directory):
        print(
            f"Without bytecode, since Python {_PYTHON} is not installed: every cold start will compile the sources. "
            f"Install it, or set its path: make PYTHON313=/path/to/python{_PYTHON} build",
            file=sys.stderr,
        )
    for path in [directory, *directory.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (_TIMESTAMP, _TIMESTAMP))


def copy_handler(directory: Path) -> None:
    """Copy the modules that Lambda runs, if git tracks them. Raises ArtifactError."""
    tracked = _git_lists()
    wrong = [f"{name} is not a Python module: move it out of handler/" for name in tracked if not name.endswith(".py")]
    wrong += [f"{name} is missing: restore it, or git rm it" for name in tracked if not (ROOT / name).is_file()]
    untracked = _git_lists("--others", "--exclude-standard")
    wrong += [f"git does not track {name}: git add it, or remove it" for name in untracked if name.endswith(".py")]
    if wrong:
        raise ArtifactError("; ".join(wrong))
    for name in tracked:
        copy = directory / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy)


def _git_lists(*options: str) -> list[str]:
    """Return the job's files that `git ls-files` lists, as paths from the root. Raises ArtifactError."""
    command = ["/usr/bin/env", "git", "-C", str(ROOT), "ls-files", "-z", *options, "--", "handler"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own words
    if done.returncode:
        stderr_line = done.stderr.partition("\n")[0]
        raise ArtifactError(f"git cannot list the files for the artifact in {ROOT}: {stderr_line}")
    return sorted(name for name in done.stdout.split("\0") if name and name.split("/")[1] not in OF_THE_CLI)


def lambdas_python() -> tuple[str, str]:
    """Return the Python that the Makefile found, and its version; empty if Lambda runs another version."""
    python = os.environ.get("PYTHON313", sys.executable)
    command = [python, "-c", "import platform; print(platform.python_version())"]
    try:
        version = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
    except OSError:
        return python, ""
    return python, version if version.startswith(f"{_PYTHON}.") else ""


def add_bytecode(directory: Path) -> bool:
    """Compile the sources for Lambda's Python; False if it is not installed.

    Reproducible: a new process compiles the sources in the same order, with the same hash seed.
    """
    python, version = lambdas_python()
    if version:
        # Python's own variables change what it compiles.
        others = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        subprocess.run(  # noqa: S603  our own words
            [
                *(python, "-P", "-m", "compileall", "-qq", "-f", "--invalidation-mode", "unchecked-hash"),
                *("-s", str(directory), "-p", _LAMBDA_FOLDER, str(directory)),
            ],
            env=others | {"PYTHONHASHSEED": "0"},
            check=True,
        )
    return bool(version)


def zipped(directory: Path) -> bytes:
    """Return the artifact as one reproducible zip file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(path for path in directory.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(directory).as_posix())
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def faults(directory: Path) -> list[str]:
    """Return the faults of an artifact, a sentence each."""
    files = {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}
    bytecode = {name: _bytecode_of(name) for name in sorted(files) if name.endswith(".py")}
    has_bytecode = any(name.endswith(".pyc") for name in files)
    found = []
    for name in sorted(files):
        top, _, rest = name.partition("/")
        if name.endswith((".so", ".pyd", ".dylib")):
            found.append(f"{name} is compiled")
        is_foreign = top == "handler" and (rest.split("/")[0] in OF_THE_CLI or not name.endswith((".py", ".pyc")))
        if is_foreign or top in FROM_THE_RUNTIME | {"rich", "tests", "infra"}:
            found.append(f"{name} does not belong here")
        is_taken = name in bytecode.values() and (directory / name).read_bytes()[4:8] == _UNCHECKED_HASH
        if name.endswith(".pyc") and not is_taken:
            found.append(f"{name} is bytecode that Lambda's Python would not use")
        if has_bytecode and bytecode.get(name, name) not in files:
            found.append(f"{bytecode[name]} is missing, so each cold start would compile its source")
    size = len(zipped(directory))
    if size > ZIP_LIMIT_BYTES:
        found.append(f"{size:,} bytes zipped are more than {ZIP_LIMIT_BYTES:,}")
    if "handler/app.py" not in files:
        found.append("handler/app.py is missing")
    return found


def _bytecode_of(source: str) -> str:
    path = PurePosixPath(source)
    return str(path.parent / "__pycache__" / f"{path.stem}.{_BYTECODE_TAG}.pyc")


def main(argv: list[str] | None = None) -> int:
    """Build and pack an artifact; 1 if that fails or the artifact has faults."""
    parser = argparse.ArgumentParser(prog="python -m infra.artifact", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--zip", type=Path, metavar="FILE", help="pack it into this file")
    arguments = parser.parse_args(argv)
    try:
        make(arguments.directory)
        wrong = "; ".join(faults(arguments.directory))
        if not wrong and arguments.zip:
            content = zipped(arguments.directory)
            arguments.zip.parent.mkdir(parents=True, exist_ok=True)
            arguments.zip.write_bytes(content)
            print(f"packed into {arguments.zip}: {len(content):,} bytes, sha256 {hashlib.sha256(content).hexdigest()}")
    except (ArtifactError, OSError) as error:
        wrong = str(error)
    except subprocess.CalledProcessError as error:
        wrong = f"{' '.join(error.cmd[:4])} failed: what it says stands above"
    if wrong:
        print(wrong, file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
