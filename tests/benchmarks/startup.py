"""What a cold start takes: fresh processes in turn, measured from the first import to the client that is there."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from infra import artifact

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]

_CONFIG = (
    'Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})'  # the handler's
)
_BOTO3 = f"""
import boto3
from botocore.config import Config
boto3.client("secretsmanager", region_name="eu-north-1", config={_CONFIG})
"""
_BOTOCORE = f"""
from botocore.session import get_session
from botocore.config import Config
get_session().create_client("secretsmanager", region_name="eu-north-1", config={_CONFIG})
"""
_HTTP = """
import requests, tenacity
"""
_POWERTOOLS = """
from aws_lambda_powertools import Logger, Metrics
Logger(service="x")
Metrics(namespace="X", service="x")
"""
_LIBRARIES = _BOTO3 + _HTTP + _POWERTOOLS
_HANDLER = """
from handler import app
app._client(None, None)
"""

_PROGRAM = """
import time
wall, own = time.perf_counter(), time.process_time()
{code}
print(time.process_time() - own, time.perf_counter() - wall)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@dataclass
class Start:
    """One thing to start, and what it took each time."""

    name: str
    code: str
    environ: Mapping[str, str] = field(default_factory=dict)
    python: str = sys.executable
    against: str = "floor"
    """What it is compared with."""
    own_seconds: list[float] = field(default_factory=list)
    wall_seconds: list[float] = field(default_factory=list)
    peak_kib: list[int] = field(default_factory=list)

    def run(self) -> None:
        """Start it in a fresh process."""
        done = subprocess.run(  # noqa: S603  our own words
            [self.python, "-c", _PROGRAM.format(code=self.code)],
            cwd="/",  # so that only PYTHONPATH says where the handler is
            env={**_environment(), **self.environ},
            check=True,
            capture_output=True,
            text=True,
        )
        own, wall, peak = done.stdout.split()[-3:]
        self.own_seconds.append(float(own))
        self.wall_seconds.append(float(wall))
        self.peak_kib.append(int(peak))

    def own_ratio(self, floor: Start) -> float:
        """Return the CPU time, against what was started beside it."""
        return median(own / other for own, other in zip(self.own_seconds, floor.own_seconds, strict=True))

    def wall_ratio(self, floor: Start) -> float:
        """Return the time that passed, likewise."""
        return median(wall / other for wall, other in zip(self.wall_seconds, floor.wall_seconds, strict=True))


def starts(directory: Path, scratch: Path, runtime: str) -> dict[str, Start]:
    """Return what is compared, the floor first. The runtime is a Python as in Lambda, with boto3 and none of ours."""
    deployed = _unzipped(directory, scratch / "deployed", with_bytecode=True)
    stripped = _unzipped(directory, scratch / "stripped", with_bytecode=False)
    return {
        "floor": Start("the floor: boto3 and its client, requests, tenacity, Powertools", _LIBRARIES),
        "handler": Start("**the handler and its client**", _HANDLER),
        "botocore": Start("the floor with botocore's session in place of boto3", _BOTOCORE + _HTTP + _POWERTOOLS),
        "lambda-floor": Start(
            "the floor on Lambda's Python, with its bytecode, from the artifact",
            *_deployed(_LIBRARIES, deployed, runtime),
        ),
        "deployed": Start(
            "**the artifact as it is deployed**: from the zip, in a folder that cannot be written",
            *_deployed(_HANDLER, deployed, runtime),
        ),
        "stripped": Start("the same without its bytecode", *_deployed(_HANDLER, stripped, runtime)),
    }


def _deployed(code: str, folder: Path, runtime: str) -> tuple[str, Mapping[str, str], str, str]:
    """Return the rest of a start as in Lambda. Root can write into any folder, so Python is told not to."""
    return code, {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}, runtime, "lambda-floor"


def measure(directory: Path, scratch: Path, rounds: int, runtime: str) -> dict[str, Start]:
    """Start everything in turn, as often as told; the first round only warms the disk's cache and writes bytecode."""
    compared = starts(directory, scratch, runtime)
    for start in compared.values():
        start.run()
        start.own_seconds.clear()
        start.wall_seconds.clear()
    for number in range(rounds):
        # In another order each time, so that nothing is always the first or after the same one.
        order = list(compared.values())
        for start in order[number % len(order) :] + order[: number % len(order)]:
            start.run()
    return compared


def _environment() -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": str(ROOT),
        "AWS_REGION": "eu-north-1",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "POWERTOOLS_LOG_LEVEL": "INFO",
    }


def _unzipped(directory: Path, into: Path, *, with_bytecode: bool) -> Path:
    """Unpack the zip as Lambda does, and let nobody write there."""
    with zipfile.ZipFile(io.BytesIO(artifact.zipped(directory))) as archive:
        names = archive.namelist()
        archive.extractall(into, [name for name in names if with_bytecode or "__pycache__" not in name])
    for path in [into, *into.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return into
