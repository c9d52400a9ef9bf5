"""`make sandbox` gives a consumer all that it needs, lets it observe a rotation, and exits cleanly."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
import requests

from infra.demo.consumer_sandbox import main

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 60
CONSUMERS_NEED = {"TELENOR_BASE_URL", "TOKEN_SECRET_ID"}


def variables(file: Path) -> dict[str, str]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return dict("".join(shlex.split(line)).split("=", 1) for line in lines)


def wait_for(lines: Iterator[str], pattern: str) -> str:
    return next(line for line in lines if re.search(pattern, line))


@pytest.mark.parametrize("options", [(), ("--oauth",)])
def test_a_consumer_uses_tokens_through_a_rotation_and_an_emergency(tmp_path: Path, options: tuple[str, ...]) -> None:
    # Below the ephemeral ports, so that the next port is likely to be free too.
    port = 20_000 + os.getpid() % 6_000 * 2
    with subprocess.Popen(  # noqa: S603  this project's own program
        [
            *(sys.executable, "-W", "error", "-m", "infra.demo.consumer_sandbox", *options),
            *("--port", str(port), "--folder", str(tmp_path)),
        ],
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
            use_as_a_consumer(process, tmp_path, port, is_oauth=bool(options))
        finally:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate()
            watchdog.cancel()
    assert (process.returncode, errors) == (0, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [("--port", "-1"), ("--port", "65535"), ("--port", "x"), ("--folder", "/dev/null"), ("--folder", "/dev/null/x")],
)
def test_wrong_options_are_a_sentence_and_start_nothing(
    capfd: pytest.CaptureFixture[str], options: tuple[str, str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(options)
    out, err = capfd.readouterr()
    assert (ended.value.code, out, f"error: argument {options[0]}" in err) == (2, "", True)


def use_as_a_consumer(process: subprocess.Popen[str], folder: Path, port: int, *, is_oauth: bool) -> None:
    assert process.stdout
    assert process.stdin
    banner = ""
    while "Ready: consumers can read the token." not in banner:
        banner += next(process.stdout)
    consumer, operator = variables(folder / "sandbox.env"), variables(folder / "sandbox-operator.env")
    assert {name for name in consumer if not name.startswith("AWS_")} == CONSUMERS_NEED
    assert {"CREDENTIALS_SECRET_ID", "GRACE_SECONDS", "SCHEDULE_MINUTES"} <= operator.keys() - consumer.keys()
    telenor = consumer["TELENOR_BASE_URL"]
    oauth = {"TOKEN_URL": f"{telenor}/oauth/v2/token", "REVOCATION_URL": f"{telenor}/oauth/v2/revoke"}
    assert {name: url for name, url in operator.items() if name in oauth} == (oauth if is_oauth else {})
    assert set(re.findall(r"\$\{?([A-Z_]+)", banner)) <= consumer.keys()
    assert consumer["TELENOR_BASE_URL"] == f"http://127.0.0.1:{port}"
    assert consumer["AWS_ENDPOINT_URL"] == f"http://127.0.0.1:{port + 1}"
    client = boto3.client(
        "secretsmanager",
        endpoint_url=consumer["AWS_ENDPOINT_URL"],
        region_name=consumer["AWS_REGION"],
        aws_access_key_id=consumer["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=consumer["AWS_SECRET_ACCESS_KEY"],
    )

    def read() -> str:
        value = client.get_secret_value(SecretId=consumer["TOKEN_SECRET_ID"])["SecretString"]
        return str(json.loads(value)["access_token"])

    def status(token: str) -> int:
        url = consumer["TELENOR_BASE_URL"] + "/service-tickets/v2/incidents"
        return requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=5).status_code

    first = read()
    assert status(first) == 200
    process.stdin.write("rotate\n")
    process.stdin.flush()
    wait_for(process.stdout, "token .* published")
    second = read()
    assert (second != first, status(first), status(second)) == (True, 200, 200)
    process.stdin.write("help\nemergency\n")
    process.stdin.flush()
    wait_for(process.stdout, "Type one of run, rotate, emergency")
    kinds = [wait_for(process.stdout, "token .* (issued|published|revoked)").split()[-1] for _ in range(4)]
    assert kinds == ["issued", "published", "revoked", "revoked"]
    assert [status(token) for token in (first, second, read())] == [401, 401, 200]
