"""The artifact that is deployed: the modules of handler/ that git tracks, and the pure-Python wheels that they need.

It has bytecode for Lambda's Python if the machine that builds it has that Python. Without bytecode the artifact works
too, but every cold start compiles the sources, since Lambda's code folder cannot be written. Builds by the same Pythons
are the same bytes.

`python -m infra.artifact DIRECTORY` lists what is in an artifact. `--make` makes it first, and `--zip FILE` packs it.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent

# boto3 and what only boto3 needs come from Lambda's runtime.
FROM_THE_RUNTIME = {"boto3", "botocore", "python-dateutil", "s3transfer", "six"}

# In handler/, what nothing of the job imports.
OF_THE_CLI = ("cli", "__main__.py")

ZIP_LIMIT_BYTES = 4_000_000

# template.yaml: Runtime. What such a Python calls its bytecode (sys.implementation.cache_tag), and the folder in which
# Lambda runs it: bytecode names its source, and this path is the same wherever it is built.
BYTECODE_TAG = "cpython-313"
_LAMBDA_FOLDER = "/var/task"

# PEP 552: bytes 4 to 7 of bytecode that names its source by hash, and that is taken without a look at the source.
_UNCHECKED_HASH = (0b01).to_bytes(4, "little")

# Where the Makefile has found Lambda's Python, or another one if there is none.
_PYTHON_NAME = "PYTHON313"

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
                *("--python-version", "3.13"),
            ],
            check=True,
        )
    # Scripts, and the lists that name them, hold the path of the Python that made them.
    shutil.rmtree(directory / "bin", ignore_errors=True)
    for name in ("RECORD", "direct_url.json"):
        for listed in directory.glob(f"*.dist-info/{name}"):
            listed.unlink()
    if not add_bytecode(directory):
        print(  # noqa: T201
            f"Left out: the bytecode for {BYTECODE_TAG}. No Python 3.13 is here, so every cold start will compile "
            f"the sources. Install one, or name it: make {_PYTHON_NAME}=/path/to/python3.13 build",
            file=sys.stderr,
        )
    for path in [directory, *directory.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (_TIMESTAMP, _TIMESTAMP))


def copy_handler(directory: Path) -> None:
    """Copy the modules that Lambda runs, if git tracks them. Raises ArtifactError."""
    tracked = _of_the_job(_git_lists())
    wrong = [f"{name} is not a Python module: move it out of handler/" for name in tracked if not name.endswith(".py")]
    wrong += [f"{name} is missing: restore it, or git rm it" for name in tracked if not (ROOT / name).is_file()]
    untracked = _of_the_job(_git_lists("--others", "--exclude-standard"))
    wrong += [f"git does not track {name}: git add it, or remove it" for name in untracked if name.endswith(".py")]
    if wrong:
        raise ArtifactError("; ".join(wrong))
    for name in tracked:
        copy = directory / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy)


def _git_lists(*options: str) -> list[str]:
    """Return the files of handler/ that `git ls-files` lists, as paths from the root. Raises ArtifactError."""
    try:
        listed = subprocess.run(  # noqa: S603  our own words
            ["/usr/bin/env", "git", "-C", str(ROOT), "ls-files", "-z", *options, "--", "handler"],
            capture_output=True,
            text=True,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().partition("\n")[0]
        raise ArtifactError(f"the artifact holds what git tracks, and git cannot list it in {ROOT}: {said}") from None
    return sorted(name for name in listed.stdout.split("\0") if name)


def _of_the_job(names: list[str]) -> list[str]:
    """Leave out the command line."""
    return [name for name in names if name.split("/")[1] not in OF_THE_CLI]


def add_bytecode(directory: Path) -> bool:
    """Compile the sources for Lambda's Python; False if there is none here.

    The same sources become the same bytes: a fresh process compiles them in the same order, with the same hash seed.
    """
    python = os.environ.get(_PYTHON_NAME) or shutil.which("python3.13") or sys.executable
    with contextlib.suppress(OSError):
        asked = subprocess.run(  # noqa: S603  our own words
            [python, "-c", "import sys; print(sys.implementation.cache_tag)"],
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.stdout.strip() == BYTECODE_TAG:
            subprocess.run(  # noqa: S603  likewise
                [
                    *(python, "-P", "-m", "compileall", "-qq", "-f", "--invalidation-mode", "unchecked-hash"),
                    *("-s", str(directory), "-p", _LAMBDA_FOLDER, str(directory)),
                ],
                env={"PYTHONHASHSEED": "0"},
                check=True,
            )
            return True
    return False


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
    files = [path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()]
    compiled = [name for name in files if name.endswith((".so", ".pyd", ".dylib"))]
    bytecode = {name for name in files if name.endswith(".pyc")}
    expected = {_bytecode_of(name) for name in files if name.endswith(".py")}
    useless = sorted(bytecode - expected)
    useless += sorted(n for n in bytecode & expected if (directory / n).read_bytes()[4:8] != _UNCHECKED_HASH)
    missing = sorted(expected - bytecode) if bytecode else []
    stray = [name for name in files if name.partition("/")[0] in FROM_THE_RUNTIME | {"rich", "tests", "infra"}]
    stray += [
        name
        for name in files
        if name.startswith(tuple(f"handler/{part}" for part in OF_THE_CLI))
        or (name.startswith("handler/") and not name.endswith((".py", ".pyc")))
    ]
    size = len(zipped(directory))
    found = [f"{name} is compiled" for name in compiled] + [f"{name} does not belong here" for name in stray]
    found += [f"{name} is bytecode that Lambda's Python would not take" for name in useless]
    found += [f"{name} is missing, so that its source would be compiled at each start" for name in missing]
    if size > ZIP_LIMIT_BYTES:
        found.append(f"{size:,} bytes zipped are more than {ZIP_LIMIT_BYTES:,}")
    if "handler/app.py" not in files:
        found.append("handler/app.py is missing")
    return found


def _bytecode_of(source: str) -> str:
    folder, _, name = source.rpartition("/")
    return f"{folder}{folder and '/'}__pycache__/{name.removesuffix('.py')}.{BYTECODE_TAG}.pyc"


def describe(directory: Path) -> str:
    """Return sizes by top-level name, and the size and hash of the whole."""
    sizes: dict[str, tuple[int, int]] = {}
    for path in directory.rglob("*"):
        if path.is_file():
            top = path.relative_to(directory).parts[0]
            count, size = sizes.get(top, (0, 0))
            sizes[top] = count + 1, size + path.stat().st_size
    lines = [f"{size:>10,} bytes {count:>5} files  {top}" for top, (count, size) in sorted(sizes.items())]
    content = zipped(directory)
    bytecode = [path.stat().st_size for path in directory.rglob("*.pyc")]
    lines.append(f"{sum(bytecode):>10,} bytes {len(bytecode):>5} files  of these are bytecode for {BYTECODE_TAG}")
    lines.append(f"{sum(size for _, size in sizes.values()):>10,} bytes in all")
    lines.append(f"{len(content):>10,} bytes zipped, sha256 {hashlib.sha256(content).hexdigest()}")
    return "\n".join(lines)


def main() -> int:
    """Make, describe and pack an artifact; 1 if it cannot be made, or if something is in it that must not be."""
    parser = argparse.ArgumentParser(prog="python -m infra.artifact", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--make", action="store_true", help="make it, as SAM does through the Makefile")
    parser.add_argument("--zip", type=Path, metavar="FILE", help="pack it into this file")
    arguments = parser.parse_args()
    if arguments.make:
        try:
            make(arguments.directory)
        except ArtifactError as error:
            print(error, file=sys.stderr)  # noqa: T201
            return 1
    if arguments.zip or not arguments.make:
        print(describe(arguments.directory))  # noqa: T201  what it is for
    found = faults(arguments.directory)
    for fault in found:
        print(fault, file=sys.stderr)  # noqa: T201
    if arguments.zip and not found:
        arguments.zip.parent.mkdir(parents=True, exist_ok=True)
        arguments.zip.write_bytes(zipped(arguments.directory))
        has_bytecode = any(arguments.directory.rglob("*.pyc"))
        promise = "the same Pythons make the same bytes" if has_bytecode else "with Python 3.13 its bytes are others"
        print(f"packed into {arguments.zip}: {promise}")  # noqa: T201  likewise
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
