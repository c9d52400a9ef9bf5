"""The cost of a cold start: fresh processes in turn, measured from the first import to the created client."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from handler.secrets_manager import ATTEMPTS, CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS
from infra.artifact import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_CONFIG = (
    f"Config(connect_timeout={CONNECT_TIMEOUT_SECONDS}, read_timeout={READ_TIMEOUT_SECONDS}, "
    f"retries={{'mode': 'standard', 'total_max_attempts': {ATTEMPTS}}})"
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
_OTHER_LIBRARIES = """
import requests, tenacity
from aws_lambda_powertools import Logger, Metrics
Logger(service="x")
Metrics(namespace="X", service="x")
"""
_LIBRARIES = _BOTO3 + _OTHER_LIBRARIES
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

_ENVIRONMENT = {
    "PATH": os.environ.get("PATH", os.defpath),
    "PYTHONPATH": str(ROOT),
    "AWS_REGION": "eu-north-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "POWERTOOLS_LOG_LEVEL": "INFO",
}


class StartCost(NamedTuple):
    """The cost of one start: CPU time, elapsed time, and peak memory."""

    own_seconds: float
    wall_seconds: float
    peak_kib: int


def run(code: str, environ: Mapping[str, str], python: str = sys.executable) -> StartCost:
    """Run code in a fresh process."""
    done = subprocess.run(  # noqa: S603  our own words
        [python, "-c", _PROGRAM.format(code=code)],
        cwd="/",  # so that the handler is found only by PYTHONPATH
        env={**_ENVIRONMENT, **environ},
        check=True,
        capture_output=True,
        text=True,
    )
    own, wall, peak = done.stdout.split()[-3:]
    return StartCost(float(own), float(wall), int(peak))


@dataclass
class Start:
    """A program to start, the one that it is compared with, and its costs."""

    name: str
    code: str
    environ: Mapping[str, str] = field(default_factory=dict)
    python: str = sys.executable
    against: str = "baseline"
    took: list[StartCost] = field(default_factory=list)

    def ratio(self, baseline: Start, figure: str = "own_seconds") -> float:
        """Return the median ratio of a figure, by default CPU time, to that of `baseline`."""
        pairs = zip(self.took, baseline.took, strict=True)
        ratios: list[float] = [getattr(one, figure) / getattr(other, figure) for one, other in pairs]
        return median(ratios)

    @property
    def peak_kib(self) -> float:
        """The peak memory."""
        return median(took.peak_kib for took in self.took)


def measure(zipped: bytes, scratch: Path, rounds: int, runtime: str) -> dict[str, Start]:
    """Start everything in turn, `rounds` times. `runtime` is a Python as in Lambda: with boto3 but not our packages."""
    _unzip(zipped, scratch / "deployed", with_bytecode=True)
    _unzip(zipped, scratch / "stripped", with_bytecode=False)

    def deployed(name: str, code: str, folder: str = "deployed") -> Start:
        # Root can write into any folder, so writing bytecode is disabled.
        environ = {"PYTHONPATH": str(scratch / folder), "PYTHONDONTWRITEBYTECODE": "1"}
        return Start(name, code, environ, runtime, "lambda-baseline")

    starts = {
        "baseline": Start("the baseline: boto3 and its client, requests, tenacity, Powertools", _LIBRARIES),
        "handler": Start("**the handler and its client**", _HANDLER),
        "botocore": Start("the baseline with botocore's session in place of boto3", _BOTOCORE + _OTHER_LIBRARIES),
        "lambda-baseline": deployed("the baseline on Lambda's Python, with bytecode, from the artifact", _LIBRARIES),
        "deployed": deployed("**the artifact as deployed**: from the zip, in a read-only folder", _HANDLER),
        "stripped": deployed("the same without its bytecode", _HANDLER, "stripped"),
    }
    order = list(starts.values())
    # The first round only warms the disk cache and writes bytecode.
    for number in range(-1, rounds):
        # In a random order, so that no program always runs first or after the same one.
        for start in order[number % len(order) :] + order[: number % len(order)]:
            took = run(start.code, start.environ, start.python)
            if number >= 0:
                start.took.append(took)
    return starts


def _unzip(zipped: bytes, into: Path, *, with_bytecode: bool) -> None:
    """Unpack the artifact as Lambda does, read-only."""
    with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
        archive.extractall(into, [name for name in archive.namelist() if with_bytecode or "__pycache__" not in name])
    for path in [into, *into.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
