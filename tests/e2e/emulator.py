"""MiniStack on a free loopback port, with IAM enforced.

It does not model or enforce the following, so tests/infra checks the template and the module for them: retries by
Scheduler and EventBridge, the dead-letter queue, throttled and old events, roles of schedules, Lambda's permissions for
rules, customer-managed keys, subnets, permissions boundaries, other accounts, alarms on metric math. Without an AWS
account nothing checks how CloudFormation changes a secret whose policy denies it reading. `make smoke` checks whether a
superseded version loses its label. ministack_patches.py adds everything else that the tests need.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import requests

from tests.e2e.job import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REGION = "eu-north-1"
SECONDS_A_MINUTE = 6.0

_HOST = "127.0.0.1"
_ROOT = {"aws_access_key_id": "root-of-the-emulator", "aws_secret_access_key": "root-of-the-emulator"}


@dataclass(frozen=True)
class Emulator:
    """AWS at `url`. `log` has the output of the emulator and its functions."""

    url: str
    log: Path

    def environment(self, keys: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment of a command that calls the emulator, as root or with these keys."""
        return {
            **_without_settings(),
            **{name.upper(): value for name, value in (keys or _ROOT).items()},
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "HOME": str(self.log.parent),
        }

    def client(self, service: str, keys: Mapping[str, str] | None = None) -> Any:
        """Return a client of the SDK, as root or as the owner of the keys."""
        return boto3.client(service, endpoint_url=self.url, region_name=REGION, **(keys or _ROOT))  # type: ignore[call-overload]

    def log_lines(self, group: str = "") -> list[str]:
        """Return the lines of a log group, or of all."""
        logs = self.client("logs")
        groups = [group] if group else [each["logGroupName"] for each in logs.describe_log_groups()["logGroups"]]
        read = logs.get_paginator("filter_log_events").paginate
        pages = [page for name in groups for page in read(logGroupName=name)]
        return [event["message"].strip() for page in pages for event in page["events"]]


def _without_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TELENOR_"))}


@contextmanager
def started(python: Path, directory: Path) -> Iterator[Emulator]:
    """Run an empty emulator until the block ends."""
    with socket.create_server((_HOST, 0)) as probe:
        port = probe.getsockname()[1]
    emulator = Emulator(f"http://{_HOST}:{port}", directory / "ministack.log")
    # The functions inherit the emulator's environment.
    settings = dict.fromkeys(("TMPDIR", "STATE_DIR", "S3_DATA_DIR"), str(directory)) | {
        "BIND_HOST": _HOST,
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": _HOST,
        "MINISTACK_REGION": REGION,
        "AUTH": "true",
        "PERSIST_STATE": "0",
        "SECONDS_A_MINUTE": str(SECONDS_A_MINUTE),
    }
    root = {name.upper(): value for name, value in _ROOT.items()}
    with (
        emulator.log.open("wb") as log,
        subprocess.Popen(
            [python, Path(__file__).with_name("ministack_patches.py")],
            env=_without_settings() | root | settings,
            cwd=directory,
            stdin=subprocess.PIPE,  # the emulator exits when this closes
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            until("MiniStack responds", lambda: _is_healthy(emulator, process))
            yield emulator
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _is_healthy(emulator: Emulator, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, f"MiniStack did not start:\n{emulator.log.read_text()[-2000:]}"
    try:
        return requests.get(f"{emulator.url}/_ministack/health", timeout=5).ok
    except requests.ConnectionError:
        return False
