"""The artifact that is deployed: the modules of handler/ that git tracks, and the pure-Python wheels that they need.

It has bytecode for Lambda's Python if the machine that builds it has that Python. Without bytecode the artifact works
too, but every cold start compiles the sources, since Lambda's code folder cannot be written. Builds by the same Pythons
are the same bytes.

`python -m infra.artifact DIRECTORY` makes it, as SAM does through the Makefile, and `--zip FILE` packs it.
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

# boto3 and what only boto3 needs come from Lambda's runtime.
FROM_THE_RUNTIME = {"boto3", "botocore", "python-dateutil", "s3transfer", "six"}

# In handler/, what nothing of the job imports.
OF_THE_CLI = ("cli", "__main__.py")

ZIP_LIMIT_BYTES = 4_000_000

# template.yaml: Runtime. The folder is where Lambda runs it: bytecode names its source, and this path is the same
# wherever it is built.
_PYTHON = "3.13"
_BYTECODE_TAG = f"cpython-{_PYTHON.replace('.', '')}"
_LAMBDA_FOLDER = "/var/task"

# PEP 552: bytes 4 to 7 of bytecode that names its source by hash, and that is taken without a look at the source.
_UNCHECKED_HASH = (0b01).to_bytes(4, "little")

# The earliest time that a zip file can hold, in UTC.
_TIMESTAMP = 315_532_800


class ArtifactError(Exception):
    """No artifact was made; the message says why."""


def bundled_requirements(locked: str) -> str:
    """Return the locked requirements that go into the artifact."""
    blocks = re.findall(r"^\S+==.*\n(?:[ \t]+.*\n)*", locked, flags=re.MULTILINE)
    return "".join(block for block in blocks if block.partition("==")[0] not in FROM_THE_RUNTIME)


def make(directory: Path) -> None:
    """Fill a directory with the artifact. Raises ArtifactError."""
    copy_handler(directory)
    with tempfile.TemporaryDirectory() as temporary:
        requirements = Path(temporary) / "requirements.txt"
        requirements.write_text(bundled_requirements((ROOT / "requirements.txt").read_text(encoding="utf-8")))
        subprocess.run(  # noqa: S603  our own words
            [
                *(sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-compile"),
                *("--no-deps", "--require-hashes", "--requirement", str(requirements), "--target", str(directory)),
                # The wheels without compiled files, for any Python on any processor.
                *("--only-binary", ":all:", "--platform", "any", "--implementation", "py", "--abi", "none"),
                *("--python-version", _PYTHON),
            ],
            check=True,
        )
    # Scripts, and the lists that name them, hold the path of the Python that made them.
    shutil.rmtree(directory / "bin", ignore_errors=True)
    for name in ("RECORD", "direct_url.json"):
        for listed in directory.glob(f"*.dist-info/{name}"):
            listed.unlink()
    if not add_bytecode(directory):
        print(
            f"Left out: the bytecode for Python {_PYTHON}, which is not here, so every cold start will compile the "
            f"sources. Install it, or name it: make PYTHON313=/path/to/python{_PYTHON} build",
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
        said = done.stderr.partition("\n")[0]
        raise ArtifactError(f"the artifact holds what git tracks, and git cannot list it in {ROOT}: {said}")
    return sorted(name for name in done.stdout.split("\0") if name and name.split("/")[1] not in OF_THE_CLI)


def lambdas_python() -> tuple[str, str]:
    """Return the Python that the Makefile has found, and its version, which is empty if Lambda runs another one."""
    python = os.environ.get("PYTHON313", sys.executable)
    command = [python, "-c", "import platform; print(platform.python_version())"]
    try:
        version = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
    except OSError:
        return python, ""
    return python, version if version.startswith(f"{_PYTHON}.") else ""


def add_bytecode(directory: Path) -> bool:
    """Compile the sources for Lambda's Python; False if there is none here.

    The same sources become the same bytes: a fresh process compiles them in the same order, with the same hash seed.
    """
    python, version = lambdas_python()
    if version:
        subprocess.run(  # noqa: S603  our own words
            [
                *(python, "-P", "-m", "compileall", "-qq", "-f", "--invalidation-mode", "unchecked-hash"),
                *("-s", str(directory), "-p", _LAMBDA_FOLDER, str(directory)),
            ],
            env={"PYTHONHASHSEED": "0"},
            check=True,
        )
    return bool(version)


def zipped(directory: Path) -> bytes:
    """Return the artifact as one zip file, the same for the same content."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(path for path in directory.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(directory).as_posix())
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def faults(directory: Path) -> list[str]:
    """Return what must not be in an artifact, a sentence each."""
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
            found.append(f"{name} is bytecode that Lambda's Python would not take")
        if has_bytecode and bytecode.get(name, name) not in files:
            found.append(f"{bytecode[name]} is missing, so that its source would be compiled at each start")
    size = len(zipped(directory))
    if size > ZIP_LIMIT_BYTES:
        found.append(f"{size:,} bytes zipped are more than {ZIP_LIMIT_BYTES:,}")
    if "handler/app.py" not in files:
        found.append("handler/app.py is missing")
    return found


def _bytecode_of(source: str) -> str:
    path = PurePosixPath(source)
    return str(path.parent / "__pycache__" / f"{path.stem}.{_BYTECODE_TAG}.pyc")


def main() -> int:
    """Make and pack an artifact; 1 if it cannot be made, or if something is in it that must not be."""
    parser = argparse.ArgumentParser(prog="python -m infra.artifact", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--zip", type=Path, metavar="FILE", help="pack it into this file")
    arguments = parser.parse_args()
    try:
        make(arguments.directory)
        wrong = "; ".join(faults(arguments.directory))
    except ArtifactError as error:
        wrong = str(error)
    if wrong:
        print(wrong, file=sys.stderr)
        return 1
    if arguments.zip:
        content = zipped(arguments.directory)
        arguments.zip.parent.mkdir(parents=True, exist_ok=True)
        arguments.zip.write_bytes(content)
        print(f"packed into {arguments.zip}: {len(content):,} bytes, sha256 {hashlib.sha256(content).hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
