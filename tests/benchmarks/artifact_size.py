"""How large the artifact is, and how much memory a run takes."""

from __future__ import annotations

import io
import uuid
import zipfile
from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from infra import artifact
from tests.benchmarks.run_cost import settings
from tests.benchmarks.stack import Stack
from tests.benchmarks.startup import Start

if TYPE_CHECKING:
    from pathlib import Path

_ROTATION = """
from types import SimpleNamespace
from handler import app
event = {{
    "action": "rotate-now",
    "client": "{name}",
    "credentials_secret_id": "{name}/credentials",
    "token_secret_id": "{name}/token",
}}
context = SimpleNamespace(aws_request_id="{request_id}", get_remaining_time_in_millis=lambda: 120_000)
assert app.lambda_handler(event, context)["outcome"] == "rotated"
"""


@dataclass(frozen=True)
class Package:
    """One package of the artifact, with its metadata."""

    name: str
    zipped_bytes: int
    unzipped_bytes: int


def packages(directory: Path) -> list[Package]:
    """Return what is in an artifact, the largest first."""
    with zipfile.ZipFile(io.BytesIO(artifact.zipped(directory))) as archive:
        entries = archive.infolist()
    sizes: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for entry in entries:
        size = sizes[package_of(entry.filename)]
        size[0] += entry.compress_size
        size[1] += entry.file_size
    found = [Package(name, zipped, unzipped) for name, (zipped, unzipped) in sizes.items()]
    return sorted(found, key=lambda package: -package.unzipped_bytes)


def package_of(filename: str) -> str:
    """Return the package that a file of the artifact belongs to, its metadata included."""
    top = filename.partition("/")[0].removesuffix(".py")
    return top.partition("-")[0] if top.endswith(".dist-info") else top


def zipped_bytes(directory: Path) -> int:
    """Return the size of the artifact as it is uploaded."""
    return len(artifact.zipped(directory))


def peak_of_a_rotation_kib(rounds: int) -> float:
    """Return the most memory that a fresh process has that starts the handler and rotates once."""
    with Stack() as stack:
        peaks = [_rotate(stack, f"memory-{number}") for number in range(rounds)]
    return median(peaks)


def _rotate(stack: Stack, name: str) -> int:
    create = f"""
import boto3, json
from tests.benchmarks.stack import CREDENTIALS
client = boto3.client("secretsmanager")
client.create_secret(Name="{name}/credentials", SecretString=json.dumps(CREDENTIALS))
client.create_secret(Name="{name}/token")
"""
    Start("secrets", create, stack.environment).run()
    rotation = Start(
        "rotation", _ROTATION.format(name=name, request_id=uuid.uuid4()), {**stack.environment, **settings()}
    )
    rotation.run()
    return rotation.peak_kib[0]
