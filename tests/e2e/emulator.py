"""MiniStack on a free loopback port, with IAM enforced."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import requests

if TYPE_CHECKING:
    from typing import Self

REGION = "eu-north-1"

_HOST = "127.0.0.1"
_SCRIPT = Path(__file__).with_name("ministack_corrected.py")
_START_SECONDS = 60
_ROOT = {"AWS_ACCESS_KEY_ID": "root-of-the-emulator", "AWS_SECRET_ACCESS_KEY": "root-of-the-emulator"}


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


class Emulator:
    """AWS at `url`, empty when the `with` block begins. What it prints is in `log`."""

    def __init__(self, python: Path, directory: Path, seconds_a_minute: float) -> None:
        self._python = python
        self._directory = directory
        self._seconds_a_minute = seconds_a_minute
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://{_HOST}:{self._port}"
        self.log = directory / "ministack.log"
        # boto3, "Session": its default session makes clients for one thread at a time.
        self._making_a_client = threading.Lock()

    def __enter__(self) -> Self:
        """Start it, and wait until it answers."""
        for name in ("tmp", "state", "s3"):
            (self._directory / name).mkdir()
        # Its functions inherit its environment, so nothing of the user's AWS settings goes in.
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TELENOR_"))}
        environment = (
            mine
            | _ROOT
            | {
                "BIND_HOST": _HOST,
                "GATEWAY_PORT": str(self._port),
                "MINISTACK_HOST": _HOST,
                "MINISTACK_REGION": REGION,
                "AUTH": "true",
                "PERSIST_STATE": "0",
                "TMPDIR": str(self._directory / "tmp"),
                "STATE_DIR": str(self._directory / "state"),
                "S3_DATA_DIR": str(self._directory / "s3"),
                "SECONDS_A_MINUTE": str(self._seconds_a_minute),
            }
        )
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  our own words
                [self._python, _SCRIPT],
                env=environment,
                cwd=self._directory,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._await_health()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it and the functions that it has started."""
        if self._process is None or self._process.stdin is None:
            return
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _await_health(self) -> None:
        assert self._process is not None
        for _ in range(_START_SECONDS * 10):
            if self._process.poll() is not None:
                raise RuntimeError(f"MiniStack did not start:\n{self.log.read_text()[-2000:]}")
            try:
                if requests.get(f"{self.url}/_ministack/health", timeout=5).ok:
                    return
            except requests.ConnectionError:
                time.sleep(0.1)
        raise RuntimeError("MiniStack did not answer in time")

    @property
    def environment(self) -> dict[str, str]:
        """What the SDK and SAM need in the environment to come here as root."""
        return _ROOT | {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def client(self, service: str, credentials: dict[str, str] | None = None) -> Any:  # noqa: ANN401  one for each service
        """Return a client of the SDK, as root or as the owner of the credentials."""
        as_whom = credentials or {
            "aws_access_key_id": _ROOT["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": _ROOT["AWS_SECRET_ACCESS_KEY"],
        }
        with self._making_a_client:
            return boto3.client(service, endpoint_url=self.url, region_name=REGION, **as_whom)  # type: ignore[call-overload]
