"""The size of the artifact, and the memory of a run."""

from __future__ import annotations

import io
import uuid
import zipfile
from collections import Counter
from statistics import median

from tests.benchmarks import startup
from tests.benchmarks.run_cost import create_client_secrets, servers

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


def packages(zipped: bytes) -> list[tuple[str, int, int]]:
    """Return each package of an artifact with its metadata, and its bytes zipped and unzipped, the largest first."""
    zipped_bytes, unzipped_bytes = Counter[str](), Counter[str]()
    with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
        for entry in archive.infolist():
            top = entry.filename.partition("/")[0].removesuffix(".py")
            package = top.partition("-")[0] if top.endswith(".dist-info") else top
            zipped_bytes[package] += entry.compress_size
            unzipped_bytes[package] += entry.file_size
    return [(package, zipped_bytes[package], size) for package, size in unzipped_bytes.most_common()]


def peak_of_a_rotation_kib(rounds: int) -> float:
    """Return the peak memory of a fresh process that starts the handler and rotates once."""
    peaks = []
    with servers() as (environ, _calls):
        for number in range(rounds):
            create_client_secrets(f"memory-{number}")
            rotation = _ROTATION.format(name=f"memory-{number}", request_id=uuid.uuid4())
            peaks.append(startup.run(rotation, environ).peak_kib)
    return median(peaks)
