"""`make sandbox` gives a consumer all that it needs, lets it see a rotation, and ends cleanly."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import boto3
import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mypy_boto3_secretsmanager.client import SecretsManagerClient

ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 60


class Sandbox:
    """The running process, as somebody at its terminal sees it."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self.banner = ""
        while not self.banner.endswith("Ready: consumers can read the token.\n"):
            line = _stream(process.stdout).readline()
            assert line, "it ended before it was ready"
            self.banner += line
        self.consumer = self.variables("sandbox.env")

    def type(self, line: str) -> None:
        _stream(self._process.stdin).write(line + "\n")
        _stream(self._process.stdin).flush()

    def wait_for(self, pattern: str) -> str:
        """Read on until a line says this."""
        for line in _stream(self._process.stdout):
            if re.search(pattern, line):
                return line
        pytest.fail(f"it ended without saying {pattern}")

    def variables(self, file: str) -> dict[str, str]:
        """Return the variables of one of its files."""
        lines = (self._folder / file).read_text(encoding="utf-8").splitlines()
        return dict("".join(shlex.split(line)).split("=", 1) for line in lines)


def _stream(stream: IO[str] | None) -> IO[str]:
    assert stream
    return stream


@contextmanager
def _running(folder: Path, port: int) -> Iterator[Sandbox]:
    with subprocess.Popen(  # noqa: S603  this project's own program
        [sys.executable, "-W", "error", "-m", "infra.demo.sandbox", "--port", str(port), "--folder", str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "AWS_PROFILE": "somebody-elses"},
    ) as process:
        watchdog = threading.Timer(PATIENCE_SECONDS, process.kill)
        watchdog.start()
        try:
            yield Sandbox(process, folder)
        finally:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate()
            watchdog.cancel()
    assert (process.returncode, errors) == (0, "")


def _client(environment: Mapping[str, str]) -> SecretsManagerClient:
    return boto3.client(
        "secretsmanager",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


def test_a_consumer_reads_a_token_calls_the_api_and_sees_a_rotation_and_an_emergency(
    tmp_path: Path,
) -> None:
    # Below the ports that the system gives to connections, whose neighbour may be taken.
    port = 20_000 + os.getpid() % 6_000 * 2
    with _running(tmp_path, port) as sandbox, requests.Session() as http:
        http.trust_env = False
        environment, client = sandbox.consumer, _client(sandbox.consumer)

        def read() -> str:
            value = client.get_secret_value(SecretId=environment["TOKEN_SECRET_ID"])["SecretString"]
            return str(json.loads(value)["access_token"])

        def status(token: str) -> int:
            url = environment["TELENOR_BASE_URL"] + "/service-tickets/v2/incidents"
            return http.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=5).status_code

        operator = sandbox.variables("sandbox-operator.env")
        assert {name for name in sandbox.consumer if not name.startswith("AWS_")} == {
            "TELENOR_BASE_URL",
            "TOKEN_SECRET_ID",
        }
        assert {"CREDENTIALS_SECRET_ID", "GRACE_SECONDS", "SCHEDULE_MINUTES"} <= operator.keys()
        assert not operator.keys() & sandbox.consumer.keys()
        assert set(re.findall(r"\$\{?([A-Z_]+)", sandbox.banner)) <= sandbox.consumer.keys()
        assert environment["TELENOR_BASE_URL"] == f"http://127.0.0.1:{port}"
        assert environment["AWS_ENDPOINT_URL"] == f"http://127.0.0.1:{port + 1}"
        first = read()
        assert status(first) == 200
        sandbox.type("rotate")
        sandbox.wait_for("token .* published")
        second = read()
        assert (second != first, status(first), status(second)) == (True, 200, 200)
        sandbox.type("help")
        sandbox.wait_for("Type one of run, rotate, emergency")
        sandbox.type("emergency")
        kinds = [sandbox.wait_for("token .* (issued|published|revoked)").split()[-1] for _ in range(4)]
        assert kinds == ["issued", "published", "revoked", "revoked"]
        assert [status(token) for token in (first, second, read())] == [401, 401, 200]
    assert list(tmp_path.iterdir()) == []
