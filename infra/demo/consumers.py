"""Services that use the token: each reads the secret through a cache, and calls Telenor's API without pause.

Half of them read through Powertools' `parameters`, the other half through AWS's `aws-secretsmanager-caching`.
`python -m infra.demo.consumers` is all of them in one process. It begins at a line on stdin, reports a line of counts
every moment, and ends when stdin closes.
"""

from __future__ import annotations

import json
import os
import select
import sys
import threading
from dataclasses import asdict
from http import HTTPStatus
from typing import IO, TYPE_CHECKING

import boto3
import requests
from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_secretsmanager_caching import SecretCache, SecretCacheConfig  # type: ignore[import-untyped]  # has no types

from infra.demo.checks import Count
from infra.demo.settings import CACHE_SECONDS
from infra.local.worker_process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

_REPORT_SECONDS = 0.2
_TIMEOUT_SECONDS = 10
_WAIT_SECONDS = 2


class Consumers:
    """The process that plays all consumers."""

    def __init__(self, environ: Mapping[str, str], log: IO[bytes]) -> None:
        self._child = WorkerProcess("infra.demo.consumers", environ, log)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self.counts: list[Count] = []

    def __enter__(self) -> Self:
        """Listen to what they report."""
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End them, and take their last report."""
        self._child.close_stdin()
        self._listener.join(_WAIT_SECONDS)
        self._child.kill()
        self._listener.join()
        self._child.stop()

    def begin(self) -> None:
        """Let the consumers send their first requests."""
        self._child.send("begin")

    def _listen(self) -> None:
        while (report := self._child.receive()) is not None:
            self.counts = [Count(**count) for count in report]


def _powertools(seconds: int) -> Callable[[str], str]:
    provider = SecretsProvider(boto3_client=boto3.client("secretsmanager"))
    return lambda secret_id: str(provider.get(secret_id, max_age=seconds))


def _secret_cache(seconds: int) -> Callable[[str], str]:
    cache = SecretCache(SecretCacheConfig(secret_refresh_interval=seconds), boto3.client("secretsmanager"))
    return lambda secret_id: str(cache.get_secret_string(secret_id))


CACHES: Mapping[str, Callable[[int], Callable[[str], str]]] = {
    "Powertools parameters": _powertools,
    "aws-secretsmanager-caching": _secret_cache,
}


def _consume(count: Count, ended: threading.Event) -> None:
    url = os.environ["TELENOR_BASE_URL"] + "/service-tickets/v2/incidents"
    read = CACHES[count.cache](count.cache_seconds)
    with requests.Session() as session:
        while not ended.is_set():
            try:
                token = json.loads(read(os.environ["TOKEN_SECRET_ID"]))["access_token"]
                headers = {"Authorization": f"Bearer {token}"}
                status = session.get(url, headers=headers, timeout=_TIMEOUT_SECONDS).status_code
            except Exception:  # noqa: BLE001  a service that calls goes on, and its count tells
                status = None
            count.served += status == HTTPStatus.OK
            count.refused += status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
            count.failed += status not in {HTTPStatus.OK, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


def main() -> None:
    """Be all consumers until stdin closes."""
    ended = threading.Event()
    counts = [Count(cache, seconds) for cache in CACHES for seconds in CACHE_SECONDS]
    consumers = [threading.Thread(target=_consume, args=(count, ended), daemon=True) for count in counts]

    def report() -> None:
        sys.stdout.write(json.dumps([asdict(count) for count in counts]) + "\n")
        sys.stdout.flush()

    report()
    if not sys.stdin.readline():
        return
    for consumer in consumers:
        consumer.start()
    while not select.select([sys.stdin], [], [], _REPORT_SECONDS)[0]:
        report()
    ended.set()
    for consumer in consumers:
        consumer.join()
    report()


if __name__ == "__main__":
    main()
