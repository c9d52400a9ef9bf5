"""The artifact that is deployed: handler/ and the pure-Python wheels of what it needs, the same bytes every time.

`python -m infra.artifact --make DIRECTORY` makes it, `python -m infra.artifact DIRECTORY` says what is in it.
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
from pathlib import Path

ROOT = Path(__file__).parent.parent

# boto3 and what only boto3 needs come from Lambda's runtime.
FROM_THE_RUNTIME = {"boto3", "botocore", "python-dateutil", "s3transfer", "six"}

# In handler/, what nothing of the job imports.
OF_THE_TERMINAL = ("terminal", "__main__.py")

ZIP_LIMIT_BYTES = 2_500_000

# The earliest time that a zip file can hold, in UTC.
_TIMESTAMP = 315_532_800


def bundled_requirements(locked: str) -> str:
    """Return the locked requirements that go into the artifact."""
    blocks = re.findall(r"^\S+==.*\n(?:[ \t]+.*\n)*", locked, flags=re.MULTILINE)
    return "".join(block for block in blocks if block.partition("==")[0] not in FROM_THE_RUNTIME)


def make(directory: Path) -> None:
    """Fill a directory with the artifact."""
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
    copy_handler(directory)
    for path in [directory, *directory.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (_TIMESTAMP, _TIMESTAMP))


def copy_handler(directory: Path) -> None:
    """Copy what Lambda runs: the job without its terminal."""
    ignored = shutil.ignore_patterns("__pycache__", *OF_THE_TERMINAL)
    shutil.copytree(ROOT / "handler", directory / "handler", ignore=ignored)


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
    compiled = [name for name in files if name.endswith((".so", ".pyd", ".pyc", ".dylib"))]
    stray = [name for name in files if name.partition("/")[0] in FROM_THE_RUNTIME | {"rich", "tests", "infra"}]
    stray += [name for name in files if name.startswith(tuple(f"handler/{part}" for part in OF_THE_TERMINAL))]
    size = len(zipped(directory))
    found = [f"{name} is compiled" for name in compiled] + [f"{name} does not belong here" for name in stray]
    if size > ZIP_LIMIT_BYTES:
        found.append(f"{size:,} bytes zipped are more than {ZIP_LIMIT_BYTES:,}")
    if "handler/app.py" not in files:
        found.append("handler/app.py is missing")
    return found


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
    lines.append(f"{sum(size for _, size in sizes.values()):>10,} bytes in all")
    lines.append(f"{len(content):>10,} bytes zipped, sha256 {hashlib.sha256(content).hexdigest()}")
    return "\n".join(lines)


def main() -> int:
    """Make or describe an artifact; 1 if something is in it that must not be."""
    parser = argparse.ArgumentParser(prog="python -m infra.artifact", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--make", action="store_true", help="make it, as SAM does through the Makefile")
    arguments = parser.parse_args()
    if arguments.make:
        make(arguments.directory)
    else:
        print(describe(arguments.directory))  # noqa: T201  what it is for
    found = faults(arguments.directory)
    for fault in found:
        print(fault, file=sys.stderr)  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
